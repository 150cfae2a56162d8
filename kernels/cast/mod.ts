/**
 * Conversion between element types.
 *
 * @module
 */

import half from "../common/half.wgsl.ts";
import texelOf from "../common/texel_of.wgsl.ts";
import { type Precision, spreadWorkgroups } from "../core/device.ts";
import { Kernel } from "../core/kernel.ts";
import { Parameter } from "../core/parameter_store.ts";
import { stagedVariant } from "../core/staged_variant.ts";
import { formatShape, type Tensor } from "../core/tensor.ts";
import toF16Source from "./to_f16.wgsl.ts";
import toF16TextureSource from "./to_f16_texture.wgsl.ts";
import toF32Source from "./to_f32.wgsl.ts";

const includes = [half];
/** The kernel that rounds, by its variant. */
export const TO_F16: Readonly<Record<"storage" | "texture", Kernel>> = {
  storage: new Kernel({ source: toF16Source, includes }),
  texture: new Kernel({ source: toF16TextureSource, includes: [...includes, texelOf] }),
};
const TO_F32 = new Kernel({ source: toF32Source, includes });

/** What {@linkcode cast} makes. */
export interface CastOptions {
  /** Element type of the result. */
  readonly dtype: "f32" | "f16";
}

/**
 * `x` (any shape, f32 or f16) with elements of another type. To f16 each is rounded to the nearest,
 * ties to even: from 65,520 on it becomes infinite, below 2^-14 a multiple of 2^-24, and NaN stays
 * NaN. To f32 is exact. The gradient passes unchanged and stays f32 on both sides. A tensor that has
 * the type already is returned as another view of its elements, but a parameter, which has no other
 * view, as a copy.
 *
 * Throws `TypeError` when an element is no floating-point number.
 *
 * @example
 * ```ts
 * import { cast, Device } from "@gmem/gmem/kernels";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * using x = device.tensor(Float32Array.of(1 / 3, 65504, 65520), [3]);
 * using half = cast(x, { dtype: "f16" }); // 6 bytes
 * console.log(await half.read()); // Float32Array(3) [ 0.333251953125, 65504, Infinity ]
 * ```
 */
export function cast(x: Tensor, options: CastOptions): Tensor {
  const { device } = x, same = x.dtype === options.dtype;
  if (same && !(x instanceof Parameter)) return x.reshape(x.shape);
  const out = device.empty(x.shape, options);
  if (same) device.copyInto(out, x);
  else castInto(out, x);
  device.tape?.push({
    name: "cast",
    inputs: [x],
    output: out,
    saved: [],
    backward: (dy, gradients) => gradients.pass(x, dy),
  });
  return out;
}

/**
 * Records `out = x` between f32 and f16 without differentiation; see {@linkcode cast}.
 *
 * Throws `TypeError` when their counts of elements differ, or their types are not f32 and f16.
 *
 * @example
 * ```ts
 * import { castInto, Device } from "@gmem/gmem/kernels";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * using x = device.tensor(Float32Array.of(1, 2049), [2]);
 * using half = device.empty([2], { dtype: "f16" });
 * castInto(half, x);
 * console.log(await half.read()); // Float32Array(2) [ 1, 2048 ]
 * ```
 */
export function castInto(out: Tensor, x: Tensor): void {
  const types = [x.dtype, out.dtype];
  if (x.elements !== out.elements || types.includes("u32") || x.dtype === out.dtype) {
    throw new TypeError(
      `Cannot cast ${x.dtype} ${formatShape(x.shape)} to ${out.dtype} ${formatShape(out.shape)}: ` +
        "expected as many elements, f32 on one side and f16 on the other",
    );
  }
  const { device, elements } = x;
  const kernel = out.dtype === "f32"
    ? TO_F32
    : TO_F16[stagedVariant(device, "cast", { among: TO_F16, otherwise: "storage" })];
  device.dispatch(kernel, {
    tensors: { x, out },
    params: { elements },
    workgroups: spreadWorkgroups(Math.ceil(elements / 256)),
  });
}

/** What products of a precision take of `x`: its elements {@linkcode rounded} to f16, or `x` itself. */
export function operandOf(x: Tensor, precision: Precision): Tensor {
  return precision === "f16" ? rounded(x) : x;
}

/** The elements of an f16 tensor as f32, in the caller's scope and not differentiated. */
export function widened(x: Tensor): Tensor {
  const out = x.device.empty(x.shape);
  castInto(out, x);
  return out;
}

/**
 * The elements of an f32 tensor rounded to f16, in the caller's scope and not differentiated. They
 * are kept beside the elements they come from and rounded anew only after those have changed: a
 * weight is rounded once a step, a gradient once for both products that read it. Whoever saves the
 * result need not keep `x`.
 *
 * @example
 * ```ts
 * import { Device, rounded } from "@gmem/gmem/kernels";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * using x = device.tensor(Float32Array.of(1, 2049), [2]);
 * using half = rounded(x), again = rounded(x); // made once
 * console.log(await half.read()); // Float32Array(2) [ 1, 2048 ]
 * console.log(again.buffer === half.buffer); // true
 * ```
 */
export function rounded(x: Tensor): Tensor {
  if (x.dtype === "f16") return x.reshape(x.shape);
  const { offset, elements, shape } = x;
  return x.storage.rounded({ offset, elements }, (out) => castInto(out, x)).reshape(shape);
}
