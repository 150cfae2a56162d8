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
  /** Channels that are guided, all or the first few; the others are the conditional ones. */
  readonly channels?: "all" | number;
}

/**
 * u + scale (c − u) of a conditional prediction c and an unconditional one u, both [B, C, H, W], on
 * the guided channels, and c on the others (Ho and Salimans 2022, in the form of DiT). Not
 * differentiated.
 *
 * Throws `TypeError` when the shapes differ or do not have four axes, and `RangeError` when there
 * are not as many channels as are to be guided.
 */
export function guide(conditional: Tensor, unconditional: Tensor, options: GuideOptions): Tensor {
  const { shape, device, elements } = conditional;
  if (shape.length !== 4 || formatShape(shape) !== formatShape(unconditional.shape)) {
    throw new TypeError(
      `Cannot guide ${formatShape(shape)} by ${formatShape(unconditional.shape)}: ` +
        "expected two of shape [B, C, H, W]",
    );
  }
  const [, channels = 0, height = 0, width = 0] = shape;
  const guided = options.channels === undefined || options.channels === "all"
    ? channels
    : options.channels;
  if (!Number.isInteger(guided) || guided < 0 || guided > channels) {
    throw new RangeError(
      `Cannot guide ${guided} channels of ${formatShape(shape)}: expected 0 to ${channels}`,
    );
  }
  const out = device.empty(shape);
  device.dispatch(GUIDE, {
    tensors: { conditional, unconditional, out },
    params: { elements, plane: height * width, channels, guided, scale: options.scale },
    workgroups: spreadWorkgroups(Math.ceil(elements / 64)),
  });
  return out;
}
