/**
 * Sequences of tokens that become one, and parts of a sequence.
 *
 * @module
 */

import { spreadWorkgroups } from "../core/device.ts";
import { Kernel } from "../core/kernel.ts";
import { formatShape, type Tensor } from "../core/tensor.ts";
import source from "./copy_tokens.wgsl.ts";

const COPY_TOKENS = new Kernel({ source });

/** Which tokens {@linkcode sliceTokens} takes. */
export interface SliceTokensOptions {
  /** The first of them, from 0. */
  readonly first: number;
  /** How many. */
  readonly count: number;
}

/**
 * Sequences one after the other: [B, T₁, D], [B, T₂, D], … to [B, T₁ + T₂ + …, D], as tokens of a condition
 * go before those of an image (DiT, section 3.2), or texts and images are attended to together (MM-DiT, Esser
 * et al. 2024). Differentiable in all of them.
 *
 * Throws `TypeError` unless there is a sequence, and all have three axes, one B and one D.
 *
 * @example
 * ```ts
 * import { concatenateTokens, Device } from "@gmem/gmem/kernels";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * using condition = device.tensor(Float32Array.of(1, 2), [2, 1, 1]);
 * using image = device.tensor(Float32Array.of(3, 4, 5, 6), [2, 2, 1]);
 * using tokens = concatenateTokens([condition, image]);
 * console.log(tokens.shape, ...await tokens.read()); // [ 2, 3, 1 ] 1 3 4 2 5 6
 * ```
 */
export function concatenateTokens(sequences: readonly Tensor[]): Tensor {
  const [first] = sequences, [batch = 0, , width = 0] = first?.shape ?? [];
  const fit = sequences.every(({ shape }) =>
    shape.length === 3 && shape[0] === batch && shape[2] === width
  );
  if (!first || !fit) {
    throw new TypeError(
      "Cannot concatenate the tokens of " +
        `${sequences.map(({ shape }) => formatShape(shape)).join(", ") || "no sequence"}: ` +
        "expected [B, T, D] of one B and one D",
    );
  }
  const { device } = first;
  let tokens = 0;
  const parts = sequences.map((x) => {
    const part = { x, count: x.shape[1]!, first: tokens };
    tokens += part.count;
    return part;
  });
  const out = device.empty([batch, tokens, width]);
  for (const { x, count, first } of parts) {
    copyTokens({ x, out, count, outFirst: first, accumulate: 0 });
  }
  device.tape?.push({
    name: "concatenateTokens",
    inputs: sequences,
    output: out,
    saved: [],
    backward(dy, gradients) {
      for (const { x, count, first } of parts) {
        gradients.into(
          x,
          (dx, accumulate) => copyTokens({ x: dy, out: dx, count, xFirst: first, accumulate }),
        );
      }
    },
  });
  return out;
}

/**
 * The tokens of a sequence from `first` on: [B, T, D] to [B, count, D]. Differentiable.
 *
 * Throws `TypeError` unless there are three axes, and `RangeError` for tokens that are not there.
 *
 * @example
 * ```ts
 * import { Device, sliceTokens } from "@gmem/gmem/kernels";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * using tokens = device.tensor(Float32Array.of(1, 3, 4, 2, 5, 6), [2, 3, 1]);
 * using image = sliceTokens(tokens, { first: 1, count: 2 });
 * console.log(image.shape, ...await image.read()); // [ 2, 2, 1 ] 3 4 5 6
 * ```
 */
export function sliceTokens(x: Tensor, options: SliceTokensOptions): Tensor {
  const { first, count } = options, [batch = 0, tokens = 0, width = 0] = x.shape;
  if (x.shape.length !== 3) {
    throw new TypeError(`Cannot slice the tokens of ${formatShape(x.shape)}: expected [B, T, D]`);
  }
  const whole = Number.isInteger(first) && Number.isInteger(count);
  if (!whole || first < 0 || count < 1 || first + count > tokens) {
    throw new RangeError(
      `Cannot slice ${count} tokens from ${first} on of ${formatShape(x.shape)}: ` +
        `expected tokens from 0 to ${tokens - 1}`,
    );
  }
  const { device } = x;
  const out = device.empty([batch, count, width]);
  copyTokens({ x, out, count, xFirst: first, accumulate: 0 });
  device.tape?.push({
    name: "sliceTokens",
    inputs: [x],
    output: out,
    saved: [],
    backward(dy, gradients) {
      gradients.region(
        x,
        (dx) => copyTokens({ x: dy, out: dx, count, outFirst: first, accumulate: 1 }),
      );
    },
  });
  return out;
}

/** Copies `count` tokens of each sample from `x` [B, T, D] to `out` [B, T', D]. */
function copyTokens(options: {
  x: Tensor;
  out: Tensor;
  count: number;
  xFirst?: number;
  outFirst?: number;
  accumulate: 0 | 1;
}): void {
  const { x, out, count, xFirst = 0, outFirst = 0, accumulate } = options;
  const [batch = 0, xTokens = 0, width = 0] = x.shape, outTokens = out.shape[1]!;
  const elements = batch * count * width;
  out.device.dispatch(COPY_TOKENS, {
    tensors: { x, out },
    params: {
      elements,
      count: count * width,
      x_first: xFirst * width,
      x_length: xTokens * width,
      out_first: outFirst * width,
      out_length: outTokens * width,
      accumulate,
    },
    workgroups: spreadWorkgroups(Math.ceil(elements / 64)),
  });
}
