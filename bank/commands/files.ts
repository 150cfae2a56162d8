/**
 * `deno task bank inspect`, `compress`, `merge` and `export`: banks as files.
 *
 * @module
 */

import { lookUp, parseArguments, UsageError } from "../../cli/arguments.ts";
import {
  BANK_COMPRESS_COMMAND,
  BANK_EXPORT_COMMAND,
  BANK_INSPECT_COMMAND,
  BANK_MERGE_COMMAND,
} from "../../cli/commands/bank.ts";
import { openDevice } from "../../cli/open_device.ts";
import { prepareOutput, writeOutput, writing } from "../../cli/output_file.ts";
import { plotEnergy, plotMap } from "../../cli/plot.ts";
import { openProgress, openProgressLater } from "../../cli/progress.ts";
import { say } from "../../cli/say.ts";
import { compressBank, describeCompression } from "../compress.ts";
import { BankFile } from "../file.ts";
import { inspectBank } from "../inspect.ts";
import { copyBank, mergeBanks } from "../merge.ts";
import { writeNpy } from "../npy.ts";
import { mapSnippets } from "../snippet_map.ts";
import { readRows } from "../snippet_source.ts";
import { requireKept } from "../svd.ts";
import { print, show } from "./console.ts";

/** `bank inspect`: what is in a bank. */
export async function inspect(args: readonly string[]): Promise<void> {
  const { options: { plot, json }, positionals } = parseArguments(BANK_INSPECT_COMMAND, args);
  const [energy, map] = [`${plot}_energy.svg`, `${plot}_map.svg`];
  if (plot !== undefined) {
    const inputs = positionals, option = "--plot";
    await prepareOutput(energy, { inputs, option });
    await prepareOutput(map, { inputs, others: [energy], option });
  }
  using file = BankFile.open(positionals[0]!);
  const summary = inspectBank(file);
  show(summary, json);
  if (plot === undefined) return;
  await writeText(energy, await plotEnergy(summary.spectrum.shares));
  await writeText(map, await plotMap(await mapSnippets(file)));
}

/** `bank compress`: a bank of low rank. */
export async function compress(args: readonly string[]): Promise<void> {
  const { options, positionals } = parseArguments(BANK_COMPRESS_COMMAND, args);
  const { rank, energy, storage, out, json } = options;
  if ((rank === undefined) === (energy === undefined)) {
    throw new UsageError("Cannot compress a bank: expected either --rank or --energy");
  }
  await prepareOutput(out, { inputs: positionals });
  using file = BankFile.open(positionals[0]!);
  const kept = rank === undefined ? { energy: energy! } : { rank };
  lookUp(() => requireKept(kept, file));
  using device = await openDevice(undefined, say);
  const progress = openProgressLater((_, total) => openProgress(total, { json }));
  const made = await compressBank(file, {
    ...kept,
    device,
    out,
    storage,
    onProgress: progress.advance,
  }).finally(progress.stop);
  print(json, made, describeCompression(made));
}

/** `bank merge`: several banks in one. */
export async function merge(args: readonly string[]): Promise<void> {
  const { options: { out, json }, positionals } = parseArguments(BANK_MERGE_COMMAND, args);
  await prepareOutput(out, { inputs: positionals });
  using opened = new DisposableStack();
  const files = positionals.map((each) => opened.use(BankFile.open(each)));
  const progress = openProgressLater((_, total) => openProgress(total, { json }));
  await mergeBanks(files, { out, onProgress: progress.advance }).finally(progress.stop);
  using file = BankFile.open(out);
  show(inspectBank(file), json);
}

/** `bank export`: the snippets for other programs. */
export async function exportBank(args: readonly string[]): Promise<void> {
  const { options: { out, json }, positionals } = parseArguments(BANK_EXPORT_COMMAND, args);
  await prepareOutput(out, { inputs: positionals, endings: [".npy", ".safetensors"] });
  using file = BankFile.open(positionals[0]!);
  const { size, dim } = file;
  if (out.endsWith(".npy")) {
    await writing(out, () => writeNpy(out, { shape: [size, dim], pieces: piecesOf(file) }));
  } else {
    await copyBank(file, { out });
  }
  print(json, { out, shape: [size, dim] }, [`wrote     ${out}, [${size}, ${dim}] f32`]);
}

async function* piecesOf(file: BankFile): AsyncGenerator<Float32Array> {
  for await (const { rows } of readRows(file)) yield rows;
}

/** Writes a text and says so. */
async function writeText(path: string, text: string): Promise<void> {
  await writeOutput(path, text);
  say(`wrote     ${path}`);
}
