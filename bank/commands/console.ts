/**
 * What the commands of `deno task bank` say and read alike.
 *
 * @module
 */

import { type OutputOptions, prepareOutput, writeOutput } from "../../cli/output_file.ts";
import { type Config, resolveConfig } from "../../train/config.ts";
import { encodePng, type RawImage } from "../../train/datasets/png.ts";
import { sideOf } from "../../train/encode_files.ts";
import { loadConfig } from "../../train/load_config.ts";
import { folderOverrides } from "../../train/overrides.ts";
import { BankFile } from "../file.ts";
import { type BankSummary, describeBank } from "../inspect.ts";

/** Neighbours that a row of `bank add --sample` or of a text ends with, as in GMem's figure 4. */
export const ROW_NEIGHBOURS = 5;

/**
 * The configuration whose data section names the images of a bank; `like` is the bank whose encoder is
 * to encode them, where there is one.
 */
export async function dataOf(
  config: string | undefined,
  options: {
    readonly data: string | undefined;
    readonly set: readonly string[];
    readonly like?: string | undefined;
  },
): Promise<Config> {
  const { data, set, like } = options;
  return await configOf(config, { overrides: [...folderOverrides(data), ...set], like });
}

/**
 * The configuration in a file, or that of settings alone. Where settings alone do not say
 * `data.imageSize`, images are read at the side at which those of the bank `like` were; if it does not say,
 * or there is none, images of a folder at the side that suits the network which encodes them: smaller ones
 * would lose what it can see.
 */
export async function configOf(
  path: string | undefined,
  options: { readonly overrides: readonly string[]; readonly like: string | undefined },
): Promise<Config> {
  const { overrides, like } = options;
  const config = await loadConfig(path, { overrides });
  const imageSize = path === undefined ? sideFor(config, like) : undefined;
  if (imageSize === undefined) return config;
  // No model trains on these images, so that no patch has to divide their side.
  return resolveConfig({ data: { imageSize }, model: { patchSize: 1 } }, { overrides });
}

/** The side for images of a bank or, in a folder, of a network; undefined where neither says. */
function sideFor({ data, bank }: Config, like: string | undefined): number | undefined {
  using file = like === undefined ? undefined : BankFile.open(like);
  if (file?.imageSize !== undefined) return file.imageSize;
  if (data.kind !== "folder") return undefined;
  if (file !== undefined) return file.encoder?.kind === "onnx" ? sideOf(file.encoder) : undefined;
  return bank.encoder === "onnx" ? sideOf({ preprocessing: { ...bank.onnx } }) : undefined;
}

/** Prints a result as JSON or as lines. */
export function print(json: boolean, value: unknown, lines: readonly string[]): void {
  console.log(json ? JSON.stringify(value) : lines.join("\n"));
}

/** Prints what is in a bank. */
export function show(summary: BankSummary, json: boolean): void {
  print(json, summary, describeBank(summary));
}

/** Checks that a picture may be written, and makes the folders on the way to it. */
export async function preparePicture(
  path: string,
  options: Omit<OutputOptions, "endings">,
): Promise<void> {
  await prepareOutput(path, { ...options, endings: [".png"] });
}

/** Writes a picture as PNG. */
export async function writePicture(path: string, picture: RawImage): Promise<void> {
  await writeOutput(path, encodePng(picture));
}
