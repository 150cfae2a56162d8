/**
 * What programs that draw check of the options that name a model and say how it draws.
 *
 * @module
 */

import { type SamplerName, SAMPLERS } from "../sample/samplers.ts";
import { UsageError } from "./arguments.ts";

/** The options that name a model. */
export interface ModelOptions {
  /** A checkpoint, or the folder of a run. */
  readonly checkpoint: string | undefined;
  /** A file of weights in place of a checkpoint. */
  readonly weights: string | undefined;
  /** The time of the network in that file runs from data to noise. */
  readonly reversed: boolean;
  /** Attention heads of the network in that file. */
  readonly heads: number | undefined;
}

/** Throws a UsageError where two models are named, or what only files of weights are asked. */
export function checkModelOptions(options: ModelOptions): void {
  const { checkpoint, weights, reversed, heads } = options;
  if (weights === undefined) {
    if (!reversed && heads === undefined) return;
    throw new UsageError(
      `Cannot take ${reversed ? "--reversed" : "--heads"}: it is about a file of weights, ` +
        "expected --weights FILE",
    );
  }
  if (checkpoint === undefined) return;
  throw new UsageError(
    "Cannot take two models: expected either --checkpoint DIR or --weights FILE",
  );
}

/** Throws a UsageError where weights are to be turned, which changes the sign of the output, and predict no velocity. */
export function checkReversed(reversed: boolean, prediction: string): void {
  if (!reversed || prediction === "velocity") return;
  throw new UsageError(
    `Cannot take --reversed with interpolant.prediction ${prediction}: it changes the sign of what the ` +
      "network puts out, as velocities need it, expected velocity",
  );
}

/** Keys of where guidance acts. */
const GUIDANCE_KEYS = /^(sample\.guidance\.(?:interval|channels))\s*=/;

/** Keys of what only samplers of the SDE do. */
const SDE_KEYS = /^(sample\.(?:diffusion(?:\.\w+)?|lastStep|lastStepSize))\s*=/;

/**
 * Throws a UsageError where settings of the command line say how to draw what the sampler does not do: the noise or the
 * last step of the SDE with one of the ODE, steps with one that has its own, or where guidance acts that there is not.
 */
export function checkSampler(
  set: readonly string[],
  { sampler, guidance }: {
    readonly sampler: SamplerName;
    readonly guidance: { readonly scale: number };
  },
): void {
  const { kind } = SAMPLERS[sampler];
  const key = set.map((setting) => SDE_KEYS.exec(setting)?.[1]).find((key) => key !== undefined);
  if (kind !== "sde" && key !== undefined) {
    throw new UsageError(
      `Cannot take ${key} with ${sampler}: it is about samplers of the SDE, expected one as sample.sampler, ` +
        "such as sde-heun, or the key left out",
    );
  }
  const guided = set.map((setting) => GUIDANCE_KEYS.exec(setting)?.[1])
    .find((key) => key !== undefined);
  if (guidance.scale === 1 && guided !== undefined) {
    throw new UsageError(
      `Cannot take ${guided}: nothing is guided at sample.guidance.scale 1, expected another scale, or the ` +
        "key left out",
    );
  }
  if (kind === "adaptive" && set.some((setting) => /^sample\.steps\s*=/.test(setting))) {
    throw new UsageError(
      `Cannot take sample.steps with ${sampler}: its steps follow from the error, expected it left out`,
    );
  }
}

/**
 * Throws a UsageError where options do not go with the model that they name: what {@linkcode checkSampler} refuses,
 * steps for a sampler that has its own, weights without the bank that guides them, or a bank where labels do; and what
 * {@linkcode checkReversed} refuses.
 */
export function checkDrawing(
  { set, steps, checkpoint, weights, reversed, bank }: Omit<ModelOptions, "heads"> & {
    readonly set: readonly string[];
    readonly steps: number | undefined;
    readonly bank: string | undefined;
  },
  { sample, model: { conditioning }, interpolant: { prediction } }: {
    readonly sample: {
      readonly sampler: SamplerName;
      readonly guidance: { readonly scale: number };
    };
    readonly model: { readonly conditioning: "label" | "snippet" };
    readonly interpolant: { readonly prediction: string };
  },
): void {
  const { sampler } = sample;
  checkReversed(reversed, prediction);
  checkSampler(set, sample);
  if (steps !== undefined && SAMPLERS[sampler].kind === "adaptive") {
    throw new UsageError(
      `Cannot take --steps with ${sampler}: its steps follow from the error, expected it left out`,
    );
  }
  if (bank !== undefined && conditioning === "label") {
    throw new UsageError(
      `Cannot guide ${weights ?? checkpoint} by ${bank}: the model is guided by labels, ` +
        "expected one with model.conditioning snippet",
    );
  }
  if (weights !== undefined && bank === undefined && conditioning === "snippet") {
    throw new UsageError(
      `Cannot draw with ${weights}: its network is guided by snippets, expected --bank FILE`,
    );
  }
}

/** Settings of how samples are drawn, for those of the options that were given. */
export function sampleOverrides(
  options: {
    readonly [Key in "sampler" | "steps" | "count" | "seed"]?: string | number | undefined;
  },
): string[] {
  return Object.entries(options).flatMap(([key, value]) =>
    value === undefined ? [] : [`sample.${key}=${value}`]
  );
}

/** The error for latents, of a model or of data, that no decoder makes images; `instead` goes without. */
export function missingDecoder(
  source: string,
  { instead }: { readonly instead: string },
): UsageError {
  return new UsageError(
    `Cannot make images of ${source}: its data are latents, expected their decoder by --set ` +
      `data.decoder=FILE.onnx, or ${instead}`,
  );
}
