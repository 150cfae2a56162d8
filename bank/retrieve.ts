/**
 * Which snippets of a bank to take: at random, by class, by name, by text, or by what an image is
 * like. Each gives indices for `Bank.gather`; `chooseAmong` and `chooseByNoise` are
 * two more.
 *
 * @module
 */

import type { Complete } from "../kernels/core/complete.ts";
import { counted, listed, requireCount } from "../kernels/core/counted.ts";
import type { Device } from "../kernels/core/device.ts";
import { didYouMean, nearestName, requireOneOf } from "../kernels/core/nearest_name.ts";
import { paddedSize } from "../kernels/core/padded_size.ts";
import { Random, Stream } from "../kernels/core/random.ts";
import { type Tensor, viewOf } from "../kernels/core/tensor.ts";
import { matmulInto } from "../kernels/matmul/mod.ts";
import { rowSquares } from "../kernels/row_squares/mod.ts";
import { MAX_COUNT, type TopK, topK } from "../kernels/top_k/mod.ts";
import type { Bank, ImageRecords } from "./bank.ts";
import { LowRankBank } from "./low_rank_bank.ts";
import { snippetNorms } from "./normalize.ts";

/** How many images are chosen for, and by which seed. */
export interface ChoiceOptions {
  /** Number of images N. */
  readonly count: number;
  /** Seed of the choice, 0 by default; that of image i is the same for any N. */
  readonly seed?: number | undefined;
}

/**
 * Draws an index for each of N images, 0 … size − 1 with the same probability and independent of the
 * others: those of snippets that `sample` draws from where nothing else is said. Returns [N].
 *
 * Throws a RangeError unless the size is a whole number of at least 1, and the count a whole number.
 *
 * @example
 * ```ts
 * import { chooseUniform } from "@gmem/gmem";
 *
 * const indices = chooseUniform(10, { count: 4, seed: 0 });
 * console.log(indices, chooseUniform(10, { count: 2, seed: 0 }));
 * // Uint32Array(4) [ 8, 1, 5, 9 ] Uint32Array(2) [ 8, 1 ]
 * ```
 */
export function chooseUniform(size: number, options: ChoiceOptions): Uint32Array {
  const { count, seed = 0 } = options;
  requireCount("Cannot choose: size", size, 1);
  requireCount("Cannot choose: count", count);
  const random = new Random(seed, Stream.Label);
  return Uint32Array.from({ length: count }, (_, i) => Math.floor(random.uniform(0, i, 0) * size));
}

/**
 * Returns the indices of all snippets of a class, in order.
 *
 * Throws a RangeError that lists the classes if there is none of that name, and one if there are no labels.
 *
 * @example
 * ```ts
 * import { indicesOfClass } from "@gmem/gmem";
 *
 * const bank = { classes: ["cat", "dog"], labels: [0, 1, 0, -1] };
 * console.log(indicesOfClass(bank, "cat")); // Uint32Array(2) [ 0, 2 ]
 * ```
 */
export function indicesOfClass(records: ImageRecords, name: string): Uint32Array {
  const { classes = [], labels } = records;
  const label = classes.indexOf(name);
  if (label < 0 || labels === undefined) {
    throw new RangeError(
      `Cannot retrieve class ${JSON.stringify(name)}: the bank has ` +
        (classes.length === 0
          ? "no classes"
          : label >= 0
          ? "no labels that say which snippets are of it"
          : `the classes ${listed(classes)}${didYouMean(name, classes)}`),
    );
  }
  const found: number[] = [];
  for (let i = 0; i < labels.length; i++) if (labels[i] === label) found.push(i);
  return Uint32Array.from(found);
}

/**
 * Returns the index of the snippet of an image's name; of several, the first.
 *
 * Throws a RangeError, which says what name is near, if no image has that name.
 *
 * @example
 * ```ts
 * import { indexOfName } from "@gmem/gmem";
 *
 * console.log(indexOfName({ names: ["cat", "dog", "dog"] }, "dog")); // 1
 * ```
 */
export function indexOfName(records: ImageRecords, name: string): number {
  const { names } = records;
  const index = names?.indexOf(name) ?? -1;
  if (index >= 0) return index;
  const refusal = `Cannot retrieve ${JSON.stringify(name)}: `;
  if (names === undefined) throw new RangeError(`${refusal}the bank has no names`);
  const near = nearestName(name, names);
  throw new RangeError(
    near === undefined
      ? `${refusal}none of ${counted(names.length, "snippet")} has that name, such as ` +
        listed(names.slice(0, 3))
      : `${refusal}no snippet of the bank has that name, did you mean ${near}?`,
  );
}

/**
 * Returns the indices of all snippets whose text has every given word, in any case, in order; without a
 * word none.
 *
 * Throws a RangeError if the bank has no texts.
 *
 * @example
 * ```ts
 * import { indicesOfText } from "@gmem/gmem";
 *
 * const bank = { texts: ["red heart", "black heart", "a heart in Red"] };
 * console.log(indicesOfText(bank, "heart red")); // Uint32Array(2) [ 0, 2 ]
 * ```
 */
export function indicesOfText(records: ImageRecords, words: string): Uint32Array {
  const { texts } = records;
  if (texts === undefined) {
    throw new RangeError(`Cannot retrieve text ${JSON.stringify(words)}: the bank has no texts`);
  }
  const wanted = words.toLowerCase().split(/\s+/).filter((word) => word !== "");
  const found: number[] = [];
  for (const [index, text] of texts.entries()) {
    const lower = text.toLowerCase();
    if (wanted.length > 0 && wanted.every((word) => lower.includes(word))) found.push(index);
  }
  return Uint32Array.from(found);
}

/**
 * Returns the indices of all snippets of images of this name; where there is none, of all whose text has
 * every word of it.
 *
 * Throws a RangeError if that finds none.
 *
 * @example
 * ```ts
 * import { indicesOfName } from "@gmem/gmem";
 *
 * const bank = { names: ["grin", "joy"], texts: ["grinning face", "face with tears of joy"] };
 * console.log(indicesOfName(bank, "grin"), indicesOfName(bank, "face"));
 * // Uint32Array(1) [ 0 ] Uint32Array(2) [ 0, 1 ]
 * ```
 */
export function indicesOfName(records: ImageRecords, name: string): Uint32Array {
  const { names = [], texts = [] } = records;
  const named: number[] = [];
  for (const [index, each] of names.entries()) if (each === name) named.push(index);
  if (named.length > 0) return Uint32Array.from(named);
  const found = indicesOfText({ texts }, name);
  if (found.length > 0) return found;
  const known = names.length > 0 ? names : texts;
  const part = texts.length > 0 ? ", or its words in its text" : "";
  throw new RangeError(
    `Cannot retrieve ${JSON.stringify(name)}: ` +
      (known.length === 0
        ? "the bank has no names and no texts"
        : `no image has that name${part}, expected one such as ${listed(known.slice(0, 3))}`),
  );
}

/** How two snippets are compared. */
export type Metric = "cosine" | "euclidean";

/** Every {@linkcode Metric}. */
export const METRICS: readonly Metric[] = ["cosine", "euclidean"];

/** Neighbours that {@linkcode nearestSnippets} finds of a query, at most. */
export const MOST_NEIGHBOURS: number = MAX_COUNT;

/** What {@linkcode nearestSnippets} looks for. */
export interface NearestSnippetsOptions {
  /** Neighbours of each query, at most 100; no more than the bank has are found. */
  readonly count: number;
  /** Default `cosine`. Between snippets of norm 1 both give one order. */
  readonly metric?: Metric | undefined;
}

/** A snippet that is near to another. */
export interface Neighbour {
  /** Its index in the bank. */
  readonly index: number;
  /** Cosine of the angle between the two. */
  readonly cosine: number;
  /** Length of their difference. */
  readonly distance: number;
}

/** Bytes of snippets, and of their products with the queries, on the GPU at once. */
const CHUNK_BYTES = 2 ** 26;

/**
 * Queries that are looked for at once, at most: enough for a product, while the best of each part of the bank, which
 * are more the more queries there are, stay few beside it.
 */
const MOST_QUERIES = 1024;

/** Snippets at once, at most: a product may have a workgroup for 8 of them, and at most 65,535. */
const CHUNK_ROWS = 2 ** 18;

/**
 * Finds the snippets that are nearest to each of some queries [q, d], nearest first, among all of the
 * bank: one product of queries and snippets, the norms of the snippets and one search for each 64 MB of
 * snippets, on the GPU. 2·(q + 1)·N·d operations, 4·N·d bytes read twice, and 4·q·N bytes of scores; of many
 * queries up to 1,024 at a time.
 *
 * Of a low-rank bank the d numbers of a snippet are not needed: both are compared on the P ≤ r + 4 axes
 * of the span of its basis and mean, 2·(q + 1 + r)·N·P operations. A score differs from that of float64
 * by at most (r + 2·P + 32)·2⁻²⁴·(‖μ‖ + Σ ‖c_k b_k‖)·‖query‖ / ‖c Bᵀ + μ‖.
 *
 * The scores only choose; what is reported of the chosen is computed again in float64 from their d
 * numbers. Waits for the GPU.
 *
 * Throws a TypeError if the queries are not whole rows of the bank's length, and a RangeError if one
 * is zero or not finite, the count is not a whole number from 1 to 100 or there is no such metric.
 *
 * @example
 * ```ts
 * import { Device, FullBank, nearestSnippets } from "@gmem/gmem";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * using bank = FullBank.from(device, { dim: 2, snippets: Float32Array.of(1, 0, 0, 1, 0, -1) });
 * const queries = Float32Array.of(0.1, 3); // one, of any norm
 * const [neighbours = []] = await nearestSnippets(device, { bank, queries, count: 2 });
 * console.log(neighbours.map(({ index, cosine }) => `${index}: ${cosine.toFixed(3)}`));
 * // [ "1: 0.999", "0: 0.033" ]
 * ```
 */
export async function nearestSnippets(
  device: Device,
  search: NearestSnippetsOptions & { readonly bank: Bank; readonly queries: Float32Array },
): Promise<Neighbour[][]> {
  const { bank, queries, metric = "cosine" } = search;
  requireOneOf("Cannot find what is near: metric", metric, METRICS);
  const count = checkSearch(search), { dim } = bank;
  // All that is found is one tensor.
  const fit = Math.floor(device.profile.maxBindingBytes / (4 * count * dim));
  const most = Math.max(1, Math.min(MOST_QUERIES, fit));
  const found: Neighbour[][] = [];
  for (let first = 0; first < queries.length; first += most * dim) {
    const some = queries.subarray(first, first + most * dim);
    found.push(...await nearestAtOnce(device, { bank, queries: some, metric, count }));
  }
  return found;
}

/** The neighbours of queries that are few enough to be looked for at once. */
async function nearestAtOnce(
  device: Device,
  search: Complete<NearestSnippetsOptions> & {
    readonly bank: Bank;
    readonly queries: Float32Array;
  },
): Promise<Neighbour[][]> {
  const { bank, queries, metric, count } = search, { dim } = bank;
  const rows = queries.length / dim;
  const found: { first: number; scores: Tensor; columns: Tensor }[] = [];
  const lowRank = bank instanceof LowRankBank ? bank : undefined;
  const points = lowRank?.inSpan(queries) ?? queries, width = points.length / rows;
  // The scores of the queries of zeros are left alone.
  const padded = new Float32Array(paddedSize(rows) * width);
  padded.set(points);
  using wanted = device.unscoped(() => device.tensor(padded, [padded.length / width, width]));
  try {
    const most = Math.min(CHUNK_ROWS, Math.floor(CHUNK_BYTES / (4 * Math.max(width, rows))));
    for (const { first, rows: snippets } of lowRank?.rangesInSpan(most) ?? bank.ranges(most)) {
      try {
        const best = device.unscoped(() =>
          device.scope(() =>
            bestOf(snippets, {
              wanted,
              metric,
              rows,
              count: Math.min(count, snippets.shape[0]!),
            })
          )
        );
        found.push({ first, scores: best.values, columns: best.indices });
      } finally {
        snippets.dispose();
      }
    }
    const parts = await Promise.all(
      found.map(async ({ first, scores, columns }) => ({
        first,
        scores: await scores.read(),
        columns: await columns.readUint32(),
      })),
    );
    const chosen = new Uint32Array(rows * count);
    for (let row = 0; row < rows; row++) {
      const candidates = parts.flatMap(({ first, scores, columns }) => {
        const width = scores.length / rows;
        return Array.from({ length: width }, (_, i) => ({
          index: first + columns[row * width + i]!,
          score: scores[row * width + i]!,
        }));
      });
      candidates.sort((a, b) => b.score - a.score || a.index - b.index);
      for (let i = 0; i < count; i++) chosen[row * count + i] = candidates[i]!.index;
    }
    using snippets = device.unscoped(() => bank.gather(chosen));
    return compare(await snippets.read(), { chosen, count, queries, dim, metric });
  } finally {
    for (const { scores, columns } of found) {
      scores.dispose();
      columns.dispose();
    }
  }
}

/** Returns how many neighbours there can be, after a check of what is asked. */
function checkSearch(
  search: NearestSnippetsOptions & { readonly bank: Bank; readonly queries: Float32Array },
): number {
  const { bank: { dim, size }, queries, count } = search;
  if (queries.length === 0 || queries.length % dim !== 0) {
    throw new TypeError(
      `Cannot find what is near ${queries.length} values: expected snippets of length ${dim}`,
    );
  }
  for (const [row, norm] of snippetNorms(queries, dim).entries()) {
    if (!(norm > 0 && norm < Infinity)) {
      throw new RangeError(
        `Cannot find what is near query ${row}: its norm is ${norm}, expected a positive number`,
      );
    }
  }
  if (!Number.isInteger(count) || count < 1 || count > MOST_NEIGHBOURS) {
    throw new RangeError(
      `Cannot find ${count} neighbours: expected a whole number from 1 to ${MOST_NEIGHBOURS}`,
    );
  }
  return Math.min(count, size);
}

/** The snippets [n, D] that are nearest to each of the first `rows` of the queries `wanted` [q, D]. */
function bestOf(
  snippets: Tensor,
  options: {
    readonly wanted: Tensor;
    readonly metric: Metric;
    readonly rows: number;
    readonly count: number;
  },
): TopK {
  const { wanted, metric, rows, count } = options;
  const { device } = snippets, size = snippets.shape[0]!;
  let read = snippets;
  if (device.profile.driver === "cpu") {
    // Such a driver reads textures, which a tensor keeps as long as it lives: those of the bank would
    // double its memory.
    read = device.empty(snippets.shape);
    device.copyInto(read, snippets);
  }
  const all = device.empty([wanted.shape[0]!, size]);
  // Of two snippets the one with the larger q · s − ‖s‖² / 2 is nearer to q.
  const bias = metric === "cosine" ? undefined : rowSquares(read, { scale: -0.5 });
  matmulInto(all, wanted, read, { transposeB: true, bias });
  const scores = device.adopt(viewOf(all, { shape: [rows, size] }));
  return metric === "cosine"
    ? topK(scores, count, { factors: rowSquares(read, { inverseRoot: true }) })
    : topK(scores, count);
}

/** Compares queries with the snippets chosen for them, in float64, and puts the nearest first. */
function compare(
  snippets: Float32Array,
  found: {
    readonly chosen: Uint32Array;
    readonly count: number;
    readonly queries: Float32Array;
    readonly dim: number;
    readonly metric: Metric;
  },
): Neighbour[][] {
  const { chosen, count, queries, dim, metric } = found;
  return Array.from({ length: chosen.length / count }, (_, row) => {
    const neighbours = Array.from({ length: count }, (_, i): Neighbour => {
      let product = 0, squares = 0, querySquares = 0, distance = 0;
      for (let k = 0; k < dim; k++) {
        const a = queries[row * dim + k]!, b = snippets[(row * count + i) * dim + k]!;
        product += a * b;
        squares += b * b;
        querySquares += a * a;
        distance += (a - b) ** 2;
      }
      return {
        index: chosen[row * count + i]!,
        cosine: product / Math.sqrt(squares * querySquares),
        distance: Math.sqrt(distance),
      };
    });
    return neighbours.sort((a, b) =>
      (metric === "cosine" ? b.cosine - a.cosine : a.distance - b.distance) || a.index - b.index
    );
  });
}
