/**
 * Linear combinations of tensors, such as every update of a sampler.
 *
 * @module
 */

import texelOf from "../common/texel_of.wgsl.ts";
import { spreadWorkgroups } from "../core/device.ts";
import { Kernel } from "../core/kernel.ts";
import { stagedVariant } from "../core/staged_variant.ts";
import { formatShape, type Tensor } from "../core/tensor.ts";
import source from "./combine.wgsl.ts";
import textureSource from "./combine_texture.wgsl.ts";

/** The kernel by its variant. */
export const COMBINE: Readonly<Record<"storage" | "texture", Kernel>> = {
  storage: new Kernel({ source }),
  texture: new Kernel({ source: textureSource, includes: [texelOf] }),
};
const TERMS_PER_DISPATCH = 4;

/** A tensor and its factor. */
export type Term = readonly [tensor: Tensor, coefficient: number];

/**
 * Σ cᵢ xᵢ for `terms` (xᵢ, cᵢ) of one shape, one dispatch for every four: a difference, a multiple or a
 * mean of tensors.
 *
 * Throws `TypeError` when there is no term or the shapes differ.
 *
 * @example
 * ```ts
 * import { combine, Device } from "@gmem/gmem/kernels";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * using x = device.tensor(Float32Array.of(1, 2), [2]);
 * using y = device.tensor(Float32Array.of(10, 20), [2]);
 * using out = combine([[x, 3], [y, -0.5]]);
 * console.log(await out.read()); // Float32Array(2) [ -2, -4 ]
 * ```
 */
export function combine(terms: readonly Term[]): Tensor {
  const [first] = terms;
  if (!first) throw new TypeError("Cannot combine no tensors: expected at least one term");
  const { device, shape } = first[0], out = device.empty(shape);
  combineInto(out, terms);
  device.tape?.push({
    name: "combine",
    inputs: terms.map(([x]) => x),
    output: out,
    saved: [],
    backward(dy, gradients) {
      for (const [x, coefficient] of terms) {
        const term = [dy, coefficient] as const;
        gradients.into(
          x,
          (dx, accumulate) => combineInto(dx, accumulate ? [[dx, 1], term] : [term]),
        );
      }
    },
  });
  return out;
}

/**
 * As {@linkcode combine} into an existing tensor, which may be one of the terms:
 * `combineInto(x, [[x, 1], [velocity, dt]])` is a step of Euler's method in place. Not differentiated.
 *
 * Throws `TypeError` when there is no term besides `out` or the shapes differ.
 *
 * @example
 * ```ts
 * import { combineInto, Device } from "@gmem/gmem/kernels";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * using x = device.tensor(Float32Array.of(1, 2), [2]);
 * using velocity = device.tensor(Float32Array.of(10, 20), [2]);
 * combineInto(x, [[x, 1], [velocity, 0.5]]);
 * console.log(await x.read()); // Float32Array(2) [ 6, 12 ]
 * ```
 */
export function combineInto(out: Tensor, terms: readonly Term[]): void {
  const others: Term[] = [];
  let keep = 0, keeps = 0;
  for (const term of terms) {
    const [x, coefficient] = term;
    if (formatShape(x.shape) !== formatShape(out.shape)) {
      throw new TypeError(
        `Cannot combine ${formatShape(x.shape)} into ${formatShape(out.shape)}: shapes differ`,
      );
    }
    if (x.storage === out.storage && x.offset === out.offset) {
      keep += coefficient;
      keeps = 1;
    } else {
      others.push(term);
    }
  }
  if (others.length === 0) {
    throw new TypeError("Cannot combine into a tensor: expected a term besides the tensor itself");
  }
  for (let start = 0; start < others.length; start += TERMS_PER_DISPATCH) {
    dispatchTerms(out, { terms: others.slice(start, start + TERMS_PER_DISPATCH), keep, keeps });
    keep = keeps = 1;
  }
}

function dispatchTerms(
  out: Tensor,
  options: { terms: readonly Term[]; keep: number; keeps: number },
): void {
  const { terms, keep, keeps } = options;
  const [x0, c0] = terms[0]!;
  const [x1, c1] = terms[1] ?? [x0, 0], [x2, c2] = terms[2] ?? [x0, 0];
  const [x3, c3] = terms[3] ?? [x0, 0];
  const { device, elements } = out;
  const variant = stagedVariant(device, "combine", {
    among: COMBINE,
    otherwise: "storage",
    elements,
  });
  const inputs = { x0, x1, x2, x3 };
  device.dispatch(COMBINE[variant], {
    // Through its texture the kernel reads out as it was; where it does not, x0 has one already.
    tensors: variant === "texture"
      ? { ...inputs, before: keeps ? out : x0, out }
      : { ...inputs, out },
    params: { elements, keep, c0, c1, c2, c3 },
    constants: { TERMS: terms.length, KEEPS: keeps },
    workgroups: spreadWorkgroups(Math.ceil(elements / 256)),
  });
}
