/**
 * `deno task sample`: see `SAMPLE_COMMAND`.
 *
 * @module
 */

import { dirname } from "node:path";
import { nearestSnippets } from "../bank/retrieve.ts";
import { textEncoderOf } from "../bank/encoders/open_text.ts";
import { checkRunEncoder } from "../bank/run_encoder.ts";
import { parseArguments, UsageError } from "../cli/arguments.ts";
import { SAMPLE_COMMAND } from "../cli/commands.ts";
import { counted } from "../cli/counted.ts";
import { prepareOutput, writing } from "../cli/output_file.ts";
import { runCommand } from "../cli/run_command.ts";
import { tunedOptions } from "../cli/tuning_file.ts";
import { Device } from "../kernels/core/device.ts";
import { writeSafetensors } from "../kernels/core/safetensors.ts";
import { imagesOfRun } from "../train/bank_images.ts";
import { unscaleLatents } from "../train/datasets/latent_scaling.ts";
import { tileImages } from "../train/datasets/picture.ts";
import { pictureOfRows, type RowPart } from "../train/datasets/picture_rows.ts";
import { encodePng, type RawImage } from "../train/datasets/png.ts";
import { loadMapper, readMapperEnds } from "../train/mapper_file.ts";
import { mapVectors } from "../train/mapper_training.ts";
import { latentScaling, pathOf } from "../train/run.ts";
import {
  bankPathOf,
  type CheckpointConfig,
  openTrained,
  readCheckpointConfig,
  type TrainedModel,
} from "../train/trained.ts";
import { openViewer, type Viewer } from "../train/viewer.ts";
import { chooseConditions } from "./conditions.ts";
import { drawAll, type DrawnImages, drawRows } from "./rows.ts";

/** Width in pixels that the picture should about have. */
const PICTURE_WIDTH = 640;

/** Samples of each text where --count does not say. */
const TEXT_SAMPLES = 8;

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
  const { text: texts, mapper, bank: bankPath, out } = options;
  if ((texts.length > 0) !== (mapper !== undefined)) {
    throw new UsageError("Cannot draw from texts: expected both --text TEXT and --mapper FILE");
  }
  const makesLatents = config.data.kind === "latents";
  const asLatents = makesLatents && out.endsWith(".safetensors");
  using viewer = asLatents ? undefined : await openViewer(config.data, dirname(found.checkpoint));
  if (!asLatents && viewer === undefined) {
    throw new UsageError(
      `Cannot draw samples of ${found.checkpoint}: its model makes latents, expected their decoder ` +
        "by --set data.decoder=FILE.onnx, or --out FILE.safetensors for the latents",
    );
  }
  await prepareOutput(out, {
    inputs: [bankPath, bankPathOf(found), mapper, options.onnx],
    endings: makesLatents ? [".png", ".safetensors"] : [".png"],
  });
  using device = await Device.open({
    allowFallback: config.device.allowCpuDriver,
    variants: config.device.variants,
    ...tunedOptions((line) => console.error(line)),
  });
  console.error(`device  ${device.profile.label}`);
  using trained = openTrained(device, { ...found, bank: bankPath });
  if (bankPath !== undefined) {
    checkRunEncoder({
      bank: trained.bank!,
      path: bankPath,
      ownPath: bankPathOf(found),
      checkpoint: found.checkpoint,
      anyEncoder: options["any-encoder"],
      note: (line) => console.error(`note    ${line}`),
    });
  }

  const started = performance.now();
  const columns = options.count ?? TEXT_SAMPLES;
  const { images, evaluations, sources } = mapper === undefined
    ? { ...await drawChosen(trained, device), sources: undefined }
    : await drawTexts(trained, { device, texts, mapper, onnx: options.onnx, columns });
  const count = texts.length > 0 ? texts.length * columns : config.sample.count;
  if (viewer) {
    const viewed = await viewer.view(images);
    const picture = texts.length > 0
      ? pictureOfRows([...sources ?? [], { images: viewed, columns }], viewer)
      : grid(viewed, { viewer, config });
    await writing(out, () => Deno.writeFile(out, encodePng(picture)));
  } else {
    writeLatents(out, images, { ...found, count });
  }
  const seconds = (performance.now() - started) / 1000;
  console.error(
    `wrote   ${out}: ${counted(count, asLatents ? "latent" : "image")} by ` +
      `${config.sample.sampler}, ` +
      `${evaluations} network evaluations each (NFE), ${seconds.toFixed(1)} s`,
  );
  if (options.json) {
    console.log(JSON.stringify({ out, count, step, evaluations, seconds }));
  }
}

/** Draws from snippets or labels that the seed chooses. */
async function drawChosen(trained: TrainedModel, device: Device): Promise<DrawnImages> {
  const { model, config } = trained;
  return await drawAll({
    model,
    config: config.sample,
    count: config.sample.count,
    conditionOf: chooseConditions(trained, { device, seed: config.sample.seed }),
    ...pathOf(config),
  });
}

/**
 * Draws a row of images from each text: encoded, mapped to a snippet, and drawn from as from any. In
 * front, where the run's images are there, that of the bank's snippet nearest to it.
 */
async function drawTexts(
  trained: TrainedModel,
  options: {
    readonly device: Device;
    readonly texts: readonly string[];
    readonly mapper: string;
    readonly onnx: string | undefined;
    readonly columns: number;
  },
): Promise<DrawnImages & { sources: RowPart[] | undefined }> {
  const { device, texts, mapper: path, onnx, columns } = options;
  const { model, bank, config } = trained;
  if (bank === undefined) {
    throw new TypeError(
      `Cannot draw from texts with ${trained.checkpoint}: the model is guided by labels, ` +
        "expected one with model.conditioning snippet",
    );
  }
  const { source, target } = readMapperEnds(path);
  using encoder = await textEncoderOf(source, { onnx });
  // An imported bank may not name its encoder; a snippet of another length is refused all the same.
  using owned = loadMapper(device, path, {
    source: encoder.description,
    target: bank.encoder ?? { ...target, dim: bank.dim },
  });
  const snippets = await mapVectors(owned.mapper, await encoder.encode(texts));
  const found = await nearestSnippets(device, { bank, queries: snippets, count: 1 });
  const indices = found.map(([near]) => near!.index);
  for (const [row, text] of texts.entries()) {
    const index = indices[row]!;
    const name = bank.texts?.[index] || bank.names?.[index] || `snippet ${index}`;
    console.error(
      `text    ${text}: nearest to ${name}, cosine ${found[row]![0]!.cosine.toFixed(3)}`,
    );
  }
  const note = (line: string) => console.error(line);
  const near = config.data.kind === "latents"
    ? undefined
    : await imagesOfRun(trained, { device, bank, indices, note });
  const drawn = await drawRows({
    model,
    config: config.sample,
    snippets,
    noises: columns,
    ...pathOf(config),
  });
  return { ...drawn, sources: near && [{ images: near, columns: 1 }] };
}

/** A picture of samples in rows. */
function grid(
  images: Float32Array,
  { viewer, config: { sample } }: { viewer: Viewer; config: CheckpointConfig["config"] },
): RawImage {
  const { count, columns } = sample, { channels, imageSize } = viewer;
  return tileImages(images, {
    columns: Math.min(columns, count),
    imageSize,
    channels,
    scale: Math.max(1, Math.round(PICTURE_WIDTH / (columns * imageSize))),
  });
}

/** Writes latents [n, C, H, W] on the scale of their tokenizer, for its decoder. */
function writeLatents(
  path: string,
  latents: Float32Array,
  { checkpoint, config: { data }, count }: CheckpointConfig & { readonly count: number },
): void {
  const { channels, imageSize } = data;
  unscaleLatents(latents, latentScaling(data, dirname(checkpoint)), imageSize ** 2);
  const shape = [count, channels, imageSize, imageSize];
  writeSafetensors(path, [["latents", { dtype: "F32", shape, data: latents }]]);
}
