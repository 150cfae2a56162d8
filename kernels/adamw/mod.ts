/**
 * The AdamW step of one slab of parameters.
 *
 * @module
 */

import texelOf from "../common/texel_of.wgsl.ts";
import { spreadWorkgroups } from "../core/device.ts";
import { Kernel } from "../core/kernel.ts";
import { hasCpuSubgroups } from "../core/profile.ts";
import { stagedVariant } from "../core/staged_variant.ts";
import { formatShape, type Tensor } from "../core/tensor.ts";
import adamwSource from "./adamw.wgsl.ts";
import adamwTextureSource from "./adamw_texture.wgsl.ts";

/** The kernel by its variant. */
export const KERNELS: Readonly<Record<"storage" | "texture", Kernel>> = {
  storage: new Kernel({ source: adamwSource }),
  texture: new Kernel({ source: adamwTextureSource, includes: [texelOf] }),
};

/** Vec4 that one workgroup updates; the texture kernel takes it as a constant. */
const CHUNK = { storage: 64, texture: 4096 } as const;

/** What {@linkcode adamwInto} reads and changes: parallel slabs [elements], a multiple of 4. */
export interface AdamwSlabs {
  /** The parameters p. */
  readonly values: Tensor;
  /** The gradients. */
  readonly gradients: Tensor;
  /** The running mean m of the gradient, zero before the first step. */
  readonly firstMoments: Tensor;
  /** The running mean v of the squared gradient, zero before the first step. */
  readonly secondMoments: Tensor;
  /** The moving average of the parameters, where there is one. */
  readonly averages?: Tensor | undefined;
  /** The norm and the factor of the gradients [2], from `globalNorm`. */
  readonly factor: Tensor;
}

/** The numbers of one AdamW step. */
export interface AdamwIntoOptions {
  /** Learning rate η of this step. */
  readonly learningRate: number;
  /** Decay β₁ of the first moment, in [0, 1). */
  readonly beta1: number;
  /** Decay β₂ of the second moment, in [0, 1). */
  readonly beta2: number;
  /** ε, added to the root of the second moment; above 0. */
  readonly epsilon: number;
  /** λ: the share η·λ of a parameter is taken off first. */
  readonly weightDecay: number;
  /** The number t of this step, 1 for the first. */
  readonly step: number;
  /** Decay of the moving average in this step, in [0, 1]. Default 0: the parameters themselves. */
  readonly emaDecay?: number | undefined;
}

/**
 * Records one step of AdamW on a slab, in one dispatch, as `torch.optim.AdamW` computes it
 * (Loshchilov and Hutter, "Decoupled weight decay regularization", 2019, algorithm 2), with
 * g = factor·gradient:
 *
 * m ← β₁ m + (1 − β₁) g, v ← β₂ v + (1 − β₂) g²,
 * p ← p − η λ p − η m̂ / (√v̂ + ε), m̂ = m / (1 − β₁ᵗ), v̂ = v / (1 − β₂ᵗ);
 *
 * then the moving average a ← decay·a + (1 − decay)·p. The corrections 1 − βᵗ are computed in float64. A factor
 * of 0, which stands for a gradient that is not finite, leaves everything as it is. The gradients stay; those of a
 * store `ParameterStore.zeroGradients` makes zero. Not differentiated.
 *
 * Throws `TypeError` when the slabs differ in size or are no multiple of 4, `RangeError` for a
 * number outside of its range.
 *
 * @example
 * ```ts
 * import { adamwInto, Device, globalNorm } from "@gmem/gmem/kernels";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * // The first step goes by the learning rate against each sign.
 * using values = device.tensor(Float32Array.of(1, 1, 1, 1), [4]);
 * using gradients = device.tensor(Float32Array.of(8, -2, 0, 1), [4]);
 * const zeros = () => device.tensor(new Float32Array(4), [4]);
 * using firstMoments = zeros(), secondMoments = zeros();
 * using factor = globalNorm([gradients]); // without maxNorm nothing is clipped
 * const rates = { learningRate: 0.25, beta1: 0.5, beta2: 0.75, epsilon: 1e-8, weightDecay: 0 };
 * adamwInto({ values, gradients, firstMoments, secondMoments, factor }, { ...rates, step: 1 });
 * console.log(await values.read()); // Float32Array(4) [ 0.75, 1.25, 1, 0.75 ]
 * ```
 */
export function adamwInto(slabs: AdamwSlabs, options: AdamwIntoOptions): void {
  const { values, gradients, firstMoments, secondMoments, averages, factor } = slabs;
  const { learningRate, beta1, beta2, epsilon, weightDecay, step, emaDecay = 0 } = options;
  requireParallel(slabs);
  requireAdamwOptions(options);
  const { device } = values;
  const variant = stagedVariant(device, "adamw", { among: KERNELS, otherwise: "storage" });
  const vectors = values.elements / 4;
  device.scope(() => {
    // Every binding needs a buffer, and no two that are written may share one.
    const a = averages ?? device.empty([4]);
    device.dispatch(KERNELS[variant], {
      tensors: {
        factor,
        values,
        gradients,
        first_moments: firstMoments,
        second_moments: secondMoments,
        averages: a,
        ...(variant === "texture" && {
          old_values: values,
          old_first_moments: firstMoments,
          old_second_moments: secondMoments,
          old_averages: a,
        }),
      },
      params: {
        vectors,
        decay: learningRate * weightDecay,
        rate1: 1 - beta1,
        beta2,
        rate2: 1 - beta2,
        step_size: learningRate / (1 - beta1 ** step),
        inverse_root: 1 / Math.sqrt(1 - beta2 ** step),
        epsilon,
        average_rate: 1 - emaDecay,
      },
      workgroups: spreadWorkgroups(Math.ceil(vectors / CHUNK[variant])),
      constants: {
        HAS_AVERAGES: Number(averages !== undefined),
        ...(variant === "texture" && {
          CHUNK: CHUNK.texture,
          LANES: hasCpuSubgroups(device.profile) ? device.profile.subgroupSize : 8,
        }),
      },
    });
  });
}

function requireParallel({ factor, ...slabs }: AdamwSlabs): void {
  const { elements, shape } = slabs.values;
  if (elements % 4 !== 0) {
    throw new TypeError(
      `Cannot step values ${formatShape(shape)}: expected a multiple of 4 elements`,
    );
  }
  for (const [name, slab] of Object.entries(slabs)) {
    if (slab && slab.elements !== elements) {
      throw new TypeError(
        `Cannot step values ${formatShape(shape)} with ${name} ${formatShape(slab.shape)}: ` +
          "sizes differ",
      );
    }
  }
  if (factor.elements !== 2) {
    throw new TypeError(
      `Cannot step values ${formatShape(shape)} with factor ${formatShape(factor.shape)}: ` +
        "expected [2]",
    );
  }
}

/** Throws a RangeError for a number that {@linkcode adamwInto} cannot step with. */
export function requireAdamwOptions(options: AdamwIntoOptions): void {
  const { learningRate, beta1, beta2, epsilon, weightDecay, step, emaDecay = 0 } = options;
  const rules: readonly [name: string, value: number, fits: boolean, expected: string][] = [
    ["learningRate", learningRate, learningRate >= 0 && learningRate < Infinity, "a number from 0"],
    ["beta1", beta1, beta1 >= 0 && beta1 < 1, "a number in [0, 1)"],
    ["beta2", beta2, beta2 >= 0 && beta2 < 1, "a number in [0, 1)"],
    ["epsilon", epsilon, epsilon >= SMALLEST_EPSILON, `${SMALLEST_EPSILON} or more`],
    ["weightDecay", weightDecay, weightDecay >= 0 && weightDecay < Infinity, "a number from 0"],
    ["step", step, Number.isInteger(step) && step >= 1, "a whole number from 1"],
    ["emaDecay", emaDecay, emaDecay >= 0 && emaDecay <= 1, "a number in [0, 1]"],
  ];
  for (const [name, value, fits, expected] of rules) {
    if (!fits) {
      throw new RangeError(`Cannot step parameters: ${name} is ${value}, expected ${expected}`);
    }
  }
}

/** GPUs may flush smaller numbers to zero, and a zero gradient would then divide 0 by 0. */
export const SMALLEST_EPSILON = 1.2e-38;
