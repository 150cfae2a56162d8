/**
 * Precision and recall of a set of samples.
 *
 * @module
 */

import { type DistanceOptions, distanceTiles, nearestRows } from "./distances.ts";

/** Options of {@linkcode precisionRecall}. */
export interface PrecisionRecallOptions extends DistanceOptions {
  /** Which nearest neighbour gives the radius of a vector; 3 by default, as in ADM's evaluator. */
  readonly neighbours?: number | undefined;
}

/** What {@linkcode precisionRecall} returns. */
export interface PrecisionRecall {
  /** Share of the samples that lie within the references' manifold. */
  readonly precision: number;
  /** Share of the references that lie within the samples' manifold. */
  readonly recall: number;
  /** Whether each sample [n] does, 1 or 0. */
  readonly sampleInside: Uint8Array;
  /** Whether each reference [N] does, 1 or 0. */
  readonly referenceInside: Uint8Array;
}

/**
 * Improved precision and recall (Kynkäänniemi et al. 2019, section 2) of samples [n, d]
 * against a reference [N, d]. The manifold of a set is the union of the balls around its vectors
 * whose radius is the distance to the k-th nearest other one, edge included.
 *
 * Time: n² + N² + n N distances. Memory: one tile of 2,048 × 2,048 of them besides the vectors.
 *
 * Throws a RangeError if a set has not k + 1 vectors or a value is not finite, and a TypeError if the
 * values are not whole vectors.
 *
 * @example
 * ```ts
 * import { precisionRecall } from "@gmem/gmem";
 *
 * const reference = Float32Array.of(0, 1, 2, 3), samples = Float32Array.of(0, 1, 2, 9);
 * const { precision } = await precisionRecall({ reference, samples }, { dim: 1 });
 * console.log(precision); // 0.75
 * ```
 */
export async function precisionRecall(
  sets: { readonly reference: Float32Array; readonly samples: Float32Array },
  options: PrecisionRecallOptions,
): Promise<PrecisionRecall> {
  const { reference, samples } = sets;
  const { dim, device, neighbours = 3, onProgress } = options;
  const part = (index: number) => (done: number, total: number) =>
    onProgress?.((index + done / total) / 3, 1);
  const radii = async (vectors: Float32Array, index: number) => {
    const { squares } = await nearestRows(vectors, vectors, {
      dim,
      device,
      count: neighbours,
      own: Uint32Array.from({ length: vectors.length / dim }, (_, i) => i),
      onProgress: part(index),
    });
    return squares.filter((_, i) => i % neighbours === neighbours - 1);
  };
  const referenceRadii = await radii(reference, 0), sampleRadii = await radii(samples, 1);
  const sampleInside = new Uint8Array(sampleRadii.length);
  const referenceInside = new Uint8Array(referenceRadii.length);
  const tiles = distanceTiles(samples, reference, { dim, device, onProgress: part(2) });
  for await (const { firstRow, rows, firstColumn, columns, squareUpTo } of tiles) {
    for (let row = 0; row < rows; row++) {
      const sample = firstRow + row;
      for (let column = 0; column < columns; column++) {
        const other = firstColumn + column;
        // What is inside already is so whatever the distance.
        const around = sampleInside[sample] ? -Infinity : referenceRadii[other]!;
        const within = referenceInside[other] ? -Infinity : sampleRadii[sample]!;
        const square = squareUpTo(row, column, Math.max(around, within));
        if (square <= around) sampleInside[sample] = 1;
        if (square <= within) referenceInside[other] = 1;
      }
    }
  }
  return {
    precision: shareOf(sampleInside),
    recall: shareOf(referenceInside),
    sampleInside,
    referenceInside,
  };
}

function shareOf(inside: Uint8Array): number {
  return inside.reduce((sum, value) => sum + value, 0) / inside.length;
}
