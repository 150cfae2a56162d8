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
 *   buildBank, Device, draw, encodePng, loadBank, loadEmoji, ParameterStore, PixelPca, SiT, tileImages,
 *   Trainer,
 * } from "@gmem/gmem";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * const dataset = await loadEmoji({ imageSize: 16 });
 * using encoder = await PixelPca.fit(device, { images: dataset, dim: 64, resolution: 16 });
 * await buildBank({ images: dataset, encoder, out: "bank.safetensors" });
 * using bank = loadBank(device, "bank.safetensors");
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
 * const { images } = draw({ model, condition });
 * const picture = tileImages(await images.read(), { columns: 4, imageSize: 16, channels: 3 });
 * await Deno.writeFile("samples.png", encodePng(picture));
 * ```
 *
 * @module
 */

export * as kernels from "./kernels/mod.ts";
export {
  CheckpointError,
  type Complete,
  concatenate,
  Device,
  DeviceLostError,
  type DeviceOptions,
  type ForcedVariants,
  GpuValidationError,
  type HeldTensors,
  type Initializer,
  NonFiniteResultError,
  OutOfMemoryError,
  type Parameter,
  type ParameterScope,
  ParameterStore,
  permutation,
  type Precision,
  PRECISIONS,
  Random,
  SafetensorsFile,
  type SafetensorsWriteOptions,
  ShaderCompilationError,
  type Shape,
  type SnippetMaskKind,
  type StoredType,
  Stream,
  Tape,
  Tensor,
  UnsupportedDeviceError,
  writeSafetensors,
} from "./kernels/mod.ts";

export { Attention, type AttentionLayerOptions } from "./model/attention.ts";
export {
  type ConditionEmbedder,
  LabelEmbedder,
  type LabelEmbedderOptions,
} from "./model/condition.ts";
export type { AlignmentConfig, InterpolantConfig, ModelConfig } from "./model/config.ts";
export { activationBytes, countFlops, type Flops, type TrainingBatch } from "./model/cost.ts";
export type { DiffusionModel, LabelCondition, SnippetCondition } from "./model/diffusion_model.ts";
export { FinalLayer, type FinalLayerOptions } from "./model/final_layer.ts";
export { constant, normal, ones, xavierUniform, zeros } from "./model/initializers.ts";
export { gvpInterpolant } from "./model/interpolants/gvp.ts";
export {
  DIFFUSION_FORMS,
  type DiffusionForm,
  type Interpolant,
  INTERPOLANT_NAMES,
  type InterpolantName,
} from "./model/interpolants/interpolant.ts";
export { linearInterpolant } from "./model/interpolants/linear.ts";
export {
  dataCoefficients,
  type EndpointCoefficients,
  LOSS_WEIGHTINGS,
  type LossCoefficients,
  lossCoefficients,
  type LossCoefficientsOptions,
  type LossWeighting,
  noiseCoefficients,
  type Prediction,
  PREDICTIONS,
  scoreCoefficients,
  type StateCoefficients,
  targetCoefficients,
  velocityCoefficients,
} from "./model/interpolants/prediction.ts";
export {
  sampleInterval,
  type SampleIntervalOptions,
  TIME_DISTRIBUTIONS,
  type TimeDistribution,
  type TimeInterval,
  trainInterval,
} from "./model/interpolants/time.ts";
export { vpInterpolant } from "./model/interpolants/vp.ts";
export { Linear } from "./model/linear.ts";
export { type FeedForward, GeluMlp, SwigluMlp } from "./model/mlp.ts";
export { namedModel, type NamedModelOptions } from "./model/named_models.ts";
export { type ParameterSize, parameterSizes } from "./model/parameter_sizes.ts";
export { PatchEmbed } from "./model/patch_embed.ts";
export { rotaryAngles, sinCosPositions } from "./model/positions.ts";
export { type ModelOptionsHints, readModelOptions } from "./model/read_model_options.ts";
export type { DeepPartial } from "./model/schema.ts";
export { SiluMlp } from "./model/silu_mlp.ts";
export { type ConditionOptions, SiT, type SiTOptions, type SiTOutput } from "./model/sit.ts";
export { type Observe, SiTBlock, type SiTBlockOptions } from "./model/sit_block.ts";
export { SnippetMapper, type SnippetMapperOptions } from "./model/snippet_mapper.ts";
export {
  loadStateDict,
  type LoadStateDictOptions,
  safetensorsSource,
  saveStateDict,
  type TensorSource,
} from "./model/state_dict.ts";
export { TimestepEmbedder } from "./model/timestep_embedder.ts";
export {
  type StateDictOptions,
  TorchFile,
  type TorchOpaque,
  type TorchTensor,
  type TorchValue,
} from "./model/torch_file.ts";
export {
  openWeights,
  type OpenWeightsOptions,
  reverseTime,
  type WeightsFile,
} from "./model/weights.ts";

export type {
  AddedRecord,
  Bank,
  BankRecords,
  EncoderRecords,
  ExtensibleBank,
  ImageRecords,
  SnippetMix,
  SnippetRange,
  SnippetSet,
} from "./bank/bank.ts";
export type { LowRankSet } from "./bank/bank_writer.ts";
export {
  buildBank,
  type BuildBankOptions,
  encodeImages,
  type EncodeImagesOptions,
} from "./bank/build.ts";
export type { CoefficientStorage } from "./bank/coefficient_format.ts";
export { compressBank, type CompressBankOptions, type Compression } from "./bank/compress.ts";
export type { BankConfig, FeaturesConfig, MaskConfig, OnnxConfig } from "./bank/config.ts";
export type {
  Encoder,
  EncoderDescription,
  EncoderWeight,
  ImageBatchShape,
  JsonRecord,
  JsonValue,
} from "./bank/encoders/encoder.ts";
export { HashedNgrams } from "./bank/encoders/hashed_ngrams.ts";
export { PixelPca, type PixelPcaOptions } from "./bank/encoders/pixel_pca.ts";
export {
  type Interpolation,
  INTERPOLATIONS,
  type Pooling,
  POOLINGS,
} from "./bank/encoders/preprocessing.ts";
export { storedEncoder } from "./bank/encoders/stored.ts";
export type { TextVectorEncoder } from "./bank/encoders/text_encoder.ts";
export {
  type FeatureOptions,
  importFeatures,
  type ImportFeaturesOptions,
  writeFeatureBank,
  type WriteFeatureBankOptions,
} from "./bank/features.ts";
export { BankFile, type CompressionLoss } from "./bank/file.ts";
export { type BankFingerprint, bankFingerprint } from "./bank/fingerprint.ts";
export { FullBank } from "./bank/full_bank.ts";
export { type ImageSource, type LabelledImages, type Shard, shardOf } from "./bank/image_source.ts";
export {
  concatenateSnippets,
  type InterpolateOptions,
  lerpSnippets,
  mixSnippets,
  type MixSnippetsOptions,
  slerpSnippets,
} from "./bank/interpolate.ts";
export { loadBank } from "./bank/load.ts";
export { LowRankBank } from "./bank/low_rank_bank.ts";
export { copyBank, mergeBanks, type MergeBanksOptions } from "./bank/merge.ts";
export { indexByNoise, type IndexByNoiseOptions } from "./bank/noise_index.ts";
export { normalizeSnippets, type NormalizeSnippetsOptions } from "./bank/normalize.ts";
export {
  type ChoiceOptions,
  chooseUniform,
  indexOfName,
  indicesOfClass,
  indicesOfName,
  indicesOfText,
  type Metric,
  nearestSnippets,
  type NearestSnippetsOptions,
  type Neighbour,
} from "./bank/retrieve.ts";
export type { RowRange, RowSource } from "./bank/row_table.ts";
export type { SnippetSource } from "./bank/snippet_source.ts";
export {
  type CoefficientPiece,
  type Factorization,
  factorize,
  type FactorizeOptions,
  fitFactors,
  type FittedFactors,
  type KeptPart,
  type LowRankFactors,
  type SharedFactors,
} from "./bank/svd.ts";
export type { TableBank, TableBankOptions } from "./bank/table_bank.ts";
export { importTorchBank, type ImportTorchBankOptions } from "./bank/torch.ts";

export { chooseAmong, chooseByNoise } from "./sample/conditions.ts";
export type { DiffusionConfig, GuidanceConfig, SampleConfig } from "./sample/config.ts";
export { sampleDopri5, type SampleDopri5Options } from "./sample/dopri5.ts";
export {
  checkSampling,
  conditionedNetwork,
  draw,
  drawAdaptive,
  type Drawn,
  type DrawOptions,
  pairedNetwork,
  type SamplerSettings,
  startingNoise,
  type StartingNoiseOptions,
} from "./sample/draw.ts";
export { guided, type GuidedOptions } from "./sample/guidance.ts";
export {
  countEvaluations,
  type Network,
  type Path,
  pathOf,
  type SamplerOptions,
  type SamplerStep,
} from "./sample/network.ts";
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
  drawAll,
  type DrawAllOptions,
  drawBatches,
  type DrawManyOptions,
  type DrawnBatch,
  type DrawnImages,
  drawRows,
  type DrawRowsOptions,
} from "./sample/rows.ts";
export type { SamplerName } from "./sample/samplers.ts";
export {
  LAST_STEPS,
  type LastStep,
  sampleEulerMaruyama,
  sampleSdeHeun,
  type SdeOptions,
  type SdeSampler,
} from "./sample/sde.ts";
export {
  odeTimes,
  type OdeTimesOptions,
  sdeTimes,
  type SdeTimesOptions,
  shiftTime,
} from "./sample/times.ts";

export { type AdmBatch, AdmBatchWriter, openAdmBatch } from "./evaluate/adm_batch.ts";
export {
  bootstrapFrechet,
  type BootstrapFrechetOptions,
  type Estimate,
  estimateShare,
} from "./evaluate/bootstrap.ts";
export {
  COPY_QUANTILES,
  type CopyDistances,
  type CopyFindings,
  type CopyPicture,
  copyVerdict,
  drawCopies,
  findCopies,
  type FindCopiesOptions,
} from "./evaluate/copies.ts";
export type { DistanceOptions } from "./evaluate/distances.ts";
export {
  frechetDistance,
  FrechetReference,
  type Gaussian,
  GaussianStatistics,
  knownGaussian,
} from "./evaluate/frechet.ts";
export type { ByteBatch, ImageStream } from "./evaluate/image_stream.ts";
export {
  InceptionScore,
  type InceptionScoreResult,
  softmaxRows,
} from "./evaluate/inception_score.ts";
export {
  type PrecisionRecall,
  precisionRecall,
  type PrecisionRecallOptions,
} from "./evaluate/manifold.ts";
export {
  type ChanceDistance,
  chanceDistance,
  compareFeatures,
  type CompareFeaturesOptions,
  type FeatureComparison,
  type FeatureSets,
} from "./evaluate/measure.ts";

export type { TokenData, TrainingData, TrainingSnippets } from "./train/batch.ts";
export {
  type CheckpointState,
  findCheckpoint,
  imagesFingerprint,
  initializeFrom,
  loadCheckpoint,
  type LoadCheckpointOptions,
  loadWeights,
  type LoadWeightsOptions,
  readCheckpointState,
  saveCheckpoint,
  type SaveCheckpointOptions,
} from "./train/checkpoint.ts";
export {
  type Config,
  type ConfigOptions,
  type DataConfig,
  type DeviceConfig,
  type OptimizerConfig,
  parseConfig,
  resolveConfig,
  stringifyConfig,
  type TrainConfig,
} from "./train/config.ts";
export { loadCifar10, type LoadCifar10Options } from "./train/datasets/cifar10.ts";
export { loadEmoji, type LoadEmojiOptions } from "./train/datasets/emoji.ts";
export {
  encodeLatents,
  type EncodeLatentsOptions,
  type LatentDistribution,
  type LatentEncoder,
  type TokenEncoder,
} from "./train/datasets/encode_latents.ts";
export {
  ImageSet,
  type ImageSetData,
  type Split,
  splitIndices,
  type SplitOptions,
} from "./train/datasets/image_set.ts";
export {
  type ChannelStatistics,
  findStatistics,
  type LatentScaling,
  measureStatistics,
  readStatistics,
  scaleLatents,
  type StoredLatents,
  unscaleLatents,
  writeStatistics,
} from "./train/datasets/latent_scaling.ts";
export { LatentShards, type ShardTensor } from "./train/datasets/latent_shards.ts";
export { loadMnist, type LoadMnistOptions } from "./train/datasets/mnist.ts";
export { tileImages, type TileImagesOptions } from "./train/datasets/picture.ts";
export { decodePng, encodePng, type RawImage } from "./train/datasets/png.ts";
export { NonFiniteLossError, type TrainRecord } from "./train/history.ts";
export { alignedLoss, denoisingLoss, type TrainingLoss } from "./train/loss.ts";
export { LossScale, type LossScaleOptions } from "./train/loss_scale.ts";
export { loadMapper, type MapperEnds, readMapperEnds, saveMapper } from "./train/mapper_file.ts";
export {
  type MappingLoss,
  type MappingPairs,
  mapVectors,
  type OwnedMapper,
  type RetrievalAccuracy,
  retrievalAccuracy,
  trainMapper,
  type TrainMapperOptions,
} from "./train/mapper_training.ts";
export { AdamW, type AdamWOptions, type AdamWStep } from "./train/optimizers/adamw.ts";
export { type Tokenizer, type TokenizerName, TOKENIZERS } from "./train/tokenizers.ts";
export {
  type CheckpointConfig,
  loadTrained,
  readCheckpointConfig,
  type TrainedModel,
} from "./train/trained.ts";
export { type RunOptions, Trainer, type TrainerOptions } from "./train/trainer.ts";
