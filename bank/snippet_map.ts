/**
 * Snippets as points on a plane, to look at.
 *
 * @module
 */

import type { BankFile } from "./file.ts";
import { fitFactors } from "./svd.ts";

/** A snippet on the plane of the first two principal components. */
export interface MapPoint {
  /** Coordinate along the direction in which the snippets differ most. */
  readonly x: number;
  /** Coordinate along the next direction. */
  readonly y: number;
  /** Name of its class; empty for a snippet without. */
  readonly className: string;
}

/** Points that can still be told apart, and that a viewer draws at once. */
const MOST_POINTS = 4000;

/**
 * Projects snippets, evenly spread over the bank and 4,000 at most, on the two directions in which
 * they differ most.
 *
 * Throws a RangeError if the snippets do not differ in two directions.
 */
export async function mapSnippets(file: BankFile): Promise<MapPoint[]> {
  const { dim, labels, classes } = file;
  const stride = Math.ceil(file.size / MOST_POINTS);
  const size = Math.ceil(file.size / stride);
  const sample = new Float32Array(size * dim);
  for (let i = 0; i < size; i++) sample.set(file.rows(i * stride, 1), i * dim);
  const rows = (first: number, count: number) =>
    sample.subarray(first * dim, (first + count) * dim);
  const { shared, project } = await fitFactors({ size, dim, rows }, { rank: 2 });
  const scales = shared.singularValues.map(Math.sqrt);
  const coefficients = project(sample);
  return Array.from({ length: size }, (_, i) => ({
    // C = U S^½, and the coordinates are U S.
    x: coefficients[2 * i]! * scales[0]!,
    y: coefficients[2 * i + 1]! * scales[1]!,
    className: classes[labels?.[i * stride] ?? -1] ?? "",
  }));
}
