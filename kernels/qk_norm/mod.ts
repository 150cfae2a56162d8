/**
 * Normalised queries and keys.
 *
 * @module
 */

import texelOf from "../common/texel_of.wgsl.ts";
import { type Device, spreadWorkgroups } from "../core/device.ts";
import { Kernel } from "../core/kernel.ts";
import { MAX_LOOP_ROUNDS, MAX_WORKGROUPS } from "../core/limits.ts";
import { stagedVariant } from "../core/staged_variant.ts";
import { formatShape, type Tensor } from "../core/tensor.ts";
// The second stage of the parameters' gradients is the column sum of a bias gradient.
import { columnSumInto } from "../linear/mod.ts";
import backwardSource from "./backward.wgsl.ts";
import backwardTextureSource from "./backward_texture.wgsl.ts";
import backwardVectorSource from "./backward_vector.wgsl.ts";
import forwardSource from "./forward.wgsl.ts";
import forwardTextureSource from "./forward_texture.wgsl.ts";
import forwardVectorSource from "./forward_vector.wgsl.ts";
import parameterSumSource from "./parameter_sum.wgsl.ts";
import parameterSumTextureSource from "./parameter_sum_texture.wgsl.ts";

/** The forward kernel by its variant. */
export const FORWARD: Readonly<Record<"scalar" | "texture" | "vector", Kernel>> = {
  scalar: new Kernel({ source: forwardSource }),
  texture: new Kernel({ source: forwardTextureSource, includes: [texelOf] }),
  vector: new Kernel({ source: forwardVectorSource }),
};
const BACKWARD = {
  scalar: new Kernel({ source: backwardSource }),
  texture: new Kernel({ source: backwardTextureSource, includes: [texelOf] }),
  vector: new Kernel({ source: backwardVectorSource }),
} as const;
const PARAMETER_SUM = new Kernel({ source: parameterSumSource });
const PARAMETER_SUM_TEXTURE = new Kernel({
  source: parameterSumTextureSource,
  includes: [texelOf],
});

/** Heads that one workgroup normalises. */
const ROWS = { scalar: 64, texture: 64, vector: 8 } as const;

/**
 * Four loops over a head and leaving three of them must have no more rounds together than a CPU driver
 * makes: one is over a head of values, which an invocation runs along with its neighbours.
 */
const MAX_HEAD_WIDTH = (MAX_LOOP_ROUNDS - 3) / 4;

/** Heads that one invocation sums for a parameter's gradient, where that makes few enough chunks. */
const CHUNK = 256;

/** How {@linkcode qkNorm} normalises. */
export interface QkNormOptions {
  /** H; each head has D / H channels. */
  readonly heads: number;
  /** [D / H] */
  readonly queryWeight: Tensor;
  /** [D / H] */
  readonly keyWeight: Tensor;
  /** [D / H]; given with `keyBias` or not at all. */
  readonly queryBias?: Tensor | undefined;
  /** [D / H]; given with `queryBias` or not at all. */
  readonly keyBias?: Tensor | undefined;
  /** Added to the variance; default 1e-5 with biases and 1e-6 without. */
  readonly epsilon?: number | undefined;
}

/**
 * Normalises the queries and keys of each head, which bounds their products (Dehghani et al.,
 * arXiv 2302.05442, section 2): with biases y = (x − mean) / √(variance + ε) · weight + bias,
 * without y = x / √(mean(x²) + ε) · weight, over the channels of one head. `qkv`
 * [B, T, 3·D] holds queries, keys and values of all heads; values pass unchanged; the result has
 * the same shape.
 *
 * Throws `TypeError` when the shapes do not fit or only one of the biases is given, `RangeError` for
 * heads of more than 16,383 channels and for an epsilon below 0.
 *
 * @example
 * ```ts
 * import { Device, qkNorm } from "@gmem/gmem/kernels";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * using qkv = device.tensor(Float32Array.of(3, -3, 5, 5, 7, 9), [1, 1, 6]); // q, k and v
 * using queryWeight = device.tensor(Float32Array.of(1, 1), [2]);
 * using keyWeight = device.tensor(Float32Array.of(10, 20), [2]);
 * using y = qkNorm(qkv, { heads: 1, queryWeight, keyWeight, epsilon: 0 });
 * console.log(await y.read()); // Float32Array(6) [ 1, -1, 10, 20, 7, 9 ]
 * ```
 */
export function qkNorm(qkv: Tensor, options: QkNormOptions): Tensor {
  const { heads, queryWeight, keyWeight, queryBias, keyBias } = options;
  const { device } = qkv;
  const headWidth = checkShapes(qkv, options);
  const layer = queryBias !== undefined, LAYER = Number(layer);
  const { epsilon = layer ? 1e-5 : 1e-6 } = options;
  if (!(epsilon >= 0)) {
    throw new RangeError(`Cannot normalise with epsilon ${epsilon}: expected a number from 0`);
  }
  const rows = qkv.elements / headWidth;
  return device.scope(() => {
    const statistics = device.empty([rows / (3 * heads), 2, heads, 2]);
    const out = device.empty(qkv.shape);
    const variant = variantOf(device, headWidth);
    const workgroups = spreadWorkgroups(Math.ceil(rows / ROWS[variant]));
    device.dispatch(FORWARD[variant], {
      tensors: {
        qkv,
        query_weight: queryWeight,
        key_weight: keyWeight,
        // Without LAYER the kernel reads no bias, yet something has to be bound.
        query_bias: queryBias ?? queryWeight,
        key_bias: keyBias ?? keyWeight,
        statistics,
        out,
      },
      params: {
        rows,
        heads,
        head_width: headWidth,
        epsilon,
      },
      workgroups,
      constants: { LAYER },
    });
    const inputs = [qkv, queryWeight, keyWeight];
    if (queryBias && keyBias) inputs.push(queryBias, keyBias);
    device.tape?.push({
      name: "qkNorm",
      inputs,
      output: out,
      saved: [qkv, statistics, queryWeight, keyWeight],
      backward(dy, gradients) {
        gradients.into(qkv, (dqkv, accumulate) =>
          device.dispatch(BACKWARD[variant], {
            tensors: {
              qkv,
              statistics,
              dy,
              query_weight: queryWeight,
              key_weight: keyWeight,
              dqkv,
            },
            params: { rows, heads, head_width: headWidth, accumulate },
            workgroups,
            constants: { LAYER },
          }));
        const parts = [[queryWeight, queryBias], [keyWeight, keyBias]] as const;
        for (const [part, [weight, bias]] of parts.entries()) {
          const values = { qkv, statistics, dy, heads, part };
          gradients.into(
            weight,
            (dw, accumulate) => sumForParameter(dw, { ...values, kind: "weight", accumulate }),
          );
          if (bias) {
            gradients.into(
              bias,
              (db, accumulate) => sumForParameter(db, { ...values, kind: "bias", accumulate }),
            );
          }
        }
      },
    });
    return out;
  });
}

function variantOf(device: Device, headWidth: number): keyof typeof FORWARD {
  return stagedVariant(device, "qkNorm", {
    among: FORWARD,
    otherwise: "vector",
    only: headWidth % 4 === 0 ? undefined : "scalar",
  });
}

/** The head width, or an error. */
function checkShapes(qkv: Tensor, options: QkNormOptions): number {
  const { heads, queryWeight, keyWeight, queryBias, keyBias } = options;
  const headWidth = (qkv.shape[2] ?? 0) / 3 / heads;
  if (qkv.shape.length !== 3 || !Number.isInteger(headWidth)) {
    throw new TypeError(
      `Cannot normalise ${formatShape(qkv.shape)} with ${heads} heads: ` +
        `expected [B, T, 3 x heads x head width]`,
    );
  }
  if (headWidth > MAX_HEAD_WIDTH) {
    throw new RangeError(
      `Cannot normalise heads of ${headWidth} channels: expected at most ${MAX_HEAD_WIDTH}`,
    );
  }
  if ((queryBias === undefined) !== (keyBias === undefined)) {
    throw new TypeError(
      `Cannot normalise queries and keys: the bias of ${queryBias ? "keys" : "queries"} is missing`,
    );
  }
  for (const parameter of [queryWeight, keyWeight, queryBias, keyBias]) {
    if (parameter && formatShape(parameter.shape) !== formatShape([headWidth])) {
      throw new TypeError(
        `Cannot normalise ${formatShape(qkv.shape)} with ${heads} heads by parameters ` +
          `${formatShape(parameter.shape)}: expected [${headWidth}]`,
      );
    }
  }
  return headWidth;
}

/** Sums over all heads of all tokens, in chunks and then over the chunks. */
function sumForParameter(
  out: Tensor,
  options: {
    qkv: Tensor;
    statistics: Tensor;
    dy: Tensor;
    heads: number;
    part: number;
    kind: "weight" | "bias";
    accumulate: 0 | 1;
  },
): void {
  const { qkv, statistics, dy, heads, part, kind, accumulate } = options;
  const { device } = out;
  const headWidth = out.elements, rows = qkv.elements / headWidth / 3;
  const chunk = Math.max(CHUNK, Math.ceil(rows / MAX_WORKGROUPS));
  const chunks = Math.ceil(rows / chunk);
  device.scope(() => {
    const partial = device.empty([chunks, headWidth]);
    const texture = variantOf(device, headWidth) === "texture";
    device.dispatch(texture ? PARAMETER_SUM_TEXTURE : PARAMETER_SUM, {
      tensors: { qkv, statistics, dy, partial },
      params: { rows, heads, head_width: headWidth, part, chunk },
      workgroups: [Math.ceil(headWidth / (texture ? 32 : 64)), chunks],
      constants: { BIAS: Number(kind === "bias") },
    });
    columnSumInto(out, partial, { accumulate });
  });
}
