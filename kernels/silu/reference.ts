/** Float64 sigmoid linear unit. */
export function siluReference(x: Float64Array): Float64Array {
  return x.map((v) => v / (1 + Math.exp(-v)));
}
