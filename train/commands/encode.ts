/**
 * `deno task encode`: see `ENCODE_COMMAND`.
 *
 * @module
 */

import { join } from "node:path";
import { directoryPath } from "../../bank/directory.ts";
import { openOnnx } from "../../bank/encoders/open.ts";
import { IMAGE_FOLDER, listImageFiles } from "../../bank/image_files.ts";
import type { ImageSource } from "../../bank/image_source.ts";
import { parseArguments, UsageError } from "../../cli/arguments.ts";
import { ENCODE_COMMAND } from "../../cli/commands/train.ts";
import { openDevice } from "../../cli/open_device.ts";
import { prepareOutput } from "../../cli/output_file.ts";
import { openProgress, openProgressLater } from "../../cli/progress.ts";
import { runCommand } from "../../cli/run_command.ts";
import { say } from "../../cli/say.ts";
import { counted } from "../../kernels/core/counted.ts";
import type { Config } from "../config.ts";
import { configHelp } from "../config_help.ts";
import { encodeLatents, requireOwnShards } from "../datasets/encode_latents.ts";
import { ensureStatistics, STATISTICS_FILE } from "../datasets/latent_scaling.ts";
import { LatentShards } from "../datasets/latent_shards.ts";
import { loadConfig } from "../load_config.ts";
import { openFolder } from "../load_data.ts";
import { OnnxLatentEncoder } from "../onnx_latent_encoder.ts";

await runCommand(main);

async function main(): Promise<void> {
  const { options, positionals } = parseArguments(ENCODE_COMMAND, Deno.args, {
    details: configHelp,
  });
  const { posterior, dtype, "shard-size": shardSize, json } = options;
  const config = await readConfig(positionals[0], options);
  const { data, train, bank, model, device: { onnxProviders: providers } } = config;
  const { channels, imageSize, flip } = data, directory = data.path!;
  const started = performance.now();
  using encoder = await OnnxLatentEncoder.open(data.encoder!, { channels, imageSize }, {
    providers,
  });
  const side = encoder.imageSize;
  say(
    `encoder ${data.encoder}: images of ${side} × ${side} pixels to latents of ` +
      `${channels} × ${imageSize} × ${imageSize}`,
  );
  using device = options.features === undefined ? undefined : await openDevice(config.device, say);
  using tokenEncoder = device && await openOnnx(bank.onnx, { device, providers });
  const patchTokens = tokenEncoder !== undefined && model.repa !== null;
  if (tokenEncoder) {
    const { patches, dim } = tokenEncoder;
    if (patchTokens) requirePatches({ patches, dim }, { data, model });
    const more = patchTokens ? `, and ${patches} more` : "";
    say(`tokens  ${bank.onnx!.path}: the first of ${dim} numbers${more}`);
  }
  // Before every image is looked at.
  await prepareOutput(join(directory, STATISTICS_FILE));
  const encoding = {
    encoder,
    tokenEncoder,
    patchTokens,
    out: directory,
    flip,
    posterior,
    seed: train.seed,
    dtype,
    shardSize,
  };
  const listed = await listImageFiles(directoryPath(options.data), { expected: IMAGE_FOLDER });
  requireOwnShards({ ...encoding, names: listed.names });
  const images = await readImages(options.data, { side, json });
  say(`images  ${images.size}${flip ? ", and their mirror images" : ""}`);
  const progress = openProgressLater((_, total) => openProgress(total, { json }));
  await encodeLatents({
    ...encoding,
    images,
    onProgress: progress.advance,
  }).finally(progress.stop);
  using latents = await LatentShards.open(directory);
  const statistics = data.latentNorm ? ensureStatistics(latents) : undefined;
  if (statistics) {
    const { path, measured } = statistics;
    say(`        statistics ${measured ? `measured, in ${path}` : `of ${path}, which was there`}`);
  }
  const seconds = (performance.now() - started) / 1000;
  const shards = Math.ceil(images.size / shardSize);
  say(
    `wrote   ${directory}: ${counted(latents.size, "latent")} in ${counted(shards, "shard")}, ` +
      `${seconds.toFixed(1)} s`,
  );
  if (json) {
    const { size } = latents;
    console.log(
      JSON.stringify({
        out: directory,
        size,
        channels,
        imageSize,
        shards,
        statistics: statistics?.path,
        seconds,
      }),
    );
  }
}

/** The configuration of the latents. */
async function readConfig(
  file: string | undefined,
  { encoder, features, out, set }: {
    readonly encoder: string | undefined;
    readonly features: string | undefined;
    readonly out: string | undefined;
    readonly set: readonly string[];
  },
): Promise<Config> {
  const hasFolder = out !== undefined || set.some((setting) => setting.startsWith("data.path="));
  if (file === undefined && !hasFolder) {
    throw new UsageError("Cannot encode: no folder for the latents is named, expected --out DIR");
  }
  const overrides = [
    ...(file === undefined ? ["data.kind=latents"] : []),
    ...(encoder === undefined ? [] : [`data.encoder=${JSON.stringify(encoder)}`]),
    ...(features === undefined ? [] : [`bank.onnx.path=${JSON.stringify(features)}`]),
    ...(out === undefined ? [] : [`data.path=${JSON.stringify(out)}`]),
    ...set,
  ];
  const config = await loadConfig(file, { overrides });
  const { kind, encoder: network } = config.data;
  if (kind !== "latents") {
    throw new UsageError(
      `Cannot encode for ${file}: its data.kind is ${kind}, expected a configuration of latents`,
    );
  }
  if (network === null) {
    throw new UsageError(
      "Cannot encode without a network: expected --encoder FILE, or data.encoder in the configuration",
    );
  }
  return config;
}

/** Throws unless the tokens are those that the configured network is aligned with. */
function requirePatches(
  found: { readonly patches: number; readonly dim: number },
  { data, model }: Pick<Config, "data" | "model">,
): void {
  const wanted = (data.imageSize / model.patchSize) ** 2, { targetWidth } = model.repa!;
  if (found.patches === wanted && found.dim === targetWidth) return;
  throw new UsageError(
    `Cannot align with --features: it gives ${found.patches} patch tokens of ${found.dim} numbers, ` +
      `expected ${wanted} of ${targetWidth}, as model and model.repa say (another bank.onnx.size ` +
      "gives other numbers of patches)",
  );
}

/** The images of a folder as squares of so many pixels; they are decoded once to see whether they can be. */
async function readImages(
  folder: string,
  { side, json }: { side: number; json: boolean },
): Promise<ImageSource> {
  say(`data    ${folder}: looking at every image`);
  const progress = openProgressLater((_, total) => openProgress(total, { json }));
  return await openFolder(folder, {
    imageSize: side,
    note(line) {
      progress.stop();
      say(line);
    },
    onProgress: progress.advance,
  }).finally(progress.stop);
}
