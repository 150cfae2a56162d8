/**
 * The Inception network of FID as an ONNX file that the user brings. Nothing that the library's other
 * entry points reach imports this: it reaches a native library.
 *
 * @module
 */

import { type NetworkOutput, OnnxNetwork, type ProviderOptions } from "../bank/onnx_network.ts";
import { joinRows, swapAxes } from "../bank/select_rows.ts";
import { requireOneOf } from "../kernels/core/nearest_name.ts";
import { softmaxRows } from "./inception_score.ts";
import { type ByteBatch, withChannels } from "./image_stream.ts";

export type { ProviderOptions } from "../bank/onnx_network.ts";

/** The outputs that evaluation takes. */
export type InceptionOutput = "pool" | "spatial" | "logits";

/** What the values of black and white are to the network: 0 to 255, 0 to 1, or −1 to 1. */
export type PixelRange = "bytes" | "unit" | "signed";

const PIXEL_RANGES: readonly PixelRange[] = ["bytes", "unit", "signed"];

/** How {@linkcode Inception.open} finds its way. */
export interface InceptionOptions extends ProviderOptions {
  /** Names of the outputs, where they cannot be told by {@linkcode identifyOutputs}. */
  readonly outputs?: Readonly<Partial<Record<InceptionOutput, string>>> | undefined;
  /** What the network takes; `bytes` by default, as TensorFlow's graph. */
  readonly pixels?: PixelRange | undefined;
}

/** Features of some images. */
export interface InceptionFeatures {
  /** Pooled features [n, d]. */
  readonly pool: Float32Array;
  /** Spatial features [n, H·W·7] in that order; undefined if the network has none. */
  readonly spatial: Float32Array | undefined;
  /** Probabilities of classes [n, C]; undefined if the network gives none. */
  readonly probabilities: Float32Array | undefined;
}

/** What tells an output from others. */
export interface NamedShape {
  /** Its name. */
  readonly name: string;
  /** Its sizes; a word stands for any. */
  readonly shape: readonly (number | string)[];
}

/** Channels of the spatial features that sFID takes (ADM's evaluator). */
const SPATIAL_CHANNELS = 7;

/** The side that the network takes where its file does not say. */
const SIDE = 299;

/** Images that go through the network at once. */
const BATCH = 16;

/** What outputs are called. */
const NAMES: Readonly<Record<InceptionOutput, RegExp>> = {
  spatial: /spatial|mixed_?6/i,
  logits: /logit|softmax|prob|class/i,
  pool: /pool|feature/i,
};

/** What outputs look like. */
const SHAPES: Readonly<Record<InceptionOutput, (sizes: readonly (number | string)[]) => boolean>> =
  {
    spatial: (sizes) => sizes.filter((size) => size !== 1).length === 3,
    logits: (sizes) => widthOf(sizes) === 1000 || widthOf(sizes) === 1008,
    pool: (sizes) => widthOf(sizes) === 2048,
  };

/**
 * Tells which output is which: by the names that are given, then by what outputs are called (`pool` or
 * `feature`; `spatial` or `mixed_6`; `logit`, `softmax`, `prob` or `class`), then by their shapes
 * ([n, 2048]; [n, …] of three sizes; [n, 1000] or [n, 1008]).
 *
 * Throws a TypeError that lists the outputs if one that is named is not there, or none is pooled.
 *
 * @example
 * ```ts
 * import { identifyOutputs } from "@gmem/gmem/onnx-inception";
 *
 * const ports = [{ name: "features", shape: ["n", 2048] }, { name: "y", shape: ["n", 1008] }];
 * console.log(identifyOutputs(ports, { path: "inception.onnx" }));
 * // { pool: "features", logits: "y" }
 * ```
 */
export function identifyOutputs(
  ports: readonly NamedShape[],
  options: {
    readonly path: string;
    readonly outputs?: InceptionOptions["outputs"] | undefined;
  },
): { readonly pool: string } & Readonly<Partial<Record<InceptionOutput, string>>> {
  const { path, outputs = {} } = options;
  const listed = ports.map(({ name, shape }) => `${name} [${shape.join(", ")}]`).join(", ");
  const found = new Map<InceptionOutput, string>();
  for (const [kind, name] of Object.entries(outputs) as [InceptionOutput, string][]) {
    if (!ports.some((port) => port.name === name)) {
      throw new TypeError(
        `Cannot use ${path}: it has no output ${name}, expected one of ${listed}`,
      );
    }
    found.set(kind, name);
  }
  const kinds = Object.keys(NAMES) as InceptionOutput[];
  const rules: ((kind: InceptionOutput, port: NamedShape) => boolean)[] = [
    (kind, { name }) => NAMES[kind].test(name),
    (kind, { shape }) => SHAPES[kind](shape.slice(1)),
  ];
  for (const rule of rules) {
    for (const kind of kinds) {
      if (found.has(kind)) continue;
      const taken = new Set(found.values());
      const port = ports.find((each) => !taken.has(each.name) && rule(kind, each));
      if (port !== undefined) found.set(kind, port.name);
    }
  }
  const pool = found.get("pool");
  if (pool === undefined) {
    throw new TypeError(
      `Cannot use ${path}: none of its outputs ${listed} is known as pooled features, expected ` +
        "one of them to be given as the output pool=NAME",
    );
  }
  return { ...Object.fromEntries(found), pool };
}

/**
 * Resizes images [n, C, H, H] to [n, C, size, size] as TensorFlow 1 does by default: linear between
 * the pixels at ⌊x H / size⌋ and the next, without half pixels and without antialiasing. This is what
 * the graph of FID does to its images.
 *
 * @example
 * ```ts
 * import { resizeAsTensorFlow } from "@gmem/gmem/onnx-inception";
 *
 * const image = Float32Array.of(0, 2, 4, 6); // [1, 1, 2, 2]
 * console.log(resizeAsTensorFlow(image, { from: 2, to: 4 }).subarray(0, 8));
 * // Float32Array(8) [ 0, 1, 2, 2, 2, 3, 4, 4 ]
 * ```
 */
export function resizeAsTensorFlow(
  values: Float32Array,
  sizes: { readonly from: number; readonly to: number },
): Float32Array {
  const { from, to } = sizes;
  if (from === to) return values;
  const planes = values.length / from ** 2;
  const taps = Array.from({ length: to }, (_, i) => {
    const place = i * from / to, low = Math.floor(place);
    return { low, high: Math.min(low + 1, from - 1), share: place - low };
  });
  const out = new Float32Array(planes * to ** 2);
  for (let plane = 0; plane < planes; plane++) {
    const source = values.subarray(plane * from ** 2, (plane + 1) * from ** 2);
    for (const [y, row] of taps.entries()) {
      for (const [x, column] of taps.entries()) {
        const at = (line: number) => {
          const left = source[line * from + column.low]!;
          return left + (source[line * from + column.high]! - left) * column.share;
        };
        const top = at(row.low);
        out[(plane * to + y) * to + x] = top + (at(row.high) - top) * row.share;
      }
    }
  }
  return out;
}

/**
 * The Inception network of FID, run by onnxruntime. It takes one input of RGB images, [n, 3, H, W] or
 * [n, H, W, 3], of f32 or bytes. Where the file fixes H and W, images are resized by
 * {@linkcode resizeAsTensorFlow}; otherwise they go in as they are if its graph resizes (`bytes`), and
 * at 299 × 299 if not.
 *
 * @example
 * ```ts ignore
 * import { Inception } from "@gmem/gmem/onnx-inception";
 *
 * using inception = await Inception.open("inception.onnx");
 * const batch = { first: 0, count: 16, pixels: new Uint8Array(16 * 3 * 32 * 32) };
 * const { pool } = await inception.run(batch, { imageSize: 32, channels: 3 });
 * console.log(pool.length / 2048); // 16
 * ```
 */
export class Inception implements Disposable {
  /** SHA-256 of the file and of those that hold its weights. */
  readonly fingerprint: string;
  /** Names of the outputs that are taken. */
  readonly outputs: ReturnType<typeof identifyOutputs>;
  readonly #network: OnnxNetwork;
  readonly #pixels: PixelRange;
  readonly #input: Input;

  private constructor(
    network: OnnxNetwork,
    made: {
      outputs: ReturnType<typeof identifyOutputs>;
      pixels: PixelRange;
      input: Input;
    },
  ) {
    this.#network = network;
    this.#pixels = made.pixels;
    this.#input = made.input;
    this.fingerprint = network.fingerprint;
    this.outputs = made.outputs;
  }

  /**
   * Opens an ONNX file.
   *
   * Throws a NotFound error if there is none, a TypeError if it cannot be read as one, does not take RGB
   * images or has no pooled features, and a RangeError for a range of pixels that there is none of.
   */
  static async open(path: string, options: InceptionOptions = {}): Promise<Inception> {
    const { pixels = "bytes", providers } = options;
    requireOneOf(`Cannot use ${path}: pixels`, pixels, PIXEL_RANGES);
    using opened = new DisposableStack();
    const network = opened.use(
      await OnnxNetwork.open(path, {
        providers,
        purpose: "use",
        expected: "an ONNX file of Inception",
      }),
    );
    const outputs = identifyOutputs(network.outputs, { path, outputs: options.outputs });
    const input = describeInput(network, pixels);
    opened.move();
    return new Inception(network, { outputs, pixels, input });
  }

  /**
   * Gives the features of images [n, C, H, H], grey or RGB, 16 at a time.
   *
   * Throws a TypeError if the network gives something else than features, and a RangeError that names
   * the image if one of them is not finite.
   */
  async run(
    batch: ByteBatch,
    images: { readonly imageSize: number; readonly channels: number },
  ): Promise<InceptionFeatures> {
    const parts: Record<InceptionOutput, Float32Array[]> = { pool: [], spatial: [], logits: [] };
    const colours = withChannels(batch, { from: images.channels, to: 3 });
    const length = 3 * images.imageSize ** 2;
    const step = this.#input.batch ?? BATCH;
    for (let first = 0; first < batch.count; first += step) {
      const count = Math.min(step, batch.count - first);
      const pixels = colours.subarray(first * length, (first + count) * length);
      const outputs = await this.#runBatch(pixels, { count, from: images.imageSize });
      for (const [kind, values] of Object.entries(outputs) as [InceptionOutput, Float32Array][]) {
        const width = values.length / count;
        const wrong = values.findIndex((value) => !Number.isFinite(value));
        if (wrong >= 0) {
          throw new RangeError(
            `Cannot use features of image ${batch.first + first + Math.floor(wrong / width)}: ` +
              `${this.outputs[kind]} holds ${values[wrong]} at ${wrong % width}, expected finite ` +
              "numbers",
          );
        }
        parts[kind].push(values);
      }
    }
    const { pool, spatial, logits } = parts;
    return {
      pool: joinRows(pool),
      spatial: spatial.length > 0 ? joinRows(spatial) : undefined,
      probabilities: logits.length > 0
        ? toProbabilities(joinRows(logits), logits[0]!.length / Math.min(step, batch.count))
        : undefined,
    };
  }

  /** Lets go of the network. */
  [Symbol.dispose](): void {
    this.#network[Symbol.dispose]();
  }

  async #runBatch(
    pixels: Uint8Array,
    images: { readonly count: number; readonly from: number },
  ): Promise<Partial<Record<InceptionOutput, Float32Array>>> {
    const { count, from } = images;
    const { name, nhwc, bytes } = this.#input, to = this.#input.size ?? from;
    // A network of a fixed batch gets zeros behind the images.
    const batch = this.#input.batch ?? count;
    const values = new Float32Array(batch * 3 * to ** 2);
    values.set(resizeAsTensorFlow(Float32Array.from(pixels), { from, to }));
    const ordered = nhwc ? swapAxes(values, { rows: 3, columns: to ** 2 }) : values;
    const ranged = ordered.map((value) => inRange(value, this.#pixels));
    const data = bytes ? Uint8Array.from(ranged, Math.round) : ranged;
    const shape = nhwc ? [batch, to, to, 3] : [batch, 3, to, to];
    const wanted = Object.entries(this.outputs) as [InceptionOutput, string][];
    const results = await this.#network.run(
      { [name]: { values: data, shape } },
      wanted.map(([, output]) => output),
    );
    return Object.fromEntries(wanted.map(([kind, output], i) => {
      const { values: data, shape: dims } = results[i]!;
      if (dims[0] !== batch) {
        throw this.#network.error(
          `its output ${output} is [${dims.join(", ")}], expected [${batch}, …]`,
        );
      }
      const part = { values: data.subarray(0, data.length / batch * count), shape: dims };
      return [kind, kind === "spatial" ? firstChannels(part, count) : part.values.slice()];
    }));
  }
}

/** How images go in. */
interface Input {
  readonly name: string;
  /** Channels come last. */
  readonly nhwc: boolean;
  /** Side of the images; undefined for any. */
  readonly size: number | undefined;
  /** Images at once; undefined for any number. */
  readonly batch: number | undefined;
  /** The network takes bytes. */
  readonly bytes: boolean;
}

function describeInput(network: OnnxNetwork, pixels: PixelRange): Input {
  const [port, ...others] = network.inputs;
  const shape = port?.shape ?? [];
  const nhwc = shape[3] === 3 && shape[1] !== 3;
  const [height, width] = nhwc ? [shape[1], shape[2]] : [shape[2], shape[3]];
  if (
    port === undefined || others.length > 0 || shape.length !== 4 || !(nhwc || shape[1] === 3) ||
    fixed(height) !== fixed(width)
  ) {
    const inputs = network.inputs.map(({ name, shape }) => `${name} [${shape.join(", ")}]`);
    throw network.error(`its inputs are ${inputs.join(", ")}, expected one of square RGB images`);
  }
  const size = fixed(height) ?? (pixels === "bytes" ? undefined : SIDE);
  return { name: port.name, nhwc, size, batch: fixed(shape[0]), bytes: port.type === "uint8" };
}

function fixed(size: number | string | undefined): number | undefined {
  return typeof size === "number" && size > 0 ? size : undefined;
}

function widthOf(sizes: readonly (number | string)[]): number | undefined {
  const wide = sizes.filter((size) => size !== 1);
  return wide.length === 1 ? fixed(wide[0]) : undefined;
}

function inRange(value: number, range: PixelRange): number {
  if (range === "bytes") return value;
  return range === "unit" ? value / 255 : value / 127.5 - 1;
}

/**
 * The first 7 channels of [n, C, H, W] or [n, H, W, C] in the order H, W, channel, as ADM's statistics
 * have them; whatever is flat already stays as it is. The channels are at the side whose neighbours
 * are equal.
 */
function firstChannels({ values, shape }: NetworkOutput, count: number): Float32Array {
  if (shape.length !== 4) return values.slice();
  const [, a = 1, b = 1, c = 1] = shape;
  const last = a === b && b !== c;
  const [channels, plane] = last ? [c, a * b] : [a, b * c];
  const kept = Math.min(SPATIAL_CHANNELS, channels);
  const out = new Float32Array(count * plane * kept);
  for (let image = 0; image < count; image++) {
    for (let pixel = 0; pixel < plane; pixel++) {
      for (let channel = 0; channel < kept; channel++) {
        const place = last ? pixel * channels + channel : channel * plane + pixel;
        out[(image * plane + pixel) * kept + channel] = values[image * channels * plane + place]!;
      }
    }
  }
  return out;
}

/** Rows that are probabilities stay; others are logits. */
function toProbabilities(rows: Float32Array, classes: number): Float32Array {
  for (let first = 0; first < rows.length; first += classes) {
    const row = rows.subarray(first, first + classes);
    const sum = row.reduce((total, value) => total + value, 0);
    if (Math.abs(sum - 1) > 1e-3 || row.some((value) => value < 0)) {
      return softmaxRows(rows, classes);
    }
  }
  return rows;
}
