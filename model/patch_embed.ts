/**
 * Where images become tokens.
 *
 * @module
 */

import type { Parameter, ParameterScope } from "../kernels/core/parameter_store.ts";
import type { Tensor } from "../kernels/core/tensor.ts";
import { linear } from "../kernels/linear/mod.ts";
import { patchify } from "../kernels/patchify/mod.ts";
import { xavierUniform, zeros } from "./initializers.ts";

/**
 * Images to tokens by a convolution whose stride is its size: one matrix product over patches.
 *
 * @example
 * ```ts
 * import { Device, ParameterStore, PatchEmbed } from "@gmem/gmem";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * using store = new ParameterStore(device, { seed: 0 });
 * const patches = new PatchEmbed(store.at("x_embedder"), { patchSize: 4, channels: 3, width: 32 });
 * using tokens = device.scope(() => patches.forward(device.empty([2, 3, 8, 8])));
 * console.log(tokens.shape); // [ 2, 4, 32 ]
 * ```
 */
export class PatchEmbed {
  readonly #weight: Parameter;
  readonly #bias: Parameter;
  readonly #patchSize: number;

  /** Declares `proj.weight` [D, C, p, p] and `proj.bias` [D]. */
  constructor(p: ParameterScope, options: { patchSize: number; channels: number; width: number }) {
    const { patchSize, channels, width } = options;
    this.#patchSize = patchSize;
    this.#weight = p.parameter(
      "proj.weight",
      [width, channels, patchSize, patchSize],
      xavierUniform,
    );
    this.#bias = p.parameter("proj.bias", [width], zeros);
  }

  /**
   * Images [B, C, H, W] to tokens [B, T, D], row by row; in f32 whatever the device's precision. `TypeError` for
   * other channels, and sides that are no multiple of the patch.
   */
  forward(images: Tensor): Tensor {
    return images.device.withPrecision(
      "f32",
      () =>
        linear(patchify(images, { patchSize: this.#patchSize }), this.#weight, {
          bias: this.#bias,
        }),
    );
  }
}
