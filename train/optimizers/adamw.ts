/**
 * The AdamW optimiser over a parameter store.
 *
 * @module
 */

import { adamwInto } from "../../kernels/adamw/mod.ts";
import type { Parameter, ParameterStore } from "../../kernels/core/parameter_store.ts";
import { formatShape, type Tensor } from "../../kernels/core/tensor.ts";
import { globalNorm } from "../../kernels/global_norm/mod.ts";

/** The constants of {@linkcode AdamW}. */
export interface AdamWOptions {
  /** Decay of the running mean of the gradient, in [0, 1). */
  readonly beta1: number;
  /** Decay of the running mean of the squared gradient, in [0, 1). */
  readonly beta2: number;
  /** Added to the root of the squared gradient before the division; above 0. */
  readonly epsilon: number;
  /** Share of a parameter taken off at each step, times the learning rate. */
  readonly weightDecay: number;
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
  /** Factor on the gradients before clipping: 1 / loss scale, 1 / accumulated parts. Default 1. */
  readonly gradientScale?: number | undefined;
}

/** The moving average of the parameters of a store. */
export interface ParameterAverages {
  /** Slabs parallel to the store's values. */
  readonly slabs: readonly Tensor[];
  /**
   * Every parameter's name and average, in its shape and in the order of declaration; a frozen
   * parameter is its own average. The tensors are views that belong to the caller's scope or, outside
   * of one, the caller.
   */
  entries(): IterableIterator<[name: string, average: Tensor]>;
}

/**
 * AdamW with gradient clipping and a moving average of the parameters: two dispatches for each slab
 * and one more, whatever the number of parameters.
 *
 * A gradient that is not finite skips the step: parameters, moments and averages stay, the gradients
 * are zeroed. The step still counts, since the CPU does not wait to see it.
 *
 * @example
 * ```ts ignore
 * using optimizer = new AdamW(store, {
 *   beta1: 0.9,
 *   beta2: 0.999,
 *   epsilon: 1e-8,
 *   weightDecay: 0,
 *   clip: 1,
 *   emaDecay: 0.9999,
 * });
 * tape.backward(loss);
 * using normAndFactor = optimizer.step({ learningRate: 1e-4 });
 * ```
 */
export class AdamW implements Disposable {
  /** The moving average, where `emaDecay` was given; equal to the parameters at first. */
  readonly averages: ParameterAverages | undefined;
  readonly #store: ParameterStore;
  readonly #options: AdamWOptions;
  readonly #firstMoments: readonly Tensor[];
  readonly #secondMoments: readonly Tensor[];
  #stepCount = 0;

  /**
   * Makes the state of all trained parameters of `store`, which is in use from here on. Throws
   * `RangeError` when `emaDecay` is not in [0, 1); {@linkcode AdamW.step} checks the other numbers.
   */
  constructor(store: ParameterStore, options: AdamWOptions) {
    const { emaDecay } = options;
    if (emaDecay !== undefined && !(emaDecay >= 0 && emaDecay < 1)) {
      throw new RangeError(
        `Cannot average parameters: emaDecay is ${emaDecay}, expected a number in [0, 1)`,
      );
    }
    this.#store = store;
    this.#options = { ...options };
    this.#firstMoments = store.parallel();
    this.#secondMoments = store.parallel();
    if (emaDecay !== undefined) {
      const slabs = store.parallel();
      this.averages = { slabs, entries: () => averageEntries(store, slabs) };
      this.resetAverages();
    }
  }

  /** Steps so far, which decide bias correction and EMA warm-up; set when a run is resumed. */
  get stepCount(): number {
    return this.#stepCount;
  }

  set stepCount(value: number) {
    if (!Number.isInteger(value) || value < 0) {
      throw new RangeError(
        `Cannot set the step count: it is ${value}, expected a whole number from 0`,
      );
    }
    this.#stepCount = value;
  }

  /**
   * Records one step on the accumulated gradients and zeroes them. Returns (norm before clipping,
   * factor) [2]; the factor is 0 where the gradient is not finite and the step is skipped.
   */
  step(options: AdamWStep): Tensor {
    const { learningRate, gradientScale } = options;
    const { beta1, beta2, epsilon, weightDecay, clip } = this.#options;
    const { values, gradients } = this.#store;
    const step = this.#stepCount + 1;
    const factor = globalNorm(gradients, { maxNorm: clip, scale: gradientScale });
    values.forEach((slab, i) => {
      adamwInto({
        values: slab,
        gradients: gradients[i]!,
        firstMoments: this.#firstMoments[i]!,
        secondMoments: this.#secondMoments[i]!,
        averages: this.averages?.slabs[i],
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
    });
    this.#stepCount = step;
    return factor;
  }

  /** Records a copy of the parameters to the averages, as after loading parameters from a file. */
  resetAverages(): void {
    this.averages?.slabs.forEach((slab, i) => {
      this.#store.device.copy(this.#store.values[i]!, slab);
    });
  }

  /**
   * The moments of every trained parameter under the names of PyTorch: `exp_avg.<parameter>` and
   * `exp_avg_sq.<parameter>`. The tensors are views that belong to the caller's scope or, outside of
   * one, the caller.
   */
  *stateEntries(): IterableIterator<[key: string, moment: Tensor]> {
    for (const parameter of trainedParameters(this.#store)) {
      for (const [key, slabs] of this.#moments(parameter)) {
        yield [key, this.#store.view(slabs, parameter)];
      }
    }
  }

  /**
   * Sets the moments to what `read` gives for each key of {@linkcode AdamW.stateEntries}. Set
   * {@linkcode AdamW.stepCount} and the averages as well. Throws `TypeError` when the number of values
   * is not that of the parameter, and whatever `read` throws.
   */
  loadState(read: (key: string) => Float32Array): void {
    for (const parameter of trainedParameters(this.#store)) {
      for (const [key, slabs] of this.#moments(parameter)) {
        const values = read(key);
        if (values.length !== parameter.elements) {
          throw new TypeError(
            `Cannot load ${key} ${formatShape(parameter.shape)}: ${values.length} values, ` +
              `expected ${parameter.elements}`,
          );
        }
        const { device } = this.#store;
        device.scope(() => this.#store.view(slabs, parameter).write(values));
      }
    }
  }

  /** Releases moments and averages. */
  dispose(): void {
    const averages = this.averages?.slabs ?? [];
    for (const slab of [...this.#firstMoments, ...this.#secondMoments, ...averages]) slab.dispose();
  }

  /** As {@linkcode AdamW.dispose}, for `using`. */
  [Symbol.dispose](): void {
    this.dispose();
  }

  #moments(parameter: Parameter): [key: string, slabs: readonly Tensor[]][] {
    return [
      [`exp_avg.${parameter.name}`, this.#firstMoments],
      [`exp_avg_sq.${parameter.name}`, this.#secondMoments],
    ];
  }

  #emaDecay(step: number): number | undefined {
    const { emaDecay, emaWarmup = false } = this.#options;
    return emaDecay === undefined || !emaWarmup
      ? emaDecay
      : Math.min(emaDecay, (1 + step) / (10 + step));
  }
}

function* trainedParameters(store: ParameterStore): IterableIterator<Parameter> {
  for (const [, parameter] of store.entries()) {
    if (!parameter.frozen) yield parameter;
  }
}

function* averageEntries(
  store: ParameterStore,
  slabs: readonly Tensor[],
): IterableIterator<[name: string, average: Tensor]> {
  for (const [name, parameter] of store.entries()) {
    yield [name, parameter.frozen ? parameter : store.view(slabs, parameter)];
  }
}
