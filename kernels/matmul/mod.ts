/**
 * Matrix products.
 *
 * @module
 */

import { Kernel } from "../core/kernel.ts";
import { formatShape, type Shape, type Tensor } from "../core/tensor.ts";
import naive from "./naive.wgsl.ts";
import register from "./register.wgsl.ts";
import subgroup from "./subgroup.wgsl.ts";
import tiled from "./tiled.wgsl.ts";
import { type MatmulSize, type MatmulVariant, pickMatmul, supportsMatmul } from "./variants.ts";

const KERNELS: Readonly<Record<MatmulVariant, Kernel>> = {
  naive: new Kernel({ source: naive }),
  register: new Kernel({ source: register }),
  subgroup: new Kernel({ source: subgroup }),
  tiled: new Kernel({ source: tiled }),
};

/** Rows and columns of `out` that one workgroup computes. */
const TILES: Readonly<Record<MatmulVariant, readonly [rows: number, columns: number]>> = {
  naive: [8, 8],
  register: [16, 128],
  subgroup: [32, 64],
  tiled: [64, 64],
};

/** How two matrices are multiplied. */
export interface MatmulOptions {
  /** `a` is [..., K, M] instead of [..., M, K]. Default `false`. */
  transposeA?: boolean;
  /** `b` is [..., N, K] instead of [..., K, N]. Default `false`. */
  transposeB?: boolean;
}

/** A product into a given tensor. */
export interface MatmulInto extends MatmulOptions {
  /** Sizes, for matrices whose tensors have other shapes; by default those of the last two axes. */
  size?: MatmulSize;
  /** Number of products; a matrix with fewer elements than that is shared by all. Default 1. */
  batch?: number;
  /** A row [N] added to every row of the result. */
  bias?: Tensor | undefined;
  /** 1 adds to `out`, 0 assigns. Default 0. */
  accumulate?: 0 | 1;
}

/**
 * Records `out = op(a) op(b) (+ bias) (+ out)` without differentiation: the building block of
 * {@linkcode matmul}, `linear` and their gradients. 2·batch·M·N·K flops.
 */
export function matmulInto(
  out: Tensor,
  operands: { a: Tensor; b: Tensor } & MatmulInto,
): void {
  const { a, b, bias, batch = 1, transposeA = false, transposeB = false } = operands;
  const size = operands.size ?? sizeOf(a.shape, b.shape, { transposeA, transposeB });
  const { M, N, K } = size;
  const { device } = out;
  const picked = device.variant("matmul", pickMatmul(device.profile, size));
  const variant = supportsMatmul(picked, { profile: device.profile, size }) ? picked : "naive";
  const [rows, columns] = TILES[variant];
  device.dispatch(KERNELS[variant], {
    tensors: { a, b, bias: bias ?? b, out },
    params: {
      M,
      N,
      K,
      stride_a: a.elements === M * K ? 0 : M * K,
      stride_b: b.elements === K * N ? 0 : K * N,
      accumulate: operands.accumulate ?? 0,
    },
    workgroups: [Math.ceil(N / columns), Math.ceil(M / rows), batch],
    constants: {
      TRANSPOSE_A: Number(transposeA),
      TRANSPOSE_B: Number(transposeB),
      HAS_BIAS: Number(bias !== undefined),
    },
  });
}

/**
 * Matrix product of the last two axes: `a` [..., M, K] times `b` [..., K, N] gives [..., M, N],
 * either operand transposed on request. The leading axes of both are equal, or one operand has none.
 *
 * Throws `TypeError` when the inner sizes or the leading axes differ.
 */
export function matmul(
  a: Tensor,
  b: Tensor,
  options: MatmulOptions = {},
): Tensor {
  const { transposeA = false, transposeB = false } = options;
  const { device } = a;
  const size = sizeOf(a.shape, b.shape, { transposeA, transposeB });
  const lead = leadingAxes(a.shape, b.shape);
  const batch = lead.reduce((product, axis) => product * axis, 1);
  const out = device.empty([...lead, size.M, size.N]);
  matmulInto(out, { a, b, size, batch, transposeA, transposeB });
  device.tape?.push({
    name: "matmul",
    inputs: [a, b],
    output: out,
    saved: [a, b],
    backward(dy, gradients) {
      // dA = dY op(B)ᵀ and dB = op(A)ᵀ dY, each written the way its operand lies.
      gradients.into(a, (da, accumulate) =>
        productGradient(da, {
          left: transposeA
            ? { tensor: b, transpose: transposeB }
            : { tensor: dy, transpose: false },
          right: transposeA
            ? { tensor: dy, transpose: true }
            : { tensor: b, transpose: !transposeB },
          size: transposeA
            ? { M: size.K, N: size.M, K: size.N }
            : { M: size.M, N: size.K, K: size.N },
          batch,
          accumulate,
        }));
      gradients.into(b, (db, accumulate) =>
        productGradient(db, {
          left: transposeB
            ? { tensor: dy, transpose: true }
            : { tensor: a, transpose: !transposeA },
          right: transposeB
            ? { tensor: a, transpose: transposeA }
            : { tensor: dy, transpose: false },
          size: transposeB
            ? { M: size.N, N: size.K, K: size.M }
            : { M: size.K, N: size.N, K: size.M },
          batch,
          accumulate,
        }));
    },
  });
  return out;
}

interface GradientProduct {
  readonly left: { tensor: Tensor; transpose: boolean };
  readonly right: { tensor: Tensor; transpose: boolean };
  readonly size: MatmulSize;
  readonly batch: number;
  readonly accumulate: 0 | 1;
}

function productGradient(out: Tensor, product: GradientProduct): void {
  const { left, right, size, batch, accumulate } = product;
  if (batch > 1 && out.elements === size.M * size.N) {
    throw new TypeError(
      "Cannot differentiate matmul: one matrix is shared by a batch, expected a batch of it or linear",
    );
  }
  matmulInto(out, {
    a: left.tensor,
    b: right.tensor,
    transposeA: left.transpose,
    transposeB: right.transpose,
    size,
    batch,
    accumulate,
  });
}

function sizeOf(a: Shape, b: Shape, options: Required<MatmulOptions>): MatmulSize {
  const [a0, a1] = a.slice(-2), [b0, b1] = b.slice(-2);
  const [M, inner] = options.transposeA ? [a1, a0] : [a0, a1];
  const [K, N] = options.transposeB ? [b1, b0] : [b0, b1];
  if (M === undefined || N === undefined || K === undefined || inner !== K) {
    throw new TypeError(
      `Cannot multiply ${formatShape(a)}${options.transposeA ? " transposed" : ""} by ` +
        `${formatShape(b)}${options.transposeB ? " transposed" : ""}: inner sizes differ`,
    );
  }
  return { M, N, K };
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
