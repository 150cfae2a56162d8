/**
 * Squared Euclidean distances between all vectors of two sets, a tile at a time.
 *
 * @module
 */

import { paddedWidth } from "../bank/projection.ts";
import type { Device } from "../kernels/core/device.ts";
import { matmulInto } from "../kernels/matmul/mod.ts";

/** What distances are taken of, and with what. */
export interface DistanceOptions {
  /** Components d of a vector. */
  readonly dim: number;
  /**
   * Takes the products on the GPU in f32, of vectors moved by the mean of the second set; without it
   * they are taken on the CPU in float64.
   */
  readonly device?: Device | undefined;
  /** Called with the share of the tiles that is done, from 0 to 1. */
  readonly onProgress?: ((done: number) => void) | undefined;
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
  /** |a − b|² [n, m] */
  readonly squares: Float32Array | Float64Array;
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
}

/** Vectors on each side of a tile: 16 MiB of f32 distances. */
const TILE = 2048;

/**
 * Below this many products the CPU is done before a GPU has compiled its shader, and has all digits.
 */
const FEW_PRODUCTS = 2 ** 30;

/**
 * The device to take distances with: none where there are so few that the CPU may take them in
 * float64.
 */
export function distanceDevice(
  device: Device | undefined,
  size: { readonly rows: number; readonly columns: number; readonly dim: number },
): Device | undefined {
  return size.rows * size.columns * size.dim < FEW_PRODUCTS ? undefined : device;
}

/**
 * Gives the squared distances between vectors `a` [N, d] and `b` [M, d], as |a|² + |b|² − 2 a·b and
 * never below 0, in tiles of up to 2,048 × 2,048 however large the sets are.
 *
 * Throws a TypeError if the values are not whole vectors.
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
  const [n, m] = sizes as [number, number];
  const centre = device ? meanOf(b, dim) : undefined;
  const tiles = Math.ceil(n / TILE) * Math.ceil(m / TILE);
  let done = 0;
  for (let firstRow = 0; firstRow < n; firstRow += TILE) {
    const left = rowsOf(a, { dim, first: firstRow, centre });
    for (let firstColumn = 0; firstColumn < m; firstColumn += TILE) {
      const right = rowsOf(b, { dim, first: firstColumn, centre });
      const squares = device
        ? await productsOnDevice(device, { left, right, dim })
        : productsOnHost(left, right);
      complete(squares, { left, right });
      onProgress?.(++done / tiles);
      yield { firstRow, rows: left.length, firstColumn, columns: right.length, squares };
    }
  }
}

/**
 * Finds the `count` vectors of a set [M, d] nearest to each query [n, d]. Of equally near ones the
 * first comes first. Memory: a tile and the result.
 *
 * Throws a RangeError if the set has fewer, and a TypeError if the values are not whole vectors.
 */
export async function nearestRows(
  queries: Float32Array,
  set: Float32Array,
  options: NearestRowsOptions,
): Promise<NearestRows> {
  const { dim, count, own } = options;
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
        const square = tile.squares[row * tile.columns + column]!;
        if (!(square < squares[last]!)) continue;
        const index = tile.firstColumn + column;
        if (own?.[query] === index) continue;
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

/** The rows of one side of a tile, and their squared norms. */
function rowsOf(
  vectors: Float32Array,
  options: { dim: number; first: number; centre: Float64Array | undefined },
): Float32Array[] {
  const { dim, first, centre } = options;
  const count = Math.min(TILE, vectors.length / dim - first);
  return Array.from({ length: count }, (_, i) => {
    const row = vectors.subarray((first + i) * dim, (first + i + 1) * dim);
    return centre ? row.map((value, k) => value - centre[k]!) : row;
  });
}

function meanOf(vectors: Float32Array, dim: number): Float64Array {
  const mean = new Float64Array(dim), count = vectors.length / dim;
  for (let i = 0; i < vectors.length; i++) mean[i % dim]! += vectors[i]! / count;
  return mean;
}

async function productsOnDevice(
  device: Device,
  tile: { left: readonly Float32Array[]; right: readonly Float32Array[]; dim: number },
): Promise<Float32Array> {
  const { left, right } = tile, dim = paddedWidth(tile.dim);
  const upload = (rows: readonly Float32Array[]) => {
    const count = paddedWidth(rows.length), joined = new Float32Array(count * dim);
    for (const [i, row] of rows.entries()) joined.set(row, i * dim);
    return device.tensor(joined, [count, dim]);
  };
  const width = paddedWidth(right.length);
  using products = device.scope(() => {
    const out = device.empty([paddedWidth(left.length), width]);
    matmulInto(out, { a: upload(left), b: upload(right), transposeB: true });
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

/** Makes distances of products, in place. */
function complete(
  products: Float32Array | Float64Array,
  tile: { left: readonly Float32Array[]; right: readonly Float32Array[] },
): void {
  const { left, right } = tile;
  const norms = Float64Array.from(right, (row) => dotProduct(row, row));
  for (const [i, row] of left.entries()) {
    const norm = dotProduct(row, row);
    for (let j = 0; j < right.length; j++) {
      const at = i * right.length + j;
      products[at] = Math.max(0, norm + norms[j]! - 2 * products[at]!);
    }
  }
}

/** A function of its own, which the compiler gets to see often enough to make it fast. */
function dotProduct(a: Float32Array, b: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}
