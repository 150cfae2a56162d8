/**
 * Some of many rows: which ones, and the rows themselves; rows of several tables as one; and rows made
 * columns.
 *
 * @module
 */

/** `count` indices below `size`, spread evenly, in rising order; some twice where there are fewer. */
export function spreadIndices(count: number, size: number): Uint32Array {
  return Uint32Array.from({ length: count }, (_, i) => Math.floor((i + 0.5) * size / count));
}

/** The rows of these indices [n] of a table [N, width], in their order: [n, width]. */
export function selectRows<T extends Float32Array | Uint8Array>(
  table: T,
  options: { readonly indices: ArrayLike<number>; readonly width: number },
): T {
  const { indices, width } = options, length = indices.length * width;
  const rows =
    (table instanceof Uint8Array ? new Uint8Array(length) : new Float32Array(length)) as T;
  for (let i = 0; i < indices.length; i++) {
    const start = indices[i]! * width;
    rows.set(table.subarray(start, start + width), i * width);
  }
  return rows;
}

/** The rows of several tables, one table after the other. */
export function joinRows(tables: readonly Float32Array[]): Float32Array {
  const rows = new Float32Array(tables.reduce((sum, { length }) => sum + length, 0));
  let place = 0;
  for (const table of tables) {
    rows.set(table, place);
    place += table.length;
  }
  return rows;
}

/**
 * Swaps rows and columns: values [n, rows, columns, length] become [n, columns, rows, length], such as
 * planes of pixels pixels of channels. A length is 1 by default.
 */
export function swapAxes<T extends Float32Array | Float64Array | Uint8Array>(
  values: T,
  size: { readonly rows: number; readonly columns: number; readonly length?: number },
): T {
  const { rows, columns, length = 1 } = size, out = values.slice() as T;
  for (let first = 0; first < values.length; first += rows * columns * length) {
    for (let row = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++) {
        const from = first + (row * columns + column) * length;
        const to = first + (column * rows + row) * length;
        for (let i = 0; i < length; i++) out[to + i] = values[from + i]!;
      }
    }
  }
  return out;
}
