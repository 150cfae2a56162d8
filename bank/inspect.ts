/**
 * What a bank file holds, in numbers.
 *
 * @module
 */

import { counted, listed } from "../kernels/core/counted.ts";
import { formatBytes } from "../kernels/core/format_bytes.ts";
import type { CoefficientStorage } from "./coefficient_format.ts";
import type { EncoderDescription } from "./encoders/encoder.ts";
import { symmetricEigen } from "./eigen.ts";
import type { BankFile, CompressionLoss } from "./file.ts";
import { Moments } from "./moments.ts";
import { snippetNorms } from "./normalize.ts";
import { selectRows } from "./select_rows.ts";

/** How the snippets spread over the directions of their space. */
export interface SnippetSpectrum {
  /** Number of snippets that were looked at, evenly spread over the bank. */
  readonly snippets: number;
  /** Share of the variance in each principal direction [d], largest first; their sum is 1. */
  readonly shares: readonly number[];
}

/** What {@linkcode inspectBank} finds. */
export interface BankSummary {
  /** The file's path. */
  readonly path: string;
  /** Number of snippets N. */
  readonly size: number;
  /** Length d of a snippet. */
  readonly dim: number;
  /** Rank r of a low-rank bank; null for a full one. */
  readonly rank: number | null;
  /** How the coefficients of a low-rank bank are stored; null for a full one. */
  readonly storage: CoefficientStorage | null;
  /** What a low-rank bank lost when it was made; null if that is not known. */
  readonly loss: CompressionLoss | null;
  /** The encoder that made the snippets; null if the file does not say. */
  readonly encoder: EncoderDescription | null;
  /** Side in pixels of the images that it was given; null if the file does not say. */
  readonly imageSize: number | null;
  /** Number of images in each class, by its name. */
  readonly classes: Readonly<Record<string, number>>;
  /** Whether each snippet has a name. */
  readonly names: boolean;
  /** Whether each snippet has a text. */
  readonly texts: boolean;
  /** Least and largest norm; null for a low-rank bank, whose snippets are normalised as they are read. */
  readonly norms: { readonly least: number; readonly largest: number } | null;
  /** How the snippets spread. */
  readonly spectrum: SnippetSpectrum;
  /** Bytes that the bank takes on the GPU. */
  readonly bytes: number;
}

/** Snippets read at once. */
const CHUNK_ROWS = 4096;

/** Snippets that the spectrum is taken of at most: enough for shares to two digits. */
const SPECTRUM_ROWS = 20_000;

/**
 * Reads a bank once from front to back, which checks every snippet, or every coefficient of a low-rank
 * bank, and sums it up.
 *
 * Throws a CheckpointError that names the first snippet that is not finite or not of norm 1, or the first
 * coefficient that is not finite.
 */
export function inspectBank(file: BankFile): BankSummary {
  const { path, size, dim, rank, storage, loss, encoder, imageSize, names, texts } = file;
  const moments = new Moments(dim);
  const stride = Math.ceil(size / SPECTRUM_ROWS);
  let least = Infinity, largest = 0;
  for (let first = 0; first < size; first += CHUNK_ROWS) {
    const count = Math.min(CHUNK_ROWS, size - first);
    const looked = Uint32Array.from({ length: count }, (_, row) => row)
      .filter((row) => (first + row) % stride === 0);
    if (rank === undefined) {
      const rows = file.rows(first, count);
      for (const norm of snippetNorms(rows, dim)) {
        least = Math.min(least, norm);
        largest = Math.max(largest, norm);
      }
      moments.add(selectRows(rows, { indices: looked, width: dim }));
    } else {
      file.coefficients(first, count);
      const rows = new Float32Array(looked.length * dim);
      for (const [i, row] of looked.entries()) rows.set(file.rows(first + row, 1), i * dim);
      moments.add(rows);
    }
  }
  return {
    path,
    size,
    dim,
    rank: rank ?? null,
    storage: storage ?? null,
    loss: loss ?? null,
    encoder: encoder ?? null,
    imageSize: imageSize ?? null,
    classes: countClasses(file),
    names: names !== undefined,
    texts: texts !== undefined,
    norms: rank === undefined ? { least, largest } : null,
    spectrum: { snippets: moments.count, shares: varianceShares(moments) },
    bytes: 4 * (rank === undefined ? size * dim : size * rank + dim * rank + dim),
  };
}

/** Number of leading directions that together have at least the given share of the variance. */
export function directionsFor(share: number, spectrum: SnippetSpectrum): number {
  let sum = 0;
  const index = spectrum.shares.findIndex((value) => (sum += value) >= share);
  return index < 0 ? spectrum.shares.length : index + 1;
}

/** A summary as lines for a person. */
export function describeBank(summary: BankSummary): string[] {
  const {
    path,
    size,
    dim,
    rank,
    encoder,
    imageSize,
    classes,
    names,
    texts,
    norms,
    spectrum,
    bytes,
  } = summary;
  const counts = Object.entries(classes);
  const kept = [names ? "names" : "", texts ? "texts" : ""].filter((word) => word !== "");
  const percent = (share: number) => `${(100 * share).toFixed(1)} %`;
  return [
    `bank      ${path}`,
    `snippets  ${size} of length ${dim}, ` +
    (rank === null ? "whole" : `${counted(rank, "coefficient")} each`),
    ...describeLoss(summary),
    `encoder   ${encoder === null ? "not known" : describeEncoder(encoder)}`,
    ...(imageSize === null ? [] : [`images    ${imageSize} × ${imageSize} pixels`]),
    counts.length === 0
      ? "classes   none"
      : `classes   ${listed(counts.map(([name, count]) => `${name} ${count}`))}`,
    `records   ${kept.join(" and ") || "none"}`,
    ...(norms === null
      ? []
      : [`norms     ${norms.least.toFixed(7)} to ${norms.largest.toFixed(7)}`]),
    `spectrum  first direction ${percent(spectrum.shares[0] ?? 0)} of the variance; ` +
    [0.5, 0.9, 0.99]
      .map((share) => `${100 * share} % in ${directionsFor(share, spectrum)}`)
      .join(", ") +
    ` of ${dim} directions`,
    `memory    ${formatBytes(bytes)} on the GPU`,
  ];
}

function describeLoss({ storage, loss }: BankSummary): string[] {
  if (storage === null) return [];
  if (loss === null) return [`stored    ${storage}`];
  return [
    `stored    ${storage}; cosine to the snippets before ` +
    `${loss.meanCosine.toFixed(6)} in the mean, ` +
    `${loss.leastCosine.toFixed(6)} at least; error ${loss.rmsError.toPrecision(3)} rms, ` +
    `${loss.largestError.toPrecision(3)} at most, by ${storage} ` +
    `${loss.storageLoss.rmsError.toPrecision(3)} and ` +
    loss.storageLoss.largestError.toPrecision(3),
  ];
}

/** What an encoder is, in one line. */
export function describeEncoder(encoder: EncoderDescription): string {
  const facts = Object.entries({ ...encoder.preprocessing, ...encoder.settings })
    .map(([key, value]) => `${key} ${typeof value === "string" ? value : JSON.stringify(value)}`);
  const from = encoder.source === undefined ? "" : `, from ${encoder.source}`;
  return `${[encoder.kind, ...facts].join(", ")} (${encoder.fingerprint.slice(0, 12)})${from}`;
}

function countClasses(file: BankFile): Record<string, number> {
  const counts = file.classes.map(() => 0);
  for (const label of file.labels ?? []) if (label >= 0) counts[label]!++;
  return Object.fromEntries(file.classes.map((name, index) => [name, counts[index]!]));
}

function varianceShares(moments: Moments): number[] {
  const { values } = symmetricEigen(moments.covariance(), moments.dim);
  const variances = [...values].map((value) => Math.max(0, value));
  const total = variances.reduce((sum, value) => sum + value, 0);
  // Snippets that are all equal have no variance to share out.
  return variances.map((value) => total > 0 ? value / total : 0);
}
