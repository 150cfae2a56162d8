/**
 * Adaptive modulation of a residual stream: what one linear layer makes of the condition decides
 * shift, scale and gate of a block (adaLN).
 *
 * @module
 */

import half from "../common/half.wgsl.ts";
import storeFloats from "../common/store_floats.wgsl.ts";
import storeHalves from "../common/store_halves.wgsl.ts";
import texelOf from "../common/texel_of.wgsl.ts";
import type { Device } from "../core/device.ts";
import { Kernel } from "../core/kernel.ts";
import { stagedVariant } from "../core/staged_variant.ts";
import { formatShape, type Tensor } from "../core/tensor.ts";
// Modulation is a norm whose gain and offset depend on the batch entry: the norm's kernels read
// them where they lie.
import {
  GroupSums,
  type Norm,
  type Normalization,
  recordNormalization,
} from "../layer_norm/mod.ts";
import { columnSumInto } from "../linear/mod.ts";
import gateSource from "./gate.wgsl.ts";
import gateBackwardVectorSource from "./gate_backward_vector.wgsl.ts";
import gateTextureSource from "./gate_texture.wgsl.ts";
import gateVectorSource from "./gate_vector.wgsl.ts";
import spreadSumsSource from "./spread_sums.wgsl.ts";

/** The kernel of gate by its variant. */
export const GATE: Readonly<Record<"scalar" | "texture" | "vector", Kernel>> = {
  scalar: new Kernel({ source: gateSource }),
  texture: new Kernel({ source: gateTextureSource, includes: [texelOf] }),
  vector: new Kernel({ source: gateVectorSource }),
};
/** The gradients of what is gated and, in sums over groups, of the gate, by the type of the first. */
const GATE_BACKWARD = {
  f32: new Kernel({ source: gateBackwardVectorSource, includes: [storeFloats] }),
  f16: new Kernel({ source: gateBackwardVectorSource, includes: [storeHalves, half] }),
} as const;
const SPREAD_SUMS = new Kernel({ source: spreadSumsSource });

/** What {@linkcode modulate} takes from the modulation tensor, and the norm before it. */
export interface ModulateOptions {
  /** Index of the chunk [B, D] that is added; none in the form without shift. */
  readonly shift?: number | undefined;
  /** Index of the chunk [B, D] that scales. */
  readonly scale: number;
  /** Default `"layer"`. */
  readonly norm?: Norm | undefined;
  /** Gain [D] of the norm, before modulation. */
  readonly weight?: Tensor | undefined;
  /** Added to the variance. Default 1e-6. */
  readonly epsilon?: number | undefined;
  /**
   * Element type that the result is rounded to. `"f16"` saves a pass where nothing but products of f16 reads it; the
   * sums stay f32, as its gradient does. Default `"f32"`.
   */
  readonly dtype?: "f32" | "f16" | undefined;
}

/** What {@linkcode gate} takes besides the stream and what is added to it. */
export interface GateOptions {
  /** Rows of chunks [B, C·D]. */
  readonly modulation: Tensor;
  /** Index of the chunk [B, D] that gates. */
  readonly gate: number;
}

/**
 * norm(x) · (1 + scale) + shift with one row of scale and shift for each batch entry: `x`
 * [B, T, D], `modulation` [B, C·D], result [B, T, D]; `shift` and `scale` are indices of chunks of
 * D ("Scalable diffusion models with transformers", Peebles and Xie, 2023, section 3.2, adaLN).
 *
 * Throws `TypeError` when the shapes do not fit, `RangeError` when there is no such chunk, D is above
 * 16,384 or epsilon below 0.
 *
 * @example
 * ```ts
 * import { Device, modulate } from "@gmem/gmem/kernels";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * using x = device.tensor(Float32Array.of(1, 3), [1, 1, 2]); // normalised: −1, 1
 * using chunks = device.tensor(Float32Array.of(10, 20, 1, 2), [1, 4]);
 * using y = modulate(x, chunks, { shift: 0, scale: 1, epsilon: 0 }); // −1 · 2 + 10, 1 · 3 + 20
 * console.log(await y.read()); // Float32Array(2) [ 8, 23 ]
 * ```
 */
export function modulate(x: Tensor, modulation: Tensor, options: ModulateOptions): Tensor {
  const { shift, scale, norm = "layer", weight, epsilon = 1e-6, dtype } = options;
  const { device } = x;
  const { batches, tokens, width, stride } = sizesOf(x, modulation, {
    chunks: { scale, ...(shift === undefined ? {} : { shift }) },
  });
  if (weight && weight.elements !== width) {
    throw new TypeError(
      `Cannot modulate ${formatShape(x.shape)} with weight ${formatShape(weight.shape)}: ` +
        `expected [${width}]`,
    );
  }
  const scaleAt = scale * width, shiftAt = shift === undefined ? undefined : shift * width;
  const normalization: Normalization = {
    norm,
    epsilon,
    weight,
    modulation,
    tokens,
    stride,
    scale: scaleAt,
    shift: shiftAt,
  };
  return recordNormalization(x, {
    name: "modulate",
    normalization,
    dtype,
    parameters: weight ? [modulation, weight] : [modulation],
    parameterGradients(gradients, groups) {
      const from = { batches, chunks: groups.chunks, width };
      gradients.region(modulation, (gradient) => {
        const to = { stride, accumulate: 1 } as const;
        const { sums, products } = groups;
        spreadSums(gradient, { ...from, ...to, sums: products, at: scaleAt, factors: weight });
        if (shiftAt !== undefined) spreadSums(gradient, { ...from, ...to, sums, at: shiftAt });
      });
      if (weight) {
        gradients.into(weight, (dw, accumulate) =>
          device.scope(() => {
            const scaled = device.empty([batches, width]);
            spreadSums(scaled, {
              ...from,
              sums: groups.products,
              stride: width,
              at: 0,
              factors: modulation,
              factorStride: stride,
              factorAt: scaleAt,
              plusOne: true,
              accumulate: 0,
            });
            columnSumInto(dw, scaled, { accumulate });
          }));
      }
    },
  });
}

/**
 * x + gate · h with one row of gates for each batch entry: `x` and `h` [B, T, D], `modulation`
 * [B, C·D], result [B, T, D]; `gate` is the index of a chunk of D ("Scalable diffusion models with
 * transformers", Peebles and Xie, 2023, section 3.2, adaLN-Zero).
 *
 * Throws `TypeError` when the shapes do not fit, `RangeError` when there is no such chunk.
 *
 * @example
 * ```ts
 * import { Device, gate } from "@gmem/gmem/kernels";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * using x = device.tensor(Float32Array.of(1, 2), [1, 1, 2]);
 * using h = device.tensor(Float32Array.of(10, 20), [1, 1, 2]);
 * using modulation = device.tensor(Float32Array.of(0, 0, 0.5, 3), [1, 4]); // chunk 1: 0.5, 3
 * using y = gate(x, h, { modulation, gate: 1 });
 * console.log(await y.read()); // Float32Array(2) [ 6, 62 ]
 * ```
 */
export function gate(x: Tensor, h: Tensor, options: GateOptions): Tensor {
  const { modulation, gate } = options;
  const { device } = x;
  const { batches, tokens, width, stride } = sizesOf(x, modulation, { chunks: { gate } });
  if (formatShape(x.shape) !== formatShape(h.shape)) {
    throw new TypeError(
      `Cannot gate ${formatShape(h.shape)} into ${formatShape(x.shape)}: shapes differ`,
    );
  }
  const size = { batches, tokens, width, stride, at: gate * width };
  const out = device.empty(x.shape);
  gateInto(out, { x, h, modulation, ...size, accumulate: 0 });
  const needsSums = device.tape?.tracks(modulation);
  device.tape?.push({
    name: "gate",
    inputs: [x, h, modulation],
    output: out,
    saved: [h, modulation],
    backward(dy, gradients) {
      using groups = new GroupSums(dy, { x: h, tokens });
      const together = needsSums && gateVariant(device, width) === "vector";
      let products: Tensor | undefined;
      gradients.into(h, (dh, accumulate) => {
        if (together) {
          products = gateGradientsInto(dh, { dy, h, modulation, ...size, groups, accumulate });
        } else gateInto(dh, { h: dy, modulation, ...size, accumulate });
      }, { halves: together });
      gradients.region(modulation, (gradient) => {
        const sums = products ?? groups.products;
        spreadSums(gradient, { ...size, chunks: groups.chunks, sums, accumulate: 1 });
      });
      products?.dispose();
      gradients.pass(x, dy);
    },
  });
  return out;
}

interface Sizes {
  readonly batches: number;
  readonly tokens: number;
  readonly width: number;
  readonly stride: number;
}

function sizesOf(
  x: Tensor,
  modulation: Tensor,
  options: { chunks: Readonly<Record<string, number>> },
): Sizes {
  const [batches = 0, tokens = 0, width = 0] = x.shape;
  const [rows, stride = 0] = modulation.shape;
  if (
    x.shape.length !== 3 || modulation.shape.length !== 2 || rows !== batches ||
    stride % width !== 0
  ) {
    throw new TypeError(
      `Cannot modulate ${formatShape(x.shape)} by ${formatShape(modulation.shape)}: ` +
        `expected [B, T, D] and [B, C·D]`,
    );
  }
  for (const [name, index] of Object.entries(options.chunks)) {
    if (!Number.isInteger(index) || index < 0 || index >= stride / width) {
      throw new RangeError(
        `Cannot take chunk ${index} of ${formatShape(modulation.shape)} for ${name}: ` +
          `expected one of ${stride / width} chunks of ${width}`,
      );
    }
  }
  return { batches, tokens, width, stride };
}

function gateVariant(device: Device, width: number): keyof typeof GATE {
  return stagedVariant(device, "gate", {
    among: GATE,
    otherwise: "vector",
    only: width % 4 === 0 ? undefined : "scalar",
  });
}

function gateInto(
  out: Tensor,
  options:
    & { x?: Tensor; h: Tensor; modulation: Tensor; at: number; accumulate: 0 | 1 }
    & Sizes,
): void {
  const { x, h, modulation, batches, tokens, width, stride, at, accumulate } = options;
  const { device } = out;
  const size = { tokens, width, stride, gate: at };
  const tiles = Math.ceil(tokens / 8), variant = gateVariant(device, width);
  if (variant === "texture") {
    // Through its texture the kernel reads out as it was while it writes the buffer.
    const base = accumulate ? out : x;
    device.dispatch(GATE.texture, {
      tensors: { x: base ?? h, h, modulation, out },
      params: size,
      workgroups: [Math.ceil(width / 64), tiles, batches],
      constants: { HAS_X: Number(base !== undefined) },
    });
  } else {
    device.dispatch(GATE[variant], {
      tensors: { x: x ?? h, h, modulation, out },
      params: { ...size, accumulate },
      workgroups: [Math.ceil(width / (variant === "vector" ? 256 : 64)), tiles, batches],
      constants: { HAS_X: Number(x !== undefined) },
    });
  }
}

/** Records dh (+)= gate dy, and gives Σ dy h over the tokens of each group, [groups, D], outside of every scope. */
function gateGradientsInto(
  dh: Tensor,
  options:
    & { dy: Tensor; h: Tensor; modulation: Tensor; at: number; accumulate: 0 | 1 }
    & { groups: GroupSums }
    & Sizes,
): Tensor {
  const { dy, h, modulation, batches, tokens, width, stride, at, accumulate, groups } = options;
  const { device } = dh, { chunk, chunks } = groups;
  const products = device.unscoped(() => device.empty([batches * chunks, width]));
  device.dispatch(GATE_BACKWARD[dh.dtype === "f16" ? "f16" : "f32"], {
    tensors: { dy, h, modulation, out: dh, products },
    params: { tokens, width, stride, gate: at, chunk, accumulate },
    workgroups: [Math.ceil(width / 64), chunks, batches],
  });
  return products;
}

function spreadSums(
  d: Tensor,
  options: {
    sums: Tensor;
    batches: number;
    chunks: number;
    width: number;
    stride: number;
    at: number;
    factors?: Tensor | undefined;
    factorStride?: number;
    factorAt?: number;
    plusOne?: boolean;
    accumulate: 0 | 1;
  },
): void {
  const { sums, batches, chunks, width, stride, at, factors, accumulate } = options;
  const { factorStride = 0, factorAt = 0, plusOne = false } = options;
  d.device.dispatch(SPREAD_SUMS, {
    tensors: { sums, factors: factors ?? sums, d },
    params: {
      width,
      chunks,
      stride,
      at,
      factor_stride: factorStride,
      factor_at: factorAt,
      accumulate,
    },
    workgroups: [Math.ceil(width / 64), batches],
    constants: { HAS_FACTOR: Number(factors !== undefined), PLUS_ONE: Number(plusOne) },
  });
}
