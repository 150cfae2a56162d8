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

/** Sizes and switches of a {@linkcode FinalLayer}. */
export interface FinalLayerOptions {
  /** Channels of a token (D). */
  readonly width: number;
  /** Values of a patch: p·p·channels. */
  readonly outputs: number;
  /** RMS norm with a weight in place of layer norm without. Default `false`. */
  readonly rmsNorm?: boolean | undefined;
  /** Start by putting out zeros (adaLN-zero). Default `true`. */
  readonly zeroInit?: boolean | undefined;
}

/**
 * Tokens to patches: a modulated norm, then Linear to p·p·channels values a token (DiT, section 3.2).
 *
 * @example
 * ```ts
 * import { Device, FinalLayer, ParameterStore } from "@gmem/gmem";
 * import { silu, unpatchify } from "@gmem/gmem/kernels";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * using store = new ParameterStore(device, { seed: 0 });
 * const last = new FinalLayer(store.at("final_layer"), { width: 32, outputs: 4 * 4 * 3 });
 * using images = device.scope(() => {
 *   const condition = silu(device.empty([2, 32]));
 *   return unpatchify(last.forward(device.empty([2, 4, 32]), condition), { patchSize: 4, channels: 3 });
 * });
 * console.log(images.shape); // [ 2, 3, 8, 8 ]
 * ```
 */
export class FinalLayer {
  readonly #modulation: Linear;
  readonly #linear: Linear;
  readonly #norm: Parameter | undefined;

  /** Declares `norm_final.weight` (RMS only), `adaLN_modulation.1` and `linear`. */
  constructor(p: ParameterScope, options: FinalLayerOptions) {
    const { width, outputs, rmsNorm, zeroInit = true } = options;
    const init = zeroInit ? zeros : xavierUniform;
    this.#norm = rmsNorm ? p.parameter("norm_final.weight", [width], ones) : undefined;
    this.#modulation = new Linear(p.at("adaLN_modulation.1"), {
      inputs: width,
      outputs: 2 * width,
      init,
    });
    this.#linear = new Linear(p.at("linear"), { inputs: width, outputs, init });
  }

  /**
   * x [B, T, D] and the activated condition SiLU(c) [B, D] to [B, T, p·p·channels]; in f32 whatever the
   * device's precision. `TypeError` for other shapes.
   */
  forward(x: Tensor, condition: Tensor): Tensor {
    const { device } = x, norm = this.#norm ? "rms" : "layer";
    return device.withPrecision("f32", () =>
      device.scope(() => {
        const modulation = this.#modulation.forward(condition);
        return this.#linear.forward(
          modulate(x, modulation, { shift: 0, scale: 1, norm, weight: this.#norm }),
        );
      }));
  }
}
