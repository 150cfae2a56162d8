/**
 * `deno task sample`: see `SAMPLE_COMMAND`.
 *
 * @module
 */

import { dirname } from "node:path";
import { parseArguments } from "../cli/arguments.ts";
import { SAMPLE_COMMAND } from "../cli/commands.ts";
import { runCommand } from "../cli/run_command.ts";
import { tunedOptions } from "../cli/tuning_file.ts";
import { Device } from "../kernels/core/device.ts";
import { tileImages } from "../train/datasets/picture.ts";
import { encodePng } from "../train/datasets/png.ts";
import { pathOf } from "../train/run.ts";
import { openTrained, readCheckpointConfig } from "../train/trained.ts";
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
  const { count, columns } = config.sample;
  const { channels, imageSize } = config.data;
  const { images, evaluations } = await drawAll({
    model: trained.model,
    config: config.sample,
    count,
    conditionOf: chooseConditions(trained, { device, seed: config.sample.seed }),
    ...pathOf(config),
  });
  const picture = tileImages(images, {
    columns: Math.min(columns, count),
    imageSize,
    channels: channels as 1 | 3,
    scale: Math.max(1, Math.round(PICTURE_WIDTH / (columns * imageSize))),
  });
  await Deno.writeFile(options.out, encodePng(picture));
  const seconds = (performance.now() - started) / 1000;
  console.error(
    `wrote   ${options.out}: ${count} images by ${config.sample.sampler}, ` +
      `${evaluations} network evaluations each (NFE), ${seconds.toFixed(1)} s`,
  );
  if (options.json) {
    console.log(JSON.stringify({ out: options.out, count, step, evaluations, seconds }));
  }
}
