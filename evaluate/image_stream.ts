/**
 * Images that are evaluated, wherever they come from: bytes, a batch at a time.
 *
 * @module
 */

import { type ImageSource, readInOrder } from "../bank/image_source.ts";
import { type NumberedImages, requireFiniteImages, toBytes, toValues } from "../bank/pixels.ts";
import { selectRows, spreadIndices } from "../bank/select_rows.ts";

/** Some images of a stream. */
export interface ByteBatch {
  /** Index of the first image. */
  readonly first: number;
  /** Number of images n. */
  readonly count: number;
  /** Pixels [n, C, H, W], 0 to 255. */
  readonly pixels: Uint8Array;
}

/** N square images of one size, given once from front to back. */
export interface ImageStream {
  /** Number of images N. */
  readonly size: number;
  /** Height and width of an image in pixels. */
  readonly imageSize: number;
  /** Channels of an image: 3 for RGB, 1 for grey. */
  readonly channels: number;
  /** Gives all images, in order. */
  batches(): AsyncIterable<ByteBatch>;
}

/** The images of a source as a stream: the very bytes that it holds, or the nearest. */
export function streamOf(source: ImageSource): ImageStream {
  const { size, imageSize, channels } = source;
  return {
    size,
    imageSize,
    channels,
    async *batches() {
      for await (const { first, count, images } of readInOrder(source)) {
        yield { first, count, pixels: toBytes(images) };
      }
    },
  };
}

/** At most `count` images of a stream, spread evenly over it: in a folder of classes the first are not of all. */
export function spreadOf(stream: ImageStream, count: number): ImageStream {
  if (count >= stream.size) return stream;
  const { size, imageSize, channels } = stream;
  const chosen = spreadIndices(count, size), width = channels * imageSize ** 2;
  return {
    size: count,
    imageSize,
    channels,
    async *batches() {
      let taken = 0;
      for await (const { first, count, pixels } of stream.batches()) {
        const indices: number[] = [], end = first + count;
        while (chosen[taken + indices.length]! < end) {
          indices.push(chosen[taken + indices.length]! - first);
        }
        if (indices.length === 0) continue;
        const part = { first: taken, count: indices.length };
        yield { ...part, pixels: selectRows(pixels, { indices, width }) };
        taken += indices.length;
      }
    },
  };
}

/** The pixels [N, C, H, W] of all images of a stream. */
export async function readPixels(stream: ImageStream): Promise<Uint8Array> {
  const { size, imageSize, channels } = stream;
  const length = channels * imageSize ** 2, pixels = new Uint8Array(size * length);
  for await (const batch of stream.batches()) pixels.set(batch.pixels, batch.first * length);
  return pixels;
}

/** A stream and where its images come from, for messages. */
export interface NamedStream {
  /** The images. */
  readonly stream: ImageStream;
  /** File, checkpoint or part of the data. */
  readonly source: string;
}

/** Throws a RangeError unless samples and reference have images of one size. */
export function requireOneSize(samples: NamedStream, reference: NamedStream): void {
  const [own, other] = [samples.stream.imageSize, reference.stream.imageSize];
  if (own !== other) {
    throw new RangeError(
      `Cannot measure ${samples.source} against ${reference.source}: the samples have ${own} × ` +
        `${own} pixels and the reference ${other} × ${other}, expected one size`,
    );
  }
}

/**
 * Images [n, C, H, W] with the values of their bytes, as a file of them gives them back.
 *
 * Throws a RangeError that names the first image with a value that is not finite.
 */
export function throughBytes(values: Float32Array, images: NumberedImages): Float32Array {
  requireFiniteImages(values, images);
  return toValues(toBytes(values));
}

/**
 * Images [n, C, H, W] with the channels that are wanted: grey becomes RGB with equal channels, and RGB
 * with equal channels becomes grey.
 *
 * Throws a RangeError that names the image if its colours would be lost, and a TypeError for other
 * numbers of channels.
 */
export function withChannels(
  batch: ByteBatch,
  options: { readonly from: number; readonly to: number },
): Uint8Array {
  const { from, to } = options;
  if (from === to) return batch.pixels;
  const { first, count, pixels } = batch, plane = pixels.length / (count * from);
  const out = new Uint8Array(count * to * plane);
  if (from === 1) {
    for (let image = 0; image < count; image++) {
      const grey = pixels.subarray(image * plane, (image + 1) * plane);
      for (let channel = 0; channel < to; channel++) out.set(grey, (image * to + channel) * plane);
    }
    return out;
  }
  if (to !== 1) {
    throw new TypeError(`Cannot use images of ${from} channels: expected ${to}, or 1`);
  }
  for (let image = 0; image < count; image++) {
    const colours = pixels.subarray(image * from * plane, (image + 1) * from * plane);
    for (let i = plane; i < colours.length; i++) {
      if (colours[i] !== colours[i % plane]) {
        throw new RangeError(
          `Cannot take image ${first + image} for a grey one: its channels differ, expected ` +
            "images of one channel",
        );
      }
    }
    out.set(colours.subarray(0, plane), image * plane);
  }
  return out;
}
