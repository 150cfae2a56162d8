import type { MatmulSize } from "./variants.ts";

/** Float64 matrix product of one pair: `a` [M, K] or [K, M], `b` [K, N] or [N, K], result [M, N]. */
export function matmulReference(
  operands: { a: Float64Array; b: Float64Array },
  options: { size: MatmulSize; transposeA?: boolean; transposeB?: boolean },
): Float64Array {
  const { a, b } = operands;
  const { size: { M, N, K }, transposeA = false, transposeB = false } = options;
  const out = new Float64Array(M * N);
  for (let i = 0; i < M; i++) {
    for (let j = 0; j < N; j++) {
      let sum = 0;
      for (let k = 0; k < K; k++) {
        sum += a[transposeA ? k * M + i : i * K + k]! * b[transposeB ? j * K + k : k * N + j]!;
      }
      out[i * N + j] = sum;
    }
  }
  return out;
}
