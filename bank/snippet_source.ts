/**
 * Snippets that are read some at a time, wherever they come from.
 *
 * @module
 */

/** N snippets of length d that can be read from front to back; `BankFile` is one. */
export interface SnippetSource {
  /** Number of snippets N. */
  readonly size: number;
  /** Length d of a snippet. */
  readonly dim: number;
  /** Reads `count` snippets [count, d] from the one of index `first` on. */
  rows(first: number, count: number): Float32Array | Promise<Float32Array>;
}

/** Snippets that are read at once. */
const CHUNK_ROWS = 4096;

/**
 * Reads a source from front to back, `count` snippets at a time. Throws `TypeError` where it gives
 * another number of them.
 */
export async function* readRows(
  source: SnippetSource,
  count: number = CHUNK_ROWS,
): AsyncGenerator<{ first: number; rows: Float32Array }> {
  for (let first = 0; first < source.size; first += count) {
    const asked = Math.min(count, source.size - first);
    const rows = await source.rows(first, asked);
    if (rows.length !== asked * source.dim) {
      throw new TypeError(
        `Cannot read snippets ${first} to ${first + asked - 1}: their source gave ${rows.length} ` +
          `numbers, expected ${asked} rows of ${source.dim}`,
      );
    }
    yield { first, rows };
  }
}
