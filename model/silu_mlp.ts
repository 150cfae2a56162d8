/**
 * Affine layers with SiLU between them: the snippet embedding of the paper, the projector of REPA and the
 * mapper of other vectors to snippets.
 *
 * @module
 */

import type { ParameterScope } from "../kernels/core/parameter_store.ts";
import type { Tensor } from "../kernels/core/tensor.ts";
import { silu } from "../kernels/silu/mod.ts";
import { Linear } from "./linear.ts";

/**
 * Affine layers between given widths, with SiLU between them.
 *
 * @example
 * ```ts
 * import { Device, ParameterStore, SiluMlp } from "@gmem/gmem";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * using store = new ParameterStore(device, { seed: 0 });
 * const mlp = new SiluMlp(store.at("projector"), [32, 128, 128, 64]);
 * using y = device.scope(() => mlp.forward(device.empty([2, 4, 32])));
 * console.log(y.shape, [...store.entries()].length); // [ 2, 4, 64 ] 6
 * ```
 */
export class SiluMlp {
  readonly #layers: readonly Linear[];

  /** Declares the layers `0`, `2`, `4`, …, one fewer than there are `widths`; `RangeError` for fewer than two. */
  constructor(p: ParameterScope, widths: readonly number[]) {
    if (widths.length < 2) {
      throw new RangeError(
        `Cannot make layers between widths [${widths.join(", ")}]: expected two or more`,
      );
    }
    this.#layers = widths.slice(1).map((outputs, i) =>
      new Linear(p.at(`${2 * i}`), { inputs: widths[i]!, outputs })
    );
  }

  /** x [..., first width] to [..., last width]; `TypeError` for another width. */
  forward(x: Tensor): Tensor {
    const [first, ...others] = this.#layers;
    return others.reduce((hidden, layer) => layer.forward(silu(hidden)), first!.forward(x));
  }
}
