/**
 * What samples are measured against: images, snippets of a bank, or statistics that others took.
 *
 * @module
 */

import { extname } from "node:path";
import { encodesWhole } from "../bank/bank.ts";
import type { Encoder } from "../bank/encoders/encoder.ts";
import { BankFile } from "../bank/file.ts";
import type { ImageSource, LabelledImages } from "../bank/image_source.ts";
import { readRows } from "../bank/snippet_source.ts";
import type { AdmBatch } from "./adm_batch.ts";
import type { Gaussian } from "./frechet.ts";
import { type ImageStream, streamOf } from "./image_stream.ts";

/** What samples are measured against; something of it is there. */
export interface ReferenceSet extends Disposable {
  /** As it was asked for. */
  readonly asked: string;
  /** File or part of the data, in words. */
  readonly source: string;
  /** The images; undefined where snippets or statistics alone are known. */
  readonly images: ImageStream | undefined;
  /** These images are the training images. */
  readonly isTraining: boolean;
  /** Snippets of the bank's encoder. */
  readonly bank: BankFile | undefined;
  /** Statistics of Inception's pooled features. */
  readonly pool: Gaussian | undefined;
  /** Statistics of Inception's spatial features. */
  readonly spatial: Gaussian | undefined;
}

/** Where {@linkcode openReferenceSet} finds what it may be asked for; loaded when needed. */
export interface ReferenceSources {
  /** The images that a model is trained on. */
  readonly training: () => Promise<LabelledImages>;
  /** Images that training never sees. */
  readonly heldOut: () => Promise<ImageSource>;
  /** Opens a folder of images or a `.npz` file. */
  readonly openImages: (path: string) => Promise<AdmBatch>;
}

const NOTHING = {
  images: undefined,
  isTraining: false,
  bank: undefined,
  pool: undefined,
  spatial: undefined,
  [Symbol.dispose]: () => {},
};

/**
 * Opens what is asked for: `train` or `held-out`, a bank file in `.safetensors`, or else the path of
 * images.
 *
 * Throws what the sources throw.
 */
export async function openReferenceSet(
  asked: string,
  sources: ReferenceSources,
): Promise<ReferenceSet> {
  if (asked === "train") {
    const images = streamOf(await sources.training());
    return { ...NOTHING, asked, source: "the training images", images, isTraining: true };
  }
  if (asked === "held-out") {
    const images = streamOf(await sources.heldOut());
    return { ...NOTHING, asked, source: "the held-out images", images };
  }
  if (extname(asked) === ".safetensors") {
    const bank = BankFile.open(asked);
    return {
      ...NOTHING,
      asked,
      source: asked,
      bank,
      [Symbol.dispose]: () => bank[Symbol.dispose](),
    };
  }
  return { ...NOTHING, asked, source: asked, ...await sources.openImages(asked) };
}

/**
 * Opens a bank if it is there and its snippets are in full those of the images by this encoder; else
 * undefined.
 */
export function openBankOf(
  images: Pick<LabelledImages, "size" | "imageSize" | "names">,
  options: { readonly path: string; readonly encoder: Encoder },
): BankFile | undefined {
  const { path, encoder } = options;
  const file = BankFile.openIfThere(path);
  if (file === undefined) return undefined;
  const same = encodesWhole(file, images.imageSize) && file.size === images.size &&
    file.encoder?.fingerprint === encoder.description.fingerprint &&
    images.names.every((name, i) => file.names?.[i] === name);
  if (same) return file;
  file[Symbol.dispose]();
  return undefined;
}

/**
 * Says why the snippets of a bank are not what its encoder gives for images of a side in pixels; undefined
 * where they are, or where that is not known.
 */
export function findUnlike(
  { path, rank, imageSize }: Pick<BankFile, "path" | "rank" | "imageSize">,
  side: number,
): string | undefined {
  if (rank !== undefined) {
    return `the snippets of ${path} are kept in part, by ${rank} numbers each: the distance has in it ` +
      "what they lack";
  }
  if (imageSize === undefined || imageSize === side) return undefined;
  return `the snippets of ${path} are of images of ${imageSize} × ${imageSize} pixels, the samples have ` +
    `${side} × ${side}: the distance has the difference in it`;
}

/** All snippets [N, d] of a bank, read some at a time. */
export async function readSnippets(file: BankFile): Promise<Float32Array> {
  const out = new Float32Array(file.size * file.dim);
  for await (const { first, rows } of readRows(file)) out.set(rows, first * file.dim);
  return out;
}
