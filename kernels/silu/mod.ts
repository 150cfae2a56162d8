/**
 * The sigmoid linear unit.
 *
 * @module
 */

import activation from "../common/activation.wgsl.ts";
import texelOf from "../common/texel_of.wgsl.ts";
import { elementwise, type ElementwiseOp } from "../core/elementwise.ts";
import { Kernel } from "../core/kernel.ts";
import type { Tensor } from "../core/tensor.ts";
import backwardSource from "./backward.wgsl.ts";
import backwardTextureSource from "./backward_texture.wgsl.ts";
import forwardSource from "./forward.wgsl.ts";
import forwardTextureSource from "./forward_texture.wgsl.ts";

const includes = [activation];

/** The kernels of silu. */
export const SILU: ElementwiseOp = {
  name: "silu",
  forward: {
    storage: new Kernel({ source: forwardSource, includes }),
    texture: new Kernel({ source: forwardTextureSource, includes: [...includes, texelOf] }),
  },
  backward: {
    storage: new Kernel({ source: backwardSource, includes }),
    texture: new Kernel({ source: backwardTextureSource, includes: [...includes, texelOf] }),
  },
};

/**
 * silu(x) = x / (1 + exp(−x)), element by element for `x` of any shape ("Gaussian error linear
 * units", Hendrycks and Gimpel, 2016). Finite for every finite x.
 *
 * @example
 * ```ts
 * import { Device, silu } from "@gmem/gmem/kernels";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * using x = device.tensor(Float32Array.of(0, 1, 20), [3]);
 * using y = silu(x);
 * console.log(...Array.from(await y.read(), (value) => value.toFixed(3))); // 0.000 0.731 20.000
 * ```
 */
export function silu(x: Tensor): Tensor {
  return elementwise(x, SILU);
}
