/**
 * Ops that are a function of one number, applied to each element.
 *
 * @module
 */

import { spreadWorkgroups } from "./device.ts";
import type { Kernel } from "./kernel.ts";
import { stagedVariant } from "./staged_variant.ts";
import type { Tensor } from "./tensor.ts";
import type { OpWithVariants } from "./tuning.ts";

/** Kernels of 64 invocations that take a vec4 each, by how they read it. */
type Kernels = Readonly<Record<"storage" | "texture", Kernel>>;

/** An elementwise op. */
export interface ElementwiseOp {
  /** Its name. */
  readonly name: OpWithVariants;
  /** Bind `x` and `out` and take `vectors`. */
  readonly forward: Kernels;
  /** Bind `x`, `dy` and `dx` and take `elements` and `accumulate`. */
  readonly backward: Kernels;
}

/** Applies an op to each element of `x`, of any shape. */
export function elementwise(x: Tensor, op: ElementwiseOp): Tensor {
  const { name, forward, backward } = op;
  const { device, elements } = x;
  const out = device.empty(x.shape);
  const vectors = Math.ceil(elements / 4), workgroups = spreadWorkgroups(Math.ceil(vectors / 64));
  const variant = stagedVariant(device, name, { among: forward, otherwise: "storage", elements });
  device.dispatch(forward[variant], { tensors: { x, out }, params: { vectors }, workgroups });
  device.tape?.push({
    name,
    inputs: [x],
    output: out,
    saved: [x],
    backward(dy, gradients) {
      gradients.into(x, (dx, accumulate) =>
        device.dispatch(backward[variant], {
          tensors: { x, dy, dx },
          params: { elements, accumulate },
          workgroups,
        }));
    },
  });
  return out;
}
