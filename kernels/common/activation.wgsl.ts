/**
 * Smooth activations and their slopes, as WGSL functions without bindings.
 *
 * - Formulas: sigmoid s(x) = 1 / (1 + exp(−x)); silu(x) = x s(x); gelu(x) = x s(2u) with
 *   u = √(2/π) (x + 0.044715 x³), which is the tanh form ½ x (1 + tanh u) without its cancellation
 *   below zero (Hendrycks and Gimpel, "Gaussian error linear units", 2016).
 * - Bindings: none. Work: four values for each call. Barriers: none.
 * - Error: about 2^-22 of |x|, mostly that of the device's `exp`. Every finite x gives a finite
 *   result: arguments are clamped to where the sigmoid is 0 or 1 for all that f32 can tell. NaN stays NaN
 *   where the device keeps it: of NaN and a number max() may give the number, hence select().
 *
 * @module
 */
export default /* wgsl */ `
fn sigmoid(x: vec4f) -> vec4f {
  return 1.0 / (1.0 + exp(-clamp(x, vec4f(-80.0), vec4f(80.0))));
}

fn silu(x: vec4f) -> vec4f {
  return select(x, vec4f(-80.0), x < vec4f(-80.0)) * sigmoid(x);
}

// Both slopes need 1 - s, which is exp(-x) s without cancellation.
fn silu_slope(x: vec4f) -> vec4f {
  let c = clamp(x, vec4f(-80.0), vec4f(80.0));
  let e = exp(-c);
  let s = 1.0 / (1.0 + e);
  return s * (1.0 + c * e * s);
}

fn gelu(x: vec4f) -> vec4f {
  let c = clamp(x, vec4f(-8.0), vec4f(8.0));
  return select(x, vec4f(-8.0), x < vec4f(-8.0)) * sigmoid(1.5957691216057308 * (c + 0.044715 * c * c * c));
}

fn gelu_slope(x: vec4f) -> vec4f {
  let c = clamp(x, vec4f(-8.0), vec4f(8.0));
  let e = exp(-1.5957691216057308 * (c + 0.044715 * c * c * c));
  let s = 1.0 / (1.0 + e);
  return s * (1.0 + c * e * s * 1.5957691216057308 * (1.0 + 0.134145 * c * c));
}
`;
