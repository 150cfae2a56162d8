/**
 * One block of the network.
 *
 * @module
 */

import type { Parameter, ParameterScope } from "../kernels/core/parameter_store.ts";
import type { Tensor } from "../kernels/core/tensor.ts";
import { gate, modulate } from "../kernels/modulate/mod.ts";
import { Attention, type AttentionLayerOptions } from "./attention.ts";
import { ones, xavierUniform, zeros } from "./initializers.ts";
import { Linear } from "./linear.ts";
import { type FeedForward, GeluMlp, SwigluMlp } from "./mlp.ts";

/** Sees an activation as it is made; it is released after the call unless copied. */
export type Observe = (name: string, activation: Tensor) => void;

/** Sizes and switches of a block. */
export interface SiTBlockOptions extends AttentionLayerOptions {
  /** Hidden channels of the feed-forward layer as a multiple of D. Default 4. */
  readonly mlpRatio?: number | undefined;
  /** SwiGLU in place of GELU. Default `false`. */
  readonly swiglu?: boolean | undefined;
  /** RMS norm with a weight in place of layer norm without. Default `false`. */
  readonly rmsNorm?: boolean | undefined;
  /** Four modulation chunks (scale, gate, scale, gate) in place of six with shifts. Default `false`. */
  readonly noShift?: boolean | undefined;
  /** Start as the identity: modulation at zero (adaLN-zero). Default `true`. */
  readonly zeroInit?: boolean | undefined;
}

const WITH_SHIFT = {
  chunks: 6,
  attention: { shift: 0, scale: 1, gate: 2 },
  mlp: { shift: 3, scale: 4, gate: 5 },
} as const;
const WITHOUT_SHIFT = {
  chunks: 4,
  attention: { scale: 0, gate: 1 },
  mlp: { scale: 2, gate: 3 },
} as const;

/**
 * A transformer block whose norms and residual branches are modulated by the condition:
 * x += g₁·attention(norm(x)(1 + s₁) + b₁), x += g₂·mlp(norm(x)(1 + s₂) + b₂)
 * with (b₁, s₁, g₁, b₂, s₂, g₂) = Linear(SiLU(c)) (DiT, section 3.2; SiT).
 *
 * @example
 * ```ts
 * import { Device, ParameterStore, SiTBlock } from "@gmem/gmem";
 * import { silu } from "@gmem/gmem/kernels";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * using store = new ParameterStore(device, { seed: 0 });
 * const block = new SiTBlock(store.at("blocks.0"), { width: 32, heads: 2 });
 * using x = device.tensor(new Float32Array(2 * 4 * 32).fill(0.5), [2, 4, 32]);
 * using condition = device.tensor(new Float32Array(2 * 32).fill(1), [2, 32]);
 * using y = device.scope(() => block.forward(x, silu(condition)));
 * console.log(y.shape, (await y.read())[0]); // [ 2, 4, 32 ] 0.5, for it starts as the identity
 * ```
 */
export class SiTBlock {
  readonly #attention: Attention;
  readonly #mlp: FeedForward;
  readonly #modulation: Linear;
  readonly #norms: { readonly first: Parameter; readonly second: Parameter } | undefined;
  readonly #layout: typeof WITH_SHIFT | typeof WITHOUT_SHIFT;

  /** Declares the parameters. */
  constructor(p: ParameterScope, options: SiTBlockOptions) {
    const { width, mlpRatio: ratio = 4, swiglu, rmsNorm, noShift, zeroInit = true } = options;
    this.#layout = noShift ? WITHOUT_SHIFT : WITH_SHIFT;
    if (rmsNorm) {
      this.#norms = {
        first: p.parameter("norm1.weight", [width], ones),
        second: p.parameter("norm2.weight", [width], ones),
      };
    }
    this.#attention = new Attention(p.at("attn"), options);
    this.#mlp = swiglu
      ? new SwigluMlp(p.at("mlp"), { width, ratio })
      : new GeluMlp(p.at("mlp"), { width, ratio });
    this.#modulation = new Linear(p.at("adaLN_modulation.1"), {
      inputs: width,
      outputs: this.#layout.chunks * width,
      init: zeroInit ? zeros : xavierUniform,
    });
  }

  /** x [B, T, D] and the activated condition SiLU(c) [B, D] to [B, T, D]; `TypeError` for other shapes. */
  forward(x: Tensor, condition: Tensor, options: { observe?: Observe | undefined } = {}): Tensor {
    const { observe } = options;
    const norm = this.#norms ? "rms" : "layer", { device } = x, { precision: dtype } = device;
    return device.scope(() => {
      const modulation = device.withPrecision("f32", () => this.#modulation.forward(condition));
      const { attention, mlp } = this.#layout;
      const attended = this.#attention.forward(
        modulate(x, modulation, { ...attention, norm, weight: this.#norms?.first, dtype }),
      );
      observe?.("attn", attended);
      const middle = gate(x, attended, { modulation, gate: attention.gate });
      const mapped = this.#mlp.forward(
        modulate(middle, modulation, { ...mlp, norm, weight: this.#norms?.second, dtype }),
      );
      observe?.("mlp", mapped);
      return gate(middle, mapped, { modulation, gate: mlp.gate });
    });
  }
}
