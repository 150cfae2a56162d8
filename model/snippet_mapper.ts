/**
 * The network that maps other vectors to snippets.
 *
 * @module
 */

import type { ParameterStore } from "../kernels/core/parameter_store.ts";
import type { Tensor } from "../kernels/core/tensor.ts";
import { l2Normalize } from "../kernels/l2_normalize/mod.ts";
import { SiluMlp } from "./silu_mlp.ts";

/** The sizes of a {@linkcode SnippetMapper}. */
export interface SnippetMapperOptions {
  /** Length e of the vectors that are mapped. */
  readonly inputs: number;
  /** Width h of the two hidden layers. */
  readonly width: number;
  /** Length d of a snippet. */
  readonly snippetDim: number;
}

/**
 * Maps the vectors of another encoder to the snippets of a bank: s = g(x) / ‖g(x)‖ with g three affine
 * layers and SiLU between them (GMem, appendices A.1 and E, which map features of CLIP and of BERT).
 *
 * @example
 * ```ts
 * import { Device, ParameterStore, SnippetMapper } from "@gmem/gmem";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * using store = new ParameterStore(device, { seed: 0 });
 * const mapper = new SnippetMapper(store, { inputs: 3, width: 8, snippetDim: 2 });
 * using x = device.tensor(Float32Array.of(1, 2, 3), [1, 3]);
 * using snippets = mapper.forward(x);
 * console.log(snippets.shape, Math.hypot(...await snippets.read()).toFixed(3)); // [ 1, 2 ] 1.000
 * ```
 */
export class SnippetMapper {
  /** The sizes. */
  readonly options: SnippetMapperOptions;
  /** The parameters. */
  readonly parameters: ParameterStore;
  readonly #net: SiluMlp;

  /**
   * Declares `net.0` [h, e], `net.2` [h, h] and `net.4` [d, h], each a weight with its bias. Throws
   * `TypeError` where the store is in use already or has parameters of these names.
   */
  constructor(store: ParameterStore, options: SnippetMapperOptions) {
    const { inputs, width, snippetDim } = options;
    this.options = options;
    this.parameters = store;
    this.#net = new SiluMlp(store.at("net"), [inputs, width, width, snippetDim]);
  }

  /** x [n, e] to snippets [n, d] of norm 1, in the caller's scope; `TypeError` for another shape. */
  forward(x: Tensor): Tensor {
    return l2Normalize(this.#net.forward(x));
  }
}
