/**
 * The compute toolkit of gmem: a WebGPU device, tensors, a tape, and hand-written WGSL ops, some of them
 * made for diffusion (`interpolate`, `guide`) and for snippets (`maskSnippets`, `reconstruct`).
 *
 * Shapes are said with one set of letters: `B` batch, `T` tokens, `D` width, `H` heads, `N` rows of
 * a table, `R` rank, `C` channels. A gradient of `x` is `dx`. Where nothing else is said, tensors
 * are of f32, an op is differentiable in all tensors that it takes, and one throws `TypeError` for
 * a tensor of another type or of another device than the others. What one that is not differentiated makes of
 * a tensor that needs a gradient, or writes into what another op made, is refused by the next op that is recorded.
 *
 * @example
 * ```ts
 * import { Device, linear, Tape } from "@gmem/gmem/kernels";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * using x = device.tensor(Float32Array.of(1, 2), [1, 2]);
 * using weight = device.tensor(Float32Array.of(3, 4), [1, 2]);
 * using tape = new Tape(device);
 * tape.watch(weight);
 * using y = tape.record(() => linear(x, weight));
 * tape.backward(y);
 * using gradient = tape.gradient(weight);
 * console.log(await gradient.read()); // Float32Array(2) [ 1, 2 ]
 * ```
 *
 * @module
 */

export type { BufferPool, BufferUse, HeldBuffer, Life, Pooled } from "./core/buffer_pool.ts";
export type { Complete } from "./core/complete.ts";
export { concatenate } from "./core/concatenate.ts";
export {
  Device,
  type DeviceOptions,
  type DispatchOptions,
  type Precision,
  PRECISIONS,
  spreadWorkgroups,
} from "./core/device.ts";
export {
  CheckpointError,
  DeviceLostError,
  GpuValidationError,
  type HeldTensors,
  NonFiniteResultError,
  OutOfMemoryError,
  ShaderCompilationError,
  UnsupportedDeviceError,
} from "./core/errors.ts";
export { addTo, fill, storeAt } from "./core/in_place.ts";
export { type Access, type Binding, Kernel, type ParamField } from "./core/kernel.ts";
export {
  type Initializer,
  Parameter,
  type ParameterScope,
  ParameterStore,
  type Place,
} from "./core/parameter_store.ts";
export type { Profile } from "./core/profile.ts";
export { type FillOptions, permutation, philox, Random, Stream } from "./core/random.ts";
export type { Dispatch, Recorder, TimeDispatch, WriteParams } from "./core/recorder.ts";
export { SafetensorsFile } from "./core/safetensors.ts";
export type { SafetensorsDType, SafetensorsEntry } from "./core/safetensors_format.ts";
export {
  type SafetensorsDeclaration,
  type SafetensorsTensor,
  type SafetensorsWriteOptions,
  SafetensorsWriter,
  writeSafetensors,
} from "./core/safetensors_writer.ts";
export type { StoredType } from "./core/stored_numbers.ts";
export {
  type Gradients,
  type IntoOptions,
  Tape,
  type TapeNode,
  type WriteGradient,
} from "./core/tape.ts";
export { type DType, type Shape, type Storage, Tensor } from "./core/tensor.ts";
export {
  type AskedVariant,
  type ForcedVariants,
  OPS_WITH_VARIANTS,
  type OpWithVariants,
  parseTuning,
  shapeKey,
  type Tuning,
  type TuningTable,
  type VariantQuestion,
  type VariantShape,
} from "./core/tuning.ts";

export { add } from "./add/mod.ts";
export { addRows } from "./add_rows/mod.ts";
export { adamwInto, type AdamwIntoOptions, type AdamwSlabs } from "./adamw/mod.ts";
export { attention, type AttentionOptions } from "./attention/mod.ts";
export { cast, castInto, type CastOptions, rounded } from "./cast/mod.ts";
export { combine, combineInto, type Term } from "./combine/mod.ts";
export { concatenateTokens, sliceTokens, type SliceTokensOptions } from "./copy_tokens/mod.ts";
export { contrastiveLoss } from "./contrastive_loss/mod.ts";
export { alignmentLoss, cosineLoss, type CosineOptions } from "./cosine_loss/mod.ts";
export { gatherRows, gatherRowsOfParts } from "./embed_rows/mod.ts";
export { embedTime, type EmbedTimeOptions } from "./embed_time/mod.ts";
export { gelu } from "./gelu/mod.ts";
export { type AffineParameters, geluMlp, type GeluMlpParameters } from "./gelu_mlp/mod.ts";
export { globalNorm, type GlobalNormOptions } from "./global_norm/mod.ts";
export { guide, type GuideOptions } from "./guide/mod.ts";
export { interpolate } from "./interpolate/mod.ts";
export { l2Normalize } from "./l2_normalize/mod.ts";
export {
  layerNorm,
  type LayerNormOptions,
  type Norm,
  rmsNorm,
  type RmsNormOptions,
} from "./layer_norm/mod.ts";
export { columnSumInto, linear } from "./linear/mod.ts";
export {
  type LossScaleState,
  updateLossScale,
  type UpdateLossScaleOptions,
} from "./loss_scale/mod.ts";
export {
  maskSnippets,
  type MaskSnippetsOptions,
  SNIPPET_MASK_KINDS,
  type SnippetMaskKind,
} from "./mask_snippets/mod.ts";
export {
  type Epilogue,
  matmul,
  matmulInto,
  type MatmulIntoOptions,
  type MatmulOptions,
} from "./matmul/mod.ts";
export type { MatmulSize } from "./matmul/variants.ts";
export { meanSquare, type MeanSquareOptions, meanSquarePerSample } from "./mean_square/mod.ts";
export { gate, type GateOptions, modulate, type ModulateOptions } from "./modulate/mod.ts";
export { multiply } from "./multiply/mod.ts";
export { patchify, unpatchify, type UnpatchifyOptions } from "./patchify/mod.ts";
export { qkNorm, type QkNormOptions } from "./qk_norm/mod.ts";
export type { RandomNormalOptions } from "./random_normal/counters.ts";
export { randomNormal } from "./random_normal/mod.ts";
export { padBasis, reconstruct, type ReconstructOptions } from "./reconstruct/mod.ts";
export { resample, type ResampleOptions } from "./resample/mod.ts";
export {
  cropTransform,
  type Size,
  stackTransforms,
  type Transform,
  type Window,
} from "./resample/transforms.ts";
export { rope, type RopeOptions } from "./rope/mod.ts";
export { rowSquares, type RowSquaresOptions } from "./row_squares/mod.ts";
export { silu } from "./silu/mod.ts";
export { swiglu } from "./swiglu/mod.ts";
export { type TopK, topK, type TopKOptions } from "./top_k/mod.ts";
export { weightedSum } from "./weighted_sum/mod.ts";
