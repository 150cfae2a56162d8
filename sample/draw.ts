/**
 * Drawing images with a model: from a `sample` configuration to tensors.
 *
 * @module
 */

import { concatenate } from "../kernels/core/concatenate.ts";
import type { Device } from "../kernels/core/device.ts";
import { fill } from "../kernels/core/in_place.ts";
import { Stream } from "../kernels/core/random.ts";
import { formatShape, onAnother, type Tensor } from "../kernels/core/tensor.ts";
import { randomNormal } from "../kernels/random_normal/mod.ts";
import { type DiffusionModel, requireCondition } from "../model/diffusion_model.ts";
import { velocityCoefficients } from "../model/interpolants/prediction.ts";
import { sampleInterval } from "../model/interpolants/time.ts";
import type { DeepPartial } from "../model/schema.ts";
import { resolveSample, type SampleConfig } from "./config.ts";
import { guided } from "./guidance.ts";
import {
  countEvaluations,
  type Network,
  type Path,
  resolvePath,
  type SamplerStep,
} from "./network.ts";
import { SAMPLERS } from "./samplers.ts";
import { odeTimes } from "./times.ts";

/** A sampler on a path. */
export interface SamplerSettings extends Path {
  /** Sampler, steps, guidance and seed; what is left out is the default. */
  readonly config?: DeepPartial<SampleConfig> | undefined;
}

/** What to draw with. */
export interface DrawOptions extends SamplerSettings {
  /** The trained network. */
  readonly model: DiffusionModel;
  /** Labels u32 [B] or snippets [B, d]: one image each. */
  readonly condition: Tensor;
  /**
   * Slabs parallel to the model's values that it draws with in their place, such as the moving average
   * of a training that goes on, `trainer.optimizer.averages`.
   */
  readonly weights?: readonly Tensor[] | undefined;
  /** Identity of the first image; image i draws the same noise whatever the batch. Default 0. */
  readonly firstSample?: number | undefined;
  /**
   * Called after each step. `dopri5`, whose steps follow from the error, calls it with the state interpolated
   * to each time that `steps` gives to other samplers.
   */
  readonly onStep?: ((step: SamplerStep) => void) | undefined;
}

/** Options with all settings. */
type Settled<Options extends SamplerSettings> = Options & { readonly config: SampleConfig };

/** Which noises {@linkcode startingNoise} makes. */
export interface StartingNoiseOptions {
  /** Number of images B. */
  readonly count: number;
  /** Seed of the noise. Default 0. */
  readonly seed?: number | undefined;
  /** Identity of the first image; image i has the same noise whatever the batch. Default 0. */
  readonly firstSample?: number | undefined;
}

/** Images and what they cost. */
export interface Drawn {
  /** [B, C, H, W], about [-1, 1] */
  readonly images: Tensor;
  /** Evaluations of the network for each image (NFE); a guided step costs two. */
  readonly evaluations: number;
}

/**
 * The noise [B, C, H, W] that samples of a model start from: {@linkcode draw} by the same seed starts
 * image `firstSample` + i from row i. Known beforehand, it can choose the snippets (`chooseByNoise`).
 *
 * Throws what {@linkcode Random} throws for seeds and samples that do not fit.
 *
 * @example
 * ```ts
 * import { Device, ParameterStore, SiT, startingNoise } from "@gmem/gmem";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * using store = new ParameterStore(device);
 * const model = new SiT(store, {
 *   inputSize: 4, channels: 1, patchSize: 4, width: 32, depth: 1, heads: 2,
 *   condition: { classes: 10 },
 * });
 * using three = startingNoise(model, { count: 3, seed: 0 }); // [3, 1, 4, 4]
 * using third = startingNoise(model, { count: 1, seed: 0, firstSample: 2 });
 * console.log((await three.read())[32] === (await third.read())[0]); // true
 * ```
 */
export function startingNoise(model: DiffusionModel, options: StartingNoiseOptions): Tensor {
  const { channels, inputSize } = model.options, { count, seed = 0, firstSample = 0 } = options;
  return randomNormal(model.parameters.device, [count, channels, inputSize, inputSize], {
    seed,
    stream: Stream.Sampler,
    step: 0,
    firstSample,
  });
}

/**
 * A model at a fixed condition as a {@linkcode Network} of states [B, C, H, W]. The condition comes as what
 * `model.embed` gives, [B, …], so that it is embedded once for all evaluations; the caller owns it.
 *
 * The network throws what {@linkcode DiffusionModel.forwardEmbedded} throws.
 *
 * @example
 * ```ts
 * import {
 *   conditionedNetwork, Device, ParameterStore, sampleEuler, SiT, startingNoise,
 * } from "@gmem/gmem";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * using store = new ParameterStore(device, { seed: 0 });
 * const model = new SiT(store, {
 *   inputSize: 8, channels: 3, patchSize: 4, width: 32, depth: 1, heads: 2,
 *   condition: { classes: 10 },
 * });
 * using labels = device.tensor(Uint32Array.of(3, 7), [2]);
 * using embedded = model.embed(labels); // [2, 32], once for all steps
 * using noise = startingNoise(model, { count: 2, seed: 0 });
 * using images = sampleEuler(conditionedNetwork(model, embedded), noise, { steps: 4 });
 * console.log(embedded.shape, images.shape); // [ 2, 32 ] [ 2, 3, 8, 8 ]
 * ```
 */
export function conditionedNetwork(model: DiffusionModel, embedded: Tensor): Network {
  return (x, t) =>
    x.device.scope(() => {
      const times = x.device.empty([x.shape[0]!]);
      fill(times, t);
      return model.forwardEmbedded(x, times, embedded);
    });
}

/**
 * A model at two conditions as one batch: states [B, C, H, W] to predictions [2 B, C, H, W], the first
 * half under the first condition, as {@linkcode guided} takes them. `embedded` holds what `model.embed` gives
 * of both, [2 B, …]; the caller owns it. Not differentiated in the states.
 *
 * The network throws what {@linkcode DiffusionModel.forwardEmbedded} throws.
 *
 * @example
 * ```ts
 * import { Device, pairedNetwork, ParameterStore, SiT, startingNoise } from "@gmem/gmem";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * using store = new ParameterStore(device, { seed: 0 });
 * const model = new SiT(store, {
 *   inputSize: 8, channels: 3, patchSize: 4, width: 32, depth: 1, heads: 2,
 *   condition: { classes: 10 },
 * });
 * using labels = device.tensor(Uint32Array.of(3, 10), [2]); // class 3, and then the null class
 * using embedded = model.embed(labels);
 * using noise = startingNoise(model, { count: 1, seed: 0 });
 * using both = pairedNetwork(model, embedded)(noise, 0.5);
 * console.log(noise.shape, both.shape); // [ 1, 3, 8, 8 ] [ 2, 3, 8, 8 ]
 * ```
 */
export function pairedNetwork(model: DiffusionModel, embedded: Tensor): Network {
  const network = conditionedNetwork(model, embedded);
  return (x, t) => x.device.scope(() => network(concatenate(x, x), t));
}

/**
 * Records the drawing of one image for each condition with a sampler of fixed steps. The caller
 * owns the images. For the adaptive sampler, which waits for the GPU, see {@linkcode drawAdaptive}.
 *
 * Throws a `RangeError` for that sampler, where the model has no null class and guidance asks for one,
 * a `TypeError` for a condition of no image or on another device, and what {@linkcode checkSampling} throws.
 *
 * @example
 * ```ts
 * import { Device, draw, ParameterStore, SiT } from "@gmem/gmem";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * using store = new ParameterStore(device, { seed: 0 });
 * const model = new SiT(store, {
 *   inputSize: 8, channels: 3, patchSize: 4, width: 32, depth: 1, heads: 2,
 *   condition: { classes: 10 },
 * });
 * using labels = device.tensor(Uint32Array.of(3, 7), [2]);
 * const { images, evaluations } = draw({ model, condition: labels, config: { sampler: "heun", steps: 4 } });
 * console.log(images.shape, evaluations); // [ 2, 3, 8, 8 ] 8
 * images.dispose();
 * ```
 */
export function draw(options: DrawOptions): Drawn {
  const { device } = options.model.parameters, settled = settle(options);
  return device.scope(() => {
    const { network, evaluations } = guidedNetwork(settled);
    const images = integrateFixed(network, noiseOf(settled), settled);
    return { images, evaluations: evaluations() };
  });
}

/**
 * Throws what drawing with these settings throws for any network and condition: a `RangeError` where the path is
 * singular at a time of the sampler, and a `SyntaxError` for an unknown name or a value that is out of range, such as
 * too few steps.
 *
 * @example
 * ```ts
 * import { checkSampling, Device } from "@gmem/gmem";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * const config = { sampler: "euler-maruyama", diffusion: { form: "sbdm" } } as const;
 * checkSampling(device, { config: { ...config, epsilon: 0.01 } });
 * try {
 *   checkSampling(device, { config }); // w(0) of sbdm is infinite
 * } catch (error) {
 *   console.log(error instanceof RangeError); // true
 * }
 * ```
 */
export function checkSampling(device: Device, options: SamplerSettings): void {
  const settled = settle(options);
  if (SAMPLERS[settled.config.sampler].kind === "adaptive") {
    const grid = times(settled), { interpolant, prediction } = resolvePath(options);
    for (const t of grid) velocityCoefficients(interpolant, prediction, t);
    return;
  }
  device.scope(() => {
    const noise = device.tensor(new Float32Array(1), [1, 1, 1, 1]);
    integrateFixed((x) => x, noise, settled);
  });
}

/**
 * As {@linkcode draw} with any sampler, the adaptive `dopri5` included, whose images `steps` does not change. Waits
 * for the GPU with `dopri5`.
 *
 * Throws what {@linkcode draw} throws, but for that sampler, and what {@linkcode sampleDopri5} throws.
 *
 * @example
 * ```ts
 * import { Device, drawAdaptive, ParameterStore, SiT } from "@gmem/gmem";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * using store = new ParameterStore(device, { seed: 0 });
 * const model = new SiT(store, {
 *   inputSize: 8, channels: 3, patchSize: 4, width: 32, depth: 1, heads: 2,
 *   condition: { classes: 10 },
 * });
 * using condition = device.tensor(Uint32Array.of(3, 7), [2]);
 * const { images, evaluations } = await drawAdaptive({ model, condition, config: { sampler: "dopri5" } });
 * console.log(images.shape, evaluations); // [ 2, 3, 8, 8 ] 44
 * images.dispose();
 * ```
 */
export async function drawAdaptive(options: DrawOptions): Promise<Drawn> {
  const settled = settle(options), sampler = SAMPLERS[settled.config.sampler];
  if (sampler.kind !== "adaptive") return draw(options);
  const { device } = options.model.parameters;
  const { network, evaluations, embedded } = device.scope(() => guidedNetwork(settled));
  try {
    using noise = noiseOf(settled);
    const grid = times(settled), { onStep } = options;
    const images = await sampler.sample(network, noise, {
      ...resolvePath(options),
      onStep,
      times: onStep ? grid : [grid[0]!, grid.at(-1)!],
    });
    return { images, evaluations: evaluations() };
  } finally {
    for (const each of embedded) {
      // A model may take conditions as they are.
      if (each !== options.condition) each.dispose();
    }
  }
}

function settle<Options extends SamplerSettings>(options: Options): Settled<Options> {
  return { ...options, config: resolveSample(options.config) };
}

interface GuidedNetwork {
  /** What the sampler integrates. */
  readonly network: Network;
  /** Evaluations for each image so far. */
  readonly evaluations: () => number;
  /** The embedded conditions that the network reads; the first may be the condition itself. */
  readonly embedded: readonly Tensor[];
}

/** Runs in a scope, which releases what embedding makes on the way. */
function guidedNetwork(options: Settled<DrawOptions>): GuidedNetwork {
  const { model, condition, weights, config: { guidance } } = options;
  if (condition.device !== model.parameters.device) throw onAnother("draw", "the condition");
  if (condition.elements === 0) {
    throw new TypeError(
      `Cannot draw under a condition ${formatShape(condition.shape)}: expected one image at least`,
    );
  }
  requireCondition(condition, model.options);
  const withWeights = <T>(fn: () => T): T =>
    weights ? model.parameters.withValues(weights, fn) : fn();
  // Around each evaluation alone: the adaptive sampler waits between them.
  const count = (network: Network) => countEvaluations((x, t) => withWeights(() => network(x, t)));
  if (guidance.scale !== 1) requireNullCondition(model);
  const embed = (of: Tensor) => withWeights(() => model.embed(of));
  const embedded = embed(condition);
  const conditional = count(conditionedNetwork(model, embedded));
  if (guidance.scale === 1) {
    return {
      network: conditional,
      evaluations: () => conditional.evaluations,
      embedded: [embedded],
    };
  }
  const pair = concatenate(embedded, embed(nullCondition(model, condition)));
  const both = count(pairedNetwork(model, pair));
  return {
    network: guided(conditional, both, {
      scale: guidance.scale,
      interval: guidance.interval,
      channels: guidance.channels === "all" ? "all" : 3,
    }),
    evaluations: () => conditional.evaluations + 2 * both.evaluations,
    embedded: [embedded, pair],
  };
}

function requireNullCondition({ options: { condition } }: DiffusionModel): void {
  if (!("classes" in condition) || condition.nullClass !== false) return;
  throw new RangeError(
    "Cannot guide the samples: the model has no null class to guide them away from, " +
      "expected a guidance scale of 1",
  );
}

/** The null class or the empty snippet for as many images as `condition` is for. */
function nullCondition(model: DiffusionModel, { elements, shape }: Tensor): Tensor {
  const { parameters: { device }, options: { condition } } = model;
  return "classes" in condition
    ? device.tensor(new Uint32Array(elements).fill(condition.classes), shape)
    : device.tensor(new Float32Array(elements), shape);
}

/** From noise to images by a sampler of fixed steps. */
function integrateFixed(
  network: Network,
  noise: Tensor,
  options: Settled<SamplerSettings> & Pick<DrawOptions, "firstSample" | "onStep">,
): Tensor {
  const { config, firstSample = 0, onStep } = options;
  const shared = { ...resolvePath(options), onStep };
  const sampler = SAMPLERS[config.sampler];
  if (sampler.kind === "ode") {
    return sampler.sample(network, noise, { ...shared, times: times(options) });
  }
  if (sampler.kind === "adaptive") {
    throw new RangeError(
      `Cannot draw with ${config.sampler}: its steps are not fixed, expected drawAdaptive()`,
    );
  }
  const { steps, diffusion, lastStep, lastStepSize, seed, epsilon } = config;
  return sampler.sample(network, noise, {
    ...shared,
    epsilon: epsilon ?? undefined,
    steps,
    diffusion,
    lastStep,
    lastStepSize,
    seed,
    firstSample,
  });
}

function noiseOf({ model, condition, config, firstSample = 0 }: Settled<DrawOptions>): Tensor {
  return startingNoise(model, { count: condition.shape[0]!, seed: config.seed, firstSample });
}

function times(options: Settled<SamplerSettings>): readonly number[] {
  const { steps, timestepShift, epsilon } = options.config;
  const { interpolant, prediction } = resolvePath(options);
  const interval = sampleInterval(interpolant, prediction, { epsilon: epsilon ?? undefined });
  return odeTimes({ steps, shift: timestepShift, interval });
}
