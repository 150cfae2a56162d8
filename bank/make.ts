/**
 * The bank that a `bank` section means. Only programs import this, as `encoders/open.ts` says.
 *
 * @module
 */

import { existsSync, rmSync } from "node:fs";
import { counted } from "../kernels/core/counted.ts";
import type { Device } from "../kernels/core/device.ts";
import { BankWriter } from "./bank_writer.ts";
import { buildBank } from "./build.ts";
import type { BankConfig, FeaturesConfig } from "./config.ts";
import type { Encoder } from "./encoders/encoder.ts";
import { openOnnx } from "./encoders/open.ts";
import { comfortableDim, PixelPca } from "./encoders/pixel_pca.ts";
import { importFeatures } from "./features.ts";
import { BankFile } from "./file.ts";
import { type ImageSource, type Shard, shardOf } from "./image_source.ts";
import { recordsOfImages } from "./records.ts";
import { selectRows } from "./select_rows.ts";
import { readRows } from "./snippet_source.ts";
import { importTorchBank } from "./torch.ts";

/** Where some images stand among all of a set, such as those to train on among them and those held out. */
export interface Places {
  /** Place of each of them [N], in rising order. */
  readonly indices: Uint32Array;
  /** Number of all images. */
  readonly of: number;
}

/** What {@linkcode makeBank} makes, and of what. */
export interface MakeBankOptions {
  /** What resizes images. */
  readonly device: Device;
  /** The `bank` section. */
  readonly config: BankConfig;
  /** The images, one for each snippet. */
  readonly images: ImageSource;
  /** Where they stand among all: a file of vectors may have one for each of all. */
  readonly places?: Places | undefined;
  /** Encode this part of the images alone. */
  readonly shard?: Shard | undefined;
  /** What runs an ONNX network; see `ProviderOptions`. */
  readonly providers?: readonly string[] | undefined;
  /** Encode by this one; the caller keeps it. */
  readonly encoder?: Encoder | undefined;
  /** The bank file to write. */
  readonly out: string;
  /** Gets the number of snippets and their length before any is made; what it throws ends the build. */
  readonly accept?: ((snippets: { size: number; dim: number }) => void) | undefined;
  /** Gets a line for people where the images are few for snippets of such length. */
  readonly note?: ((line: string) => void) | undefined;
  /** Called with the number of images or vectors read, of all. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
}

/**
 * Writes the bank of images with the encoder that a `bank` section names, and returns that encoder;
 * undefined for the vectors of another program, to which no image can be added.
 *
 * Throws what `PixelPca.fit`, `openOnnx` and `buildBank` throw, a TypeError if there are not as many vectors in the
 * file as images, and an AlreadyExists error if `OUT.all`, where those vectors are kept meanwhile, is taken.
 */
export async function makeBank(options: MakeBankOptions): Promise<Encoder | undefined> {
  const { device, config, images, places, shard, providers, out } = options;
  const { accept, note, onProgress } = options;
  if (config.encoder === "features" && options.encoder === undefined) {
    if (shard !== undefined) {
      throw new TypeError("Cannot encode a shard: bank.encoder is features, expected an encoder");
    }
    await bankOfFeatures(config.features!, { images, places, out, accept, onProgress });
    return undefined;
  }
  const { dim, resolution, whiten } = config, few = comfortableDim(images.size);
  const fits = config.encoder === "pixel_pca" && options.encoder === undefined;
  // A single image is refused, whatever the length.
  if (fits && dim > few && images.size > 1) {
    note?.(
      `${dim} numbers tell little of so few images: expected ${10 * dim} or more, ` +
        `not ${images.size}, or bank.dim=${few}`,
    );
  }
  const encoded = shard === undefined ? images : shardOf(images, shard);
  if (fits) accept?.({ size: encoded.size, dim });
  const fitted = fits ? images.size : 0;
  const advance = (done: number) => onProgress?.(done, fitted + encoded.size);
  using opened = new DisposableStack();
  // Every shard fits the same encoder, to all images.
  const encoder = options.encoder ?? opened.use(
    fits
      ? await PixelPca.fit(device, { images, dim, resolution, whiten, onProgress: advance })
      : await openOnnx(config.onnx, { device, providers }),
  );
  if (!fits) accept?.({ size: encoded.size, dim: encoder.dim });
  await buildBank({
    images: encoded,
    encoder,
    out,
    onProgress: (done) => advance(fitted + done),
  });
  opened.move();
  return encoder;
}

/**
 * Checks that no file has a name which is needed for a while, and whose file is then removed.
 *
 * Throws an AlreadyExists error that says what for, and what to do.
 */
export function requireFree(path: string, said: { use: string; advice: string }): void {
  if (!existsSync(path)) return;
  throw new Deno.errors.AlreadyExists(
    `Cannot write ${path}: the file is there and ${said.use}, expected none; ${said.advice}`,
  );
}

/** Writes the bank of vectors that a file has for images, with what is known of the images. */
async function bankOfFeatures(
  features: FeaturesConfig,
  options: {
    readonly images: ImageSource;
    readonly places: Places | undefined;
    readonly out: string;
    readonly accept: MakeBankOptions["accept"];
    readonly onProgress: MakeBankOptions["onProgress"];
  },
): Promise<void> {
  const { images, out, accept, onProgress } = options;
  const all = `${out}.all`;
  requireFree(all, {
    use: "all vectors would be kept there meanwhile",
    advice: "move it away, or remove it if a build that was killed left it",
  });
  try {
    if (/\.pth?$/.test(features.path)) importTorchBank(features.path, { out: all });
    else await importFeatures(features.path, { out: all, key: features.key ?? undefined });
    using file = BankFile.open(all);
    const places = placesIn(file, { ...options, from: features.path });
    const { dim, encoder, frequencies } = file, { size } = images;
    accept?.({ size, dim });
    using writer = new BankWriter(out, {
      ...recordsOfImages(images),
      encoder,
      dim,
      size,
      frequencies: frequencies && Array.from(places, (place) => frequencies[place]!),
    });
    let written = 0;
    for await (const { first, rows } of readRows(file)) {
      const end = first + rows.length / dim;
      const begin = written;
      while (written < places.length && places[written]! < end) written++;
      const indices = places.subarray(begin, written).map((place) => place - first);
      writer.append(selectRows(rows, { indices, width: dim }));
      onProgress?.(written, size);
    }
    writer.commit();
  } finally {
    rmSync(all, { force: true });
  }
}

/** The places of the images' vectors in a file, in rising order. */
function placesIn(
  file: BankFile,
  options: {
    readonly images: ImageSource;
    readonly places: Places | undefined;
    readonly from: string;
  },
): Uint32Array {
  const { images, places, from } = options;
  if (file.size === images.size) return Uint32Array.from({ length: file.size }, (_, i) => i);
  if (places?.of === file.size && places.indices.length === images.size) return places.indices;
  throw new TypeError(
    `Cannot make a bank of ${from}: it has ${counted(file.size, "vector")}, ` +
      `expected one for each of the ${counted(images.size, "image")}` +
      (places === undefined ? "" : ` or of all ${places.of}, with those held out`),
  );
}
