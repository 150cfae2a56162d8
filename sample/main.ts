/**
 * `deno task sample`: see `SAMPLE_COMMAND`.
 *
 * @module
 */

import { dirname } from "node:path";
import { parseArguments, UsageError } from "../cli/arguments.ts";
import { SAMPLE_COMMAND } from "../cli/commands.ts";
import { runCommand } from "../cli/run_command.ts";
import { tunedOptions } from "../cli/tuning_file.ts";
import { Device } from "../kernels/core/device.ts";
import { writeSafetensors } from "../kernels/core/safetensors.ts";
import { unscaleLatents } from "../train/datasets/latent_scaling.ts";
import { tileImages } from "../train/datasets/picture.ts";
import { encodePng } from "../train/datasets/png.ts";
import { latentScaling, pathOf } from "../train/run.ts";
import { type CheckpointConfig, openTrained, readCheckpointConfig } from "../train/trained.ts";
import { openViewer, type Viewer } from "../train/viewer.ts";
import { chooseConditions } from "./conditions.ts";
import { drawAll } from "./rows.ts";

/** Width in pixels that the picture should about have. */
const PICTURE_WIDTH = 640;

await runCommand(main, { debug: Deno.args.includes("--debug") });

async function main(): Promise<void> {
  const { options } = parseArguments(SAMPLE_COMMAND, Deno.args);
  const found = readCheckpointConfig(options.checkpoint, {
    overrides: [
      ...(options.sampler ? [`sample.sampler=${options.sampler}`] : []),
      ...(options.steps ? [`sample.steps=${options.steps}`] : []),
      ...(options.count ? [`sample.count=${options.count}`] : []),
      ...(options.seed === undefined ? [] : [`sample.seed=${options.seed}`]),
      ...options.set,
    ],
  });
  const { config, step } = found;
  const asLatents = options.out.endsWith(".safetensors");
  if (asLatents && config.data.kind !== "latents") {
    throw new UsageError(`Cannot write images to ${options.out}: expected a name in .png`);
  }
  using viewer = asLatents ? undefined : await openViewer(config.data, dirname(found.checkpoint));
  if (!asLatents && viewer === undefined) {
    throw new UsageError(
      `Cannot draw samples of ${found.checkpoint}: its model makes latents, expected their decoder ` +
        "by --set data.decoder=FILE.onnx, or --out FILE.safetensors for the latents",
    );
  }
  // Before the long work, which a folder that cannot be made would waste.
  await Deno.mkdir(dirname(options.out), { recursive: true });
  using device = await Device.open({
    allowFallback: config.device.allowCpuDriver,
    variants: config.device.variants,
    ...tunedOptions((line) => console.error(line)),
  });
  console.error(`device  ${device.profile.label}`);
  using trained = openTrained(device, { ...found, bank: options.bank });

  const started = performance.now();
  const { count } = config.sample;
  const { images, evaluations } = await drawAll({
    model: trained.model,
    config: config.sample,
    count,
    conditionOf: chooseConditions(trained, { device, seed: config.sample.seed }),
    ...pathOf(config),
  });
  if (viewer) await writePicture(options.out, images, { viewer, config });
  else writeLatents(options.out, images, found);
  const seconds = (performance.now() - started) / 1000;
  console.error(
    `wrote   ${options.out}: ${count} ${
      asLatents ? "latents" : "images"
    } by ${config.sample.sampler}, ` +
      `${evaluations} network evaluations each (NFE), ${seconds.toFixed(1)} s`,
  );
  if (options.json) {
    console.log(JSON.stringify({ out: options.out, count, step, evaluations, seconds }));
  }
}

async function writePicture(
  path: string,
  samples: Float32Array,
  { viewer, config: { sample } }: { viewer: Viewer; config: CheckpointConfig["config"] },
): Promise<void> {
  const { count, columns } = sample, { channels, imageSize } = viewer;
  const picture = tileImages(await viewer.view(samples), {
    columns: Math.min(columns, count),
    imageSize,
    channels,
    scale: Math.max(1, Math.round(PICTURE_WIDTH / (columns * imageSize))),
  });
  await Deno.writeFile(path, encodePng(picture));
}

/** Writes latents [n, C, H, W] on the scale of their tokenizer, for its decoder. */
function writeLatents(
  path: string,
  latents: Float32Array,
  { checkpoint, config: { data, sample } }: CheckpointConfig,
): void {
  const { channels, imageSize } = data;
  unscaleLatents(latents, latentScaling(data, dirname(checkpoint)), imageSize ** 2);
  const shape = [sample.count, channels, imageSize, imageSize];
  writeSafetensors(path, [["latents", { dtype: "F32", shape, data: latents }]]);
}
