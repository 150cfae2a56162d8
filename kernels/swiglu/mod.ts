/**
 * The gated linear unit of SwiGLU networks.
 *
 * @module
 */

import activation from "../common/activation.wgsl.ts";
import { spreadWorkgroups } from "../core/device.ts";
import { Kernel } from "../core/kernel.ts";
import { formatShape, type Tensor } from "../core/tensor.ts";
import backwardSource from "./backward.wgsl.ts";
import backwardTextureSource from "./backward_texture.wgsl.ts";
import forwardSource from "./forward.wgsl.ts";
import forwardTextureSource from "./forward_texture.wgsl.ts";

const includes = [activation];
const FORWARD = new Kernel({ source: forwardSource, includes });
const FORWARD_TEXTURE = new Kernel({ source: forwardTextureSource, includes });
const BACKWARD = new Kernel({ source: backwardSource, includes });
const BACKWARD_TEXTURE = new Kernel({ source: backwardTextureSource, includes });

/**
 * silu(x₁) · x₂ of the two halves of the last axis: `x` [..., 2h] gives [..., h], gate first
 * ("GLU variants improve transformer", Shazeer, 2020, eq. 5, after its products). Any h.
 *
 * Throws `TypeError` when the last axis is odd.
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
  const picked = device.profile.driver === "cpu" ? "texture" : "scalar";
  const vectors = half % 4 === 0 && device.variant("swiglu", picked) === "texture";
  const size = vectors ? { vectors: elements / 4, width: half / 4 } : { elements, width: half };
  const workgroups = spreadWorkgroups(Math.ceil((vectors ? elements / 4 : elements) / 64));
  device.dispatch(vectors ? FORWARD_TEXTURE : FORWARD, {
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
        device.dispatch(vectors ? BACKWARD_TEXTURE : BACKWARD, {
          tensors: { x, dy, dx },
          params: { ...size, accumulate },
          workgroups,
        }));
    },
  });
  return out;
}
