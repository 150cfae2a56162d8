/**
 * What guides the network: a class label or a snippet of the memory bank, as a vector [B, D].
 *
 * @module
 */

import { requireCount } from "../kernels/core/counted.ts";
import type { Parameter, ParameterScope } from "../kernels/core/parameter_store.ts";
import type { Tensor } from "../kernels/core/tensor.ts";
import { gatherRows } from "../kernels/embed_rows/mod.ts";
import { normal } from "./initializers.ts";

/** Turns a batch of conditions into vectors [B, D]. */
export interface ConditionEmbedder {
  /** Labels: u32 [B]. Snippets: f32 [B, d]. */
  forward(condition: Tensor): Tensor;
}

/** What a {@linkcode LabelEmbedder} is made with. */
export interface LabelEmbedderOptions {
  /** Number of classes. */
  readonly classes: number;
  /** Channels of a token (D). */
  readonly width: number;
  /**
   * Whether there is a null class, as the model's `condition` has to say too: without one, its label means
   * the last class. Default `true`.
   */
  readonly nullClass?: boolean | undefined;
}

/**
 * A table of class vectors; the extra last row, index `classes`, is the null class if there is one.
 *
 * @example
 * ```ts
 * import { Device, LabelEmbedder, ParameterStore } from "@gmem/gmem";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * using store = new ParameterStore(device, { seed: 0 });
 * const embedder = new LabelEmbedder(store.at("y_embedder"), { classes: 10, width: 32 });
 * using labels = device.tensor(Uint32Array.of(3, 10), [2]); // class 3, and then the null class
 * using vectors = device.scope(() => embedder.forward(labels));
 * console.log(vectors.shape); // [ 2, 32 ]
 * ```
 */
export class LabelEmbedder implements ConditionEmbedder {
  readonly #table: Parameter;

  /**
   * Declares `embedding_table.weight` [classes + 1, D], or [classes, D] without a null class; `RangeError` for
   * sizes that are no whole numbers.
   */
  constructor(p: ParameterScope, options: LabelEmbedderOptions) {
    const { classes, width, nullClass = true } = options;
    requireCount("Cannot make the table of classes: classes", classes);
    const rows = nullClass ? classes + 1 : classes;
    this.#table = p.parameter("embedding_table.weight", [rows, width], normal(0.02));
  }

  /** Labels u32 [B] to [B, D], those past the last row by the last; `TypeError` for another type or shape. */
  forward(labels: Tensor): Tensor {
    return gatherRows(this.#table, labels);
  }
}
