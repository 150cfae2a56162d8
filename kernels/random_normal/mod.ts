/**
 * Standard normal numbers.
 *
 * @module
 */

import cosSin from "../common/cos_sin.wgsl.ts";
import philox from "../common/philox.wgsl.ts";
import { type Device, spreadWorkgroups } from "../core/device.ts";
import { Kernel } from "../core/kernel.ts";
import { elementsOf, type Shape, type Tensor } from "../core/tensor.ts";
import { counterParams, type RandomNormalOptions } from "./counters.ts";
import source from "./random_normal.wgsl.ts";

const RANDOM_NORMAL = new Kernel({ source, includes: [cosSin, philox] });

/**
 * Draws N(0, 1) on the GPU: result of `shape` [B, ...]. Element i of sample b is
 * `Random.normal(step, firstSample + b, i)` of the same seed and stream, from the same Philox bits;
 * Box and Muller (1958) in f32 err by up to 2^-20 (r + 1/r) with r = √(−2 ln u₁) (a third of that
 * is the worst of two million on Mesa's lavapipe). A sample's numbers do not depend on the batch
 * that it is in.
 *
 * Throws what {@linkcode Random} throws for seeds, steps and samples that do not fit.
 *
 * @example
 * ```ts
 * import { Device, Random, randomNormal, Stream } from "@gmem/gmem/kernels";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * const options = { seed: 42, stream: Stream.Noise, step: 0, firstSample: 17 };
 * using noise = randomNormal(device, [1, 3], options);
 * const last = (await noise.read())[2]!, same = new Random(42, Stream.Noise).normal(0, 17, 2);
 * console.log(last.toFixed(4), same.toFixed(4)); // -1.3960 -1.3960
 * ```
 */
export function randomNormal(device: Device, shape: Shape, options: RandomNormalOptions): Tensor {
  const [batch = 1] = shape;
  const elements = batch === 0 ? 0 : elementsOf(shape) / batch;
  const counters = counterParams(options, batch);
  const out = device.empty(shape);
  device.dispatch(RANDOM_NORMAL, {
    tensors: { out },
    params: { batch, elements, ...counters },
    workgroups: spreadWorkgroups(Math.ceil(batch * Math.ceil(elements / 4) / 64)),
  });
  return out;
}
