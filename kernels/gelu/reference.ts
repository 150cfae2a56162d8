/** Float64 tanh form of the Gaussian error linear unit. */
export function geluReference(x: Float64Array): Float64Array {
  return x.map((v) => 0.5 * v * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (v + 0.044715 * v ** 3))));
}

/** Float64 slope of {@linkcode geluReference}. */
export function geluSlopeReference(x: Float64Array): Float64Array {
  return x.map((v) => {
    const c = Math.sqrt(2 / Math.PI), t = Math.tanh(c * (v + 0.044715 * v ** 3));
    return 0.5 * (1 + t) + 0.5 * v * (1 - t * t) * c * (1 + 0.134145 * v * v);
  });
}
