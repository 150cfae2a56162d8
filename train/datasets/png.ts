/**
 * PNG files, and the plain image they hold. The only file that imports fast-png.
 *
 * @module
 */

import { convertIndexedToRgb, decode, type DecodedPng, encode } from "fast-png";
import { requireCount } from "../../kernels/core/counted.ts";
import { messageOf } from "../../kernels/core/errors.ts";

/** An image as rows of pixels. */
export interface RawImage {
  /** Width in pixels. */
  readonly width: number;
  /** Height in pixels. */
  readonly height: number;
  /** Bytes of a pixel: 1 grey, 3 RGB, 4 RGB and alpha (255 is opaque). */
  readonly channels: 1 | 3 | 4;
  /** Pixels [height, width, channels], 0 to 255. */
  readonly data: Uint8Array;
}

/** More pixels than any picture here has; a header that claims more is not worth the memory. */
const MAX_PIXELS = 2 ** 28;

/** How PNG files begin: 0x89 and "PNG". */
const SIGNATURE = 0x89504e47;

/** The header's fields follow the signature, a chunk length and the chunk's name. */
const WIDTH_OFFSET = 16, HEIGHT_OFFSET = 20, DEPTH_OFFSET = 24, KIND_OFFSET = 25;

/** Samples of a pixel by the header's kind of colour: grey, RGB, palette, grey and alpha, RGB and alpha. */
const SAMPLES: Readonly<Record<number, number>> = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 };

/** Deflate says at most 258 bytes in 2 bits. */
const MOST_INFLATION = 1032;

/** Above level 6 deflate takes five times as long for half a percent. */
const COMPRESSION_LEVEL = 6;

/**
 * Decodes a PNG of 8 bits per sample, or one with a palette. Grey with alpha becomes RGB with alpha.
 *
 * Throws a SyntaxError if the bytes are not a whole PNG, a RangeError if it has more than 2^28
 * pixels, and a TypeError if it is grey or RGB with other than 8 bits or with one transparent colour.
 *
 * @example
 * ```ts
 * import { decodePng, encodePng } from "@gmem/gmem";
 *
 * const bytes = encodePng({ width: 2, height: 1, channels: 1, data: Uint8Array.of(0, 255) });
 * const { width, height, channels, data } = decodePng(bytes);
 * console.log(width, height, channels, data); // 2 1 1 Uint8Array(2) [ 0, 255 ]
 * ```
 */
export function decodePng(bytes: Uint8Array): RawImage {
  requirePixels(bytes);
  let png: DecodedPng;
  try {
    png = decode(bytes, { checkCrc: true });
  } catch (cause) {
    throw new SyntaxError(
      `Cannot decode PNG: ${messageOf(cause)}, expected the bytes of a whole PNG file`,
      { cause },
    );
  }
  const { width, height } = png;
  if (png.palette !== undefined) {
    const channels = png.palette[0]?.length === 4 ? 4 : 3;
    return { width, height, channels, data: convertPalette(png) };
  }
  const { channels, data, depth } = png;
  if (depth !== 8 || !(data instanceof Uint8Array)) {
    throw new TypeError(`Cannot decode PNG: it has ${depth} bits per sample, expected 8`);
  }
  if (png.transparency !== undefined) {
    throw new TypeError(
      "Cannot decode PNG: it makes one colour transparent, expected an alpha channel or none",
    );
  }
  if (channels === 2) return { width, height, channels: 4, data: expandGreyAlpha(data) };
  if (channels !== 1 && channels !== 3 && channels !== 4) {
    throw new TypeError(`Cannot decode PNG: it has ${channels} channels, expected 1 to 4`);
  }
  return { width, height, channels, data };
}

/**
 * Encodes an image as a PNG of 8 bits per sample.
 *
 * Throws a RangeError if a size is not a positive integer and a TypeError if the data has another
 * length than height · width · channels.
 *
 * @example
 * ```ts
 * import { encodePng } from "@gmem/gmem";
 *
 * const png = encodePng({ width: 2, height: 1, channels: 1, data: Uint8Array.of(0, 255) });
 * console.log(String.fromCharCode(...png.subarray(1, 4))); // PNG
 * ```
 */
export function encodePng(image: RawImage): Uint8Array {
  const { width, height, channels, data } = image;
  for (const [name, value] of Object.entries({ width, height })) {
    requireCount(`Cannot encode PNG: ${name}`, value, 1);
  }
  if (data.length !== width * height * channels) {
    throw new TypeError(
      `Cannot encode PNG: data has ${data.length} bytes, ` +
        `expected ${width * height * channels} for [${height}, ${width}, ${channels}]`,
    );
  }
  return encode({ width, height, channels, data, depth: 8 }, {
    zlib: { level: COMPRESSION_LEVEL },
  });
}

/** Throws where the header claims so many pixels that they are not worth the memory, or cannot be there. */
function requirePixels(bytes: Uint8Array): void {
  const header = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  // What is no PNG, or has no header, the decoder tells.
  if (bytes.length <= KIND_OFFSET || header.getUint32(0) !== SIGNATURE) return;
  const width = header.getUint32(WIDTH_OFFSET), height = header.getUint32(HEIGHT_OFFSET);
  const claim = `Cannot decode PNG: it claims ${width}x${height} pixels`;
  if (width * height > MAX_PIXELS) {
    throw new RangeError(`${claim}, expected at most ${MAX_PIXELS}`);
  }
  const samples = SAMPLES[bytes[KIND_OFFSET]!] ?? 1;
  const rowBytes = Math.ceil(width * samples * bytes[DEPTH_OFFSET]! / 8);
  if (height * rowBytes > MOST_INFLATION * bytes.length) {
    throw new SyntaxError(
      `${claim}, more than ${bytes.length} bytes hold, expected the bytes of a whole PNG file`,
    );
  }
}

function convertPalette(png: DecodedPng): Uint8Array {
  try {
    return convertIndexedToRgb(png);
  } catch (cause) {
    throw new SyntaxError(
      `Cannot decode PNG: ${messageOf(cause)}, expected pixels that are in the palette`,
      { cause },
    );
  }
}

function expandGreyAlpha(data: Uint8Array): Uint8Array {
  const expanded = new Uint8Array(2 * data.length);
  for (let pixel = 0; 2 * pixel < data.length; pixel++) {
    expanded.fill(data[2 * pixel]!, 4 * pixel, 4 * pixel + 3);
    expanded[4 * pixel + 3] = data[2 * pixel + 1]!;
  }
  return expanded;
}
