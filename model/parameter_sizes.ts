/**
 * Which parameters a network has, from its sizes alone: no GPU is asked.
 *
 * @module
 */

import { ParameterStore } from "../kernels/core/parameter_store.ts";
import type { Shape } from "../kernels/core/tensor.ts";
import { SiT, type SiTOptions } from "./sit.ts";
import { canonicalName } from "./state_dict.ts";

/** A parameter of a network. */
export interface ParameterSize {
  /** Official name. */
  readonly name: string;
  /** Sizes of its axes. */
  readonly shape: Shape;
  /** Numbers in it. */
  readonly count: number;
  /** Computed from the sizes, not learned. */
  readonly frozen: boolean;
}

/**
 * The parameters of a network in the order of their declaration, frozen ones included.
 *
 * Throws a RangeError where the sizes do not fit together, as {@linkcode SiT} does.
 *
 * @example
 * ```ts
 * import { namedModel, parameterSizes } from "@gmem/gmem";
 *
 * const sizes = parameterSizes(namedModel("SiT-XL/2"));
 * const trained = sizes.filter(({ frozen }) => !frozen).reduce((sum, { count }) => sum + count, 0);
 * console.log(Math.round(trained / 1e6)); // 675 million, the 675M of the paper
 * ```
 */
export function parameterSizes(options: SiTOptions): ParameterSize[] {
  const store = new ParameterStore(undefined);
  new SiT(store, options);
  return [...store.entries()].map(([name, { shape, elements, frozen }]) => ({
    name,
    shape,
    count: elements,
    frozen,
  }));
}

/** What the names of tables of rotary angles begin with. */
const ROTARY = "feat_rope.";

/** Whether a tensor of this name in a file of weights is a table that is computed from the sizes, not learned. */
export function isFixedTable(name: string): boolean {
  const canonical = canonicalName(name);
  return canonical === "pos_embed" || canonical.startsWith(ROTARY);
}

/**
 * The count that PyTorch gives for the official network, the sum of `parameters()`: with the fixed
 * table of positions, without the rotary angles, which are buffers there.
 */
export function officialCount(sizes: readonly ParameterSize[]): number {
  const counted = sizes.filter(({ name }) => !name.startsWith(ROTARY));
  return counted.reduce((sum, { count }) => sum + count, 0);
}
