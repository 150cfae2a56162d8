/**
 * Squared Euclidean distances between all vectors of two sets, a tile at a time.
 *
 * @module
 */

import { meanRow } from "../bank/projection.ts";
import type { Device } from "../kernels/core/device.ts";
import { paddedSize } from "../kernels/core/padded_size.ts";
import { matmulInto } from "../kernels/matmul/mod.ts";
import { requireFinite } from "./frechet.ts";

/** What distances are taken of, and with what. */
export interface DistanceOptions {
  /** Components d of a vector. */
  readonly dim: number;
  /**
   * Takes products that tell which vectors are near: in f32, of vectors moved by the mean of the second
   * set. Without it the CPU takes them in float64. The distances that follow are the same.
   */
  readonly device?: Device | undefined;
  /** Called with how much is done, and how much all is. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
}

/** The distances between some vectors of the one set and some of the other. */
export interface DistanceTile {
  /** Index of the first vector of the first set. */
  readonly firstRow: number;
  /** Vectors n of the first set. */
  readonly rows: number;
  /** Index of the first vector of the second set. */
  readonly firstColumn: number;
  /** Vectors m of the second set. */
  readonly columns: number;
  /**
   * |a − b|² of two vectors, counted from the first of the tile, in float64 as the sum of squared
   * differences; Infinity where the products show that it is above `limit`.
   */
  squareUpTo(row: number, column: number, limit: number): number;
}

/** The nearest vectors of a set, nearest first. */
export interface NearestRows {
  /** Indices [n, k] in the set. */
  readonly indices: Uint32Array;
  /** Squared distances [n, k]. */
  readonly squares: Float64Array;
}

/** Options of {@linkcode nearestRows}. */
export interface NearestRowsOptions extends DistanceOptions {
  /** Neighbours k of each vector. */
  readonly count: number;
  /**
   * Index in the set of each query [n], which is then none of its own neighbours. Left out, queries
   * are not part of the set.
   */
  readonly own?: Uint32Array | undefined;
  /** Squared distance up to which a vector is no neighbour either; left out, all are. */
  readonly beyond?: number | undefined;
}

/** Vectors on each side of a tile: 16 MiB of f32 products. */
const TILE = 2048;

/** Below this many products the CPU is done before a GPU has compiled its shader. */
const FEW_PRODUCTS = 2 ** 30;

/** The device to take distances with: none where there are so few that the CPU is faster. */
export function distanceDevice(
  device: Device | undefined,
  size: { readonly rows: number; readonly columns: number; readonly dim: number },
): Device | undefined {
  return size.rows * size.columns * size.dim < FEW_PRODUCTS ? undefined : device;
}

/**
 * Gives the squared distances between vectors `a` [N, d] and `b` [M, d] in tiles of up to 2,048 × 2,048
 * however large the sets are. |a|² + |b|² − 2 a·b with its error bound tells which of them can be within a
 * limit, and only those are taken component by component.
 *
 * Throws a TypeError if the values are not whole vectors, and a RangeError if one is not finite.
 */
export async function* distanceTiles(
  a: Float32Array,
  b: Float32Array,
  options: DistanceOptions,
): AsyncGenerator<DistanceTile> {
  const { dim, device, onProgress } = options;
  const sizes = [a.length / dim, b.length / dim];
  if (!sizes.every(Number.isInteger)) {
    throw new TypeError(
      `Cannot compare ${a.length} values with ${b.length}: expected vectors of ${dim}`,
    );
  }
  for (const vectors of [a, b]) requireFinite(vectors, { dim, firstIndex: 0 });
  const [n, m] = sizes as [number, number];
  const centre = device ? meanRow(b, dim) : undefined;
  const tiles = Math.ceil(n / TILE) * Math.ceil(m / TILE);
  let done = 0;
  for (let firstRow = 0; firstRow < n; firstRow += TILE) {
    const left = rowsOf(a, { dim, first: firstRow, centre });
    for (let firstColumn = 0; firstColumn < m; firstColumn += TILE) {
      const right = rowsOf(b, { dim, first: firstColumn, centre });
      const least = device
        ? await productsOnDevice(device, { left, right, dim })
        : productsOnHost(left, right);
      complete(least, { left, right, error: (dim + 8) * (device ? 2 ** -23 : 2 ** -52) });
      onProgress?.(++done, tiles);
      const rows = left.length, columns = right.length;
      yield {
        firstRow,
        rows,
        firstColumn,
        columns,
        squareUpTo: (row, column, limit) =>
          least[row * columns + column]! > limit ? Infinity : squaredDistance(
            vectorOf(a, { dim, index: firstRow + row }),
            vectorOf(b, { dim, index: firstColumn + column }),
          ),
      };
    }
  }
}

/**
 * Finds the `count` vectors of a set [M, d] nearest to each query [n, d]. Of equally near ones the
 * first comes first. Where fewer are `beyond` the least distance, the last squares are Infinity. Memory: a
 * tile and the result.
 *
 * Throws a RangeError if the set has fewer or a value is not finite, and a TypeError if the values are
 * not whole vectors.
 */
export async function nearestRows(
  queries: Float32Array,
  set: Float32Array,
  options: NearestRowsOptions,
): Promise<NearestRows> {
  const { dim, count, own, beyond = -Infinity } = options;
  const n = queries.length / dim, others = set.length / dim - (own ? 1 : 0);
  if (!Number.isInteger(count) || count < 1 || count > others) {
    throw new RangeError(
      `Cannot find the ${count} nearest of ${others} other vectors: expected 1 to ${others}`,
    );
  }
  const indices = new Uint32Array(n * count), squares = new Float64Array(n * count).fill(Infinity);
  for await (const tile of distanceTiles(queries, set, options)) {
    for (let row = 0; row < tile.rows; row++) {
      const query = tile.firstRow + row, first = query * count, last = first + count - 1;
      for (let column = 0; column < tile.columns; column++) {
        const index = tile.firstColumn + column;
        if (own?.[query] === index) continue;
        const square = tile.squareUpTo(row, column, squares[last]!);
        if (!(square < squares[last]! && square > beyond)) continue;
        let place = last;
        while (place > first && squares[place - 1]! > square) {
          squares[place] = squares[place - 1]!;
          indices[place] = indices[place - 1]!;
          place--;
        }
        squares[place] = square;
        indices[place] = index;
      }
    }
  }
  return { indices, squares };
}

/** The rows of one side of a tile, moved by the centre where there is one. */
function rowsOf(
  vectors: Float32Array,
  options: { dim: number; first: number; centre: Float64Array | undefined },
): Float32Array[] {
  const { dim, first, centre } = options;
  const count = Math.min(TILE, vectors.length / dim - first);
  return Array.from({ length: count }, (_, i) => {
    const row = vectorOf(vectors, { dim, index: first + i });
    return centre ? row.map((value, k) => value - centre[k]!) : row;
  });
}

function vectorOf(
  vectors: Float32Array,
  { dim, index }: { readonly dim: number; readonly index: number },
): Float32Array {
  return vectors.subarray(index * dim, (index + 1) * dim);
}

async function productsOnDevice(
  device: Device,
  tile: { left: readonly Float32Array[]; right: readonly Float32Array[]; dim: number },
): Promise<Float32Array> {
  const { left, right } = tile, dim = paddedSize(tile.dim);
  const upload = (rows: readonly Float32Array[]) => {
    const count = paddedSize(rows.length), joined = new Float32Array(count * dim);
    for (const [i, row] of rows.entries()) joined.set(row, i * dim);
    return device.tensor(joined, [count, dim]);
  };
  const width = paddedSize(right.length);
  using products = device.scope(() => {
    const out = device.empty([paddedSize(left.length), width]);
    matmulInto(out, upload(left), upload(right), { transposeB: true });
    return out;
  });
  const values = await products.read();
  const out = new Float32Array(left.length * right.length);
  for (let row = 0; row < left.length; row++) {
    out.set(values.subarray(row * width, row * width + right.length), row * right.length);
  }
  return out;
}

function productsOnHost(
  left: readonly Float32Array[],
  right: readonly Float32Array[],
): Float64Array {
  const out = new Float64Array(left.length * right.length);
  for (const [i, row] of left.entries()) {
    for (let j = 0; j < right.length; j++) out[i * right.length + j] = dotProduct(row, right[j]!);
  }
  return out;
}

/**
 * Makes of products, in place, what the squared distances are at least: |a|² + |b|² − 2 a·b, less `error`
 * of |a|² + |b|².
 *
 * With u = 2⁻²⁴ in f32 and 2⁻⁵³ in float64, a sum of d products in any order is off by at most
 * d·u·Σ|a_k b_k| to first order. Of |a|² + |b|² that makes d·u for the product, which counts twice, and in
 * float64 as much for the norms; in f32, 4·u for components moved by the centre, and 2·u for the result.
 * (d + 8)·2·u is above either.
 */
function complete(
  products: Float32Array | Float64Array,
  tile: { left: readonly Float32Array[]; right: readonly Float32Array[]; error: number },
): void {
  const { left, right, error } = tile;
  const norms = Float64Array.from(right, (row) => dotProduct(row, row));
  for (const [i, row] of left.entries()) {
    const norm = dotProduct(row, row);
    for (let j = 0; j < right.length; j++) {
      const at = i * right.length + j;
      products[at] = (1 - error) * (norm + norms[j]!) - 2 * products[at]!;
    }
  }
}

/**
 * A function of its own, which the compiler gets to see often enough to make it fast. One that is called with the
 * float64 vectors of `bank/projection.ts` too takes three to four times as long for either.
 */
function dotProduct(a: Float32Array, b: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}

function squaredDistance(a: Float32Array, b: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i]! - b[i]!) ** 2;
  return sum;
}
