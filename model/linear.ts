/**
 * The affine layer that all others are made of.
 *
 * @module
 */

import type { Initializer, Parameter, ParameterScope } from "../kernels/core/parameter_store.ts";
import type { Tensor } from "../kernels/core/tensor.ts";
import { linear } from "../kernels/linear/mod.ts";
import { xavierUniform, zeros } from "./initializers.ts";

/** An affine layer with parameters `weight` [O, I] and `bias` [O]. */
export class Linear {
  /** [O, I] */
  readonly weight: Parameter;
  /** [O] */
  readonly bias: Parameter;

  /** Declares the parameters; Xavier uniform and zero unless said otherwise. */
  constructor(
    p: ParameterScope,
    options: { inputs: number; outputs: number; init?: Initializer },
  ) {
    const { inputs, outputs, init = xavierUniform } = options;
    this.weight = p.parameter("weight", [outputs, inputs], init);
    this.bias = p.parameter("bias", [outputs], zeros);
  }

  /** x [..., I] to [..., O]. */
  forward(x: Tensor): Tensor {
    return linear(x, this.weight, { bias: this.bias });
  }
}
