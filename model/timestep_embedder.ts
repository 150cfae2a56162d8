/**
 * Where times become vectors.
 *
 * @module
 */

import type { ParameterScope } from "../kernels/core/parameter_store.ts";
import type { Tensor } from "../kernels/core/tensor.ts";
import { embedTime } from "../kernels/embed_time/mod.ts";
import { silu } from "../kernels/silu/mod.ts";
import { normal } from "./initializers.ts";
import { Linear } from "./linear.ts";

/** Cosines and sines of a time. */
export const FREQUENCIES = 256;

/**
 * Times to vectors: 256 cosines and sines, then Linear, SiLU, Linear (DiT).
 *
 * @example
 * ```ts
 * import { Device, ParameterStore, TimestepEmbedder } from "@gmem/gmem";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * using store = new ParameterStore(device, { seed: 0 });
 * const embedder = new TimestepEmbedder(store.at("t_embedder"), { width: 32 });
 * using times = device.tensor(Float32Array.of(0, 1), [2]); // noise and data
 * using vectors = device.scope(() => embedder.forward(times));
 * console.log(vectors.shape); // [ 2, 32 ]
 * ```
 */
export class TimestepEmbedder {
  readonly #first: Linear;
  readonly #second: Linear;

  /** Declares `mlp.0` and `mlp.2`, their weights N(0, 0.02²). */
  constructor(p: ParameterScope, options: { width: number }) {
    const { width } = options;
    const init = normal(0.02);
    this.#first = new Linear(p.at("mlp.0"), { inputs: FREQUENCIES, outputs: width, init });
    this.#second = new Linear(p.at("mlp.2"), { inputs: width, outputs: width, init });
  }

  /** Times [B] in [0, 1], unscaled, to [B, D]; in f32 whatever the device's precision. `TypeError` for another shape. */
  forward(t: Tensor): Tensor {
    return t.device.withPrecision(
      "f32",
      () => this.#second.forward(silu(this.#first.forward(embedTime(t, { width: FREQUENCIES })))),
    );
  }
}
