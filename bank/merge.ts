/**
 * Several banks put together in one, such as the shards of a build.
 *
 * @module
 */

import { counted } from "../kernels/core/counted.ts";
import { type BankRecords, encodesWhole } from "./bank.ts";
import { BankWriter } from "./bank_writer.ts";
import { encoderDifference } from "./encoders/encoder.ts";
import type { BankFile } from "./file.ts";
import { readRows } from "./snippet_source.ts";

/** Options of {@linkcode mergeBanks} and {@linkcode copyBank}. */
export interface MergeBanksOptions {
  /** The bank file to write. */
  readonly out: string;
  /** Called with the number of snippets written, and of all. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
}

/**
 * Writes a full bank of the snippets of several banks, 4,096 at a time: the shards of a build in the
 * order of their numbers, other banks in the order given. Low-rank banks are reconstructed. Classes of
 * equal names become one; a snippet whose bank has no labels gets none; names, texts and frequencies
 * are kept where every bank has them, and the weights of the encoder where any has.
 *
 * Throws a TypeError if there are no banks, if shards are missing, come twice or stand among other
 * banks, or if the lengths or the encoders differ, and a CheckpointError if one cannot be read or the
 * disk refuses.
 *
 * @example
 * ```ts
 * import { BankFile, buildBank, Device, loadEmoji, mergeBanks, PixelPca, shardOf } from "@gmem/gmem";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * const images = await loadEmoji({ imageSize: 8 }), folder = Deno.makeTempDirSync();
 * using encoder = await PixelPca.fit(device, { images, dim: 4, resolution: 8 });
 * const paths = ["first", "second"].map((name) => `${folder}/${name}.safetensors`);
 * for (const [i, out] of paths.entries()) {
 *   const part = shardOf(images, { number: i + 1, count: 2 }); // each could be on a machine of its own
 *   await buildBank({ images: part, encoder, out });
 * }
 * {
 *   using first = BankFile.open(paths[0]!), second = BankFile.open(paths[1]!);
 *   await mergeBanks([second, first], { out: `${folder}/whole.safetensors` });
 * }
 * using whole = BankFile.open(`${folder}/whole.safetensors`);
 * console.log(whole.size === images.size, whole.names![0] === images.names[0]); // true true
 * Deno.removeSync(folder, { recursive: true });
 * ```
 */
export async function mergeBanks(
  banks: readonly BankFile[],
  options: MergeBanksOptions,
): Promise<void> {
  const [first, ...others] = inOrder(banks);
  if (first === undefined) {
    throw new TypeError("Cannot merge banks: there are none, expected one or more");
  }
  for (const bank of others) checkPair(bank, first);
  await writeAll([first, ...others], options);
}

/**
 * Writes a full bank of the snippets of one, reconstructed where it is low-rank, with its records.
 *
 * Throws a CheckpointError if it cannot be read or the disk refuses.
 *
 * @example
 * ```ts
 * import { BankFile, copyBank, Device, factorize, LowRankBank } from "@gmem/gmem";
 *
 * const snippets = Float32Array.of(1, 0, 0, 1, 0.6, 0.8);
 * const rows = (first: number, count: number) => snippets.subarray(2 * first, 2 * (first + count));
 * const factors = await factorize({ size: 3, dim: 2, rows }, { rank: 1 });
 * using device = await Device.open({ allowCpuDriver: true });
 * using bank = LowRankBank.from(device, factors);
 * const folder = Deno.makeTempDirSync(), [low, full] = [`${folder}/low`, `${folder}/full`];
 * await bank.save(low);
 * {
 *   using file = BankFile.open(low);
 *   await copyBank(file, { out: full });
 * }
 * using copy = BankFile.open(full);
 * console.log(copy.size, copy.rank); // 3 undefined
 * Deno.removeSync(folder, { recursive: true });
 * ```
 */
export async function copyBank(bank: BankFile, options: MergeBanksOptions): Promise<void> {
  await writeAll([bank], options);
}

async function writeAll(banks: readonly BankFile[], options: MergeBanksOptions): Promise<void> {
  const { out, onProgress } = options, { dim } = banks[0]!;
  const size = banks.reduce((sum, bank) => sum + bank.size, 0);
  using writer = new BankWriter(out, { ...mergeRecords(banks), size, dim });
  let done = 0;
  for (const bank of banks) {
    for await (const { rows } of readRows(bank)) {
      writer.append(rows);
      onProgress?.(done += rows.length / dim, size);
    }
  }
  writer.commit();
}

/** Shards in the order of their numbers, after a check that all are there; other banks as they are. */
function inOrder(banks: readonly BankFile[]): readonly BankFile[] {
  const known = banks.find(({ shard }) => shard !== undefined);
  if (known === undefined) return banks;
  const { count } = known.shard!;
  const parts = new Map<number, BankFile>();
  for (const bank of banks) {
    const { shard, path } = bank;
    const name = JSON.stringify(path);
    if (shard?.count !== count) {
      throw new TypeError(
        `Cannot merge ${name} with ${JSON.stringify(known.path)}: ` +
          `it is ${shard ? `one of ${counted(shard.count, "shard")}` : "no shard"}, ` +
          `expected the ${counted(count, "shard")} of one build alone`,
      );
    }
    const other = parts.get(shard.number);
    if (other !== undefined) {
      throw new TypeError(
        `Cannot merge ${name} with ${JSON.stringify(other.path)}: both are shard ` +
          `${shard.number} of ${count}, expected each once`,
      );
    }
    parts.set(shard.number, bank);
  }
  return Array.from({ length: count }, (_, i) => {
    const bank = parts.get(i + 1);
    if (bank !== undefined) return bank;
    throw new TypeError(
      `Cannot merge the shards of a build: shard ${i + 1} of ${count} is missing, expected all`,
    );
  });
}

function checkPair(bank: BankFile, first: BankFile): void {
  const banks = `Cannot merge bank ${JSON.stringify(bank.path)} with ${JSON.stringify(first.path)}`;
  if (bank.dim !== first.dim) {
    throw new TypeError(`${banks}: its snippets have length ${bank.dim}, expected ${first.dim}`);
  }
  if (bank.encoder === undefined && first.encoder === undefined) return;
  const difference = bank.encoder === undefined || first.encoder === undefined
    ? "only one of them names its encoder"
    : encoderDifference(bank.encoder, first.encoder);
  if (difference !== undefined) {
    throw new TypeError(`${banks}: their encoders differ, ${difference}`);
  }
}

function mergeRecords(banks: readonly BankFile[]): BankRecords {
  const { encoder, imageSize } = banks[0]!;
  const classes = [...new Set(banks.flatMap((bank) => bank.classes))];
  const place = new Map(classes.map((name, label) => [name, label]));
  const labels = banks.flatMap((bank) =>
    Array.from({ length: bank.size }, (_, i) => {
      const label = bank.labels?.[i] ?? -1;
      // Labels without names mean the same in every bank, or nothing.
      return label < 0 || classes.length === 0 ? label : place.get(bank.classes[label]!) ?? -1;
    })
  );
  const allOf = (key: "names" | "texts") =>
    banks.every((bank) => bank[key] !== undefined)
      ? banks.flatMap((bank) => bank[key]!)
      : undefined;
  const frequencies = banks.every((bank) => bank.frequencies !== undefined)
    ? banks.flatMap((bank) => [...bank.frequencies!])
    : undefined;
  return {
    encoder,
    // Banks of mapped vectors name their encoder alone.
    encoderWeights: banks.find((bank) => bank.encoderWeights.size > 0)?.encoderWeights,
    // What a low-rank bank gives is no longer what the encoder gave.
    imageSize: imageSize !== undefined && banks.every((bank) => encodesWhole(bank, imageSize))
      ? imageSize
      : undefined,
    classes,
    frequencies,
    labels: banks.some((bank) => bank.labels !== undefined) ? labels : undefined,
    names: allOf("names"),
    texts: allOf("texts"),
  };
}
