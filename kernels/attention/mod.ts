/**
 * Multi-head self-attention.
 *
 * @module
 */

import { castInto } from "../cast/mod.ts";
import half from "../common/half.wgsl.ts";
import handedRows from "../common/handed_rows.wgsl.ts";
import loadFloats from "../common/load_floats.wgsl.ts";
import loadHalves from "../common/load_halves.wgsl.ts";
import storeFloats from "../common/store_floats.wgsl.ts";
import storeHalves from "../common/store_halves.wgsl.ts";
import texelOf from "../common/texel_of.wgsl.ts";
import { type Device, spreadWorkgroups } from "../core/device.ts";
import { addTo } from "../core/in_place.ts";
import { Kernel } from "../core/kernel.ts";
import { MAX_WORKGROUPS } from "../core/limits.ts";
import { formatShape, type Tensor, viewOf } from "../core/tensor.ts";
import backwardKeys from "./backward_keys.wgsl.ts";
import backwardNaive from "./backward_naive.wgsl.ts";
import backwardQueries from "./backward_queries.wgsl.ts";
import backwardTiled from "./backward_tiled.wgsl.ts";
import deltaSource from "./delta.wgsl.ts";
import deltaTextureSource from "./delta_texture.wgsl.ts";
import deltaVectorSource from "./delta_vector.wgsl.ts";
import forwardNaive from "./forward_naive.wgsl.ts";
import forwardRows from "./forward_rows.wgsl.ts";
import forwardTiled from "./forward_tiled.wgsl.ts";
import {
  type AttentionSize,
  type AttentionVariant,
  pickAttention,
  planTiled,
  scoreBytes,
  supportsAttention,
} from "./variants.ts";

/** The forward kernel by its variant. */
export const FORWARD: Readonly<Record<AttentionVariant, Kernel>> = {
  naive: new Kernel({ source: forwardNaive }),
  rows: new Kernel({ source: forwardRows, includes: [texelOf, handedRows] }),
  tiled: new Kernel({ source: forwardTiled, includes: [storeFloats] }),
};
const BACKWARD: Readonly<Record<Exclude<AttentionVariant, "rows">, Kernel>> = {
  naive: new Kernel({ source: backwardNaive }),
  tiled: new Kernel({ source: backwardTiled, includes: [storeFloats] }),
};
/** The gradient of `rows`: those of keys and values, then that of queries. */
const BACKWARD_KEYS = new Kernel({ source: backwardKeys, includes: [texelOf, handedRows] });
const BACKWARD_QUERIES = new Kernel({ source: backwardQueries, includes: [texelOf, handedRows] });
/** The kernel of delta and how many of its elements one workgroup computes. */
const DELTA: Readonly<Record<AttentionVariant, readonly [Kernel, rows: number]>> = {
  naive: [new Kernel({ source: deltaSource }), 64],
  rows: [new Kernel({ source: deltaTextureSource, includes: [texelOf] }), 64],
  tiled: [new Kernel({ source: deltaVectorSource, includes: [loadFloats] }), 8],
};
/** The kernels of `tiled` where attention gives f16, or its gradient is f16. */
const HALVES = {
  forward: new Kernel({ source: forwardTiled, includes: [storeHalves, half] }),
  backward: new Kernel({ source: backwardTiled, includes: [storeHalves, half] }),
  delta: new Kernel({ source: deltaVectorSource, includes: [loadHalves, half] }),
} as const;

/** Thirds of the gradient: `naive` writes q, k and v apart, `tiled` k and v together. */
const PARTS: Readonly<Record<Exclude<AttentionVariant, "rows">, readonly number[]>> = {
  naive: [0, 1, 2],
  tiled: [0, 1],
};

/**
 * Bytes of scores that the gradient of `rows` holds at a time, unless those of one head are more: what
 * stays in a CPU's caches.
 */
const SCORE_BYTES = 1 << 22;

/**
 * Elements of keys that one invocation of `naive` goes over in one dispatch, so that its loops stay below
 * `MAX_LOOP_ROUNDS`: 8 rounds for each at most, with heads of width 1.
 */
const NAIVE_ELEMENTS = 4096;

/** How attention is computed. */
export interface AttentionOptions {
  /** Number of heads; divides the width. */
  readonly heads: number;
  /**
   * Element type that the result is rounded to. `"f16"` saves a pass where nothing but products of f16 reads it;
   * scores and sums stay f32, and on GPUs the gradient is made with the rounded result. Default `"f32"`.
   */
  readonly dtype?: "f32" | "f16" | undefined;
}

/** A split of `qkv` into heads with the kernels that compute it. */
interface Heads extends AttentionSize {
  readonly device: Device;
  readonly variant: AttentionVariant;
  readonly batch: number;
  readonly heads: number;
}

/** What one recording of kernels over the heads needs. */
interface Recording {
  readonly tensors: Readonly<Record<string, Tensor>>;
  readonly constants?: Readonly<Record<string, number>>;
  /** Present in gradients only. */
  readonly params?: Readonly<Record<string, number>>;
}

/**
 * Softmax attention of every token on all tokens of its image: `qkv` [B, T, 3·D], packed as
 * [B, T, 3, H, D / H], gives [B, T, D]; for each head softmax(q kᵀ / √(D / H)) v (Vaswani et al.,
 * arXiv 1706.03762, eq. 1). 4·B·T²·D flops forward, 10 to 16·B·T²·D backward.
 *
 * Scores exist a tile at a time (Dao et al., arXiv 2205.14135): the forward pass keeps each row's
 * logarithm of the sum of exponentials, [B, H, T], from which the backward pass makes them again: on
 * GPUs twice, on CPU drivers once, for some heads at a time.
 * Where `qkv` exceeds what the adapter binds at once, kernels run over parts of the batch. Heads
 * whose width is no multiple of 4 take slow kernels; beyond a width of 128, or 64 on CPU drivers, scores
 * are made once for every so many columns, which adds to the flops.
 *
 * Throws `TypeError` when `qkv` is not [B, T, 3·D] or the heads do not divide D.
 *
 * @example
 * ```ts
 * import { attention, Device } from "@gmem/gmem/kernels";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * // Each token is q, k, v, each of 2 heads of width 1; queries of zero attend to all alike.
 * using qkv = device.tensor(Float32Array.of(0, 0, 0, 0, 2, 10, 0, 0, 0, 0, 4, 30), [1, 2, 6]);
 * using out = attention(qkv, { heads: 2 });
 * console.log(out.shape, await out.read()); // [ 1, 2, 2 ] Float32Array(4) [ 3, 20, 3, 20 ]
 * ```
 */
export function attention(qkv: Tensor, options: AttentionOptions): Tensor {
  const size = headsOf(qkv, options.heads), { dtype = "f32" } = options;
  const { device, variant, batch, tokens, heads, headWidth } = size;
  return device.scope(() => {
    const shape = [batch, tokens, heads * headWidth], storesHalves = variant === "tiled";
    const attended = device.empty(shape, { dtype: storesHalves ? dtype : "f32" });
    const lse = device.empty([batch, heads, tokens]);
    const kernel = attended.dtype === "f16" ? HALVES.forward : FORWARD[variant];
    record(kernel, size, { tensors: { qkv, out: attended, lse } });
    const out = attended.dtype === dtype ? attended : device.empty(shape, { dtype });
    if (out !== attended) castInto(out, attended);
    device.tape?.push({
      name: "attention",
      inputs: [qkv],
      output: out,
      saved: [qkv, attended, lse],
      backward(dy, gradients) {
        gradients.into(qkv, (dQkv, accumulate) =>
          device.scope(() => {
            const delta = deltaOf(size, { dy, x: attended });
            if (variant === "rows") {
              return backwardRows(size, { qkv, dy, lse, delta, d_qkv: dQkv }, accumulate);
            }
            // `naive` sums in memory: what is there must not take part in its roundings.
            const apart = variant === "naive" && accumulate === 1;
            const written = apart ? device.empty(qkv.shape) : dQkv;
            const kernel = written.dtype === "f16" ? HALVES.backward : BACKWARD[variant];
            for (const PART of PARTS[variant]) {
              record(kernel, size, {
                tensors: { qkv, dy, lse, delta, out: written },
                constants: { PART },
                params: variant === "naive" ? {} : { accumulate },
              });
            }
            if (apart) {
              inBatches(
                size,
                { dQkv, written },
                (_, part) => addTo(part["dQkv"]!, part["written"]!),
              );
            }
          }), { halves: storesHalves });
      },
    });
    return out;
  });
}

function headsOf(qkv: Tensor, heads: number): Heads {
  const [batch, tokens, packed] = qkv.shape;
  const headWidth = packed === undefined ? NaN : packed / (3 * heads);
  if (
    batch === undefined || tokens === undefined || qkv.shape.length !== 3 ||
    !Number.isInteger(heads) || heads < 1 || !Number.isInteger(headWidth) || headWidth < 1
  ) {
    throw new TypeError(
      `Cannot attend with ${heads} heads to ${formatShape(qkv.shape)}: ` +
        `expected [B, T, 3 D] with D a multiple of the heads`,
    );
  }
  const { device } = qkv;
  const { profile } = device;
  const size = { tokens, headWidth, gradient: device.tape !== undefined };
  const variant = device.variant("attention", pickAttention(profile, size), {
    among: FORWARD,
    shape: { batch, heads, tokens, headWidth },
    supports: (name) => supportsAttention(name, { profile, size }),
  });
  return { device, variant, batch, heads, tokens, headWidth };
}

/** delta [B, H, T]: the products of dy and x, what attention gave, summed over each head. */
function deltaOf(size: Heads, inputs: { dy: Tensor; x: Tensor }): Tensor {
  const { device, variant, tokens, heads, headWidth } = size;
  const delta = device.empty([size.batch, heads, tokens]);
  const [ofFloats, rowsOfGroup] = DELTA[variant];
  const kernel = inputs.x.dtype === "f16" ? HALVES.delta : ofFloats;
  inBatches(size, { ...inputs, delta }, ({ batch }, tensors) => {
    const rows = batch * heads * tokens;
    device.dispatch(kernel, {
      tensors,
      params: {
        tokens,
        heads,
        ...(variant === "naive" ? { head_width: headWidth } : { head_vectors: headWidth / 4 }),
        rows,
      },
      workgroups: spreadWorkgroups(Math.ceil(rows / rowsOfGroup)),
    });
  });
  return delta;
}

/**
 * Calls `fn` with as many elements of the batch as one binding holds: mostly once, with all.
 * Tensors have the batch as their first axis.
 */
function inBatches(
  size: Heads,
  tensors: Readonly<Record<string, Tensor>>,
  fn: (size: Heads, tensors: Readonly<Record<string, Tensor>>) => void,
): void {
  const { device, batch } = size, all = Object.entries(tensors);
  // Bindings start at whole blocks of 256 bytes.
  let step = 1, largest = 0;
  for (const [, { bytes }] of all) {
    const each = bytes / batch;
    step = Math.max(step, 256 / Math.min(256, each & -each));
    largest = Math.max(largest, each);
  }
  const fit = Math.floor(device.profile.maxBindingBytes / largest);
  if (fit >= batch) return fn(size, tensors);
  const count = Math.max(step, Math.floor(fit / step) * step);
  for (let first = 0; first < batch; first += count) {
    device.scope(() => {
      const entries = { first, count: Math.min(count, batch - first) };
      const parts = all.map(([name, tensor]) => [name, partOf(tensor, entries)] as const);
      fn({ ...size, batch: entries.count }, Object.fromEntries(parts));
    });
  }
}

/** A view of some elements of the batch. */
function partOf(tensor: Tensor, entries: { first: number; count: number }): Tensor {
  const [batch = 1, ...shape] = tensor.shape, { first, count } = entries;
  const part = { first: first * tensor.elements / batch, shape: [count, ...shape] };
  return tensor.device.adopt(viewOf(tensor, part));
}

/** Records the kernel of a variant over all rows of all heads. */
function record(kernel: Kernel, size: Heads, recording: Recording): void {
  inBatches(size, recording.tensors, (part, tensors) => {
    recordPart(kernel, part, { ...recording, tensors });
  });
}

/** The gradient of `rows`, for as many heads at a time as their scores are to be held of. */
function backwardRows(
  all: Heads,
  inputs: Readonly<Record<"qkv" | "dy" | "lse" | "delta" | "d_qkv", Tensor>>,
  accumulate: 0 | 1,
): void {
  inBatches(all, inputs, ({ device, batch, tokens, heads, headWidth }, tensors) => {
    const { qkv, d_qkv } = tensors as typeof inputs;
    const headVectors = headWidth / 4, tiles = Math.ceil(tokens / 16);
    const LANES = device.profile.subgroupSize, SLOTS = slotsOf(headVectors, LANES);
    const bytes = scoreBytes(tokens);
    // Each head has workgroups of its own along z.
    const most = Math.min(MAX_WORKGROUPS, Math.max(1, Math.floor(SCORE_BYTES / bytes)));
    for (let first = 0; first < batch * heads; first += most) {
      device.scope(() => {
        const count = Math.min(most, batch * heads - first);
        const scores = device.empty([count, bytes / 4]);
        const params = { tokens, heads, head_vectors: headVectors, first };
        const units = count * tiles;
        device.dispatch(BACKWARD_KEYS, {
          tensors: { ...tensors, scores },
          params: { ...params, tiles, units, scale: headWidth ** -0.5 },
          workgroups: [...spreadWorkgroups(units), Math.ceil(headVectors / (LANES * SLOTS))],
          constants: { LANES, SLOTS, ACCUMULATE: accumulate },
        });
        device.dispatch(BACKWARD_QUERIES, {
          tensors: { scores, qkv, d_qkv },
          params,
          workgroups: [Math.ceil(headVectors / LANES), Math.ceil(tokens / 32), count],
          constants: { LANES, ACCUMULATE: accumulate },
        });
      });
    }
  });
}

/** Columns of vec4 of each lane of `rows`. */
function slotsOf(headVectors: number, lanes: number): number {
  return headVectors > lanes ? 2 : 1;
}

function recordPart(kernel: Kernel, size: Heads, recording: Recording): void {
  const { device, variant, batch, tokens, heads, headWidth } = size;
  const { tensors, constants = {} } = recording;
  const params = { ...recording.params, tokens, heads, scale: headWidth ** -0.5 };
  const headVectors = headWidth / 4;
  if (variant === "naive") {
    const rows = batch * heads * tokens;
    const step = Math.max(1, Math.floor(NAIVE_ELEMENTS / headWidth));
    for (let first = 0; first < tokens; first += step) {
      device.dispatch(kernel, {
        tensors,
        params: {
          ...params,
          rows,
          head_width: headWidth,
          first,
          end: Math.min(tokens, first + step),
        },
        workgroups: spreadWorkgroups(Math.ceil(rows / 64)),
        constants,
      });
    }
  } else if (variant === "rows") {
    const LANES = device.profile.subgroupSize, SLOTS = slotsOf(headVectors, LANES);
    const tiles = Math.ceil(tokens / 16), units = batch * heads * tiles;
    device.dispatch(kernel, {
      tensors,
      params: { ...params, head_vectors: headVectors, tiles, units },
      workgroups: [...spreadWorkgroups(units), Math.ceil(headVectors / (LANES * SLOTS))],
      constants: { ...constants, LANES, SLOTS },
    });
  } else {
    const tiles = Math.ceil(tokens / 64), units = batch * heads * tiles;
    const { slices, columns, slots, rest, memory } = planTiled(headWidth);
    device.dispatch(kernel, {
      tensors,
      params: { ...params, tiles, units },
      workgroups: [...spreadWorkgroups(units), slices],
      constants: {
        ...constants,
        HEAD_VECTORS: headVectors,
        COLUMNS: columns,
        SLOTS: slots,
        REST: rest,
        MEMORY_VECTORS: memory,
      },
    });
  }
}
