/**
 * Masking of snippets in training (GMem, appendix A.2).
 *
 * @module
 */

import cosSin from "../common/cos_sin.wgsl.ts";
import philox from "../common/philox.wgsl.ts";
import { spreadWorkgroups } from "../core/device.ts";
import { Kernel } from "../core/kernel.ts";
import { requireOneOf } from "../core/nearest_name.ts";
import { Stream } from "../core/random.ts";
import { formatShape, type Tensor } from "../core/tensor.ts";
import { counterParams } from "../random_normal/counters.ts";
import source from "./mask_snippets.wgsl.ts";

const MASK_SNIPPETS = new Kernel({ source, includes: [cosSin, philox] });

/** Names of the ways to mask snippets. */
export const SNIPPET_MASK_KINDS = ["zero", "zero-plain", "random", "noise", "whole"] as const;

/**
 * How snippets are masked:
 * - `"zero"`: each number is zero with probability `ratio`, the others are divided by 1 − ratio
 *   (dropout, as in the released code);
 * - `"zero-plain"`: the same without the division (as the paper words it);
 * - `"random"`: masked numbers are drawn from N(0, 1/d), the variance of a unit vector's numbers;
 * - `"noise"`: ratio · N(0, 1/d) is added to every number;
 * - `"whole"`: all numbers of a snippet are zero with probability `ratio`, as the empty snippet that guidance
 *   leads away from.
 */
export type SnippetMaskKind = typeof SNIPPET_MASK_KINDS[number];

/** Options of {@linkcode maskSnippets}. */
export interface MaskSnippetsOptions {
  /** What masking does. */
  readonly kind: SnippetMaskKind;
  /** Probability of a number or snippet to be masked, 0 <= ratio < 1; for `"noise"` its strength, >= 0. */
  readonly ratio: number;
  /** Seed of the run, 0 <= seed < 2^64. */
  readonly seed: number | bigint;
  /** Training step, below 2^32. */
  readonly step: number;
  /** Identity of the batch's first sample; the others follow. */
  readonly firstSample: number;
}

/**
 * Masks each number of each snippet on its own (GMem, appendix A.2), or whole snippets: `snippets` [B, d],
 * result [B, d]. Masked numbers get a gradient of zero.
 *
 * Number j of sample b is masked when `Random.uniform(step, firstSample + b, j)` of the seed's
 * `Stream.SnippetMask` is below the ratio, all of them by that of number 0 where snippets are masked as a whole;
 * noise is `Random.normal` of element 2^33 + j.
 *
 * Throws `TypeError` when there are not two axes, and `RangeError` for a kind that there is none of, and a ratio,
 * step or sample out of range.
 *
 * @example
 * ```ts
 * import { Device, maskSnippets } from "@gmem/gmem/kernels";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * using snippets = device.tensor(Float32Array.of(1, 2, 3, 4, 5, 6), [1, 6]);
 * const draw = { seed: 42, step: 0, firstSample: 0 };
 * // Masked numbers become 0, the others are divided by 1 − ratio.
 * using masked = maskSnippets(snippets, { kind: "zero", ratio: 0.5, ...draw });
 * console.log(await masked.read()); // Float32Array(6) [ 0, 4, 0, 8, 0, 12 ]
 * ```
 */
export function maskSnippets(snippets: Tensor, options: MaskSnippetsOptions): Tensor {
  const { kind, ratio } = options;
  const [batch = 0, width = 0] = snippets.shape;
  if (snippets.shape.length !== 2) {
    throw new TypeError(
      `Cannot mask snippets ${formatShape(snippets.shape)}: expected shape [B, d]`,
    );
  }
  requireOneOf("Cannot mask snippets: kind", kind, SNIPPET_MASK_KINDS);
  if (!(ratio >= 0 && (kind === "noise" ? ratio < Infinity : ratio < 1))) {
    throw new RangeError(
      `Cannot mask snippets: the ratio is ${ratio}, expected 0 <= ratio` +
        (kind === "noise" ? "" : " < 1"),
    );
  }
  const deviation = 1 / Math.sqrt(width);
  const params = {
    batch,
    width,
    ...counterParams({ ...options, stream: Stream.SnippetMask }, batch),
    threshold: kind === "noise" ? 0 : thresholdOf(ratio),
    scale: kind === "zero" ? 1 / (1 - ratio) : 1,
    masked_noise: kind === "random" ? deviation : 0,
    kept_noise: kind === "noise" ? ratio * deviation : 0,
    whole: kind === "whole" ? 1 : 0,
  };
  const { device } = snippets, out = device.empty(snippets.shape);
  const workgroups = spreadWorkgroups(Math.ceil(batch * Math.ceil(width / 4) / 64));
  device.dispatch(MASK_SNIPPETS, {
    tensors: { x: snippets, out },
    params: { ...params, accumulate: 0 },
    workgroups,
  });
  device.tape?.push({
    name: "maskSnippets",
    inputs: [snippets],
    output: out,
    saved: [],
    backward(dy, gradients) {
      if (kind === "noise") return gradients.pass(snippets, dy);
      gradients.into(snippets, (ds, accumulate) =>
        device.dispatch(MASK_SNIPPETS, {
          tensors: { x: dy, out: ds },
          params: { ...params, masked_noise: 0, accumulate },
          workgroups,
        }));
    },
  });
  return out;
}

/** The number of u32 words whose uniform number (word + ½) / 2^32 lies below the ratio. */
function thresholdOf(ratio: number): number {
  return Math.min(Math.ceil(ratio * 2 ** 32 - 0.5), 2 ** 32 - 1);
}
