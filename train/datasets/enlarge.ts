/**
 * Images that are smaller than they are wanted.
 *
 * @module
 */

/** Sizes of an image, and the side that is wanted of it. */
export interface EnlargeOptions {
  /** Width in pixels. */
  readonly width: number;
  /** Height in pixels. */
  readonly height: number;
  /** Channels C. */
  readonly channels: number;
  /** Height and width of the result, above one of those of the image. */
  readonly side: number;
}

/** Pixels of a row or column that make one of the result. */
const TAPS = 4;

/** Which pixels make those of a row or column of the result, and their shares: both [side, 4]. */
interface Taps {
  readonly indices: Uint32Array;
  readonly weights: Float64Array;
}

/**
 * The central square of bytes [H, W, C], enlarged until the shorter side is `side`, as bytes [C, side, side]: with
 * the cubic of Catmull and Rom (Keys 1981, a = −1/2) around the middles of pixels, of which those beyond the edge do
 * not count, as Pillow's `BICUBIC`, by which ADM enlarges. Rounded once.
 */
export function enlargeToSquare(pixels: Uint8Array, options: EnlargeOptions): Uint8Array {
  const { width, height, channels, side } = options;
  const shorter = Math.min(width, height);
  const across = tapsOf(width, { scaled: Math.round(width * side / shorter), side });
  const down = tapsOf(height, { scaled: Math.round(height * side / shorter), side });
  const out = new Uint8ClampedArray(channels * side * side), narrow = new Float64Array(height);
  for (let channel = 0; channel < channels; channel++) {
    for (let x = 0; x < side; x++) {
      for (let y = 0; y < height; y++) {
        const row = y * width;
        let sum = 0;
        for (let k = TAPS * x; k < TAPS * (x + 1); k++) {
          sum += across.weights[k]! * pixels[(row + across.indices[k]!) * channels + channel]!;
        }
        narrow[y] = sum;
      }
      for (let y = 0; y < side; y++) {
        let sum = 0;
        for (let k = TAPS * y; k < TAPS * (y + 1); k++) {
          sum += down.weights[k]! * narrow[down.indices[k]!]!;
        }
        // A clamped array rounds.
        out[(channel * side + y) * side + x] = sum;
      }
    }
  }
  return new Uint8Array(out.buffer);
}

/** What makes each of the central `side` pixels of `scaled` that an axis of `length` pixels becomes. */
function tapsOf(length: number, { scaled, side }: { scaled: number; side: number }): Taps {
  const indices = new Uint32Array(TAPS * side), weights = new Float64Array(TAPS * side);
  const first = Math.floor((scaled - side) / 2);
  for (let i = 0; i < side; i++) {
    // In pixels from the middle of the first one.
    const centre = (first + i + 0.5) * length / scaled - 0.5, before = Math.floor(centre) - 1;
    let total = 0;
    for (let k = 0; k < TAPS; k++) {
      const index = before + k;
      if (index < 0 || index >= length) continue;
      indices[TAPS * i + k] = index;
      total += weights[TAPS * i + k] = cubic(Math.abs(index - centre));
    }
    for (let k = TAPS * i; k < TAPS * (i + 1); k++) weights[k]! /= total;
  }
  return { indices, weights };
}

function cubic(distance: number): number {
  if (distance < 1) return (1.5 * distance - 2.5) * distance * distance + 1;
  if (distance < 2) return ((-0.5 * distance + 2.5) * distance - 4) * distance + 2;
  return 0;
}
