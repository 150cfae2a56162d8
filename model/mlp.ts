/**
 * The part of a block that works on each token alone, in its two forms.
 *
 * @module
 */

import type { ParameterScope } from "../kernels/core/parameter_store.ts";
import type { Tensor } from "../kernels/core/tensor.ts";
import { geluMlp } from "../kernels/gelu_mlp/mod.ts";
import { swiglu } from "../kernels/swiglu/mod.ts";
import { Linear } from "./linear.ts";

/** The part of a block that works on each token alone. */
export interface FeedForward {
  /** x [B, T, D] to [B, T, D]. */
  forward(x: Tensor): Tensor;
}

/**
 * Linear, GELU (tanh form), Linear: `fc1` and `fc2`.
 *
 * @example
 * ```ts
 * import { Device, GeluMlp, ParameterStore } from "@gmem/gmem";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * using store = new ParameterStore(device, { seed: 0 });
 * const mlp = new GeluMlp(store.at("mlp"), { width: 32, ratio: 4 });
 * using y = device.scope(() => mlp.forward(device.empty([2, 4, 32])));
 * console.log(y.shape, store.get("mlp.fc1.weight").shape); // [ 2, 4, 32 ] [ 128, 32 ]
 * ```
 */
export class GeluMlp implements FeedForward {
  readonly #fc1: Linear;
  readonly #fc2: Linear;

  /** Declares `fc1` [h, D] and `fc2` [D, h] with h = ⌊D · ratio⌋; `RangeError` where that is 0. */
  constructor(p: ParameterScope, options: { width: number; ratio: number }) {
    const { width, ratio } = options;
    const hidden = Math.floor(width * ratio);
    requireHidden(hidden, options);
    this.#fc1 = new Linear(p.at("fc1"), { inputs: width, outputs: hidden });
    this.#fc2 = new Linear(p.at("fc2"), { inputs: hidden, outputs: width });
  }

  /** x [B, T, D] to [B, T, D]; `TypeError` for another width. */
  forward(x: Tensor): Tensor {
    return geluMlp(x, { fc1: this.#fc1, fc2: this.#fc2 });
  }
}

/** Hidden channels h = ⌊2/3 · ⌊D · ratio⌋⌋ of {@linkcode SwigluMlp} (LightningDiT). */
export function swigluHidden(width: number, ratio: number): number {
  return Math.floor((2 / 3) * Math.floor(width * ratio));
}

/**
 * SwiGLU: `w3(silu(gate) · value)` with `w12` giving gate and value side by side (LightningDiT).
 *
 * @example
 * ```ts
 * import { Device, ParameterStore, SwigluMlp } from "@gmem/gmem";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * using store = new ParameterStore(device, { seed: 0 });
 * const mlp = new SwigluMlp(store.at("mlp"), { width: 48, ratio: 4 });
 * using y = device.scope(() => mlp.forward(device.empty([2, 4, 48])));
 * console.log(y.shape, store.get("mlp.w12.weight").shape); // [ 2, 4, 48 ] [ 256, 48 ]
 * ```
 */
export class SwigluMlp implements FeedForward {
  readonly #w12: Linear;
  readonly #w3: Linear;

  /**
   * Declares `w12` [2h, D] and `w3` [D, h] with h = ⌊2/3 · ⌊D · ratio⌋⌋; `RangeError` where that is 0.
   */
  constructor(p: ParameterScope, options: { width: number; ratio: number }) {
    const { width, ratio } = options;
    const hidden = swigluHidden(width, ratio);
    requireHidden(hidden, options);
    this.#w12 = new Linear(p.at("w12"), { inputs: width, outputs: 2 * hidden });
    this.#w3 = new Linear(p.at("w3"), { inputs: hidden, outputs: width });
  }

  /** x [B, T, D] to [B, T, D]; `TypeError` for another width. */
  forward(x: Tensor): Tensor {
    return this.#w3.forward(swiglu(this.#w12.forward(x)));
  }
}

function requireHidden(hidden: number, { width, ratio }: { width: number; ratio: number }): void {
  if (hidden >= 1) return;
  throw new RangeError(
    `Cannot make the feed-forward layers: ratio ${ratio} leaves no hidden channels of width ${width}`,
  );
}
