/**
 * How the time of a training step grows with batch, tokens, width, depth and the bank, each varied
 * alone around a small model.
 *
 * @module
 */

import { benchTraining, type StepOptions } from "./steps.ts";
import { SNIPPET_DIM, stepFlops, type Workload } from "./workload.ts";

/** One size of what is varied. */
export interface GrowthPoint {
  /** The batch, the number of tokens, and so on. */
  readonly size: number;
  /** Flops of a step. */
  readonly flops: number;
  /** Median time of a step. */
  readonly milliseconds: number;
  /** The part of it in which JavaScript records. */
  readonly javascriptMilliseconds: number;
}

/** A series of sizes. */
export interface GrowthRow {
  /** What is varied. */
  readonly name: string;
  /** Its sizes, rising. */
  readonly points: readonly GrowthPoint[];
  /** Exponent e of time ∝ size^e over the upper half of the sizes. */
  readonly measured: number;
  /** The same of the flops that `model/cost.ts` counts. */
  readonly predicted: number;
}

/** A series to measure. */
export interface GrowthSeries {
  /** What is varied. */
  readonly name: string;
  /** Its sizes, rising. */
  readonly sizes: readonly number[];
  /** The workload of a size. */
  readonly workload: (size: number) => Workload;
}

interface Shape {
  batch?: number;
  tokens?: number;
  width?: number;
  depth?: number;
  bankSize?: number;
}

/** All series. Their longest steps take some seconds on a CPU driver with two cores. */
export const GROWTH: readonly GrowthSeries[] = [
  series("batch", [4, 8, 16, 32, 64], (batch) => ({ batch })),
  series("tokens", [16, 64, 256, 1024], (tokens) => ({ tokens, batch: 4 })),
  series("width", [64, 128, 256, 512], (width) => ({ width })),
  series("depth", [1, 2, 4, 8, 16], (depth) => ({ depth })),
  series("bank", [256, 4096, 65536], (bankSize) => ({ bankSize })),
];

/** A model as deep as SiT-XL and so narrow that its many dispatches are all that it costs. */
export const MANY_DISPATCHES: Workload = workloadOf("depth 28, width 16", {
  batch: 2,
  tokens: 16,
  width: 16,
  depth: 28,
});

/** Measures a series; `onPoint` is called after each size. */
export async function benchGrowth(
  { name, sizes, workload }: GrowthSeries,
  options: StepOptions & { onPoint?: () => void },
): Promise<GrowthRow> {
  const points: GrowthPoint[] = [];
  for (const size of sizes) {
    const each = workload(size);
    const { milliseconds, javascriptMilliseconds } = await benchTraining(each, options);
    const flops = stepFlops(each);
    points.push({ size, flops, milliseconds, javascriptMilliseconds });
    options.onPoint?.();
  }
  return { name, points, ...exponents(points) };
}

/** Exponents of time and flops in the size, over the upper half of the sizes. */
export function exponents(
  points: readonly GrowthPoint[],
): { measured: number; predicted: number } {
  const upper = points.slice(Math.floor(points.length / 2) - (points.length < 4 ? 1 : 0));
  const sizes = upper.map(({ size }) => size);
  return {
    measured: slope(sizes, upper.map(({ milliseconds }) => milliseconds)),
    predicted: slope(sizes, upper.map(({ flops }) => flops)),
  };
}

/** Slope of log y over log x by least squares. */
export function slope(x: readonly number[], y: readonly number[]): number {
  const logs = (values: readonly number[]) => {
    const each = values.map(Math.log);
    const mean = each.reduce((sum, value) => sum + value, 0) / each.length;
    return each.map((value) => value - mean);
  };
  const centredX = logs(x), centredY = logs(y);
  const products = centredX.reduce((sum, value, i) => sum + value * centredY[i]!, 0);
  return products / centredX.reduce((sum, value) => sum + value ** 2, 0);
}

function series(
  name: string,
  sizes: readonly number[],
  shape: (size: number) => Shape,
): GrowthSeries {
  return { name, sizes, workload: (size) => workloadOf(`${name} ${size}`, shape(size)) };
}

/** The model that all sizes are varied around. */
function workloadOf(name: string, shape: Shape): Workload {
  const { batch = 16, tokens = 64, width = 128, depth = 2, bankSize } = shape;
  return {
    name,
    batch,
    ...(bankSize === undefined ? {} : { bankSize }),
    model: {
      inputSize: 4 * Math.sqrt(tokens),
      channels: 3,
      patchSize: 4,
      width,
      depth,
      heads: Math.max(1, width / 64),
      condition: { snippetDim: SNIPPET_DIM },
    },
  };
}
