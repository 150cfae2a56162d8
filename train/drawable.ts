/**
 * Whether a configuration can be drawn with, which programs ask before long work.
 *
 * @module
 */

import type { Device } from "../kernels/core/device.ts";
import { checkSampling } from "../sample/draw.ts";
import { pathOf } from "../sample/network.ts";
import type { Config } from "./config.ts";
import { SettingError } from "./setting_error.ts";

/**
 * Throws a `SettingError` where the path is singular at a time of `sample.sampler`, no time is left for its steps,
 * or guidance has no null class to lead away from.
 */
export function requireDrawable(
  device: Device,
  { sample, model, interpolant }: Pick<Config, "sample" | "model" | "interpolant">,
): void {
  const { sampler, guidance: { scale } } = sample;
  if (scale !== 1 && model.conditioning === "label" && model.classDropout === 0) {
    throw new SettingError(
      `Cannot draw with sample.guidance.scale ${scale}: model.classDropout is 0, without which there is no ` +
        "null class to guide away from, expected 1, or a network that was trained with some",
    );
  }
  try {
    checkSampling(device, { config: sample, ...pathOf({ interpolant }) });
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause;
    throw new SettingError(
      `Cannot draw with sample.sampler ${sampler} as sample.epsilon, sample.lastStepSize and sample.diffusion ` +
        `are: ${cause.message}`,
      { cause },
    );
  }
}
