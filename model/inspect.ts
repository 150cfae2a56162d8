/**
 * What a model holds and costs, in numbers and in words.
 *
 * @module
 */

import { formatBytes } from "../kernels/core/format_bytes.ts";
import { formatShape } from "../kernels/core/tensor.ts";
import { activationBytes, countFlops, type Flops } from "./cost.ts";
import { officialCount, type ParameterSize, parameterSizes } from "./parameter_sizes.ts";
import type { SiTOptions } from "./sit.ts";

/** Bytes that training holds on the GPU. */
export interface TrainingBytes {
  /** Parameters, with the tables that are not learned. */
  readonly parameters: number;
  /** Their gradients. */
  readonly gradients: number;
  /** Two moments for each learned parameter. */
  readonly optimizer: number;
  /** Moving average of the learned parameters. */
  readonly average: number;
  /** What a step holds beside these. */
  readonly activations: number;
  /** The same when the blocks are computed again in the backward pass. */
  readonly activationsWithRecomputation: number;
}

/** What {@linkcode modelCost} finds. */
export interface ModelCost {
  /** Parameters as the official code counts them. */
  readonly officialCount: number;
  /** Learned parameters. */
  readonly trainedCount: number;
  /** For one image. */
  readonly flops: Flops;
  /** Images that go through the network at once. */
  readonly batch: number;
  /** In training with that batch. */
  readonly bytes: TrainingBytes;
}

/** Counts what a network and its training with AdamW and a moving average cost. */
export function modelCost(options: SiTOptions, { batch }: { batch: number }): ModelCost {
  const sizes = parameterSizes(options), trainedCount = learnedCount(sizes);
  return {
    officialCount: officialCount(sizes),
    trainedCount,
    flops: countFlops(options),
    batch,
    bytes: {
      parameters: 4 * totalCount(sizes),
      gradients: 4 * trainedCount,
      optimizer: 8 * trainedCount,
      average: 4 * trainedCount,
      activations: activationBytes(options, { batch }),
      activationsWithRecomputation: activationBytes(options, { batch, recompute: true }),
    },
  };
}

/** What training holds in all, with the blocks computed again in the backward pass or not. */
export function totalBytes(bytes: TrainingBytes, { recompute }: { recompute: boolean }): number {
  const { parameters, gradients, optimizer, average } = bytes;
  return parameters + gradients + optimizer + average +
    (recompute ? bytes.activationsWithRecomputation : bytes.activations);
}

/** The numbers in all of the tensors. */
export function totalCount(sizes: readonly ParameterSize[]): number {
  return sizes.reduce((sum, { count }) => sum + count, 0);
}

/** The numbers in those that are learned. */
export function learnedCount(sizes: readonly ParameterSize[]): number {
  return totalCount(sizes.filter(({ frozen }) => !frozen));
}

/** A tensor, or one that some blocks have alike. */
interface Row extends ParameterSize {
  blocks: number;
}

/**
 * A table of names, shapes and counts; tensors that all blocks have alike take one line. Where some are
 * fixed, as the table of positions is, the learned ones are counted as well.
 */
export function describeSizes(sizes: readonly ParameterSize[]): string[] {
  const rows = new Map<string, Row>();
  for (const size of sizes) {
    const name = size.name.replace(/^blocks\.\d+\./, "blocks.*.");
    const key = `${name} ${formatShape(size.shape)}`;
    const row = rows.get(key);
    if (row) row.blocks++;
    else rows.set(key, { ...size, name, blocks: 1 });
  }
  const cells = [...rows.values()].map(({ name, shape, count, frozen, blocks }) => [
    name,
    formatShape(shape),
    (count * blocks).toLocaleString("en"),
    frozen ? "fixed" : blocks === 1 ? "" : `${blocks} × ${count.toLocaleString("en")}`,
  ]);
  const sums = [["in all", totalCount(sizes)], ["learned", learnedCount(sizes)]] as const;
  const shown = sizes.some(({ frozen }) => frozen) ? sums : sums.slice(0, 1);
  for (const [name, count] of shown) cells.push([name, "", count.toLocaleString("en"), ""]);
  const widths = [0, 1, 2].map((i) => Math.max(...cells.map((row) => row[i]!.length)));
  return cells.map(([name, shape, count, blocks]) =>
    [name!.padEnd(widths[0]!), shape!.padEnd(widths[1]!), count!.padStart(widths[2]!), blocks]
      .join("  ").trimEnd()
  );
}

/** A cost as lines for a person. */
export function describeCost(cost: ModelCost): string[] {
  const { flops, batch, bytes } = cost;
  const { activations, activationsWithRecomputation: recomputed } = bytes;
  const gigaflops = (count: number) =>
    `${formatGiga(count)} GFLOP an image, ${formatGiga(batch * count)} at batch ${batch}`;
  return [
    `official count   ${cost.officialCount.toLocaleString("en")} parameters`,
    `evaluation       ${gigaflops(flops.forward)}`,
    ...(flops.projector > 0 ? [`projector        ${gigaflops(flops.projector)}`] : []),
    `training step    ${gigaflops(flops.training)}`,
    `  recomputing    ${gigaflops(flops.trainingWithRecomputation)}`,
    `parameters       ${formatBytes(bytes.parameters)}`,
    `gradients        ${formatBytes(bytes.gradients)}`,
    `optimiser        ${formatBytes(bytes.optimizer)}`,
    `moving average   ${formatBytes(bytes.average)}`,
    `activations      ${formatBytes(activations)} at batch ${batch}`,
    `  recomputing    ${formatBytes(recomputed)} at batch ${batch}`,
    `training in all  ${formatBytes(totalBytes(bytes, { recompute: false }))}`,
    `  recomputing    ${formatBytes(totalBytes(bytes, { recompute: true }))}`,
  ];
}

function formatGiga(count: number): string {
  const giga = count / 1e9;
  return giga.toLocaleString("en", { maximumFractionDigits: giga < 1 ? 4 : giga < 100 ? 2 : 0 });
}
