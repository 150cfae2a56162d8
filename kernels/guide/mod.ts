/**
 * Classifier-free guidance of a prediction.
 *
 * @module
 */

import { spreadWorkgroups } from "../core/device.ts";
import { Kernel } from "../core/kernel.ts";
import { formatShape, type Tensor } from "../core/tensor.ts";
import source from "./guide.wgsl.ts";

const GUIDE = new Kernel({ source });

/** Options of {@linkcode guide}. */
export interface GuideOptions {
  /** How far to go: 0 is the unconditional prediction, 1 the conditional one, above 1 past it. */
  readonly scale: number;
  /** Channels that are guided, all or the first few; the others are the conditional ones. Default all. */
  readonly channels?: "all" | number | undefined;
}

/**
 * u + scale (c − u) of conditional predictions c and unconditional ones u, on the guided channels,
 * and c on the others (Ho and Salimans, arXiv 2207.12598, eq. 6 with scale = 1 + w, in the form of
 * DiT): `predictions` [2·B, C, H, W], c and then u, result [B, C, H, W]. Not differentiated.
 *
 * Throws `TypeError` when the shape does not have four axes or an odd batch, and `RangeError` when
 * there are not as many channels as are to be guided.
 *
 * @example
 * ```ts
 * import { Device, guide } from "@gmem/gmem/kernels";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * // One pixel of two channels, with the condition 3 and 3, without it 1 and 1.
 * using predictions = device.tensor(Float32Array.of(3, 3, 1, 1), [2, 2, 1, 1]);
 * using guided = guide(predictions, { scale: 2, channels: 1 });
 * console.log(await guided.read()); // Float32Array(2) [ 5, 3 ]
 * ```
 */
export function guide(predictions: Tensor, options: GuideOptions): Tensor {
  const { shape, device } = predictions;
  const [batch = 0, channels = 0, height = 0, width = 0] = shape;
  if (shape.length !== 4 || batch % 2 !== 0) {
    throw new TypeError(`Cannot guide ${formatShape(shape)}: expected [2 B, C, H, W]`);
  }
  const guided = options.channels === undefined || options.channels === "all"
    ? channels
    : options.channels;
  if (!Number.isInteger(guided) || guided < 0 || guided > channels) {
    throw new RangeError(
      `Cannot guide ${guided} channels of ${formatShape(shape)}: expected 0 to ${channels}`,
    );
  }
  const out = device.empty([batch / 2, channels, height, width]);
  const { elements } = out;
  device.dispatch(GUIDE, {
    tensors: { predictions, out },
    params: { elements, plane: height * width, channels, guided, scale: options.scale },
    workgroups: spreadWorkgroups(Math.ceil(elements / 64)),
  });
  return out;
}
