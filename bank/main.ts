/**
 * `deno task bank`: see `BANK_PROGRAM`.
 *
 * @module
 */

import process from "node:process";
import { type CommandDefinition, parseArguments, selectCommand } from "../cli/arguments.ts";
import { BANK_BUILD_COMMAND, BANK_INSPECT_COMMAND, BANK_PROGRAM } from "../cli/commands.ts";
import { Progress } from "../cli/progress.ts";
import { runCommand } from "../cli/run_command.ts";
import { Device } from "../kernels/core/device.ts";
import { type Config, configReference, parseConfig } from "../train/config.ts";
import { loadData } from "../train/load_data.ts";
import { buildBank } from "./build.ts";
import { PixelPca } from "./encoders/pixel_pca.ts";
import { BankFile, writeLowRankBank } from "./file.ts";
import type { ImageSource } from "./image_source.ts";
import { type BankSummary, describeBank, inspectBank } from "./inspect.ts";
import { factorize } from "./svd.ts";

const BUILD_COMMAND = {
  ...BANK_BUILD_COMMAND,
  options: {
    config: {
      type: "string",
      value: "FILE",
      description: "YAML configuration whose sections data and bank, and train.seed, count",
    },
    ...BANK_BUILD_COMMAND.options,
    dim: {
      type: "integer",
      minimum: 1,
      description: "Length of a snippet; stands for --set bank.dim",
    },
    resolution: {
      type: "integer",
      minimum: 1,
      description: "Side in pixels to which images are shrunk; stands for --set bank.resolution",
    },
    set: {
      type: "string",
      short: "s",
      value: "KEY=VALUE",
      multiple: true,
      description: "Take this value for a key of the configuration",
    },
  },
} as const satisfies CommandDefinition;

await runCommand(main, { debug: Deno.args.includes("--debug") });

async function main(): Promise<void> {
  const { command, args } = selectCommand(BANK_PROGRAM, Deno.args);
  if (command === "build") await build(args);
  else inspect(args);
}

async function build(args: readonly string[]): Promise<void> {
  const { options } = parseArguments(BUILD_COMMAND, args, { details: configReference });
  const { out, rank, json } = options;
  const config = await readConfig(options.config, [
    ...(options.data ? ["data.kind=folder", `data.path=${JSON.stringify(options.data)}`] : []),
    ...(options.dim ? [`bank.dim=${options.dim}`] : []),
    ...(options.resolution ? [`bank.resolution=${options.resolution}`] : []),
    ...options.set,
  ]);
  const say = json ? () => {} : (line: string) => console.error(line);
  using device = await Device.open({ allowFallback: true, variants: config.device.variants });
  say(`device    ${device.profile.label}`);
  const { train: images } = await loadData(config.data, { seed: config.train.seed, note: say });
  say(`images    ${images.size} of ${images.imageSize} × ${images.imageSize} pixels`);
  const encoding = { device, images, bank: config.bank, json };
  if (rank === undefined) {
    await encode(encoding, out);
  } else {
    const whole = `${out}.whole`;
    try {
      await encode(encoding, whole);
      using file = BankFile.open(whole);
      const factors = await factorize(file, { rank });
      writeLowRankBank(out, { ...file.records, ...factors });
      say(`rank      ${rank} keeps ${(100 * factors.energy).toFixed(2)} % of the energy`);
    } finally {
      removeIfThere(whole);
    }
  }
  using file = BankFile.open(out);
  show(inspectBank(file), json);
}

/** Fits the encoder to the images and writes their bank. */
async function encode(
  encoding: { device: Device; images: ImageSource; bank: Config["bank"]; json: boolean },
  path: string,
): Promise<void> {
  const { device, images, bank: { dim, resolution, whiten }, json } = encoding;
  using progress = new Progress({
    total: 2 * images.size,
    stream: json ? process.stdout : process.stderr,
    json,
  });
  using encoder = await PixelPca.fit({
    device,
    images,
    dim,
    resolution,
    whiten,
    onProgress: (done) => progress.advance(done),
  });
  await buildBank({
    images,
    encoder,
    path,
    onProgress: (done) => progress.advance(images.size + done),
  });
}

function inspect(args: readonly string[]): void {
  const { options, positionals } = parseArguments(BANK_INSPECT_COMMAND, args);
  using file = BankFile.open(positionals[0]!);
  show(inspectBank(file), options.json);
}

function show(summary: BankSummary, json: boolean): void {
  console.log(json ? JSON.stringify(summary) : describeBank(summary).join("\n"));
}

async function readConfig(path: string | undefined, overrides: readonly string[]): Promise<Config> {
  if (path === undefined) return parseConfig("", { overrides });
  return parseConfig(await Deno.readTextFile(path), { name: path, overrides });
}

function removeIfThere(path: string): void {
  try {
    Deno.removeSync(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}
