/**
 * gmem: diffusion transformers with a memory bank, in TypeScript and hand-written WGSL on WebGPU.
 *
 * A diffusion transformer spends much of its capacity on memorising what images mean. GMem
 * (arXiv 2412.08781) moves that into a bank of unit-norm snippets, one for each training image: the
 * network sees noise, a time and a snippet, and only has to generalise.
 *
 * @example
 * ```ts ignore
 * import {
 *   buildBank, Device, draw, encodePng, loadBank, loadEmoji, ParameterStore, PixelPca,
 *   resolveConfig, SiT, tileImages, Trainer,
 * } from "@gmem/gmem";
 *
 * using device = await Device.open({ allowFallback: true });
 * const dataset = await loadEmoji({ imageSize: 16 });
 * using encoder = await PixelPca.fit({ device, images: dataset, dim: 64, resolution: 16 });
 * await buildBank({ images: dataset, encoder, path: "bank.safetensors" });
 * using bank = await loadBank(device, "bank.safetensors");
 *
 * using store = new ParameterStore(device, { seed: 0 });
 * const model = new SiT(store, {
 *   inputSize: 16, channels: 3, patchSize: 4, width: 192, depth: 4, heads: 3,
 *   condition: { snippetDim: bank.dim },
 * });
 * using trainer = new Trainer({ model, bank, dataset, batchSize: 64, learningRate: 1e-3 });
 * for await (const { step, loss } of trainer.run({ steps: 500 })) console.log(step, loss);
 *
 * using condition = bank.gather(Uint32Array.of(3, 17, 42, 99));
 * const { images } = draw({ model, condition, config: resolveConfig({}).sample });
 * const picture = tileImages(await images.read(), { columns: 4, imageSize: 16, channels: 3 });
 * await Deno.writeFile("samples.png", encodePng(picture));
 * ```
 *
 * @module
 */

export * as kernels from "./kernels/mod.ts";
export {
  CheckpointError,
  Device,
  DeviceLostError,
  type DeviceOptions,
  GpuValidationError,
  OutOfMemoryError,
  ParameterStore,
  permutation,
  Random,
  SafetensorsFile,
  ShaderCompilationError,
  Stream,
  Tape,
  Tensor,
  UnsupportedDeviceError,
  writeSafetensors,
} from "./kernels/mod.ts";

export { type ModelConfig } from "./model/config.ts";
export { activationBytes, countFlops, type Flops, parameterSizes } from "./model/cost.ts";
export { gvpInterpolant } from "./model/interpolants/gvp.ts";
export type { DiffusionForm, Interpolant } from "./model/interpolants/interpolant.ts";
export { linearInterpolant } from "./model/interpolants/linear.ts";
export {
  dataCoefficients,
  lossCoefficients,
  type LossWeighting,
  noiseCoefficients,
  type Prediction,
  scoreCoefficients,
  targetCoefficients,
  velocityCoefficients,
} from "./model/interpolants/prediction.ts";
export { namedModel } from "./model/named_models.ts";
export { vpInterpolant } from "./model/interpolants/vp.ts";
export { type ConditionOptions, SiT, type SiTOptions, type SiTOutput } from "./model/sit.ts";
export {
  loadStateDict,
  safetensorsSource,
  saveStateDict,
  type TensorSource,
} from "./model/state_dict.ts";
export { TorchFile, type TorchTensor, type TorchValue } from "./model/torch_file.ts";

export { openWeights, reverseTime, type WeightsFile } from "./model/weights.ts";

export type { Bank, ExtensibleBank, SnippetSet } from "./bank/bank.ts";
export { buildBank, encodeImages } from "./bank/build.ts";
export type { Encoder, EncoderDescription } from "./bank/encoders/encoder.ts";
export { PixelPca } from "./bank/encoders/pixel_pca.ts";
export { storedEncoder } from "./bank/encoders/stored.ts";
export { FullBank } from "./bank/full_bank.ts";
export { loadBank } from "./bank/load.ts";
export { concatSnippets, lerpSnippets, mixSnippets, slerpSnippets } from "./bank/interpolate.ts";
export { LowRankBank } from "./bank/low_rank_bank.ts";
export { indexByNoise } from "./bank/noise_index.ts";
export { normalizeSnippets } from "./bank/normalize.ts";
export {
  drawUniform,
  indexOfName,
  indicesOfClass,
  indicesOfText,
  type Metric,
  type NearestOptions,
  nearestSnippets,
  type Neighbour,
  type UniformOptions,
} from "./bank/retrieve.ts";
export { factorize } from "./bank/svd.ts";
export { importTorchBank } from "./bank/torch.ts";

export { type SampleConfig } from "./sample/config.ts";
export { sampleDopri5 } from "./sample/dopri5.ts";
export {
  conditionedNetwork,
  draw,
  drawAdaptive,
  type Drawn,
  type DrawOptions,
} from "./sample/draw.ts";
export { guided } from "./sample/guidance.ts";
export { countEvaluations, type Network, type Path, type SamplerStep } from "./sample/network.ts";
export {
  type OdeOptions,
  type OdeSampler,
  sampleEuler,
  sampleHeun,
  sampleHeun3,
  sampleMidpoint,
  sampleRk4,
} from "./sample/ode.ts";
export {
  type LastStep,
  sampleEulerMaruyama,
  sampleSdeHeun,
  type SdeOptions,
  type SdeSampler,
} from "./sample/sde.ts";
export { odeTimes, sdeTimes } from "./sample/times.ts";

export { frechetDistance, GaussianStatistics } from "./evaluate/frechet.ts";

export {
  findCheckpoint,
  initializeFrom,
  loadCheckpoint,
  loadWeights,
  readCheckpointState,
  saveCheckpoint,
} from "./train/checkpoint.ts";
export { type Config, parseConfig, resolveConfig, stringifyConfig } from "./train/config.ts";
export { loadCifar10 } from "./train/datasets/cifar10.ts";
export { loadEmoji } from "./train/datasets/emoji.ts";
export { ImageSet } from "./train/datasets/image_set.ts";
export { loadMnist } from "./train/datasets/mnist.ts";
export { tileImages } from "./train/datasets/picture.ts";
export { decodePng, encodePng, type RawImage } from "./train/datasets/png.ts";
export { denoisingLoss } from "./train/loss.ts";
export { AdamW } from "./train/optimizers/adamw.ts";
export {
  NonFiniteLossError,
  type RunOptions,
  Trainer,
  type TrainerOptions,
  type TrainingData,
  type TrainRecord,
} from "./train/trainer.ts";
export type {
  AddedRecord,
  BankRecords,
  EncoderRecords,
  SnippetMix,
  SnippetRange,
} from "./bank/bank.ts";
export type { BuildOptions, EncodeOptions } from "./bank/build.ts";
export type { BankConfig } from "./bank/config.ts";
export type { EncoderWeight, ImageBatchShape, JsonRecord } from "./bank/encoders/encoder.ts";
export type { InterpolateOptions, MixOptions } from "./bank/interpolate.ts";
export type { NoiseIndexOptions } from "./bank/noise_index.ts";
export type { NormalizeOptions } from "./bank/normalize.ts";
export type { Factorization, FactorizeOptions, SnippetSource } from "./bank/svd.ts";
export type { TableBank } from "./bank/table_bank.ts";
export type { ImportOptions } from "./bank/torch.ts";
export type { AlignmentConfig, InterpolantConfig } from "./model/config.ts";
export type { ParameterSize, TrainingBatch } from "./model/cost.ts";
export type { InterpolantName } from "./model/interpolants/interpolant.ts";
export type {
  EndpointCoefficients,
  LossCoefficients,
  LossOptions,
  StateCoefficients,
} from "./model/interpolants/prediction.ts";
export type { TimeInterval } from "./model/interpolants/time.ts";
export type { NamedModelOptions } from "./model/named_models.ts";
export type { Observe } from "./model/sit_block.ts";
export type { LoadOptions } from "./model/state_dict.ts";
export type { StateDictOptions } from "./model/torch_file.ts";
export type { TorchOpaque } from "./model/torch_pickle.ts";
export type { OpenWeightsOptions } from "./model/weights.ts";
export type { DiffusionConfig, GuidanceConfig } from "./sample/config.ts";
export type { Dopri5Options } from "./sample/dopri5.ts";
export type { GuidedOptions } from "./sample/guidance.ts";
export type { SamplerOptions } from "./sample/network.ts";
export type { OdeTimesOptions } from "./sample/times.ts";
export type { CheckpointState, LoadWeightsOptions } from "./train/checkpoint.ts";
export type {
  ConfigOptions,
  DataConfig,
  DeviceConfig,
  OptimizerConfig,
  TrainConfig,
} from "./train/config.ts";
export type { Cifar10Options } from "./train/datasets/cifar10.ts";
export type { EmojiOptions } from "./train/datasets/emoji.ts";
export type { Split, SplitOptions } from "./train/datasets/image_set.ts";
export type { MnistOptions } from "./train/datasets/mnist.ts";
export type { TileOptions } from "./train/datasets/picture.ts";
export type { AdamWStep } from "./train/optimizers/adamw.ts";
export type { ImageRecords } from "./bank/bank.ts";
export type { MaskConfig } from "./bank/config.ts";
export type { JsonValue } from "./bank/encoders/encoder.ts";
export type { ImageSource } from "./bank/image_source.ts";
export type { RowRange } from "./bank/row_table.ts";
export type { KeptPart, LowRankFactors } from "./bank/svd.ts";
export type { SharedFactors } from "./bank/svd.ts";
