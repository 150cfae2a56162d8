/**
 * What is compared: sets of samples, each of a model at a step, under a condition, from a sampler.
 *
 * @module
 */

import type { SampleConfig } from "../sample/config.ts";

/** Images that one unit of work evaluates the network for. */
export const UNIT_IMAGES = 32;

/** A model to train: guided by labels, or by snippets of which a part is hidden. */
export type ModelArm = "label" | { readonly maskRatio: number };

/** What a set of samples is conditioned on; each entry stands for one snippet or label a sample. */
export type Condition =
  /** Snippets, or for the label model labels, of training images spread evenly over all. */
  | { readonly of: "train"; readonly rank?: number }
  /** Snippets of held-out images spread evenly over all; each once where the number is theirs. */
  | { readonly of: "heldOut" }
  /** The snippets at a share of the way from the first to the second of each random pair. */
  | { readonly of: "pairs"; readonly share: number }
  /** Random snippets of the training images. */
  | { readonly of: "random"; readonly seed: number };

/** A set of samples: a model at a step, what guides it, and how it is drawn. */
export interface Arm {
  /** The model. */
  readonly model: ModelArm;
  /** Training steps that it had. */
  readonly step: number;
  /** What guides the samples. */
  readonly condition: Condition;
  /** Number of samples; sample i starts from noise i, whatever the arm. */
  readonly count: number;
  /** The sampler. */
  readonly sampler: Exclude<SampleConfig["sampler"], "dopri5">;
  /** Evaluations of the network for each sample, at most. */
  readonly evaluations: number;
  /** Seed of the noise. */
  readonly seed: number;
}

/** A model in words. */
export function nameOf(arm: ModelArm): string {
  return arm === "label" ? "label" : `GMem, mask ${arm.maskRatio}`;
}

/** Steps of a sampler that cost at most the evaluations of an arm. */
export function stepsFor({ sampler, evaluations }: Pick<Arm, "sampler" | "evaluations">): number {
  switch (sampler) {
    case "euler":
    case "euler-maruyama":
      return evaluations;
    case "heun":
    case "midpoint":
      return Math.floor(evaluations / 2);
    case "rk4":
      return Math.floor(evaluations / 4);
    case "sde-heun":
      // Its last step costs one evaluation, the others two.
      return Math.floor((evaluations + 1) / 2);
  }
}

/** Units of work that an arm costs: evaluations of the network for {@linkcode UNIT_IMAGES}. */
export function unitsOf({ count, evaluations }: Arm): number {
  return Math.ceil(count * evaluations / UNIT_IMAGES);
}
