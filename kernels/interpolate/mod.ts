/**
 * Points of a probability path and what the network is trained on there.
 *
 * @module
 */

import { spreadWorkgroups } from "../core/device.ts";
import { Kernel } from "../core/kernel.ts";
import { formatShape, type Tensor } from "../core/tensor.ts";
import source from "./interpolate.wgsl.ts";

const INTERPOLATE = new Kernel({ source });

/**
 * x_t = α data + σ noise and its target c_data data + c_noise noise in one pass (GMem, eq. 1 and 2):
 * `data`, `noise` and both results [B, ...]; `coefficients` [B, 4] holds (α, σ, c_data, c_noise) of
 * each sample, so the kernel does not know the path. Not differentiated.
 *
 * Throws `TypeError` when the sizes do not fit.
 *
 * @example
 * ```ts
 * import { Device, interpolate } from "@gmem/gmem/kernels";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * using data = device.tensor(Float32Array.of(2, 4), [1, 2]);
 * using noise = device.tensor(Float32Array.of(10, 20), [1, 2]);
 * using halfway = device.tensor(Float32Array.of(0.5, 0.5, 1, -1), [1, 4]); // target: data − noise
 * const { x, target } = interpolate(data, noise, halfway);
 * console.log(await x.read()); // Float32Array(2) [ 6, 12 ]
 * console.log(await target.read()); // Float32Array(2) [ -8, -16 ]
 * ```
 */
export function interpolate(
  data: Tensor,
  noise: Tensor,
  coefficients: Tensor,
): { x: Tensor; target: Tensor } {
  const [batch = 0] = data.shape;
  if (
    formatShape(data.shape) !== formatShape(noise.shape) ||
    formatShape(coefficients.shape) !== formatShape([batch, 4])
  ) {
    throw new TypeError(
      `Cannot interpolate data ${formatShape(data.shape)} and noise ${formatShape(noise.shape)} ` +
        `by coefficients ${formatShape(coefficients.shape)}: expected equal shapes and ` +
        formatShape([batch, 4]),
    );
  }
  const { device } = data;
  const elements = batch === 0 ? 0 : data.elements / batch;
  const x = device.empty(data.shape), target = device.empty(data.shape);
  device.dispatch(INTERPOLATE, {
    tensors: { data, noise, coefficients, x_out: x, target_out: target },
    params: { batch, elements },
    workgroups: spreadWorkgroups(Math.ceil(batch * Math.ceil(elements / 4) / 64)),
  });
  return { x, target };
}
