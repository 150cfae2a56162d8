/**
 * What the commands of `deno task bank` say and read alike.
 *
 * @module
 */

import process from "node:process";
import { type OutputOptions, prepareOutput, writing } from "../../cli/output_file.ts";
import { Progress } from "../../cli/progress.ts";
import { folderOverrides } from "../../train/bank_images.ts";
import { type Config, parseConfig } from "../../train/config.ts";
import { loadConfig } from "../../train/load_config.ts";
import { encodePng, type RawImage } from "../../train/datasets/png.ts";
import type { Bank } from "../bank.ts";
import { type BankSummary, describeBank } from "../inspect.ts";

/** Neighbours that a row of `bank add --sample` or of a text ends with, as in GMem's figure 4. */
export const ROW_NEIGHBOURS = 5;

/** The configuration whose data section names the images of a bank. */
export async function dataOf(
  config: string | undefined,
  options: { readonly data: string | undefined; readonly set: readonly string[] },
): Promise<Config> {
  const overrides = [...folderOverrides(options.data), ...options.set];
  return config === undefined
    ? parseConfig("", { overrides })
    : await loadConfig(config, { overrides });
}

/** What a snippet is called. */
export function titleOf(bank: Bank, index: number): string {
  return bank.names?.[index] ?? `snippet ${index}`;
}

/** Tells what goes on, apart from results. */
export function say(line: string): void {
  console.error(line);
}

/** A bar, or lines of JSON where results are JSON. */
export function progressOf(total: number, json: boolean): Progress {
  return new Progress({ total, stream: json ? process.stdout : process.stderr, json });
}

/** Prints a result as JSON or as lines. */
export function print(json: boolean, value: unknown, lines: readonly string[]): void {
  console.log(json ? JSON.stringify(value) : lines.join("\n"));
}

/** Prints what is in a bank. */
export function show(summary: BankSummary, json: boolean): void {
  console.log(json ? JSON.stringify(summary) : describeBank(summary).join("\n"));
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
  await writing(path, () => Deno.writeFile(path, encodePng(picture)));
}
