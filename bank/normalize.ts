/**
 * The one place where snippets are normalised. Encoders hand their features through
 * {@linkcode normalizeSnippets}; banks, trainers and samplers take snippets as they are. On the GPU,
 * where a low-rank bank reconstructs snippets, `l2Normalize` of the kernels is the same function.
 *
 * @module
 */

/**
 * How far the norm of a stored snippet may be from 1: storage as F16 moves it by up to 2⁻¹¹, about
 * 5e-4, while features that were never normalised are off by far more.
 */
const UNIT_NORM_TOLERANCE = 1e-3;

/** What {@linkcode normalizeSnippets} is told of its rows. */
export interface NormalizeSnippetsOptions {
  /** Length d of a row. */
  readonly dim: number;
  /** Index of the first row among all snippets, for error messages. Default 0. */
  readonly firstIndex?: number | undefined;
  /** File or folder that the rows are from, for error messages. */
  readonly path?: string | undefined;
}

/**
 * Makes snippets of features: f(x) / ‖f(x)‖ for each row (GMem, section 4.1). `values` [n, d],
 * result [n, d] in a new array. Computes in float64 and rounds once, so norms are 1 to within 2⁻²⁴.
 *
 * Throws a TypeError if the values are not whole rows, and a RangeError that names the row if one is
 * all zero or not finite, since it has no direction.
 *
 * @example
 * ```ts
 * import { normalizeSnippets } from "@gmem/gmem";
 *
 * const snippets = normalizeSnippets(Float32Array.of(3, 4, 0, 2), { dim: 2 });
 * console.log(Array.from(snippets, (x) => x.toFixed(1))); // [ "0.6", "0.8", "0.0", "1.0" ]
 * ```
 */
export function normalizeSnippets(
  values: Float32Array | Float64Array,
  options: NormalizeSnippetsOptions,
): Float32Array {
  const { dim, firstIndex = 0, path } = options;
  const rows = countRows(values, dim);
  const out = new Float32Array(values.length);
  for (let row = 0; row < rows; row++) {
    const norm = normOf(values, { start: row * dim, dim });
    if (!(norm > 0 && norm < Infinity)) {
      const from = path === undefined ? "" : ` of ${JSON.stringify(path)}`;
      throw new RangeError(
        `Cannot normalise snippet ${firstIndex + row}${from}: its norm is ${norm}, ` +
          "expected a positive number",
      );
    }
    for (let i = row * dim; i < (row + 1) * dim; i++) out[i] = values[i]! / norm;
  }
  return out;
}

/**
 * Says what is wrong with the first of the rows `values` [n, d] that is not a snippet, for the second
 * half of an error message: not finite, or with a norm further from 1 than
 * {@linkcode UNIT_NORM_TOLERANCE}.
 *
 * Throws a TypeError if the values are not whole rows.
 */
export function findSnippetProblem(
  values: Float32Array,
  options: NormalizeSnippetsOptions,
): string | undefined {
  const { dim, firstIndex = 0 } = options;
  const rows = countRows(values, dim);
  for (let row = 0; row < rows; row++) {
    const norm = normOf(values, { start: row * dim, dim });
    // Written so that a norm that is not a number fails too.
    if (!(Math.abs(norm - 1) <= UNIT_NORM_TOLERANCE)) {
      return `snippet ${firstIndex + row} has norm ${norm}, ` +
        `expected 1 within ${UNIT_NORM_TOLERANCE}`;
    }
  }
  return undefined;
}

/** Returns the Euclidean norms [n] of the rows `values` [n, d], in float64. */
export function snippetNorms(values: Float32Array, dim: number): Float64Array {
  return Float64Array.from(
    { length: countRows(values, dim) },
    (_, row) => normOf(values, { start: row * dim, dim }),
  );
}

/**
 * Cosines [n] of rows of `x` and `y` [n, dim], all of norm 1: x_i · y_(i + offset), where the first row comes
 * after the last.
 */
export function cosines(
  x: Float32Array,
  y: Float32Array,
  { dim, offset = 0 }: { dim: number; offset?: number },
): Float64Array {
  const rows = x.length / dim;
  return Float64Array.from({ length: rows }, (_, i) => {
    const other = (i + offset) % rows;
    let sum = 0;
    for (let k = 0; k < dim; k++) sum += x[i * dim + k]! * y[other * dim + k]!;
    return sum;
  });
}

function countRows(values: Float32Array | Float64Array, dim: number): number {
  const rows = values.length / dim;
  if (!Number.isInteger(rows)) {
    throw new TypeError(
      `Cannot read snippets from ${values.length} values: expected a multiple of the length ${dim}`,
    );
  }
  return rows;
}

function normOf(
  values: Float32Array | Float64Array,
  options: { start: number; dim: number },
): number {
  let sum = 0;
  for (let i = options.start; i < options.start + options.dim; i++) sum += values[i]! * values[i]!;
  return Math.sqrt(sum);
}
