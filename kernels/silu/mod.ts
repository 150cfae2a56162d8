/**
 * The sigmoid linear unit.
 *
 * @module
 */

import activation from "../common/activation.wgsl.ts";
import texelOf from "../common/texel_of.wgsl.ts";
import { type Device, spreadWorkgroups } from "../core/device.ts";
import { Kernel } from "../core/kernel.ts";
import type { Tensor } from "../core/tensor.ts";
import backwardSource from "./backward.wgsl.ts";
import backwardTextureSource from "./backward_texture.wgsl.ts";
import forwardSource from "./forward.wgsl.ts";
import forwardTextureSource from "./forward_texture.wgsl.ts";

/** How the kernels read their inputs. */
export type SiluVariant = "storage" | "texture";

const includes = [activation];
const FORWARD: Readonly<Record<SiluVariant, Kernel>> = {
  storage: new Kernel({ source: forwardSource, includes }),
  texture: new Kernel({ source: forwardTextureSource, includes: [...includes, texelOf] }),
};
const BACKWARD: Readonly<Record<SiluVariant, Kernel>> = {
  storage: new Kernel({ source: backwardSource, includes }),
  texture: new Kernel({ source: backwardTextureSource, includes: [...includes, texelOf] }),
};

/** Elements from which a CPU driver gains more by textures than their copies cost. */
const TEXTURE_ELEMENTS = 16_384;

/**
 * silu(x) = x / (1 + exp(−x)), element by element for `x` of any shape ("Gaussian error linear
 * units", Hendrycks and Gimpel, 2016). Finite for every finite x.
 */
export function silu(x: Tensor): Tensor {
  const { device } = x;
  const out = device.empty(x.shape);
  const { elements } = x, vectors = Math.ceil(elements / 4);
  const workgroups = spreadWorkgroups(Math.ceil(vectors / 64));
  const variant = variantOf(device, elements);
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

function variantOf(device: Device, elements: number): SiluVariant {
  const texture = device.profile.driver === "cpu" && elements >= TEXTURE_ELEMENTS;
  return device.variant("silu", texture ? "texture" : "storage", { among: FORWARD });
}
