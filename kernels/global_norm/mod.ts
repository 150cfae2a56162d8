/**
 * The norm of a whole gradient and the factor that clips it.
 *
 * @module
 */

import texelOf from "../common/texel_of.wgsl.ts";
import { spreadWorkgroups } from "../core/device.ts";
import { Kernel } from "../core/kernel.ts";
import { stagedVariant } from "../core/staged_variant.ts";
import { formatShape, type Tensor } from "../core/tensor.ts";
import clipFactorSource from "./clip_factor.wgsl.ts";
import partialsSumSource from "./partials_sum.wgsl.ts";
import squareSumSource from "./slab_square_sum.wgsl.ts";
import squareSumTextureSource from "./slab_square_sum_texture.wgsl.ts";

/** The kernel that sums squares, by its variant. */
export const SQUARE_SUM: Readonly<Record<"storage" | "texture", Kernel>> = {
  storage: new Kernel({ source: squareSumSource }),
  texture: new Kernel({ source: squareSumTextureSource, includes: [texelOf] }),
};
const PARTIALS_SUM = new Kernel({ source: partialsSumSource });
const CLIP_FACTOR = new Kernel({ source: clipFactorSource });

/** Vec4 that one workgroup sums: 64 KiB, so that 2 GiB are 32,768 workgroups. */
const CHUNK = 4096;

/** Sums that one workgroup leaves. */
const SUMS = { storage: 1, texture: 8 } as const;

/** How {@linkcode globalNorm} clips. */
export interface GlobalNormOptions {
  /** Largest norm after clipping, above 0; left out, nothing is clipped. */
  readonly maxNorm?: number | undefined;
}

/**
 * The L2 norm n = ‖g‖ over all slabs (each [elements]) together and the factor
 * min(1, maxNorm / (n + 1e-6)) by which the optimiser multiplies g, as the tensor (n, factor)
 * [2] (Pascanu et al., "On the difficulty of training recurrent neural networks", 2013, algorithm 1;
 * the 1e-6 is that of `torch.nn.utils.clip_grad_norm_`).
 *
 * Where an element is infinite or NaN, or the sum of squares exceeds float32 (a norm of g above
 * 1.8e19), the norm is not finite and the factor is 0: the step is to be skipped. The order of the
 * sums is fixed. Not differentiated.
 *
 * Throws `TypeError` when there is no slab or the size of one is no multiple of 4, `RangeError` when
 * `maxNorm` is not a positive number.
 *
 * @example
 * ```ts
 * import { Device, globalNorm } from "@gmem/gmem/kernels";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * using a = device.tensor(Float32Array.of(3, 0, 0, 0), [4]);
 * using b = device.tensor(Float32Array.of(0, 0, 0, 4), [4]);
 * using out = globalNorm([a, b], { maxNorm: 1 }); // norm and factor
 * console.log(...Array.from(await out.read(), (value) => value.toFixed(3))); // 5.000 0.200
 * ```
 */
export function globalNorm(
  slabs: readonly Tensor[],
  options: GlobalNormOptions = {},
): Tensor {
  const { maxNorm } = options;
  requireMaxNorm(maxNorm);
  const device = slabs[0]?.device;
  if (!device) throw new TypeError("Cannot take a norm: no slabs, expected one or more");
  for (const { elements, shape } of slabs) {
    if (elements % 4 !== 0) {
      throw new TypeError(
        `Cannot take the norm of ${formatShape(shape)}: expected a multiple of 4 elements`,
      );
    }
  }
  const variant = stagedVariant(device, "globalNorm", { among: SQUARE_SUM, otherwise: "storage" });
  return device.scope(() => {
    const chunks = slabs.map((slab) => Math.ceil(slab.elements / (4 * CHUNK)));
    const count = chunks.reduce((sum, slabChunks) => sum + slabChunks, 0) * SUMS[variant];
    const partials = device.empty([count]);
    let first = 0;
    slabs.forEach((x, slab) => {
      device.dispatch(SQUARE_SUM[variant], {
        tensors: { x, partials },
        params: { vectors: x.elements / 4, first },
        workgroups: spreadWorkgroups(chunks[slab]!),
        constants: { CHUNK },
      });
      first += chunks[slab]! * SUMS[variant];
    });
    const bits = device.empty([1], { dtype: "u32" }), out = device.empty([2]);
    device.dispatch(PARTIALS_SUM, {
      tensors: { partials, bits },
      params: { count },
      workgroups: [1],
    });
    device.dispatch(CLIP_FACTOR, {
      tensors: { bits, out },
      params: { has_limit: Number(maxNorm !== undefined), max_norm: maxNorm ?? 0 },
      workgroups: [1],
    });
    return out;
  });
}

/** Throws a RangeError for a largest norm that gradients cannot be clipped to; undefined does not clip. */
export function requireMaxNorm(maxNorm: number | undefined): void {
  if (maxNorm === undefined || (maxNorm > 0 && maxNorm < Infinity)) return;
  throw new RangeError(
    `Cannot clip gradients: maxNorm is ${maxNorm}, expected a finite number above 0`,
  );
}
