/**
 * Where tokens become patches again.
 *
 * @module
 */

import type { Parameter, ParameterScope } from "../kernels/core/parameter_store.ts";
import type { Tensor } from "../kernels/core/tensor.ts";
import { modulate } from "../kernels/modulate/mod.ts";
import { ones, xavierUniform, zeros } from "./initializers.ts";
import { Linear } from "./linear.ts";

/** Tokens to patches: a modulated norm, then Linear to p·p·channels values a token. */
export class FinalLayer {
  readonly #modulation: Linear;
  readonly #linear: Linear;
  readonly #norm: Parameter | undefined;

  /** Declares `norm_final.weight` (RMS only), `adaLN_modulation.1` and `linear`. */
  constructor(
    p: ParameterScope,
    options: { width: number; outputs: number; rmsNorm: boolean; zeroInit: boolean },
  ) {
    const { width, outputs, rmsNorm, zeroInit } = options;
    const init = zeroInit ? zeros : xavierUniform;
    this.#norm = rmsNorm ? p.parameter("norm_final.weight", [width], ones) : undefined;
    this.#modulation = new Linear(p.at("adaLN_modulation.1"), {
      inputs: width,
      outputs: 2 * width,
      init,
    });
    this.#linear = new Linear(p.at("linear"), { inputs: width, outputs, init });
  }

  /** x [B, T, D] and the activated condition [B, D] to [B, T, p·p·channels]. */
  forward(x: Tensor, condition: Tensor): Tensor {
    return x.device.scope(() => {
      const modulation = this.#modulation.forward(condition);
      const norm = this.#norm ? "rms" : "layer";
      return this.#linear.forward(
        modulate(x, modulation, { shift: 0, scale: 1, norm, weight: this.#norm }),
      );
    });
  }
}
