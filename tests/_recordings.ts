/** Writes files like those that the official code was recorded in. */

import type { Device } from "../kernels/core/device.ts";
import { ParameterStore } from "../kernels/core/parameter_store.ts";
import { SafetensorsFile } from "../kernels/core/safetensors.ts";
import { type SafetensorsTensor, writeSafetensors } from "../kernels/core/safetensors_writer.ts";
import { elementsOf, type Shape } from "../kernels/core/tensor.ts";
import { SiT, type SiTOptions } from "../model/sit.ts";
import { randomValues } from "./_check_op.ts";
import {
  type NdArray,
  type ReferenceConfig,
  referenceSit,
  rotateByPosition,
  sinCosPositions,
} from "./model/reference_sit.ts";

/** Tensors of a file, which a test may change before it writes them again. */
export interface Recording {
  readonly tensors: Map<string, SafetensorsTensor>;
  readonly metadata: Record<string, string>;
}

/** Reads a whole file. */
export function readRecording(path: string): Recording {
  using file = SafetensorsFile.open(path);
  const tensors = file.keys().map((key) => {
    const { dtype, shape } = file.entry(key);
    return [key, { dtype, shape, data: file.readBytes(key) }] as const;
  });
  return { tensors: new Map(tensors), metadata: { ...file.metadata } };
}

/** Writes a file under a name in a folder and returns its path. */
export function writeRecording(
  { tensors, metadata }: Recording,
  { folder, name }: { folder: string; name: string },
): string {
  const path = `${folder}/${name}.safetensors`;
  writeSafetensors(path, tensors, { metadata });
  return path;
}

/** Adds a number to one element of a float32 tensor. */
export function nudge(recording: Recording, key: string, by: number): void {
  const { dtype, shape, data } = recording.tensors.get(key)!;
  const copy = new Uint8Array(data.byteLength);
  copy.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  const values = new Float32Array(copy.buffer);
  values[Math.floor(values.length / 2)]! += by;
  recording.tensors.set(key, { dtype, shape, data: copy });
}

/** A float32 tensor of given numbers. */
export function float32({ shape, data }: NdArray): SafetensorsTensor {
  return { dtype: "F32", shape, data: new Float32Array(data) };
}

/** Sizes that the official configuration does not have. */
export interface NetworkSizes {
  readonly options: SiTOptions;
  readonly batch: number;
}

/**
 * A recording of a network of any size with random weights, from the float64 reference: inputs,
 * activations, output and loss.
 */
export function recordNetwork(device: Device, { options, batch }: NetworkSizes): Recording {
  const { inputSize, channels, patchSize, width, depth, heads, condition } = options;
  using store = new ParameterStore(device);
  new SiT(store, options);
  const weights = new Map<string, NdArray>();
  let seed = 100;
  for (const [name, { shape }] of store.entries()) {
    // About as large as after initialisation, and nowhere zero.
    const scale = shape.length > 1 ? 1 / Math.sqrt(elementsOf(shape.slice(1))) : 0.1;
    const data = randomFloat32(shape, { seed: seed++, scale });
    const isNorm = /norm\w*\.weight$/.test(name);
    weights.set(name, { shape, data: isNorm ? data.map((value) => 1 + value) : data });
  }
  // These are computed, not learned.
  for (const [name, parameter] of store.entries()) {
    if (parameter.frozen) {
      weights.set(name, { ...frozenTable(name, options), shape: parameter.shape });
    }
  }
  const image = [batch, channels, inputSize, inputSize];
  const x0 = randomFloat32(image, { seed: 1, scale: 1.7 });
  const x1 = randomFloat32(image, { seed: 2, scale: 1.7 });
  const t = Float64Array.from({ length: batch }, (_, i) => Math.fround((i + 0.5) / batch));
  const size = elementsOf(image) / batch;
  const x = x1.map((value, i) => {
    const time = t[Math.floor(i / size)]!;
    return Math.fround(time * value + (1 - time) * x0[i]!);
  });
  const target = x1.map((value, i) => value - x0[i]!);
  const labelled = "classes" in condition;
  const given: NdArray = labelled
    ? { shape: [batch], data: Float64Array.from({ length: batch }, (_, i) => i % 3) }
    : {
      shape: [batch, condition.snippetDim],
      data: randomFloat32([batch, condition.snippetDim], { seed: 3, scale: 1 }),
    };
  const config: ReferenceConfig = {
    patchSize,
    depth,
    heads,
    conditioning: labelled ? "label" : "snippet",
    snippetEmbedding: labelled ? "linear" : condition.embedding ?? "linear",
    learnSigma: options.learnSigma ?? false,
    qkNorm: options.qkNorm ?? false,
    swiglu: options.swiglu ?? false,
    rope: options.rope ?? false,
    rmsNorm: options.rmsNorm ?? false,
    noShift: options.noShift ?? false,
    repa: null,
  };
  const { output, activations } = referenceSit(config, {
    weights,
    x: { shape: image, data: x },
    t: { shape: [batch], data: t },
    condition: given,
  });
  const tensors = new Map<string, SafetensorsTensor>();
  for (const [name, value] of weights) tensors.set(name, float32(value));
  for (const [name, value] of activations) {
    tensors.set(`act.${name === "condition" ? "y_embedder" : name}`, float32(value));
  }
  const inputs = { x, x0, x1, target };
  for (const [name, data] of Object.entries(inputs)) {
    tensors.set(`input.${name}`, float32({ shape: image, data }));
  }
  tensors.set("input.t", float32({ shape: [batch], data: t }));
  if (labelled) {
    const labels = BigInt64Array.from(given.data, (label) => BigInt(label));
    tensors.set("input.y", { dtype: "I64", shape: [batch], data: labels });
  } else {
    tensors.set("input.s", float32(given));
  }
  tensors.set("output.out", float32(output));
  const loss = output.data.reduce((sum, value, i) => sum + (value - target[i]!) ** 2, 0);
  tensors.set(
    "output.loss",
    float32({ shape: [1], data: Float64Array.of(loss / target.length) }),
  );
  const metadata = {
    config: JSON.stringify({
      input_size: inputSize,
      patch_size: patchSize,
      in_channels: channels,
      hidden_size: width,
      depth,
      num_heads: heads,
      mlp_ratio: options.mlpRatio ?? 4,
      learn_sigma: config.learnSigma,
      use_qknorm: config.qkNorm,
      use_swiglu: config.swiglu,
      use_rope: config.rope,
      use_rmsnorm: config.rmsNorm,
      wo_shift: config.noShift,
    }),
  };
  return { tensors, metadata };
}

function randomFloat32(
  shape: Shape,
  { seed, scale }: { seed: number; scale: number },
): Float64Array {
  return randomValues(shape, seed).map((value) => Math.fround(value * scale));
}

/** The tables of positions, by the reference's own formulas. */
function frozenTable(name: string, { inputSize, patchSize, width, heads }: SiTOptions): NdArray {
  const grid = inputSize / patchSize;
  if (name === "pos_embed") return sinCosPositions(grid, width);
  // Turning the pair (1, 0) gives the cosine and the sine of its angle.
  const headWidth = width / heads, shape = [grid * grid, headWidth];
  const unit = { shape, data: new Float64Array(elementsOf(shape)).map((_, i) => 1 - i % 2) };
  const turned = rotateByPosition(unit).data, sine = name.endsWith("sin") ? 1 : 0;
  return { shape, data: turned.map((_, i) => turned[i - i % 2 + sine]!) };
}
