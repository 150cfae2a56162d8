/**
 * The `sample` section of a configuration: how images are drawn, with all its defaults.
 *
 * @module
 */

import { z } from "zod";
import { type DeepPartial, readWithSchema } from "../model/schema.ts";
import { DIFFUSION_FORMS, type DiffusionForm } from "../model/interpolants/interpolant.ts";
import { type NamedSampler, SAMPLER_NAMES, type SamplerName, SAMPLERS } from "./samplers.ts";
import { LAST_STEPS, type LastStep } from "./sde.ts";

/** Classifier-free guidance, away from what the network draws without a snippet or class. */
export interface GuidanceConfig {
  /**
   * Strength of classifier-free guidance: the velocity is v_null + scale (v_cond - v_null), with
   * v_null that without a snippet or class; 1 means none.
   */
  readonly scale: number;
  /** Times [low, high] between which guidance acts; t = 0 is noise and t = 1 is data. */
  readonly interval: readonly [low: number, high: number];
  /** Channels that are guided; first3 is what the released SiT does. */
  readonly channels: "all" | "first3";
}

/** The diffusion coefficient w(t) of the reverse SDE dx = (v + w s) dt + sqrt(2 w) dW. */
export interface DiffusionConfig {
  /** Shape of the coefficient over time. */
  readonly form: DiffusionForm;
  /** Factor on the coefficient. */
  readonly norm: number;
}

/** The `sample` section: the sampler and its knobs. */
export interface SampleConfig {
  /**
   * ODE samplers: euler, heun, midpoint, rk4, dopri5 (adaptive); SDE samplers: euler-maruyama,
   * sde-heun.
   */
  readonly sampler: SamplerName;
  /** Number of steps from noise to data; dopri5 chooses its own, by the error. */
  readonly steps: number;
  /** Classifier-free guidance. */
  readonly guidance: GuidanceConfig;
  /** Noise that SDE samplers add on the way. */
  readonly diffusion: DiffusionConfig;
  /** What SDE samplers do at the end, where the score is not defined. */
  readonly lastStep: LastStep;
  /** Length of that last step in time. */
  readonly lastStepSize: number;
  /**
   * Below 1 puts more steps at the noise end: t becomes s t / (1 + (s - 1) t); 1 leaves them even.
   */
  readonly timestepShift: number;
  /**
   * Distance from the ends of time at which the path or the noise is singular; null takes the official
   * one, which leaves none for the noise of sbdm.
   */
  readonly epsilon: number | null;
  /** Seed of the noise and of the choice of snippets. */
  readonly seed: number;
  /** Number of images to draw. */
  readonly count: number;
  /** Images in a row of the picture. */
  readonly columns: number;
}

const guidanceSchema: z.ZodType<GuidanceConfig> = z.strictObject({
  scale: z.number().min(0).default(1)
    .describe(
      "Strength of classifier-free guidance: the velocity is v_null + scale (v_cond - v_null), with " +
        "v_null that without a snippet or class; 1 means none",
    ),
  interval: z.tuple([z.number().min(0).max(1), z.number().min(0).max(1)]).default([0, 1])
    .describe("Times [low, high] between which guidance acts; t = 0 is noise and t = 1 is data"),
  channels: z.enum(["all", "first3"]).default("all")
    .describe("Channels that are guided; first3 is what the released SiT does"),
}).superRefine(({ interval: [low, high] }, context) => {
  if (low >= high) {
    context.addIssue({
      code: "custom",
      path: ["interval"],
      message: `is [${low}, ${high}], expected the first to be below the second`,
    });
  }
});

const diffusionSchema: z.ZodType<DiffusionConfig> = z.strictObject({
  form: z.enum(DIFFUSION_FORMS).default("sigma").describe("Shape of the coefficient over time"),
  norm: z.number().gt(0).default(1).describe("Factor on the coefficient"),
});

/** Reads a `sample` section: checks it and fills in defaults. */
export const sampleSchema: z.ZodType<SampleConfig> = z.strictObject({
  sampler: z.enum(SAMPLER_NAMES).default("heun").describe(
    `ODE samplers: ${namesOf("ode")}, ${namesOf("adaptive")} (adaptive); ` +
      `SDE samplers: ${namesOf("sde")}`,
  ),
  steps: z.int().min(1).max(100_000).default(50)
    .describe("Number of steps from noise to data; dopri5 chooses its own, by the error"),
  guidance: guidanceSchema.prefault({}).describe("Classifier-free guidance"),
  diffusion: diffusionSchema.prefault({}).describe("Noise that SDE samplers add on the way"),
  lastStep: z.enum(LAST_STEPS).default("mean")
    .describe("What SDE samplers do at the end, where the score is not defined"),
  lastStepSize: z.number().gt(0).lt(1).default(0.04)
    .describe("Length of that last step in time"),
  timestepShift: z.number().gt(0).default(1)
    .describe(
      "Below 1 puts more steps at the noise end: t becomes s t / (1 + (s - 1) t); 1 leaves them even",
    ),
  epsilon: z.number().gt(0).lt(0.5).nullable().default(null)
    .describe(
      "Distance from the ends of time at which the path or the noise is singular; null takes the " +
        "official one, which leaves none for the noise of sbdm",
    ),
  seed: z.int().min(0).default(0).describe("Seed of the noise and of the choice of snippets"),
  count: z.int().min(1).max(100_000).default(16).describe("Number of images to draw"),
  columns: z.int().min(1).default(4).describe("Images in a row of the picture"),
}).superRefine(({ sampler, steps, timestepShift }, context) => {
  const { kind } = SAMPLERS[sampler];
  if (timestepShift !== 1 && kind !== "ode") {
    const whose = kind === "adaptive" ? "follow from the error" : "are even";
    context.addIssue({
      code: "custom",
      path: ["timestepShift"],
      message: `is ${timestepShift}, expected 1 with ${sampler}, whose steps ${whose}`,
    });
  }
  if (kind === "sde" && steps < 2) {
    context.addIssue({
      code: "custom",
      path: ["steps"],
      message: `is ${steps}, expected at least 2 with ${sampler}, the last one among them`,
    });
  }
});

/**
 * Checks settings to draw with, and fills in the defaults.
 *
 * Throws a SyntaxError with every unknown name and wrong value.
 */
export function resolveSample(settings: DeepPartial<SampleConfig> = {}): SampleConfig {
  return readWithSchema(sampleSchema, settings, { name: "what to draw with" });
}

function namesOf(kind: NamedSampler["kind"]): string {
  return SAMPLER_NAMES.filter((name) => SAMPLERS[name].kind === kind).join(", ");
}
