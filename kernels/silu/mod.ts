/**
 * The sigmoid linear unit.
 *
 * @module
 */

import activation from "../common/activation.wgsl.ts";
import { spreadWorkgroups } from "../core/device.ts";
import { Kernel } from "../core/kernel.ts";
import type { Tensor } from "../core/tensor.ts";
import backwardSource from "./backward.wgsl.ts";
import forwardSource from "./forward.wgsl.ts";

const FORWARD = new Kernel({ source: forwardSource, includes: [activation] });
const BACKWARD = new Kernel({ source: backwardSource, includes: [activation] });

/**
 * silu(x) = x / (1 + exp(−x)), element by element for `x` of any shape ("Gaussian error linear
 * units", Hendrycks and Gimpel, 2016). Finite for every finite x.
 */
export function silu(x: Tensor): Tensor {
  const { device } = x;
  const out = device.empty(x.shape);
  const vectors = Math.ceil(x.elements / 4);
  const workgroups = spreadWorkgroups(Math.ceil(vectors / 64));
  device.dispatch(FORWARD, { tensors: { x, out }, params: { vectors }, workgroups });
  device.tape?.push({
    name: "silu",
    inputs: [x],
    output: out,
    saved: [x],
    backward(dy, gradients) {
      gradients.into(x, (dx, accumulate) =>
        device.dispatch(BACKWARD, {
          tensors: { x, dy, dx },
          params: { vectors, accumulate },
          workgroups,
        }));
    },
  });
  return out;
}
