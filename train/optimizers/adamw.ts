/**
 * The AdamW optimiser over a parameter store.
 *
 * @module
 */

import { adamwInto, type AdamwIntoOptions, requireAdamwOptions } from "../../kernels/adamw/mod.ts";
import { requireCount } from "../../kernels/core/counted.ts";
import type { Parameter, ParameterStore } from "../../kernels/core/parameter_store.ts";
import { formatShape, type Tensor } from "../../kernels/core/tensor.ts";
import { globalNorm, requireMaxNorm } from "../../kernels/global_norm/mod.ts";
import type { LossScale } from "../loss_scale.ts";

/** The constants of {@linkcode AdamW}. */
export interface AdamWOptions {
  /** Decay of the running mean of the gradient, in [0, 1). Default 0.9. */
  readonly beta1?: number | undefined;
  /** Decay of the running mean of the squared gradient, in [0, 1). Default 0.999. */
  readonly beta2?: number | undefined;
  /** Added to the root of the squared gradient before the division; above 0. Default 1e-8. */
  readonly epsilon?: number | undefined;
  /** Share of a parameter taken off at each step, times the learning rate. Default 0. */
  readonly weightDecay?: number | undefined;
  /** Largest norm of the whole gradient; left out, it is not clipped. */
  readonly clip?: number | undefined;
  /** Decay of the moving average of the parameters, in [0, 1); left out, there is none. */
  readonly emaDecay?: number | undefined;
  /** Use min(emaDecay, (1 + t) / (10 + t)) in step t, which wears the start off. Default `false`. */
  readonly emaWarmup?: boolean | undefined;
}

/** The numbers of one {@linkcode AdamW.step}. */
export interface AdamWStep {
  /** Learning rate of this step. */
  readonly learningRate: number;
  /** What the loss was multiplied by; it is taken off the gradients, and changes by what they are. */
  readonly lossScale?: LossScale | undefined;
}

/**
 * AdamW with gradient clipping and a moving average of the parameters: two dispatches for each slab
 * and two more, whatever the number of parameters.
 *
 * A gradient that is not finite skips the step: parameters, moments and averages stay, the gradients
 * are zeroed. The step still counts, since the CPU does not wait to see it. `stepCount` is the number of
 * steps so far, to be read when training is saved and set when it is resumed.
 *
 * @example
 * ```ts
 * import { AdamW, Device, ParameterStore, Tape } from "@gmem/gmem";
 * import { meanSquare } from "@gmem/gmem/kernels";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * using store = new ParameterStore(device);
 * const weight = store.parameter("weight", [1, 1], (values) => values.fill(3));
 * using target = device.tensor(Float32Array.of(1), [1, 1]);
 * using optimizer = new AdamW(store);
 * using tape = new Tape(device);
 * using loss = tape.record(() => meanSquare(weight, target));
 * tape.backward(loss);
 * using normAndFactor = optimizer.step({ learningRate: 0.5 }); // the first step is ± the rate
 * console.log((await normAndFactor.read())[0], (await weight.read())[0]?.toFixed(3)); // 4 2.500
 * ```
 */
export class AdamW implements Disposable {
  /**
   * Slabs with the moving average of the parameters, parallel to the store's values and equal to them
   * at first; without `emaDecay` the values themselves. `store.withValues(averages, …)` samples
   * with them.
   */
  readonly averages: readonly Tensor[];
  readonly #store: ParameterStore;
  readonly #options:
    & AdamWOptions
    & Pick<AdamwIntoOptions, "beta1" | "beta2" | "epsilon" | "weightDecay">;
  readonly #firstMoments: readonly Tensor[];
  readonly #secondMoments: readonly Tensor[];
  readonly #averageViews: readonly [name: string, average: Tensor][];
  readonly #momentViews: readonly [key: string, moment: Tensor][];
  readonly #held: DisposableStack;
  #stepCount = 0;

  /**
   * Makes the state of all trained parameters of `store`, which is in use from here on. Throws
   * `RangeError` for a number out of its range.
   */
  constructor(store: ParameterStore, options: AdamWOptions = {}) {
    const { emaDecay } = options;
    if (emaDecay !== undefined && !(emaDecay >= 0 && emaDecay < 1)) {
      throw new RangeError(
        `Cannot average parameters: emaDecay is ${emaDecay}, expected a number in [0, 1)`,
      );
    }
    const { beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weightDecay = 0, clip } = options;
    const constants = { beta1, beta2, epsilon, weightDecay };
    requireMaxNorm(clip);
    requireAdamwOptions({ ...constants, learningRate: 0, step: 1 });
    using opened = new DisposableStack();
    const parallel = () => store.parallel().map((slab) => opened.use(slab));
    const view = (slabs: readonly Tensor[], parameter: Parameter) =>
      opened.use(store.view(slabs, parameter));
    this.#store = store;
    this.#options = { ...options, ...constants };
    this.#firstMoments = parallel();
    this.#secondMoments = parallel();
    this.averages = emaDecay === undefined ? store.values : parallel();
    this.resetAverages();
    const parameters = [...store.entries()];
    // Views are made once, outside of every scope: whoever lists them has nothing to release.
    [this.#averageViews, this.#momentViews] = store.device.unscoped(() => [
      parameters.map(([name, parameter]) => [
        name,
        parameter.frozen ? parameter : view(this.averages, parameter),
      ]),
      parameters.filter(([, { frozen }]) => !frozen).flatMap(([name, parameter]) => [
        [`exp_avg.${name}`, view(this.#firstMoments, parameter)],
        [`exp_avg_sq.${name}`, view(this.#secondMoments, parameter)],
      ]),
    ]);
    this.#held = opened.move();
  }

  /**
   * Steps so far, which decide bias correction and EMA warm-up; set when a run is resumed. Setting it
   * throws `RangeError` unless it is a whole number from 0.
   */
  get stepCount(): number {
    return this.#stepCount;
  }

  set stepCount(value: number) {
    requireCount("Cannot set the step count: it", value);
    this.#stepCount = value;
  }

  /**
   * Records one step on the accumulated gradients and zeroes them. Returns (norm before clipping,
   * factor) [2] in the caller's scope; the factor is 0 where the gradient is not finite and the step
   * is skipped. Throws `RangeError` for a constant or a learning rate outside its range.
   */
  step(options: AdamWStep): Tensor {
    const { learningRate, lossScale } = options;
    const { beta1, beta2, epsilon, weightDecay, clip } = this.#options;
    const { values, gradients } = this.#store;
    const step = this.#stepCount + 1;
    const factor = clippingFactor(gradients, { lossScale, maxNorm: clip });
    for (const [i, slab] of values.entries()) {
      adamwInto({
        values: slab,
        gradients: gradients[i]!,
        firstMoments: this.#firstMoments[i]!,
        secondMoments: this.#secondMoments[i]!,
        averages: this.#hasAverages ? this.averages[i] : undefined,
        factor,
      }, {
        learningRate,
        beta1,
        beta2,
        epsilon,
        weightDecay,
        step,
        emaDecay: this.#emaDecay(step),
      });
    }
    this.#store.zeroGradients();
    this.#stepCount = step;
    return factor;
  }

  /** Records a copy of the parameters to the averages, as after loading parameters from a file. */
  resetAverages(): void {
    if (!this.#hasAverages) return;
    const { device, values } = this.#store;
    for (const [i, slab] of values.entries()) device.copyInto(this.averages[i]!, slab);
  }

  /**
   * Every parameter's name and average, in its shape and in the order of declaration. A frozen
   * parameter is its own average. The tensors are the optimiser's.
   */
  averageEntries(): IterableIterator<[name: string, average: Tensor]> {
    return this.#averageViews.values();
  }

  /**
   * The moments of every trained parameter under the names of PyTorch: `exp_avg.<parameter>` and
   * `exp_avg_sq.<parameter>`. The tensors are the optimiser's.
   */
  stateEntries(): IterableIterator<[key: string, moment: Tensor]> {
    return this.#momentViews.values();
  }

  /**
   * Sets the moments to what `read` gives for each key of {@linkcode AdamW.stateEntries}. The averages
   * and {@linkcode AdamW.stepCount} are set apart. Throws `TypeError` when the number of values is not
   * that of the parameter, and whatever `read` throws.
   */
  loadState(read: (key: string) => Float32Array): void {
    for (const [key, moment] of this.#momentViews) {
      const values = read(key);
      if (values.length !== moment.elements) {
        throw new TypeError(
          `Cannot load ${key} ${formatShape(moment.shape)}: ${values.length} values, ` +
            `expected ${moment.elements}`,
        );
      }
      moment.write(values);
    }
  }

  /** Releases moments and averages. */
  [Symbol.dispose](): void {
    this.#held.dispose();
  }

  get #hasAverages(): boolean {
    return this.#options.emaDecay !== undefined;
  }

  #emaDecay(step: number): number | undefined {
    const { emaDecay, emaWarmup = false } = this.#options;
    return emaDecay === undefined || !emaWarmup
      ? emaDecay
      : Math.min(emaDecay, (1 + step) / (10 + step));
  }
}

/** (norm, factor) [2] of the gradients without the scale of the loss. */
function clippingFactor(
  gradients: readonly Tensor[],
  { lossScale, maxNorm }: Pick<AdamWStep, "lossScale"> & { maxNorm: number | undefined },
): Tensor {
  if (!lossScale) return globalNorm(gradients, { maxNorm });
  using scaled = globalNorm(gradients);
  return lossScale.update(scaled, { maxNorm });
}
