/**
 * The sigmoid linear unit.
 *
 * @module
 */

import activation from "../common/activation.wgsl.ts";
import texelOf from "../common/texel_of.wgsl.ts";
import { spreadWorkgroups } from "../core/device.ts";
import { Kernel } from "../core/kernel.ts";
import { stagedVariant } from "../core/staged_variant.ts";
import type { Tensor } from "../core/tensor.ts";
import backwardSource from "./backward.wgsl.ts";
import backwardTextureSource from "./backward_texture.wgsl.ts";
import forwardSource from "./forward.wgsl.ts";
import forwardTextureSource from "./forward_texture.wgsl.ts";

const includes = [activation];
const FORWARD = {
  storage: new Kernel({ source: forwardSource, includes }),
  texture: new Kernel({ source: forwardTextureSource, includes: [...includes, texelOf] }),
} as const;
const BACKWARD = {
  storage: new Kernel({ source: backwardSource, includes }),
  texture: new Kernel({ source: backwardTextureSource, includes: [...includes, texelOf] }),
} as const;

/**
 * silu(x) = x / (1 + exp(−x)), element by element for `x` of any shape ("Gaussian error linear
 * units", Hendrycks and Gimpel, 2016). Finite for every finite x.
 */
export function silu(x: Tensor): Tensor {
  const { device } = x;
  const out = device.empty(x.shape);
  const { elements } = x, vectors = Math.ceil(elements / 4);
  const workgroups = spreadWorkgroups(Math.ceil(vectors / 64));
  const variant = stagedVariant(device, "silu", { among: FORWARD, otherwise: "storage", elements });
  device.dispatch(FORWARD[variant], { tensors: { x, out }, params: { vectors }, workgroups });
  device.tape?.push({
    name: "silu",
    inputs: [x],
    output: out,
    saved: [x],
    backward(dy, gradients) {
      gradients.into(x, (dx, accumulate) =>
        device.dispatch(BACKWARD[variant], {
          tensors: { x, dy, dx },
          params: { elements, accumulate },
          workgroups,
        }));
    },
  });
  return out;
}
