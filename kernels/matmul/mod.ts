/**
 * Matrix products.
 *
 * @module
 */

import { castInto, widened } from "../cast/mod.ts";
import activation from "../common/activation.wgsl.ts";
import broadcastRows from "../common/broadcast_rows.wgsl.ts";
import epilogueGelu from "../common/epilogue_gelu.wgsl.ts";
import epilogueGeluKept from "../common/epilogue_gelu_kept.wgsl.ts";
import epilogueGeluKeptHalves from "../common/epilogue_gelu_kept_halves.wgsl.ts";
import epilogueGeluSlope from "../common/epilogue_gelu_slope.wgsl.ts";
import epilogueGeluSlopeHalves from "../common/epilogue_gelu_slope_halves.wgsl.ts";
import epilogueNone from "../common/epilogue_none.wgsl.ts";
import half from "../common/half.wgsl.ts";
import noRowSums from "../common/no_row_sums.wgsl.ts";
import oddRows from "../common/odd_rows.wgsl.ts";
import rowSums from "../common/row_sums.wgsl.ts";
import storeFloats from "../common/store_floats.wgsl.ts";
import storeHalves from "../common/store_halves.wgsl.ts";
import texelOf from "../common/texel_of.wgsl.ts";
import texturedProduct from "../common/textured_product.wgsl.ts";
import tiledProduct from "../common/tiled_product.wgsl.ts";
import wholeRows from "../common/whole_rows.wgsl.ts";
import type { Complete } from "../core/complete.ts";
import { spreadWorkgroups } from "../core/device.ts";
import { Kernel } from "../core/kernel.ts";
import { elementsOf, formatShape, type Shape, type Tensor } from "../core/tensor.ts";
import naive from "./naive.wgsl.ts";
import register from "./register.wgsl.ts";
import subgroup from "./subgroup.wgsl.ts";
import sumPartsSource from "./sum_parts.wgsl.ts";
import tiled from "./tiled.wgsl.ts";
import tiledF16 from "./tiled_f16.wgsl.ts";
import { type MatmulSize, pickMatmul, splitSum, supportsMatmul, TILES } from "./variants.ts";

/** Variants through workgroup memory, which share two kernels. */
type TiledVariant = "split" | "tiled" | "tiled_128";

/** The kernels that end with an epilogue. */
interface EpilogueKernels {
  readonly naive: Kernel;
  readonly register: Kernel;
  readonly subgroup: Kernel;
  readonly oddRows: TiledKernels;
  /** For matrices whose rows are all whole vec4, by the type of the result. */
  readonly wholeRows: Readonly<Record<"f32" | "f16", TiledKernels>>;
  /** By the type of the result. */
  readonly sumParts: Readonly<Record<"f32" | "f16", Kernel>>;
}

/** Kernels by the type of the operands. */
type TiledKernels = Readonly<Record<"f32" | "f16", Kernel>>;

/** The kernels of an epilogue, and of `toHalves` where they store f16. */
function kernelsWith(
  epilogue: readonly string[],
  { toHalves = epilogue }: { toHalves?: readonly string[] } = {},
): EpilogueKernels {
  const textured = [texelOf, texturedProduct, ...epilogue];
  const tiledWith = (includes: readonly string[]) => tiledKernels([noRowSums, ...includes]);
  const halves = [storeHalves, half, ...toHalves];
  return {
    naive: new Kernel({ source: naive, includes: epilogue }),
    register: new Kernel({ source: register, includes: textured }),
    subgroup: new Kernel({ source: subgroup, includes: [...textured, broadcastRows] }),
    oddRows: tiledWith([oddRows, ...epilogue]),
    wholeRows: {
      f32: tiledWith([wholeRows, storeFloats, ...epilogue]),
      f16: tiledWith([wholeRows, ...halves]),
    },
    sumParts: {
      f32: new Kernel({ source: sumPartsSource, includes: [storeFloats, ...epilogue] }),
      f16: new Kernel({ source: sumPartsSource, includes: halves }),
    },
  };
}

function tiledKernels(includes: readonly string[]): TiledKernels {
  return {
    f32: new Kernel({ source: tiled, includes: [tiledProduct, ...includes] }),
    f16: new Kernel({ source: tiledF16, includes: [tiledProduct, ...includes] }),
  };
}

/** Those that sum the rows of `a` besides, for matrices whose rows are all whole vec4. */
const WITH_ROW_SUMS = tiledKernels([rowSums, wholeRows, storeFloats, epilogueNone]);

const KERNELS = {
  none: kernelsWith([epilogueNone]),
  gelu: kernelsWith([epilogueGelu, activation]),
  gelu_kept: kernelsWith([epilogueGeluKept, activation], {
    toHalves: [epilogueGeluKeptHalves, activation],
  }),
  gelu_slope: kernelsWith([epilogueGeluSlope, activation], {
    toHalves: [epilogueGeluSlopeHalves, activation],
  }),
} as const;

/** How two matrices are multiplied. */
export interface MatmulOptions {
  /** `a` is [..., K, M] instead of [..., M, K]. Default `false`. */
  readonly transposeA?: boolean | undefined;
  /** `b` is [..., N, K] instead of [..., K, N]. Default `false`. */
  readonly transposeB?: boolean | undefined;
}

/** What becomes of the sums of a product, with their bias, before they are stored. */
export type Epilogue =
  | {
    /** Each becomes its gelu, the tanh form. */
    readonly of: "gelu";
    /** Of the result's type and as many elements: takes the sums themselves. */
    readonly sums?: Tensor | undefined;
  }
  | {
    /** Each is multiplied by the slope of gelu at one of `sums`: the gradient of what gelu was applied to. */
    readonly of: "gelu_slope";
    /** Of the result's type and as many elements. */
    readonly sums: Tensor;
  };

/** How {@linkcode matmulInto} multiplies. */
export interface MatmulIntoOptions extends MatmulOptions {
  /** Sizes, for matrices whose tensors have other shapes; by default those of the last two axes. */
  readonly size?: Omit<MatmulSize, "batch"> | undefined;
  /** Number of products; a matrix with fewer elements than that is shared by all. Default 1. */
  readonly batch?: number | undefined;
  /** A row [N] added to every row of the result. */
  readonly bias?: Tensor | undefined;
  /** What is stored in place of the sums. Default: they are. */
  readonly epilogue?: Epilogue | undefined;
  /** 1 adds to `out`, 0 assigns. Default 0. */
  readonly accumulate?: 0 | 1 | undefined;
}

/**
 * Records `out = epilogue(op(a) op(b) (+ bias)) (+ out)` without differentiation: the building block of
 * {@linkcode matmul}, `linear`, `geluMlp` and their gradients. 2·batch·M·N·K flops. `a` and `b` are both f32
 * or both f16; `bias` is f32 and sums are made in it; `out` is f32 or, where nothing is added to it, f16, to which
 * results are rounded. The tiles for GPUs sum the products of halves by eights in f16 first, as fast as GPUs multiply
 * halves; their error is about 2⁻¹¹ of a sum of random terms.
 *
 * Throws `TypeError` when `a` and `b` are of different types, their inner sizes differ or are 0, a tensor
 * has another number of elements than its matrices, an epilogue's sums are of another type than `out`, or `out` is
 * f16 and added to, and `RangeError` for a
 * batch above 65,535, for a sum that is longer than a CPU driver's loops, and for more rows or columns than
 * 65,535 tiles have: 4,194,240, on most GPUs twice as many.
 *
 * @example
 * ```ts
 * import { Device, matmulInto } from "@gmem/gmem/kernels";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * using a = device.tensor(Float32Array.of(1, 2, 3, 4), [2, 2]);
 * using b = device.tensor(Float32Array.of(10, 1), [2, 1]);
 * using out = device.tensor(Float32Array.of(100, 200), [2, 1]);
 * matmulInto(out, a, b, { accumulate: 1 });
 * console.log(await out.read()); // Float32Array(2) [ 112, 234 ]
 * ```
 */
export function matmulInto(
  out: Tensor,
  a: Tensor,
  b: Tensor,
  options: MatmulIntoOptions = {},
): void {
  multiplyInto(out, a, b, options);
}

/**
 * As {@linkcode matmulInto}, and sums the rows of op(a) besides where the kernel can: gives what has still to be added
 * up, [parts, M], outside of every scope, or undefined. With a = dyᵀ these are the gradient of a bias.
 */
export function matmulWithRowSumsInto(
  out: Tensor,
  a: Tensor,
  b: Tensor,
  options: MatmulIntoOptions = {},
): Tensor | undefined {
  return multiplyInto(out, a, b, { ...options, sumsRows: true });
}

function multiplyInto(
  out: Tensor,
  a: Tensor,
  b: Tensor,
  options: MatmulIntoOptions & { readonly sumsRows?: boolean },
): Tensor | undefined {
  const { bias, batch = 1, transposeA = false, transposeB = false } = options;
  if (a.dtype !== b.dtype) {
    throw new TypeError(
      `Cannot multiply a ${formatShape(a.shape)} of ${a.dtype} by b ${formatShape(b.shape)} of ` +
        `${b.dtype}: expected one type, cast ${a.dtype === "f16" ? "b" : "a"}`,
    );
  }
  const size = { ...options.size ?? sizeOf(a.shape, b.shape, { transposeA, transposeB }), batch };
  const { M, N, K } = size;
  if (K === 0) {
    throw new TypeError(
      `Cannot multiply ${formatShape(a.shape)} by ${formatShape(b.shape)}: the inner size is 0`,
    );
  }
  const sums = options.epilogue?.sums;
  requireElements({ out, a, b, bias, sums }, size);
  if (sums && sums.dtype !== out.dtype) {
    throw new TypeError(
      `Cannot end a product into ${formatShape(out.shape)} of ${out.dtype} with sums of ` +
        `${sums.dtype}: expected one type`,
    );
  }
  if (out.dtype === "f16" && options.accumulate === 1) {
    throw new TypeError(
      `Cannot add a product to ${formatShape(out.shape)} of f16: expected f32`,
    );
  }
  const { device } = out;
  const { profile } = device;
  const variant = device.variant("matmul", pickMatmul(profile, size), {
    among: TILES,
    shape: {
      M,
      N,
      K,
      batch,
      transposeA: Number(transposeA),
      transposeB: Number(transposeB),
      f16: Number(a.dtype === "f16"),
    },
    supports: (name) => supportsMatmul(name, { profile, size }),
  });
  if (variant === "split" || variant === "tiled" || variant === "tiled_128") {
    return tiledInto(out, { ...options, a, b, transposeA, transposeB, size, variant });
  }
  // The other kernels read and write f32 alone.
  if (a.dtype === "f16") {
    device.scope(() => matmulInto(out, widened(a), widened(b), { ...options, size }));
    return undefined;
  }
  if (out.dtype === "f16") {
    throughFloats(out, options, (floats, epilogue) => {
      matmulInto(floats, a, b, { ...options, epilogue });
    });
    return undefined;
  }
  const [rows, tileColumns] = TILES[variant], lanes = profile.subgroupSize;
  const columns = variant === "subgroup" ? 4 * lanes : tileColumns;
  device.dispatch(KERNELS[epilogueOf(options)][variant], {
    tensors: { a, b, bias: bias ?? b, out, ...sums && { sums } },
    params: {
      M,
      N,
      K,
      stride_a: a.elements === M * K ? 0 : M * K,
      stride_b: b.elements === K * N ? 0 : K * N,
      accumulate: options.accumulate ?? 0,
    },
    workgroups: [Math.ceil(N / columns), Math.ceil(M / rows), batch],
    constants: {
      TRANSPOSE_A: Number(transposeA),
      TRANSPOSE_B: Number(transposeB),
      HAS_BIAS: Number(bias !== undefined),
      ...variant === "subgroup" && { LANES: lanes },
    },
  });
  return undefined;
}

/**
 * Matrix product of the last two axes: `a` [..., M, K] times `b` [..., K, N] gives [..., M, N],
 * either operand transposed on request. The leading axes of both are equal, or one operand has none
 * and is shared by the batch. Differentiable in both, but for a shared `a`, and for a shared `b` where
 * `a` is transposed.
 *
 * Throws `TypeError` when the inner sizes or the leading axes differ, or when a tape records operands
 * of f16 or such a shared one that needs a gradient, and `RangeError` as {@linkcode matmulInto} does.
 *
 * @example
 * ```ts
 * import { Device, matmul } from "@gmem/gmem/kernels";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * using a = device.tensor(Float32Array.of(1, 2, 3, 4), [2, 1, 2]);
 * using b = device.tensor(Float32Array.of(10, 1), [1, 2]); // shared by the batch
 * using product = matmul(a, b, { transposeB: true });
 * console.log(product.shape, await product.read()); // [ 2, 1, 1 ] Float32Array(2) [ 12, 34 ]
 * ```
 */
export function matmul(
  a: Tensor,
  b: Tensor,
  options: MatmulOptions = {},
): Tensor {
  const { transposeA = false, transposeB = false } = options;
  const { device } = a;
  const one = sizeOf(a.shape, b.shape, { transposeA, transposeB });
  const lead = leadingAxes(a.shape, b.shape);
  const count = elementsOf(lead);
  // Matrices that share b are the rows of one product.
  const joined = b.shape.length === 2 && !transposeA;
  const size = joined ? { ...one, M: count * one.M } : one, batch = joined ? 1 : count;
  const shared = a.shape.length < b.shape.length ? a : b;
  if (batch > 1 && shared.shape.length === 2 && device.tape?.tracks(shared)) {
    throw new TypeError(
      `Cannot differentiate matmul of ${formatShape(a.shape)} and ${formatShape(b.shape)}: one ` +
        "matrix is shared by a batch, expected a batch of it",
    );
  }
  if (device.tape && a.dtype === "f16") {
    throw new TypeError(
      "Cannot differentiate matmul of f16 operands: expected f32, or linear in f16 precision",
    );
  }
  const out = device.empty([...lead, one.M, one.N]);
  matmulInto(out, a, b, { size, batch, transposeA, transposeB });
  device.tape?.push({
    name: "matmul",
    inputs: [a, b],
    output: out,
    saved: [a, b],
    backward(dy, gradients) {
      // dA = dY op(B)ᵀ and dB = op(A)ᵀ dY, each written the way its operand lies.
      const { M, N, K } = size;
      gradients.into(a, (da, accumulate) => {
        const [left, right, how] = transposeA
          ? [b, dy, {
            transposeA: transposeB,
            transposeB: true,
            size: { M: K, N: M, K: N },
          }] as const
          : [dy, b, { transposeB: !transposeB, size: { M, N: K, K: N } }] as const;
        matmulInto(da, left, right, { ...how, batch, accumulate });
      });
      gradients.into(b, (db, accumulate) => {
        const [left, right, how] = transposeB
          ? [dy, a, {
            transposeA: true,
            transposeB: transposeA,
            size: { M: N, N: K, K: M },
          }] as const
          : [a, dy, { transposeA: !transposeA, size: { M: K, N, K: M } }] as const;
        matmulInto(db, left, right, { ...how, batch, accumulate });
      });
    },
  });
  return out;
}

function tiledInto(
  out: Tensor,
  product:
    & { a: Tensor; b: Tensor; size: MatmulSize; variant: TiledVariant; sumsRows?: boolean }
    & MatmulIntoOptions
    & Complete<MatmulOptions>,
): Tensor | undefined {
  const { a, b, bias, size, variant, transposeA, transposeB } = product;
  const { M, N, K, batch = 1 } = size;
  const { device } = out;
  const accumulate = product.accumulate ?? 0;
  const isWhole = [transposeA ? M : K, transposeB ? K : N, N].every((row) => row % 4 === 0);
  const stored = out.dtype === "f16" ? "f16" : "f32", operand = a.dtype === "f16" ? "f16" : "f32";
  if (stored === "f16" && !isWhole) {
    throughFloats(out, product, (floats, epilogue) => tiledInto(floats, { ...product, epilogue }));
    return undefined;
  }
  const sums = product.epilogue?.sums, kernels = KERNELS[epilogueOf(product)];
  const [rows, columns] = TILES[variant];
  const { parts, terms } = variant === "split" ? splitSum(size) : { parts: batch, terms: K };
  const sumsRows = product.sumsRows && isWhole && M % 4 === 0 && stored === "f32" &&
    !product.epilogue && batch === 1;
  // Each step of K is staged in blocks of 4, whose sums lie apart.
  const rowSums = sumsRows
    ? device.unscoped(() => device.empty([parts * rows / 32, M]))
    : undefined;
  const record = (
    into: Tensor,
    sum: {
      kernel: Kernel;
      sums?: Tensor | undefined;
      bias?: Tensor | undefined;
      accumulate: number;
      stride: number;
      chunk: number;
      z: number;
    },
  ) => {
    // Every binding needs a buffer of its type, read or not.
    using noBias = sum.bias ? undefined : device.unscoped(() => device.empty([4]));
    device.dispatch(sum.kernel, {
      tensors: {
        a,
        b,
        bias: sum.bias ?? noBias!,
        out: into,
        ...sum.sums && { sums: sum.sums },
        ...rowSums && { row_sums: rowSums },
      },
      params: {
        M,
        N,
        K,
        stride_a: sum.chunk > 0 || a.elements === M * K ? 0 : M * K,
        stride_b: sum.chunk > 0 || b.elements === K * N ? 0 : K * N,
        stride_out: sum.stride,
        chunk: sum.chunk,
        accumulate: sum.accumulate,
      },
      workgroups: [Math.ceil(N / columns), Math.ceil(M / rows), sum.z],
      constants: {
        TRANSPOSE_A: Number(transposeA),
        TRANSPOSE_B: Number(transposeB),
        HAS_BIAS: Number(sum.bias !== undefined),
        TILE: rows,
      },
    });
  };
  if (variant !== "split") {
    const kernel =
      (rowSums ? WITH_ROW_SUMS : isWhole ? kernels.wholeRows[stored] : kernels.oddRows)[operand];
    record(out, { kernel, sums, bias, accumulate, stride: M * N, chunk: 0, z: batch });
    return rowSums;
  }
  const vectors = Math.ceil(M * N / 4);
  device.scope(() => {
    const partial = device.empty([parts, vectors, 4]);
    const kernel =
      (rowSums ? WITH_ROW_SUMS : isWhole ? KERNELS.none.wholeRows.f32 : KERNELS.none.oddRows)[
        operand
      ];
    record(partial, { kernel, accumulate: 0, stride: 4 * vectors, chunk: terms, z: parts });
    device.dispatch(kernels.sumParts[stored], {
      tensors: { parts: partial, bias: bias ?? partial, out, ...sums && { sums } },
      params: { elements: M * N, stride: vectors, parts, N, accumulate },
      workgroups: spreadWorkgroups(Math.ceil(vectors / 64)),
      constants: { HAS_BIAS: Number(bias !== undefined) },
    });
  });
  return rowSums;
}

function epilogueOf({ epilogue }: MatmulIntoOptions): keyof typeof KERNELS {
  if (!epilogue) return "none";
  return epilogue.of === "gelu" && epilogue.sums ? "gelu_kept" : epilogue.of;
}

/** Rounds to f16 what `compute` writes in f32, as the sums of the epilogue that it is given. */
function throughFloats(
  out: Tensor,
  { epilogue }: MatmulIntoOptions,
  compute: (floats: Tensor, epilogue: Epilogue | undefined) => void,
): void {
  const { device, shape } = out;
  device.scope(() => {
    const floats = device.empty(shape);
    if (epilogue?.of === "gelu_slope") {
      compute(floats, { ...epilogue, sums: widened(epilogue.sums) });
    } else if (epilogue?.sums) {
      const sums = device.empty(shape);
      compute(floats, { ...epilogue, sums });
      castInto(epilogue.sums, sums);
    } else {
      compute(floats, epilogue);
    }
    castInto(out, floats);
  });
}

function sizeOf(a: Shape, b: Shape, options: Complete<MatmulOptions>): MatmulSize {
  const [a0, a1] = a.slice(-2), [b0, b1] = b.slice(-2);
  const [M, inner] = options.transposeA ? [a1, a0] : [a0, a1];
  const [K, N] = options.transposeB ? [b1, b0] : [b0, b1];
  if (M === undefined || N === undefined || K === undefined || inner !== K) {
    throw new TypeError(
      `Cannot multiply ${formatShape(a)}${options.transposeA ? " transposed" : ""} by ` +
        `${formatShape(b)}${options.transposeB ? " transposed" : ""}: expected two axes each ` +
        "with the same inner size",
    );
  }
  return { M, N, K };
}

/** Throws where a tensor has another number of elements than its matrices. */
function requireElements(
  tensors: {
    out: Tensor;
    a: Tensor;
    b: Tensor;
    bias: Tensor | undefined;
    sums: Tensor | undefined;
  },
  { M, N, K, batch = 1 }: MatmulSize,
): void {
  const { out, a, b, bias, sums } = tensors;
  // All products may share a matrix.
  const fits = out.elements === batch * M * N && (bias === undefined || bias.elements === N) &&
    (sums === undefined || sums.elements === out.elements) &&
    [M * K, batch * M * K].includes(a.elements) && [K * N, batch * K * N].includes(b.elements);
  if (fits) return;
  const into = [
    formatShape(out.shape),
    ...bias ? [`with bias ${formatShape(bias.shape)}`] : [],
    ...sums ? [`with sums ${formatShape(sums.shape)}`] : [],
  ].join(" ");
  throw new TypeError(
    `Cannot multiply ${formatShape(a.shape)} by ${formatShape(b.shape)} into ${into}: ` +
      `expected what ${batch} times [${M}, ${K}] by [${K}, ${N}] takes`,
  );
}

function leadingAxes(a: Shape, b: Shape): Shape {
  const leadA = a.slice(0, -2), leadB = b.slice(0, -2);
  if (leadA.length > 0 && leadB.length > 0 && formatShape(leadA) !== formatShape(leadB)) {
    throw new TypeError(
      `Cannot multiply ${formatShape(a)} by ${formatShape(b)}: leading axes differ`,
    );
  }
  return leadA.length > 0 ? leadA : leadB;
}
