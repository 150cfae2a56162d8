/**
 * What the GPU writes down of each step, and what a log line says of it.
 *
 * @module
 */

/** What a log line says: means over the steps since the last one. */
export interface TrainRecord {
  /** Steps done. */
  readonly step: number;
  /** Mean loss, all parts with their weights. */
  readonly loss: number;
  /** Mean alignment loss without its weight, from −1 to 1; where there is one. */
  readonly alignmentLoss?: number;
  /** Mean norm of the gradient before clipping. */
  readonly gradientNorm: number;
  /** Steps that were skipped for a non-finite gradient; with f16 some are part of finding the scale. */
  readonly skipped: number;
  /** Factor on the loss after the last step; with f16 only. */
  readonly lossScale?: number;
  /** Images a second, by the wall clock. */
  readonly imagesPerSecond: number;
}

/**
 * Training cannot go on: the loss is not a finite number. {@linkcode Trainer.run} throws it in place
 * of the next record, so some steps later.
 *
 * @example
 * ```ts
 * import { NonFiniteLossError } from "@gmem/gmem";
 *
 * const error = new NonFiniteLossError(7, NaN);
 * console.log(error.name, error.step); // NonFiniteLossError 7
 * ```
 */
export class NonFiniteLossError extends Error {
  /** The class, by which errors from other realms can be told. */
  override readonly name = "NonFiniteLossError";
  /** The step whose loss it was, from 1. */
  readonly step: number;

  /** Makes the error. */
  constructor(step: number, loss: number) {
    super(`Cannot go on training: the loss of step ${step} is ${loss}, expected a finite number`);
    this.step = step;
  }
}

/** Where a step's numbers stand in its row of the history. */
export interface HistoryLayout {
  /** Parts of a batch, each of which has a loss from column 0 on. */
  readonly parts: number;
  /** Column of the parts' first alignment loss. */
  readonly alignment: number;
  /** Column of the norm of the gradient, beside the factor of clipping. */
  readonly norm: number;
  /** Column of the loss scale. */
  readonly lossScale: number;
  /** Columns in all. */
  readonly columns: number;
  /** There are alignment losses. */
  readonly aligned: boolean;
  /** There is a loss scale. */
  readonly scaled: boolean;
}

/** Where the numbers of a step with `parts` parts stand. */
export function historyLayout(
  parts: number,
  { aligned, scaled }: { aligned: boolean; scaled: boolean },
): HistoryLayout {
  const norm = aligned ? 2 * parts : parts, lossScale = norm + 2;
  const columns = lossScale + (scaled ? 1 : 0);
  return { parts, alignment: parts, norm, lossScale, columns, aligned, scaled };
}

/**
 * What a log line says of the `count` steps from `first` on, from 1, whose numbers are `rows`
 * [count, columns].
 *
 * @throws {NonFiniteLossError} when the loss of a step is no finite number.
 */
export function summarize(
  rows: Float32Array,
  { first, count, ...layout }: HistoryLayout & { first: number; count: number },
): Pick<TrainRecord, "loss" | "alignmentLoss" | "gradientNorm" | "skipped" | "lossScale"> {
  const { parts, alignment, norm, columns } = layout;
  let loss = 0, alignmentLoss = 0, normSum = 0, skipped = 0;
  for (let i = 0; i < count; i++) {
    const row = rows.subarray(i * columns, (i + 1) * columns);
    const meanFrom = (column: number) =>
      row.subarray(column, column + parts).reduce((sum, value) => sum + value, 0) / parts;
    const stepLoss = meanFrom(0);
    if (!Number.isFinite(stepLoss)) throw new NonFiniteLossError(first + i, stepLoss);
    loss += stepLoss / count;
    if (layout.aligned) alignmentLoss += meanFrom(alignment) / count;
    if (row[norm + 1] === 0) skipped++;
    else normSum += row[norm]!;
  }
  return {
    loss,
    ...(layout.aligned && { alignmentLoss }),
    // A skipped step has no norm.
    gradientNorm: normSum / Math.max(count - skipped, 1),
    skipped,
    ...(layout.scaled && { lossScale: rows[(count - 1) * columns + layout.lossScale]! }),
  };
}
