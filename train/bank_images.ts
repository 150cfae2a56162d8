/**
 * The images behind the snippets of a bank. Only programs import this, as `load_data.ts` says.
 *
 * @module
 */

import { type Bank, type ImageRecords, titleOf } from "../bank/bank.ts";
import { counted } from "../kernels/core/counted.ts";
import type { Device } from "../kernels/core/device.ts";
import { messageOf } from "../kernels/core/errors.ts";
import { imagesFor } from "./bank_pictures.ts";
import { resolveConfig } from "./config.ts";
import { loadImagesOf, type NamedImages } from "./load_data.ts";
import { folderOverrides } from "./overrides.ts";
import type { TrainedModel } from "./trained.ts";

/** Which snippets, and how their images are read. */
export interface BankImagesOptions {
  /** What resizes images. */
  readonly device: Device;
  /** The bank. */
  readonly bank: Bank;
  /** Indices of the snippets. */
  readonly indices: ArrayLike<number>;
  /** Gets a line where images are left out. */
  readonly note: (line: string) => void;
}

/**
 * The images of a bank's snippets [n, C, H, W] from the data of a run, or of the folder `data`;
 * undefined, with a note why, if those of the run are not there.
 *
 * Throws what loading throws for a folder that was asked for.
 */
export async function imagesOfRun(
  trained: TrainedModel,
  options: BankImagesOptions & { readonly data?: string | undefined },
): Promise<Float32Array | undefined> {
  const { data, ...placed } = options, { note } = placed;
  const config = resolveConfig(trained.config, { overrides: folderOverrides(data) });
  try {
    const images = await loadImagesOf(placed.bank, { config, note });
    return await placedImages(trained, { ...placed, images, expected: "--data DIR with them" });
  } catch (error) {
    // Data that the run was trained on may have moved; what was asked for by name must be there.
    if (data !== undefined) throw error;
    note(`note      without images of the bank: ${messageOf(error)}`);
    return undefined;
  }
}

/**
 * The images of a bank's snippets [n, C, H, W] among those of a set, white with a note for those that are
 * not.
 *
 * Throws a RangeError, which ends with what is expected, if none is.
 */
export async function placedImages(
  trained: TrainedModel,
  options: BankImagesOptions & { readonly images: NamedImages; readonly expected: string },
): Promise<Float32Array> {
  const { device, bank, images, expected, note } = options;
  const indices = Array.from(options.indices, (index) => imageOf(images, { index, bank }));
  if (indices.every((index) => index < 0)) {
    throw new RangeError(
      "Cannot show the images of the snippets: none of them is among " +
        `${counted(images.size, "image")}, expected ${expected}`,
    );
  }
  const absent = [...indices.keys()].filter((i) => indices[i]! < 0);
  if (absent.length > 0) {
    const first = titleOf(bank, options.indices[absent[0]!]!);
    note(
      `note      white in place of ${absent.length} of ${counted(indices.length, "image")}, ` +
        `${first} first, which are not among those of the data`,
    );
  }
  return await imagesFor(trained.config.data, { device, images, indices });
}

/** Index in a set of the image behind a snippet, by its name or else by its own index; -1 if it is not there. */
export function imageOf(
  images: Pick<NamedImages, "names" | "size">,
  snippet: { readonly index: number; readonly bank: ImageRecords & { readonly size: number } },
): number {
  const { index, bank } = snippet;
  const name = bank.names?.[index];
  if (name === undefined) return bank.size === images.size ? index : -1;
  return images.names[index] === name ? index : images.names.indexOf(name);
}
