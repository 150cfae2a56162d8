/**
 * Matrix products: square ones, and the three of an affine layer of the workload "small".
 *
 * @module
 */

import type { Device } from "../kernels/core/device.ts";
import { matmulInto } from "../kernels/matmul/mod.ts";
import { measure } from "./measure.ts";
import type { MeasuredOp } from "./ops.ts";

/** A product of two matrices. */
export interface Product {
  /** What is multiplied. */
  readonly name: string;
  /** Rows of the result. */
  readonly M: number;
  /** Columns of the result. */
  readonly N: number;
  /** Terms of each sum. */
  readonly K: number;
  /** The first matrix lies transposed. */
  readonly transposeA: boolean;
  /** The second matrix lies transposed. */
  readonly transposeB: boolean;
}

/** The products that are measured. */
export const MATMULS: readonly Product[] = [
  { name: "512³", M: 512, N: 512, K: 512, transposeA: false, transposeB: false },
  { name: "1024³", M: 1024, N: 1024, K: 1024, transposeA: false, transposeB: false },
  { name: "2048³", M: 2048, N: 2048, K: 2048, transposeA: false, transposeB: false },
  {
    name: "forward 2048×768×256 (A Bᵀ)",
    M: 2048,
    N: 768,
    K: 256,
    transposeA: false,
    transposeB: true,
  },
  {
    name: "input gradient 2048×256×768 (A B)",
    M: 2048,
    N: 256,
    K: 768,
    transposeA: false,
    transposeB: false,
  },
  {
    name: "weight gradient 768×256×2048 (Aᵀ B)",
    M: 768,
    N: 256,
    K: 2048,
    transposeA: true,
    transposeB: false,
  },
];

/** Measures a product; its first matrix counts as new each time, as in a step. */
export async function benchMatmul(
  device: Device,
  { product, wait }: { product: Product; wait: number },
): Promise<MeasuredOp> {
  const { name, M, N, K, transposeA, transposeB } = product;
  using a = device.tensor(new Float32Array(M * K).fill(0.1), [M * K]);
  using b = device.tensor(new Float32Array(K * N).fill(0.1), [K * N]);
  using out = device.empty([M, N]);
  const timing = await measure(device, () => {
    a.storage.version++;
    matmulInto(out, a, b, { size: { M, N, K }, transposeA, transposeB });
  }, { wait });
  return {
    ...{ group: "products", name, count: 1 },
    ...{ flops: 2 * M * N * K, bytes: 4 * (M * K + K * N + M * N), dispatches: 1 },
    ...timing,
  };
}
