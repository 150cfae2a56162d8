/** Textbook formulas in float64, written apart from what they check. */

/** Rows [n, d] of a flat array. */
export function rowsOf(values: ArrayLike<number>, dim: number): number[][] {
  const flat = Array.from(values);
  return Array.from({ length: flat.length / dim }, (_, i) => flat.slice(i * dim, (i + 1) * dim));
}

/** Mean and unbiased covariance. */
export function moments(rows: readonly number[][]): { mean: number[]; covariance: number[][] } {
  const mean = rows[0]!.map((_, i) => rows.reduce((sum, row) => sum + row[i]!, 0) / rows.length);
  const covariance = mean.map((_, i) =>
    mean.map((_, j) =>
      rows.reduce((sum, row) => sum + (row[i]! - mean[i]!) * (row[j]! - mean[j]!), 0) /
      (rows.length - 1)
    )
  );
  return { mean, covariance };
}

/**
 * The Fréchet distance by a general matrix root, as the official evaluators take it: the iteration
 * of Denman and Beavers on Σ₁ Σ₂, in place of eigenvalues.
 */
export function frechetReference(first: readonly number[][], second: readonly number[][]): number {
  const [a, b] = [moments(first), moments(second)];
  let y = multiply(a.covariance, b.covariance);
  let z: number[][] = y.map((row, i) => row.map((_, j) => Number(i === j)));
  for (let iteration = 0; iteration < 60; iteration++) {
    const [inverseY, inverseZ] = [invert(y), invert(z)];
    y = y.map((row, i) => row.map((value, j) => (value + inverseZ[i]![j]!) / 2));
    z = z.map((row, i) => row.map((value, j) => (value + inverseY[i]![j]!) / 2));
  }
  return a.mean.reduce(
    (sum, value, i) =>
      sum + (value - b.mean[i]!) ** 2 + a.covariance[i]![i]! + b.covariance[i]![i]! -
      2 * y[i]![i]!,
    0,
  );
}

/** Precision and recall by sorting all distances. */
export function manifoldReference(
  reference: readonly number[][],
  samples: readonly number[][],
): { precision: number; recall: number } {
  const share = (from: readonly number[][], to: readonly number[][]) => {
    // The point itself comes first, at distance 0.
    const radii = to.map((x) => to.map((y) => distance(x, y)).sort((a, b) => a - b)[3]!);
    return from.filter((x) => to.some((y, j) => distance(x, y) <= radii[j]!)).length / from.length;
  };
  return { precision: share(samples, reference), recall: share(reference, samples) };
}

/** The Inception score of probabilities, split by split. */
export function scoreReference(rows: readonly number[][], split: number): number {
  const scores: number[] = [];
  for (let first = 0; first < rows.length; first += split) {
    const part = rows.slice(first, first + split);
    const marginal = part[0]!.map((_, k) =>
      part.reduce((sum, row) => sum + row[k]!, 0) / part.length
    );
    const divergence = part.reduce(
      (sum, row) =>
        sum + row.reduce((inner, p, k) => inner + p * (Math.log(p) - Math.log(marginal[k]!)), 0),
      0,
    );
    scores.push(Math.exp(divergence / part.length));
  }
  return scores.reduce((sum, score) => sum + score, 0) / scores.length;
}

/** Euclidean distance. */
function distance(a: readonly number[], b: readonly number[]): number {
  return Math.hypot(...a.map((value, i) => value - b[i]!));
}

function multiply(a: readonly number[][], b: readonly number[][]): number[][] {
  return a.map((row) =>
    b[0]!.map((_, j) => row.reduce((sum, value, k) => sum + value * b[k]![j]!, 0))
  );
}

/** Gauss and Jordan, with the largest pivot. */
function invert(matrix: readonly number[][]): number[][] {
  const n = matrix.length;
  const work = matrix.map((row, i) => [...row, ...row.map((_, j) => Number(i === j))]);
  for (let column = 0; column < n; column++) {
    let pivot = column;
    for (let row = column; row < n; row++) {
      if (Math.abs(work[row]![column]!) > Math.abs(work[pivot]![column]!)) pivot = row;
    }
    [work[column], work[pivot]] = [work[pivot]!, work[column]!];
    const scale = work[column]![column]!;
    work[column] = work[column]!.map((value) => value / scale);
    for (let row = 0; row < n; row++) {
      if (row === column) continue;
      const factor = work[row]![column]!;
      work[row] = work[row]!.map((value, k) => value - factor * work[column]![k]!);
    }
  }
  return work.map((row) => row.slice(n));
}
