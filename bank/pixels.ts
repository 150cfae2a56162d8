/**
 * The pixels of images as values, as bytes, in other channels and in other sizes.
 *
 * @module
 */

/** Shares of red, green and blue in what the eye sees as grey (ITU-R BT.601). */
const LUMA = [0.299, 0.587, 0.114];

/**
 * Values in [−1, 1] as bytes: the whole part of 127.5 x + 128 kept in 0 … 255, as SiT, LightningDiT and
 * GMem write samples.
 */
export function toBytes(values: Float32Array): Uint8Array {
  const bytes = new Uint8Array(values.length);
  for (let i = 0; i < values.length; i++) {
    bytes[i] = Math.min(255, Math.max(0, 127.5 * values[i]! + 128));
  }
  return bytes;
}

/** Bytes as values in [−1, 1]: x / 127.5 − 1. */
export function toValues(bytes: Uint8Array): Float32Array {
  const values = new Float32Array(bytes.length);
  for (let i = 0; i < bytes.length; i++) values[i] = bytes[i]! / 127.5 - 1;
  return values;
}

/** Some images, or what becomes images, for messages. */
export interface NumberedImages {
  /** Index of the first one. */
  readonly first: number;
  /** Their number n. */
  readonly count: number;
  /** What one of them is called. */
  readonly what: string;
}

/** Throws a RangeError that names the first image among `values` [n, …] with one that is not finite. */
export function requireFiniteImages(values: Float32Array, images: NumberedImages): void {
  const { first, count, what } = images;
  const wrong = values.findIndex((value) => !Number.isFinite(value));
  if (wrong < 0) return;
  throw new RangeError(
    `Cannot use ${what} ${first + Math.floor(wrong / (values.length / count))}: it holds ` +
      `${values[wrong]}, expected finite numbers`,
  );
}

/** Turns images of one channel to three equal ones, or of three to one of grey. */
export function mixChannels(
  images: Float32Array,
  options: { readonly from: number; readonly to: number; readonly plane: number },
): Float32Array {
  const { from, to, plane } = options;
  if (from === to) return images;
  const out = new Float32Array(images.length / from * to);
  for (let i = 0; i < out.length; i++) {
    const image = Math.floor(i / (to * plane)), pixel = i % plane;
    const at = (channel: number) => images[(image * from + channel) * plane + pixel]!;
    out[i] = from === 1
      ? at(0)
      : LUMA.reduce((sum, share, channel) => sum + share * at(channel), 0);
  }
  return out;
}

/**
 * Means of blocks of `factor` × `factor` pixels: of planes [n, H, H] [n, h, h] with h the whole part of
 * H / factor, beyond which pixels do not count.
 */
export function averageBlocks(
  pixels: ArrayLike<number>,
  { imageSize, factor }: { readonly imageSize: number; readonly factor: number },
): Float32Array {
  const side = Math.floor(imageSize / factor), planes = pixels.length / imageSize ** 2;
  const out = new Float32Array(planes * side ** 2);
  for (let plane = 0; plane < planes; plane++) {
    for (let y = 0; y < side * factor; y++) {
      for (let x = 0; x < side * factor; x++) {
        const place = (plane * side + Math.floor(y / factor)) * side + Math.floor(x / factor);
        out[place]! += pixels[(plane * imageSize + y) * imageSize + x]! / factor ** 2;
      }
    }
  }
  return out;
}
