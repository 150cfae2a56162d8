/**
 * Normalisation of rows: layer norm and root mean square norm, and their building blocks for ops
 * that fuse a norm with something else.
 *
 * @module
 */

import { castInto } from "../cast/mod.ts";
import half from "../common/half.wgsl.ts";
import reduce from "../common/reduce.wgsl.ts";
import reduceSubgroups from "../common/reduce_subgroups.wgsl.ts";
import storeFloats from "../common/store_floats.wgsl.ts";
import storeHalves from "../common/store_halves.wgsl.ts";
import texelOf from "../common/texel_of.wgsl.ts";
import { type Device, spreadWorkgroups } from "../core/device.ts";
import { Kernel } from "../core/kernel.ts";
import { MAX_WORKGROUPS } from "../core/limits.ts";
import type { Gradients } from "../core/tape.ts";
import { formatShape, type Tensor } from "../core/tensor.ts";
// The sum over rows is one kernel for the whole project; it lives with the bias that needs it most.
import { columnSumInto } from "../linear/mod.ts";
import backwardNaive from "./backward_naive.wgsl.ts";
import backwardRegister from "./backward_register.wgsl.ts";
import backwardSubgroup from "./backward_subgroup.wgsl.ts";
import backwardWorkgroup from "./backward_workgroup.wgsl.ts";
import forwardNaive from "./forward_naive.wgsl.ts";
import forwardRegister from "./forward_register.wgsl.ts";
import forwardSubgroup from "./forward_subgroup.wgsl.ts";
import forwardWorkgroup from "./forward_workgroup.wgsl.ts";
import groupSumsSource from "./group_sums.wgsl.ts";
import groupSumsSubgroup from "./group_sums_subgroup.wgsl.ts";
import groupSumsVector from "./group_sums_vector.wgsl.ts";
import {
  type LayerNormVariant,
  pickLayerNorm,
  registerSlots,
  supportsLayerNorm,
} from "./variants.ts";

type Kernels = Readonly<Record<LayerNormVariant, Kernel>>;

/** Variants for GPUs, which store halves as well. */
type GpuVariant = "register" | "workgroup";

interface NormKernels {
  readonly forward: Kernels;
  readonly forwardToHalves: Readonly<Record<GpuVariant, Kernel>>;
  readonly backward: Kernels;
}

/** The kernels with one of the two functions that sum over a workgroup. */
function kernelsOf(include: string): NormKernels {
  const includes = [include], toFloats = [include, storeFloats];
  const toHalves = [include, storeHalves, half];
  return {
    forward: {
      naive: new Kernel({ source: forwardNaive }),
      subgroup: new Kernel({ source: forwardSubgroup, includes: [texelOf] }),
      workgroup: new Kernel({ source: forwardWorkgroup, includes: toFloats }),
      register: new Kernel({ source: forwardRegister, includes: toFloats }),
    },
    forwardToHalves: {
      workgroup: new Kernel({ source: forwardWorkgroup, includes: toHalves }),
      register: new Kernel({ source: forwardRegister, includes: toHalves }),
    },
    backward: {
      naive: new Kernel({ source: backwardNaive }),
      subgroup: new Kernel({ source: backwardSubgroup, includes: [texelOf] }),
      workgroup: new Kernel({ source: backwardWorkgroup, includes }),
      register: new Kernel({ source: backwardRegister, includes }),
    },
  };
}

const BY_MEMORY = kernelsOf(reduce);
const BY_SUBGROUPS = kernelsOf(reduceSubgroups);
const GROUP_SUMS_VECTOR = [new Kernel({ source: groupSumsVector }), 64] as const;
/** The kernel of {@linkcode GroupSums} and the columns that one workgroup sums, with a subgroup of 8. */
const GROUP_SUMS: Readonly<Record<LayerNormVariant, readonly [Kernel, columns: number]>> = {
  naive: [new Kernel({ source: groupSumsSource }), 64],
  subgroup: [new Kernel({ source: groupSumsSubgroup, includes: [texelOf] }), 32],
  workgroup: GROUP_SUMS_VECTOR,
  register: GROUP_SUMS_VECTOR,
};

/** Rows that one workgroup normalises, with a subgroup of 8. */
export const ROWS: Readonly<Record<LayerNormVariant, number>> = {
  naive: 64,
  subgroup: 8,
  workgroup: 1,
  register: 1,
};

/** Rows that one invocation sums; a CPU driver has two workers to feed, a GPU thousands. */
const CHUNK = { cpu: 16384, gpu: 64 } as const;

/** Three loops over a row must have fewer rounds together than a CPU driver makes. */
const MAX_WIDTH = 16384;

/** What the norm divides by: the deviation from the mean, or the root mean square. */
export type Norm = "layer" | "rms";

/** A norm and the gain and offset after it: out = norm(x) · weight · (1 + scale) + shift. */
export interface Normalization {
  /** What the row is divided by. */
  readonly norm: Norm;
  /** Added to the variance. */
  readonly epsilon: number;
  /** Gain [D] of every row. */
  readonly weight?: Tensor | undefined;
  /** Holds `scale` and `shift`, [B, stride] or, with a stride of 0, [stride]. */
  readonly modulation?: Tensor | undefined;
  /** Consecutive rows that share a row of `modulation`. */
  readonly tokens: number;
  /** Elements from one row of `modulation` to the next. */
  readonly stride: number;
  /** First element of the scale [D] in a row of `modulation`; no scale when absent. */
  readonly scale?: number | undefined;
  /** First element of the shift [D] in a row of `modulation`; no shift when absent. */
  readonly shift?: number | undefined;
}

/** What {@linkcode layerNorm} takes besides `x`. */
export interface LayerNormOptions {
  /** Gain [D]. */
  readonly weight?: Tensor | undefined;
  /** Offset [D]. */
  readonly bias?: Tensor | undefined;
  /** Added to the variance. Default 1e-6. */
  readonly epsilon?: number | undefined;
}

/** What {@linkcode rmsNorm} takes besides `x`. */
export interface RmsNormOptions {
  /** Gain [D]. */
  readonly weight?: Tensor | undefined;
  /** Added to the mean square. Default 1e-6. */
  readonly epsilon?: number | undefined;
}

/**
 * Layer norm over the last axis: (x − mean) / √(variance + ε) · weight + bias for `x` [..., D] with
 * the biased variance ("Layer normalization", Ba, Kiros and Hinton, 2016, eq. 3).
 *
 * Throws `TypeError` when weight or bias is not [D], `RangeError` when D is above 16,384 or epsilon
 * below 0.
 *
 * @example
 * ```ts
 * import { Device, layerNorm } from "@gmem/gmem/kernels";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * using x = device.tensor(Float32Array.of(1, 3, 50, 10), [2, 2]);
 * using weight = device.tensor(Float32Array.of(10, 10), [2]);
 * using bias = device.tensor(Float32Array.of(0, 5), [2]);
 * using y = layerNorm(x, { weight, bias, epsilon: 0 }); // the rows were −1, 1 and 1, −1
 * console.log(await y.read()); // Float32Array(4) [ -10, 15, 10, -5 ]
 * ```
 */
export function layerNorm(x: Tensor, options: LayerNormOptions = {}): Tensor {
  const { weight, bias, epsilon = 1e-6 } = options;
  return affineNorm(x, { norm: "layer", weight, bias, epsilon });
}

/**
 * Root mean square norm over the last axis: x / √(mean(x²) + ε) · weight for `x` [..., D]
 * ("Root mean square layer normalization", Zhang and Sennrich, 2019, eq. 4).
 *
 * Throws `TypeError` when weight is not [D], `RangeError` when D is above 16,384 or epsilon
 * below 0.
 *
 * @example
 * ```ts
 * import { Device, rmsNorm } from "@gmem/gmem/kernels";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * using x = device.tensor(Float32Array.of(2, -2, 4, 4), [2, 2]);
 * using weight = device.tensor(Float32Array.of(10, 20), [2]);
 * using y = rmsNorm(x, { weight, epsilon: 0 }); // the rows were 1, −1 and 1, 1
 * console.log(await y.read()); // Float32Array(4) [ 10, -20, 10, 20 ]
 * ```
 */
export function rmsNorm(x: Tensor, options: RmsNormOptions = {}): Tensor {
  const { weight, epsilon = 1e-6 } = options;
  return affineNorm(x, { norm: "rms", weight, bias: undefined, epsilon });
}

function affineNorm(
  x: Tensor,
  options: { norm: Norm; weight: Tensor | undefined; bias: Tensor | undefined; epsilon: number },
): Tensor {
  const { norm, weight, bias, epsilon } = options;
  const width = x.shape.at(-1) ?? 0;
  if ((weight && weight.elements !== width) || (bias && bias.elements !== width)) {
    const withWeight = weight ? ` with weight ${formatShape(weight.shape)}` : "";
    const withBias = bias ? ` with bias ${formatShape(bias.shape)}` : "";
    throw new TypeError(
      `Cannot normalise ${formatShape(x.shape)}${withWeight}${withBias}: expected [${width}]`,
    );
  }
  const tokens = x.elements / width;
  const normalization: Normalization = {
    norm,
    epsilon,
    weight,
    // A bias is a shift that all rows share.
    modulation: bias,
    shift: bias && 0,
    tokens,
    stride: 0,
  };
  return recordNormalization(x, {
    name: norm === "layer" ? "layerNorm" : "rmsNorm",
    normalization,
    parameters: [weight, bias].filter((tensor) => tensor !== undefined),
    parameterGradients(gradients, groups) {
      if (weight) {
        gradients.into(weight, (dw, accumulate) => {
          columnSumInto(dw, groups.products, { accumulate });
        });
      }
      if (bias) {
        gradients.into(bias, (db, accumulate) => columnSumInto(db, groups.sums, { accumulate }));
      }
    },
  });
}

/**
 * Normalises `x` [..., D] as an op with a gradient of `x`; those of its `parameters`, which stand in the
 * normalization, are recorded by `parameterGradients` from sums over the rows. Throws `TypeError` where `x`
 * has no row, `RangeError` for an epsilon below 0.
 */
export function recordNormalization(
  x: Tensor,
  options: {
    name: string;
    normalization: Normalization;
    parameters: readonly Tensor[];
    parameterGradients: (gradients: Gradients, groups: GroupSums) => void;
    /** Element type of the result. Default `"f32"`. */
    dtype?: "f32" | "f16" | undefined;
  },
): Tensor {
  const { name, normalization, parameters, parameterGradients, dtype } = options;
  const { device } = x, { tokens, epsilon } = normalization;
  if (x.shape.length === 0 || x.elements === 0) {
    throw new TypeError(
      `Cannot normalise ${formatShape(x.shape)}: expected one row [D] at least`,
    );
  }
  if (!(epsilon >= 0)) {
    throw new RangeError(`Cannot normalise with epsilon ${epsilon}: expected a number from 0`);
  }
  return device.scope(() => {
    const out = device.empty(x.shape, { dtype });
    const stats = device.empty([x.elements / x.shape.at(-1)!, 2]);
    normalizeInto(out, { x, stats, ...normalization });
    device.tape?.push({
      name,
      inputs: [x, ...parameters],
      output: out,
      saved: [x, stats, ...parameters],
      backward(dy, gradients) {
        gradients.into(
          x,
          (dx, accumulate) =>
            normalizeGradientInto(dx, { x, dy, stats, accumulate, ...normalization }),
        );
        using groups = new GroupSums(dy, { x, stats, tokens });
        parameterGradients(gradients, groups);
      },
    });
    return out;
  });
}

/**
 * Records `out = norm(x) · weight · (1 + scale) + shift` without differentiation, and the mean and
 * reciprocal deviation of every row in `stats` [rows, 2]: `x` and `out` are [..., D], `out` f32 or f16.
 */
function normalizeInto(
  out: Tensor,
  options: { x: Tensor; stats: Tensor } & Normalization,
): void {
  const { x, stats, norm, epsilon, weight, modulation, tokens, stride, scale, shift } = options;
  const { device, dtype, shape } = out;
  const { width, rows, variant, workgroups, kernels } = planOf(x, tokens);
  const isGpu = variant === "register" || variant === "workgroup";
  if (dtype === "f16" && !isGpu) {
    return device.scope(() => {
      const floats = device.empty(shape);
      normalizeInto(floats, options);
      castInto(out, floats);
    });
  }
  const kernel = dtype === "f16" && isGpu
    ? kernels.forwardToHalves[variant]
    : kernels.forward[variant];
  device.dispatch(kernel, {
    tensors: { x, weight: weight ?? x, modulation: modulation ?? x, stats, out },
    params: { rows, width, tokens, stride, scale: scale ?? 0, shift: shift ?? 0, epsilon },
    workgroups,
    constants: {
      RMS: Number(norm === "rms"),
      HAS_WEIGHT: Number(weight !== undefined),
      HAS_SCALE: Number(scale !== undefined),
      HAS_SHIFT: Number(shift !== undefined),
      ...sizesOf(variant, { width, lanes: device.profile.subgroupSize }),
    },
  });
}

/** Records the gradient of {@linkcode normalizeInto} with respect to `x`, given its `stats`. */
function normalizeGradientInto(
  dx: Tensor,
  options:
    & { x: Tensor; dy: Tensor; stats: Tensor; accumulate: 0 | 1 }
    & Omit<Normalization, "epsilon" | "shift">,
): void {
  const { x, dy, stats, accumulate, norm, weight, modulation, tokens, stride, scale } = options;
  const { width, rows, variant, workgroups, kernels } = planOf(x, tokens);
  const tensors = { x, dy, weight: weight ?? x, modulation: modulation ?? x, stats, dx };
  dx.device.dispatch(kernels.backward[variant], {
    // The texture of the old dx is not read when the kernel assigns; x has one already.
    tensors: variant === "subgroup" ? { ...tensors, before: accumulate ? dx : x } : tensors,
    params: { rows, width, tokens, stride, scale: scale ?? 0, accumulate },
    workgroups,
    constants: {
      RMS: Number(norm === "rms"),
      HAS_WEIGHT: Number(weight !== undefined),
      HAS_SCALE: Number(scale !== undefined),
      ...sizesOf(variant, { width, lanes: dx.device.profile.subgroupSize }),
    },
  });
}

/**
 * The first stage of the gradients of gains and offsets: sums over groups of at most `tokens` rows
 * of `dy` [..., D] and of `dy` times the normalised `x`, or times `x` itself when there are no
 * `stats`. Nothing is recorded before one of the sums is asked for.
 */
export class GroupSums implements Disposable {
  /** Groups for each `tokens` rows. */
  readonly chunks: number;
  /** Rows of a group; the last one may have fewer. */
  readonly chunk: number;
  readonly #dy: Tensor;
  readonly #options: { readonly x: Tensor; readonly stats?: Tensor; readonly tokens: number };
  #sums: { readonly sums: Tensor; readonly products: Tensor } | undefined;

  /** Takes what to sum; both live until {@linkcode GroupSums.dispose}. */
  constructor(dy: Tensor, options: { x: Tensor; stats?: Tensor; tokens: number }) {
    this.#dy = dy;
    this.#options = options;
    const { tokens } = options;
    // Each chunk is a workgroup's.
    this.chunk = Math.max(CHUNK[dy.device.profile.driver], Math.ceil(tokens / MAX_WORKGROUPS));
    this.chunks = Math.ceil(tokens / this.chunk);
  }

  /** Σ dy, [groups, D]; the groups of one batch entry follow each other. */
  get sums(): Tensor {
    return this.#made().sums;
  }

  /** Σ dy · n, [groups, D]. */
  get products(): Tensor {
    return this.#made().products;
  }

  /** Releases the sums. */
  [Symbol.dispose](): void {
    this.#sums?.sums.dispose();
    this.#sums?.products.dispose();
  }

  #made(): { readonly sums: Tensor; readonly products: Tensor } {
    return this.#sums ??= this.#make();
  }

  #make(): { readonly sums: Tensor; readonly products: Tensor } {
    const dy = this.#dy, { x, stats, tokens } = this.#options, { chunk, chunks } = this;
    const { device } = x;
    const { width, rows, variant } = planOf(x, tokens);
    const batches = rows / tokens;
    // The caller's scope may be one of several that use the sums: they are released by hand.
    const made = device.unscoped(() => ({
      sums: device.empty([batches * chunks, width]),
      products: device.empty([batches * chunks, width]),
    }));
    const [kernel, tileColumns] = GROUP_SUMS[variant], lanes = device.profile.subgroupSize;
    const columns = variant === "subgroup" ? 4 * lanes : tileColumns;
    device.dispatch(kernel, {
      tensors: { x, dy, stats: stats ?? x, ...made },
      params: { tokens, width, chunk },
      workgroups: [Math.ceil(width / columns), chunks, batches],
      constants: {
        PLAIN: Number(stats === undefined),
        ...variant === "subgroup" && { LANES: lanes },
      },
    });
    return made;
  }
}

function planOf(x: Tensor, tokens: number): {
  width: number;
  rows: number;
  variant: LayerNormVariant;
  workgroups: [number, number];
  kernels: NormKernels;
} {
  const { device } = x;
  const width = x.shape.at(-1) ?? 0;
  if (width > MAX_WIDTH) {
    throw new RangeError(
      `Cannot normalise ${formatShape(x.shape)}: expected a last axis of at most ${MAX_WIDTH}`,
    );
  }
  const rows = x.elements / width;
  const variant = variantOf(device, { rows, width, tokens });
  // Groups of rows never span two batch entries where they share loads of the modulation.
  const groups = variant === "subgroup"
    ? rows / tokens * Math.ceil(tokens / device.profile.subgroupSize)
    : Math.ceil(rows / ROWS[variant]);
  const kernels = device.profile.subgroups ? BY_SUBGROUPS : BY_MEMORY;
  return { width, rows, variant, workgroups: spreadWorkgroups(groups), kernels };
}

/** What differs between the kernels of a variant. */
function sizesOf(
  variant: LayerNormVariant,
  { width, lanes }: { width: number; lanes: number },
): Record<string, number> {
  if (variant === "register") return { SLOTS: registerSlots(width) };
  return variant === "subgroup" ? { LANES: lanes } : {};
}

function variantOf(
  device: Device,
  shape: { rows: number; width: number; tokens: number },
): LayerNormVariant {
  const { profile } = device, { width } = shape;
  return device.variant("layerNorm", pickLayerNorm(profile, width), {
    among: ROWS,
    shape,
    supports: (name) => supportsLayerNorm(name, { profile, width }),
  });
}
