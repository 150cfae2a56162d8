/**
 * The gated linear unit of SwiGLU networks.
 *
 * @module
 */

import activation from "../common/activation.wgsl.ts";
import texelOf from "../common/texel_of.wgsl.ts";
import { spreadWorkgroups } from "../core/device.ts";
import { Kernel } from "../core/kernel.ts";
import { stagedVariant } from "../core/staged_variant.ts";
import { formatShape, type Tensor } from "../core/tensor.ts";
import backwardSource from "./backward.wgsl.ts";
import backwardTextureSource from "./backward_texture.wgsl.ts";
import backwardVectorSource from "./backward_vector.wgsl.ts";
import forwardSource from "./forward.wgsl.ts";
import forwardTextureSource from "./forward_texture.wgsl.ts";
import forwardVectorSource from "./forward_vector.wgsl.ts";

const includes = [activation];
/** The forward kernel by its variant. */
export const FORWARD: Readonly<Record<"scalar" | "texture" | "vector", Kernel>> = {
  scalar: new Kernel({ source: forwardSource, includes }),
  texture: new Kernel({ source: forwardTextureSource, includes: [...includes, texelOf] }),
  vector: new Kernel({ source: forwardVectorSource, includes }),
};
const BACKWARD = {
  scalar: new Kernel({ source: backwardSource, includes }),
  texture: new Kernel({ source: backwardTextureSource, includes: [...includes, texelOf] }),
  vector: new Kernel({ source: backwardVectorSource, includes }),
} as const;

/**
 * silu(x₁) · x₂ of the two halves of the last axis: `x` [..., 2h] gives [..., h], gate first
 * ("GLU variants improve transformer", Shazeer, 2020, eq. 5, after its products). Any h.
 *
 * Throws `TypeError` when the last axis is odd.
 *
 * @example
 * ```ts
 * import { Device, swiglu } from "@gmem/gmem/kernels";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * using x = device.tensor(Float32Array.of(0, 1, 20, 5, 6, 7), [1, 6]); // 3 gates, then 3 values
 * using y = swiglu(x);
 * console.log(...Array.from(await y.read(), (value) => value.toFixed(3))); // 0.000 4.386 140.000
 * ```
 */
export function swiglu(x: Tensor): Tensor {
  const { device } = x;
  const doubled = x.shape.at(-1) ?? 0;
  if (doubled === 0 || doubled % 2 !== 0) {
    throw new TypeError(
      `Cannot apply swiglu to ${formatShape(x.shape)}: expected an even last axis`,
    );
  }
  const half = doubled / 2;
  const out = device.empty([...x.shape.slice(0, -1), half]);
  const { elements } = out;
  const variant = stagedVariant(device, "swiglu", {
    among: FORWARD,
    otherwise: "vector",
    only: half % 4 === 0 ? undefined : "scalar",
  });
  const scalar = variant === "scalar";
  const size: Readonly<Record<string, number>> = scalar
    ? { elements, width: half }
    : { vectors: elements / 4, width: half / 4 };
  const workgroups = spreadWorkgroups(Math.ceil((scalar ? elements : elements / 4) / 64));
  device.dispatch(FORWARD[variant], {
    tensors: { x, out },
    params: size,
    workgroups,
  });
  device.tape?.push({
    name: "swiglu",
    inputs: [x],
    output: out,
    saved: [x],
    backward(dy, gradients) {
      gradients.into(x, (dx, accumulate) =>
        device.dispatch(BACKWARD[variant], {
          tensors: { x, dy, dx },
          params: { ...size, accumulate },
          workgroups,
        }));
    },
  });
  return out;
}
