/**
 * The factor on the loss that keeps small gradients from vanishing in f16.
 *
 * @module
 */

import { combine } from "../kernels/combine/mod.ts";
import { requireCount } from "../kernels/core/counted.ts";
import type { Device } from "../kernels/core/device.ts";
import type { Tensor } from "../kernels/core/tensor.ts";
import { updateLossScale } from "../kernels/loss_scale/mod.ts";

/** 2¹⁶: a start that is too large costs one skipped step for each halving. */
const FIRST_SCALE = 2 ** 16;
/**
 * Far above what any loss needs. Without a bound, gradients that stay zero would let the scale grow
 * to infinity, from which no halving leads back.
 */
const MAX_SCALE = 2 ** 24;

/** How {@linkcode LossScale} grows. */
export interface LossScaleOptions {
  /** Steps without an overflow after which the scale doubles. Default 2000. */
  readonly growthInterval?: number | undefined;
}

/**
 * A loss scale that finds its size by itself: halved after every step whose gradients overflow,
 * doubled after many without (Micikevicius et al., "Mixed precision training", 2018, section 3.2).
 * It lives on the GPU, so no step waits for it.
 *
 * @example
 * ```ts
 * import { Device, LossScale } from "@gmem/gmem";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * using lossScale = new LossScale(device);
 * using overflow = device.tensor(Float32Array.of(Infinity, 0), [2]); // norm and factor
 * using _gone = lossScale.update(overflow);
 * console.log((await lossScale.scale.read())[0]); // 32768 half of the first one, 65536
 * ```
 */
export class LossScale implements Disposable {
  /** The factor on the loss [1]. */
  readonly scale: Tensor;
  /** Steps without an overflow since it last changed [1]. */
  readonly goodSteps: Tensor;
  readonly #growthInterval: number;

  /** Starts at 2¹⁶. Throws `RangeError` when `growthInterval` is no whole number from 1. */
  constructor(device: Device, options: LossScaleOptions = {}) {
    const { growthInterval = 2000 } = options;
    requireCount("Cannot scale the loss: growthInterval", growthInterval, 1);
    this.#growthInterval = growthInterval;
    [this.scale, this.goodSteps] = device.unscoped(() => [
      device.tensor(Float32Array.of(FIRST_SCALE), [1]),
      device.tensor(Float32Array.of(0), [1]),
    ]);
  }

  /** The cotangent [1] of a loss that counts `share`, such as 1 over the number of parts of a batch. */
  cotangent(share: number): Tensor {
    return combine([[this.scale, share]]);
  }

  /**
   * From the unclipped (norm, factor) [2] of scaled gradients to those of the loss itself, clipped;
   * then the scale changes as the factor says. See `updateLossScale`. Throws `TypeError` for another shape.
   */
  update(normAndFactor: Tensor, options: { maxNorm?: number | undefined } = {}): Tensor {
    return updateLossScale(normAndFactor, this, {
      ...options,
      growthInterval: this.#growthInterval,
      maxScale: MAX_SCALE,
    });
  }

  /** Its state by name, for checkpoints. The tensors are the scale's. */
  *stateEntries(): IterableIterator<[key: string, state: Tensor]> {
    yield ["loss_scale.scale", this.scale];
    yield ["loss_scale.good_steps", this.goodSteps];
  }

  /**
   * Sets the state to what `read` gives for each key of {@linkcode LossScale.stateEntries}. Throws
   * `RangeError` when that is no state that training can reach, and whatever `read` throws.
   */
  loadState(read: (key: string) => Float32Array): void {
    for (const [key, tensor] of this.stateEntries()) {
      const values = read(key), [value = NaN] = values;
      const [least, most] = tensor === this.scale ? [1, MAX_SCALE] : [0, 2 ** 24];
      if (values.length !== 1 || !(value >= least && value <= most)) {
        throw new RangeError(
          `Cannot load ${key}: it is [${values.slice(0, 4).join(", ")}], ` +
            `expected one number from ${least} to ${most}`,
        );
      }
      tensor.write(values);
    }
  }

  /** Releases the state. */
  [Symbol.dispose](): void {
    this.scale.dispose();
    this.goodSteps.dispose();
  }
}
