/**
 * `deno task sample`: see `SAMPLE_COMMAND`.
 *
 * @module
 */

import { dirname, join } from "node:path";
import { loadBank } from "../bank/load.ts";
import { parseArguments } from "../cli/arguments.ts";
import { SAMPLE_COMMAND } from "../cli/commands.ts";
import { runCommand } from "../cli/run_command.ts";
import { Device } from "../kernels/core/device.ts";
import { ParameterStore } from "../kernels/core/parameter_store.ts";
import { Random, Stream } from "../kernels/core/random.ts";
import { SafetensorsFile } from "../kernels/core/safetensors.ts";
import type { Tensor } from "../kernels/core/tensor.ts";
import { SiT } from "../model/sit.ts";
import { findCheckpoint, loadWeights, readCheckpointState } from "../train/checkpoint.ts";
import { type Config, resolveConfig } from "../train/config.ts";
import { tileImages } from "../train/datasets/picture.ts";
import { encodePng } from "../train/datasets/png.ts";
import { modelOptions, pathOf } from "../train/run.ts";
import { drawAdaptive } from "./draw.ts";

/** Images that are drawn at once. */
const BATCH = 64;
/** Width in pixels that the picture should about have. */
const PICTURE_WIDTH = 640;
/** Weights whose shapes tell what a model was trained with. */
const LABEL_WEIGHT = "y_embedder.embedding_table.weight";
const SNIPPET_WEIGHTS = {
  linear: "condition_projection.linear.weight",
  mlp3: "condition_projection.net.0.weight",
} as const;

await runCommand(main, { debug: Deno.args.includes("--debug") });

async function main(): Promise<void> {
  const { options } = parseArguments(SAMPLE_COMMAND, Deno.args);
  const checkpoint = findCheckpoint(options.checkpoint);
  const state = readCheckpointState(checkpoint);
  const config = resolveConfig(state.config, {
    name: checkpoint,
    overrides: [
      ...(options.sampler ? [`sample.sampler=${options.sampler}`] : []),
      ...(options.steps ? [`sample.steps=${options.steps}`] : []),
      ...(options.count ? [`sample.count=${options.count}`] : []),
      ...(options.seed === undefined ? [] : [`sample.seed=${options.seed}`]),
      ...options.set,
    ],
  });
  // Before the long work, which a folder that cannot be made would waste.
  await Deno.mkdir(dirname(options.out), { recursive: true });
  using device = await Device.open({
    allowFallback: config.device.allowCpuDriver,
    variants: config.device.variants,
  });
  console.error(`device  ${device.profile.label}`);
  using conditions = openConditions({ device, config, checkpoint, bank: options.bank });
  using store = new ParameterStore(device, { seed: config.train.seed });
  const model = new SiT(
    store,
    modelOptions(config.model, {
      imageSize: config.data.imageSize,
      channels: config.data.channels,
      classes: conditions.classes,
      snippetDim: conditions.dim,
    }),
  );
  loadWeights(join(checkpoint, "ema.safetensors"), model);

  const started = performance.now();
  const { count, columns } = config.sample;
  const { channels, imageSize } = config.data;
  const images = new Float32Array(count * channels * imageSize ** 2);
  let evaluations = 0;
  for (let first = 0; first < count; first += BATCH) {
    using condition = conditions.take(first, Math.min(BATCH, count - first));
    const drawn = await drawAdaptive({
      model,
      condition,
      config: config.sample,
      firstSample: first,
      ...pathOf(config),
    });
    images.set(await drawn.images.read(), first * channels * imageSize ** 2);
    drawn.images.dispose();
    evaluations = drawn.evaluations;
  }
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
    const { step } = state;
    console.log(JSON.stringify({ out: options.out, count, step, evaluations, seconds }));
  }
}

interface Conditions extends Disposable {
  readonly classes: number;
  readonly dim: number;
  /** Conditions of images `first` to `first + count − 1`, drawn uniformly by the seed. */
  take(first: number, count: number): Tensor;
}

function openConditions(
  { device, config, checkpoint, bank: path }: {
    device: Device;
    config: Config;
    checkpoint: string;
    bank: string | undefined;
  },
): Conditions {
  const random = new Random(config.sample.seed, Stream.Label);
  const choose = (size: number, first: number, count: number) =>
    Uint32Array.from(
      { length: count },
      (_, i) => Math.floor(random.uniform(0, first + i, 0) * size),
    );
  if (config.model.conditioning === "label") {
    if (path) throw new TypeError("Cannot use --bank: the model is guided by labels");
    // One row more than there are classes: the null class.
    const classes = shapeInCheckpoint(checkpoint, LABEL_WEIGHT)[0]! - 1;
    return {
      classes,
      dim: 0,
      take: (first, count) => device.tensor(choose(classes, first, count), [count]),
      [Symbol.dispose]() {},
    };
  }
  const file = path ?? config.bank.path ?? join(dirname(checkpoint), "bank.safetensors");
  const bank = loadBank(device, file);
  const expected = shapeInCheckpoint(checkpoint, SNIPPET_WEIGHTS[config.model.snippetEmbedding])[1];
  if (bank.dim !== expected) {
    throw new TypeError(
      `Cannot guide ${checkpoint} by ${file}: its snippets have ${bank.dim} components, expected ${expected}`,
    );
  }
  return {
    classes: 0,
    dim: bank.dim,
    take: (first, count) => bank.gather(choose(bank.size, first, count)),
    [Symbol.dispose]: () => bank[Symbol.dispose](),
  };
}

/** Shape of a weight in a checkpoint. */
function shapeInCheckpoint(checkpoint: string, name: string): readonly number[] {
  using file = SafetensorsFile.open(join(checkpoint, "ema.safetensors"));
  return file.entry(name).shape;
}
