/**
 * Encoders that are ONNX files, such as DINOv2 or the image half of CLIP. Nothing that the library's other
 * entry points reach imports this: it reaches a native library.
 *
 * @module
 */

import { z } from "zod";
import type { Complete } from "../../kernels/core/complete.ts";
import type { Device } from "../../kernels/core/device.ts";
import { requireOneOf } from "../../kernels/core/nearest_name.ts";
import { normalizeSnippets } from "../normalize.ts";
import type { EncoderRecords } from "../bank.ts";
import { type NetworkOutput, OnnxNetwork, type ProviderOptions } from "../onnx_network.ts";
import {
  type Encoder,
  type EncoderDescription,
  type EncoderWeight,
  type ImageBatchShape,
  requireEncoder,
} from "./encoder.ts";
import { INTERPOLATIONS, type OnnxPreprocessing, type Pooling, POOLINGS } from "./preprocessing.ts";
import { resizeImages } from "./resize.ts";

export {
  CLIP_STATISTICS,
  type ColourStatistics,
  IMAGENET_STATISTICS,
  type Interpolation,
  INTERPOLATIONS,
  type OnnxPreprocessing,
  type Pooling,
  POOLINGS,
} from "./preprocessing.ts";
export type { ProviderOptions } from "../onnx_network.ts";

/** How {@linkcode OnnxEncoder.open} makes an encoder. */
export interface OnnxEncoderOptions extends ProviderOptions {
  /** What is done to images; part of the encoder's identity. */
  readonly preprocessing: OnnxPreprocessing;
}

const KIND = "onnx";

/** What a bank has stored of the preprocessing. */
const storedSchema: z.ZodType<Complete<OnnxPreprocessing>> = z.object({
  size: z.int(),
  crop: z.number(),
  interpolation: z.enum(INTERPOLATIONS),
  range: z.tuple([z.number(), z.number()]),
  mean: z.array(z.number()),
  std: z.array(z.number()),
  output: z.string(),
  pooling: z.enum(POOLINGS),
});

/** Images that go through the network at once. */
const BATCH_SIZE = 16;

/** Images of the trial: more than the one that a file with a fixed number would take. */
const TRIAL = 2;

/** Channels of an image where neither the file nor the preprocessing says. */
const COLOURS = 3;

/** Everything that is done to an image. */
type Preparation = Complete<Omit<OnnxPreprocessing, "output">>;

/** An open network and the shape of what it takes. */
interface Network {
  readonly file: OnnxNetwork;
  readonly channels: number;
  readonly output: string;
}

/**
 * An encoder that is an ONNX file, run by onnxruntime: the snippet of x is f / ‖f‖ with f
 * the network's output for (z − mean) / std, where z is the central part of x resized to r × r, with
 * values that go from the low to the high end of the range where those of x go from −1 to 1.
 *
 * @example
 * ```ts ignore
 * import { Device } from "@gmem/gmem";
 * import { IMAGENET_STATISTICS, OnnxEncoder } from "@gmem/gmem/onnx";
 *
 * using device = await Device.open();
 * using encoder = await OnnxEncoder.open(device, "dinov2_base.onnx", {
 *   preprocessing: { size: 224, ...IMAGENET_STATISTICS, pooling: "cls" },
 * });
 * const shape = { count: 2, channels: 3, height: 256, width: 256 };
 * const snippets = await encoder.encode(new Float32Array(2 * 3 * 256 * 256), shape);
 * console.log(encoder.dim, snippets.length); // 768 1536
 * ```
 */
export class OnnxEncoder implements Encoder {
  /** Length d of a snippet. */
  readonly dim: number;
  /** Tokens of an image beside the first (T); 0 where the network gives one vector. */
  readonly patches: number;
  /** The file's SHA-256 and the preprocessing. */
  readonly description: EncoderDescription;
  /** None: the encoder is a file of its own. */
  readonly weights: ReadonlyMap<string, EncoderWeight> = new Map();
  readonly #device: Device;
  readonly #network: Network;
  readonly #preprocessing: Preparation;

  private constructor(
    device: Device,
    made: {
      network: Network;
      preprocessing: Preparation;
      patches: number;
      description: EncoderDescription;
    },
  ) {
    this.#device = device;
    this.#network = made.network;
    this.#preprocessing = made.preprocessing;
    this.patches = made.patches;
    this.description = made.description;
    this.dim = made.description.dim;
  }

  /**
   * Opens an ONNX file and runs it once, which tells the length of its snippets. It has one input
   * [n, C, r, r] and outputs [n, d] or [n, T, d], all of f32 or f16. The device resizes images.
   *
   * Throws a NotFound error if there is no such file, a TypeError if it is no network that takes images
   * of that size and gives features, and a RangeError if the preprocessing does not fit it.
   */
  static async open(
    device: Device,
    path: string,
    options: OnnxEncoderOptions,
  ): Promise<OnnxEncoder> {
    const { providers } = options;
    using opened = new DisposableStack();
    const file = opened.use(await OnnxNetwork.open(path, { purpose: "encode with", providers }));
    const { preprocessing: given } = options;
    const channels = inputChannels(file) ?? given.mean?.length ?? given.std?.length ?? COLOURS;
    const {
      size,
      crop = 1,
      interpolation = "bicubic",
      range = [0, 1],
      mean = Array(channels).fill(0),
      std = Array(channels).fill(1),
      output = file.outputs[0]!.name,
      pooling = "cls",
    } = given;
    const network = { file, channels, output };
    const preprocessing = { size, crop, interpolation, range, mean, std, pooling };
    checkPreprocessing(preprocessing, { network, path });
    const probe = await file.tryWith([TRIAL, channels, size, size], {
      what: `${TRIAL} images of ${channels} × ${size} × ${size}`,
      output,
    });
    if (probe.shape[0] !== TRIAL) throw outputError(file, probe);
    const dim = pool(probe, { pooling, file }).length / TRIAL;
    opened.move();
    return new OnnxEncoder(device, {
      network,
      preprocessing,
      patches: probe.shape.length === 3 ? probe.shape[1]! - 1 : 0,
      description: {
        kind: KIND,
        dim,
        fingerprint: file.fingerprint,
        preprocessing: { size, channels, crop, interpolation, range, mean, std },
        settings: { output, pooling },
        source: path,
      },
    });
  }

  /**
   * Opens the ONNX file that encoded a bank, with the preprocessing that the bank has stored.
   *
   * Throws a TypeError if another encoder made the bank, such as another file.
   */
  static async forBank(
    device: Device,
    path: string,
    options: Omit<OnnxEncoderOptions, "preprocessing"> & { readonly bank: EncoderRecords },
  ): Promise<OnnxEncoder> {
    const { bank: { encoder: description } } = options;
    const stored = storedSchema.safeParse({
      ...description?.preprocessing,
      ...description?.settings,
    });
    if (description?.kind !== KIND || !stored.success) {
      throw new TypeError(
        `Cannot encode for the bank with ${KIND}: its encoder is ` +
          `${description?.kind ?? "not known"}, expected a whole description of ${KIND}`,
      );
    }
    using opened = new DisposableStack();
    const encoder = opened.use(
      await OnnxEncoder.open(device, path, { ...options, preprocessing: stored.data }),
    );
    requireEncoder(encoder.description, { encoder: description });
    opened.move();
    return encoder;
  }

  /**
   * Encodes `images` [n, C, H, W] in [−1, 1] to snippets [n, d] of norm 1, 16 at a time.
   *
   * Throws a TypeError if the images do not have the given shape or not the network's channels, and a
   * RangeError that names the image if its features are zero or not finite.
   */
  async encode(images: Float32Array, shape: ImageBatchShape): Promise<Float32Array> {
    const { pooling } = this.#preprocessing, { file } = this.#network;
    const features = new Float32Array(shape.count * this.dim);
    for await (const { first, output } of this.#outputs(images, shape)) {
      features.set(pool(output, { pooling, file }), first * this.dim);
    }
    return normalizeSnippets(features, { dim: this.dim, firstIndex: shape.firstIndex ?? 0 });
  }

  /**
   * The tokens of `images` [n, C, H, W] in [−1, 1] as the network gives them: the first, which is its CLS
   * token, or all that it gives [n, d], and the others, which are its patches' [n, T, d].
   *
   * Throws a TypeError as {@linkcode OnnxEncoder.encode} does.
   */
  async tokens(
    images: Float32Array,
    shape: ImageBatchShape,
  ): Promise<{ cls: Float32Array; patches: Float32Array }> {
    const { dim, patches: count } = this;
    const cls = new Float32Array(shape.count * dim);
    const patches = new Float32Array(shape.count * count * dim);
    for await (const { first, output: { values } } of this.#outputs(images, shape)) {
      for (let start = 0, image = first; start < values.length; image++) {
        cls.set(values.subarray(start, start += dim), image * dim);
        patches.set(values.subarray(start, start += count * dim), image * count * dim);
      }
    }
    return { cls, patches };
  }

  /** What the network makes of images, some at a time, from that of index `first` on. */
  async *#outputs(
    images: Float32Array,
    shape: ImageBatchShape,
  ): AsyncGenerator<{ first: number; output: NetworkOutput }> {
    const { file, channels, output } = this.#network;
    const { size, crop, interpolation, range: [low, high], mean, std } = this.#preprocessing;
    if (shape.channels !== channels) {
      throw new TypeError(
        `Cannot encode images of ${shape.channels} channels with ${KIND}: expected ${channels}`,
      );
    }
    const resizing = { shape, size, crop, interpolation };
    const resized = await resizeImages(this.#device, images, resizing);
    const plane = size * size, length = channels * plane;
    const prepared = resized.map((value, i) => {
      const channel = Math.floor(i / plane) % channels;
      return (low + (high - low) * (value + 1) / 2 - mean[channel]!) / std[channel]!;
    });
    for (let first = 0; first < shape.count; first += BATCH_SIZE) {
      const end = Math.min(first + BATCH_SIZE, shape.count);
      const values = prepared.slice(first * length, end * length);
      const input = { values, shape: [end - first, channels, size, size] };
      yield { first, output: await file.apply(input, output) };
    }
  }

  /** Lets go of the network. */
  [Symbol.dispose](): void {
    this.#network.file[Symbol.dispose]();
  }
}

/** Features [n, d] of an output [n, d] or [n, T, d]. */
function pool(
  output: NetworkOutput,
  options: { pooling: Pooling; file: OnnxNetwork },
): Float32Array {
  const { values, shape } = output;
  if (shape.length === 2) return values;
  const { pooling, file } = options;
  const [count = 0, tokens = 0, dim = 0] = shape;
  const first = pooling === "patch-mean" ? 1 : 0, end = pooling === "cls" ? 1 : tokens;
  if (shape.length !== 3 || first >= end) {
    throw outputError(file, output);
  }
  const out = new Float32Array(count * dim);
  for (let image = 0; image < count; image++) {
    for (let i = 0; i < dim; i++) {
      let sum = 0;
      for (let token = first; token < end; token++) {
        sum += values[(image * tokens + token) * dim + i]!;
      }
      out[image * dim + i] = sum / (end - first);
    }
  }
  return out;
}

function outputError(file: OnnxNetwork, { shape }: NetworkOutput): TypeError {
  return file.error(`its output has shape [${shape.join(", ")}], expected [n, d] or [n, T, d]`);
}

/** Channels of the images that a network takes, or undefined for any. */
function inputChannels(file: OnnxNetwork): number | undefined {
  const [{ shape = [] } = {}, ...others] = file.inputs, channels = shape[1];
  if (others.length > 0 || shape.length !== 4) {
    const names = file.inputs.map(({ name }) => name).join(", ");
    throw file.error(
      `its inputs are ${names}, the first of shape [${shape.join(", ")}], ` +
        "expected one [n, C, H, W]",
    );
  }
  return typeof channels === "number" && channels > 0 ? channels : undefined;
}

function checkPreprocessing(
  preprocessing: Preparation,
  options: { network: Network; path: string },
): void {
  const { size, crop, interpolation, range: [low, high], mean, std, pooling } = preprocessing;
  const { network: { file, channels, output }, path } = options;
  requireOneOf(`Cannot encode with ${path}: interpolation`, interpolation, INTERPOLATIONS);
  requireOneOf(`Cannot encode with ${path}: pooling`, pooling, POOLINGS);
  const outputs = file.outputs.map(({ name }) => name);
  const problem = !Number.isInteger(size) || size < 1
    ? `size is ${size}, expected a positive integer`
    : !(crop > 0 && crop <= 1)
    ? `crop is ${crop}, expected a number above 0 and at most 1`
    : !(low < high)
    ? `range is ${low}, ${high}, expected the first to be below the second`
    : mean.length !== channels || std.length !== channels
    ? `there are ${mean.length} means and ${std.length} standard deviations, expected ${channels}`
    : !std.every((value) => value > 0)
    ? `std is ${std.join(", ")}, expected positive numbers`
    : !outputs.includes(output)
    ? `output is ${output}, expected one of ${outputs.join(", ")}`
    : undefined;
  if (problem !== undefined) throw new RangeError(`Cannot encode with ${path}: ${problem}`);
}
