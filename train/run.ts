/**
 * From a configuration and images to everything that a run needs.
 *
 * @module
 */

import { join } from "node:path";
import type { Bank } from "../bank/bank.ts";
import type { Encoder } from "../bank/encoders/encoder.ts";
import { encoderOfBank } from "../bank/encoders/open.ts";
import { loadBank } from "../bank/load.ts";
import { makeBank, type Places } from "../bank/make.ts";
import type { Device } from "../kernels/core/device.ts";
import { ParameterStore } from "../kernels/core/parameter_store.ts";
import type { Tensor } from "../kernels/core/tensor.ts";
import type { ModelConfig } from "../model/config.ts";
import { gvpInterpolant } from "../model/interpolants/gvp.ts";
import type { Interpolant } from "../model/interpolants/interpolant.ts";
import { linearInterpolant } from "../model/interpolants/linear.ts";
import { vpInterpolant } from "../model/interpolants/vp.ts";
import { SiT, type SiTOptions } from "../model/sit.ts";
import type { Path } from "../sample/network.ts";
import type { Config } from "./config.ts";
import type { ImageSet } from "./datasets/image_set.ts";
import { Trainer } from "./trainer.ts";

const INTERPOLANTS: Readonly<Record<Config["interpolant"]["path"], Interpolant>> = {
  linear: linearInterpolant,
  gvp: gvpInterpolant,
  vp: vpInterpolant,
};

/** The path and prediction that an `interpolant` section means. */
export function pathOf(config: Pick<Config, "interpolant">): Required<Path> {
  const { path, prediction } = config.interpolant;
  return { interpolant: INTERPOLANTS[path], prediction };
}

/** The model options that a `model` section means for given data. */
export function modelOptions(
  config: ModelConfig,
  data: { imageSize: number; channels: number; classes: number; snippetDim: number },
): SiTOptions {
  const { name: _, conditioning, snippetEmbedding, repa, classDropout: __, ...sizes } = config;
  return {
    ...sizes,
    inputSize: data.imageSize,
    channels: data.channels,
    condition: conditioning === "label"
      ? { classes: data.classes }
      : { snippetDim: data.snippetDim, embedding: snippetEmbedding },
    ...(repa && {
      projector: { depth: repa.depth, width: repa.projectorWidth, targetWidth: repa.targetWidth },
    }),
  };
}

/** Everything that trains together. */
export interface Run extends Disposable {
  readonly device: Device;
  /** The images to train on. */
  readonly dataset: ImageSet;
  /** Their snippets; undefined with label conditioning. */
  readonly bank: Bank | undefined;
  /** What made the snippets, where it can encode more images. */
  readonly encoder: Encoder | undefined;
  readonly model: SiT;
  readonly trainer: Trainer;
  /** The condition of images of the data set: their snippets [n, d] or labels u32 [n]. */
  conditionOf(indices: Uint32Array): Tensor;
}

/** Builds (or loads) the bank, makes the model and its trainer. */
export async function buildRun(options: {
  device: Device;
  config: Config;
  train: ImageSet;
  /** Which of all images those to train on are, for files that have something for each of all. */
  places?: Places;
  runDirectory: string;
  /** Take the bank that the run was started with; a fresh run builds its own. */
  resume: boolean;
  note: (line: string) => void;
  /** Called with the number of images encoded, where a bank is built. */
  onEncoded?: (done: number, total: number) => void;
}): Promise<Run> {
  const { device, config, train } = options;
  if (config.model.repa !== null) {
    throw new RangeError("Cannot train with model.repa: this version has no alignment loss");
  }
  const snippets = config.model.conditioning === "snippet" ? await prepareBank(options) : undefined;
  const bank = snippets?.bank;
  const store = new ParameterStore(device, { seed: config.train.seed });
  const model = new SiT(
    store,
    modelOptions(config.model, {
      imageSize: train.imageSize,
      channels: train.channels,
      classes: Math.max(train.classes.length, 1),
      snippetDim: bank?.dim ?? 0,
    }),
  );
  const { mask } = config.bank;
  const { weighting, timeDistribution, cosineLoss } = config.interpolant;
  const { learningRate, warmupSteps, ...optimizer } = config.optimizer;
  const { batchSize, gradientAccumulation, seed, clip, emaDecay, emaWarmup, recompute } =
    config.train;
  const { precision, lossScaleInterval } = config.train;
  const trainer = new Trainer({
    model,
    dataset: train,
    bank,
    ...pathOf(config),
    weighting,
    timeDistribution,
    cosineLoss,
    mask: mask.kind === "none" ? undefined : { kind: mask.kind, ratio: mask.ratio },
    classDropout: config.model.classDropout,
    flip: config.data.flip,
    learningRate,
    warmupSteps,
    optimizer,
    batchSize,
    gradientAccumulation,
    seed,
    clip,
    emaDecay,
    emaWarmup,
    recompute,
    precision,
    lossScaleInterval,
  });
  return {
    device,
    dataset: train,
    bank,
    encoder: snippets?.encoder,
    model,
    trainer,
    conditionOf: (indices) =>
      bank
        ? bank.gather(indices)
        : device.tensor(indices.map((i) => train.labels[i]!), [indices.length]),
    [Symbol.dispose]() {
      trainer.dispose();
      store.dispose();
      bank?.[Symbol.dispose]();
      snippets?.encoder?.[Symbol.dispose]();
    },
  };
}

/** The bank of a run: the configured file, the one that a resumed run has, or a new one. */
async function prepareBank(options: Parameters<typeof buildRun>[0]): Promise<
  { bank: Bank; encoder: Encoder | undefined }
> {
  const { device, config, train, places, runDirectory, resume, note, onEncoded } = options;
  const built = join(runDirectory, "bank.safetensors");
  const file = config.bank.path ?? (resume && exists(built) ? built : undefined);
  if (file) {
    const bank = loadBank(device, file);
    note(`bank    ${file}: ${bank.size} snippets of ${bank.dim}`);
    const encoder = await encoderOfBank(bank, { device }).catch((error: Error) => {
      // Training goes by the snippets alone; only the report at its end encodes images.
      note(`        no report at the end: ${error.message}`);
      return undefined;
    });
    return { bank, encoder };
  }
  const started = performance.now();
  const encoder = await makeBank({
    device,
    config: config.bank,
    images: train,
    places,
    path: built,
    onProgress: onEncoded,
  });
  const bank = loadBank(device, built);
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  const by = config.bank.encoder;
  note(`bank    ${bank.size} snippets of ${bank.dim} by ${by} in ${seconds} s, in ${built}`);
  return { bank, encoder };
}

function exists(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}
