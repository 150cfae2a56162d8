/**
 * The affine layer that all others are made of.
 *
 * @module
 */

import type { Initializer, Parameter, ParameterScope } from "../kernels/core/parameter_store.ts";
import type { Tensor } from "../kernels/core/tensor.ts";
import { linear } from "../kernels/linear/mod.ts";
import { xavierUniform, zeros } from "./initializers.ts";

/**
 * An affine layer with parameters `weight` [O, I] and `bias` [O], by which modules of your own are made.
 *
 * @example
 * ```ts
 * import { Device, Linear, ParameterStore } from "@gmem/gmem";
 * import { gelu } from "@gmem/gmem/kernels";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * using store = new ParameterStore(device, { seed: 0 });
 * const first = new Linear(store.at("first"), { inputs: 2, outputs: 8 });
 * const last = new Linear(store.at("last"), { inputs: 8, outputs: 1 });
 * using x = device.tensor(Float32Array.of(1, 2), [1, 2]);
 * using y = device.scope(() => last.forward(gelu(first.forward(x))));
 * console.log(y.shape, last.weight.name); // [ 1, 1 ] last.weight
 * ```
 */
export class Linear {
  /** [O, I] */
  readonly weight: Parameter;
  /** [O] */
  readonly bias: Parameter;

  /** Declares the parameters: the weight by `init`, by default {@linkcode xavierUniform}, the bias 0. */
  constructor(
    p: ParameterScope,
    options: { inputs: number; outputs: number; init?: Initializer | undefined },
  ) {
    const { inputs, outputs, init = xavierUniform } = options;
    this.weight = p.parameter("weight", [outputs, inputs], init);
    this.bias = p.parameter("bias", [outputs], zeros);
  }

  /** x [..., I] to [..., O]; `TypeError` for another width. */
  forward(x: Tensor): Tensor {
    return linear(x, this.weight, { bias: this.bias });
  }
}
