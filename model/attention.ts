/**
 * The part of a block in which tokens look at each other.
 *
 * @module
 */

import { attention } from "../kernels/attention/mod.ts";
import type { Parameter, ParameterScope } from "../kernels/core/parameter_store.ts";
import type { Tensor } from "../kernels/core/tensor.ts";
import { qkNorm } from "../kernels/qk_norm/mod.ts";
import { rope } from "../kernels/rope/mod.ts";
import { ones, zeros } from "./initializers.ts";
import { Linear } from "./linear.ts";

/** Sizes of an {@linkcode Attention}, and how queries and keys are treated before they meet. */
export interface AttentionLayerOptions {
  /** D */
  readonly width: number;
  /** H; each head has D / H channels. */
  readonly heads: number;
  /** Normalise queries and keys in each head: with RMS, mean and variance, or not at all. Default `"none"`. */
  readonly qkNorm?: "none" | "layer" | "rms" | undefined;
  /** Cosines and sines [T, D / H] by which queries and keys turn, if they do; see {@linkcode rotaryAngles}. */
  readonly rotary?: { readonly cos: Tensor; readonly sin: Tensor } | undefined;
}

/**
 * Multi-head self-attention with `qkv`, `proj` and, with QK-norm, `q_norm` and `k_norm`, by their names in
 * official checkpoints.
 *
 * @example
 * ```ts
 * import { Attention, Device, ParameterStore } from "@gmem/gmem";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * using store = new ParameterStore(device, { seed: 0 });
 * const attention = new Attention(store.at("attn"), { width: 32, heads: 2, qkNorm: "rms" });
 * using y = device.scope(() => attention.forward(device.empty([2, 4, 32])));
 * console.log(y.shape, [...store.entries()].map(([name]) => name)[0]); // [ 2, 4, 32 ] attn.qkv.weight
 * ```
 */
export class Attention {
  readonly #qkv: Linear;
  readonly #proj: Linear;
  readonly #options: AttentionLayerOptions;
  readonly #norms: {
    readonly queryWeight: Parameter;
    readonly keyWeight: Parameter;
    readonly queryBias?: Parameter;
    readonly keyBias?: Parameter;
  } | undefined;

  /** Declares the parameters; `RangeError` where the width is no multiple of `heads`. */
  constructor(p: ParameterScope, options: AttentionLayerOptions) {
    const { width, heads, qkNorm: norm = "none" } = options;
    if (heads < 1 || width % heads !== 0) {
      throw new RangeError(
        `Cannot make the attention: width ${width} is no multiple of ${heads} heads`,
      );
    }
    this.#options = options;
    this.#qkv = new Linear(p.at("qkv"), { inputs: width, outputs: 3 * width });
    this.#proj = new Linear(p.at("proj"), { inputs: width, outputs: width });
    if (norm !== "none") {
      const shape = [width / heads];
      this.#norms = {
        queryWeight: p.parameter("q_norm.weight", shape, ones),
        keyWeight: p.parameter("k_norm.weight", shape, ones),
        ...(norm === "layer" && {
          queryBias: p.parameter("q_norm.bias", shape, zeros),
          keyBias: p.parameter("k_norm.bias", shape, zeros),
        }),
      };
    }
  }

  /** x [B, T, D] to [B, T, D]; `TypeError` for another shape. */
  forward(x: Tensor): Tensor {
    const { heads, rotary } = this.#options;
    let qkv = this.#qkv.forward(x);
    if (this.#norms) qkv = qkNorm(qkv, { heads, ...this.#norms });
    if (rotary) qkv = rope(qkv, { heads, ...rotary });
    return this.#proj.forward(attention(qkv, { heads, dtype: x.device.precision }));
  }
}
