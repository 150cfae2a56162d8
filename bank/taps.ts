/**
 * Images resized on the CPU: first rows and then columns, each pixel of the result a weighted sum of a few.
 *
 * @module
 */

import type { Interpolation } from "./encoders/preprocessing.ts";

/** A filter, by what a pixel weighs at a distance from the middle of one of the result. */
interface Filter {
  /** The weight at a distance of 0 or more, in pixels of the image or, where it widens, of the result. */
  readonly weight: (distance: number) => number;
  /** Distance from which the weight is 0. */
  readonly reach: number;
  /** Whether it widens where an image shrinks, which is antialiasing. */
  readonly widens: boolean;
  /** What an image has beyond its edge: its last pixel again, as in torch, or nothing, as in Pillow. */
  readonly beyond: "last" | "nothing";
}

/** Filters by name. */
const FILTERS: Readonly<Record<Interpolation, Filter>> = {
  /** Pillow's `BILINEAR`, and torch's with antialiasing. */
  bilinear: {
    weight: (distance) => Math.max(0, 1 - distance),
    reach: 1,
    widens: true,
    beyond: "nothing",
  },
  /** Pillow's `BICUBIC`: the cubic of Catmull and Rom. */
  bicubic: { weight: keysCubic(-1 / 2), reach: 2, widens: true, beyond: "nothing" },
  /** torch's `bicubic` without antialiasing. */
  "torch-bicubic": { weight: keysCubic(-3 / 4), reach: 2, widens: false, beyond: "last" },
};

/** Which pixels along an axis make each one of the result. */
export interface Taps {
  /** Pixels of the result. */
  readonly size: number;
  /** Pixels that make each one. */
  readonly count: number;
  /** Their places [size, count]. */
  readonly indices: Uint32Array;
  /** Their weights [size, count]; some are 0. */
  readonly weights: Float64Array;
}

/** An axis of an image and the part of it that is resized. */
export interface TapsOptions {
  /** Pixels of the image along the axis. */
  readonly length: number;
  /** Pixels of the result. */
  readonly size: number;
  /** Where the part begins, in pixels of the image; need not be whole. */
  readonly start: number;
  /** Pixels of the image for one of the result. */
  readonly scale: number;
}

/** The pixels along an axis that make each one of the result, and their weights, with a sum of 1. */
export function tapsOf(filter: Interpolation, options: TapsOptions): Taps {
  const { length, size, start, scale } = options;
  const { weight, reach, widens, beyond } = FILTERS[filter];
  const spread = widens ? Math.max(1, scale) : 1;
  const count = Math.floor(2 * reach * spread) + 1;
  const indices = new Uint32Array(size * count), weights = new Float64Array(size * count);
  for (let position = 0; position < size; position++) {
    // In pixels from the middle of the first one.
    const centre = start + (position + 0.5) * scale - 0.5;
    const first = Math.ceil(centre - reach * spread), place = position * count;
    let total = 0;
    for (let k = 0; k < count; k++) {
      const index = Math.max(0, Math.min(length - 1, first + k));
      indices[place + k] = index;
      if (beyond === "nothing" && index !== first + k) continue;
      total += weights[place + k] = weight(Math.abs(first + k - centre) / spread);
    }
    for (let k = place; k < place + count; k++) weights[k]! /= total;
  }
  return { size, count, indices, weights };
}

/** Resizes planes [n, H, W] to [n, down.size, across.size], summed in float64. */
export function resizePlanes(
  planes: Float32Array | Uint8Array,
  options: { readonly width: number; readonly height: number; across: Taps; down: Taps },
): Float64Array {
  const { width, height, across, down } = options;
  const count = planes.length / (width * height);
  const resized = new Float64Array(count * down.size * across.size);
  const narrow = new Float64Array(height * across.size);
  for (let plane = 0; plane < count; plane++) {
    for (let y = 0; y < height; y++) {
      const row = (plane * height + y) * width;
      for (let x = 0; x < across.size; x++) {
        let sum = 0;
        for (let k = x * across.count; k < (x + 1) * across.count; k++) {
          sum += across.weights[k]! * planes[row + across.indices[k]!]!;
        }
        narrow[y * across.size + x] = sum;
      }
    }
    for (let y = 0; y < down.size; y++) {
      const out = resized.subarray((plane * down.size + y) * across.size);
      for (let k = y * down.count; k < (y + 1) * down.count; k++) {
        const weight = down.weights[k]!, row = down.indices[k]! * across.size;
        for (let x = 0; x < across.size; x++) out[x]! += weight * narrow[row + x]!;
      }
    }
  }
  return resized;
}

/** The cubic of Keys (1981). */
function keysCubic(a: number): (distance: number) => number {
  return (d) => {
    if (d < 1) return ((a + 2) * d - (a + 3)) * d * d + 1;
    return d < 2 ? ((a * d - 5 * a) * d + 8 * a) * d - 4 * a : 0;
  };
}
