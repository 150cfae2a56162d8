/**
 * Networks in ONNX files. The only file that imports onnxruntime-node, a native library; nothing that
 * the library's entry points `.` and `./kernels` reach imports this.
 *
 * @module
 */

import { dirname, join } from "node:path";
import { InferenceSession, listSupportedBackends, Tensor } from "onnxruntime-node";
import { messageOf } from "../kernels/core/errors.ts";
import { sha256Hex } from "../kernels/core/sha256.ts";
import { elementsOf } from "../kernels/core/tensor.ts";
import { weightFilesOf } from "./onnx_weight_files.ts";

/** What is known of an input or output of a network. */
export interface NetworkPort {
  /** Name. */
  readonly name: string;
  /** Sizes; a word or a number below 1 stands for any. */
  readonly shape: readonly (number | string)[];
  /** Type of the elements, such as float32; empty where it is no tensor. */
  readonly type: string;
}

/** An array that goes into a network. */
export interface NetworkInput {
  /**
   * The elements. Those of float32 become float16 for a network that takes float16, and those of int64
   * int32 for one that takes int32.
   */
  readonly values: Float32Array | Uint8Array | BigInt64Array;
  /** Sizes of the axes. */
  readonly shape: readonly number[];
}

/** An array that comes out of a network. */
export interface NetworkOutput {
  /** The elements, of float32 or float16. */
  readonly values: Float32Array;
  /** Sizes of the axes. */
  readonly shape: readonly number[];
}

/** What runs a network. */
export interface ProviderOptions {
  /**
   * Names of onnxruntime's execution providers, the first choice first, such as `webgpu` or `cuda`; the CPU
   * runs what none of them can. Default `cpu`.
   */
  readonly providers?: readonly string[] | undefined;
}

/** What runs a network, and how its errors begin and end. */
export interface OpenNetworkOptions extends ProviderOptions {
  /** What is to be done by the network, such as "encode with". */
  readonly purpose: string;
  /** What the file should be. Default "an ONNX file". */
  readonly expected?: string | undefined;
}

/**
 * A network in an ONNX file, run by onnxruntime, with the files beside it that hold its weights where the file
 * names any.
 *
 * @example
 * ```ts ignore
 * using network = await OnnxNetwork.open("a.onnx", { purpose: "encode with" });
 * const images = { values: new Float32Array(3 * 224 ** 2), shape: [1, 3, 224, 224] };
 * const [features] = await network.run({ [network.inputs[0]!.name]: images }, ["features"]);
 * ```
 */
export class OnnxNetwork implements Disposable {
  /** SHA-256, in hexadecimal digits, of the file and of those that hold its weights. */
  readonly fingerprint: string;
  /** What goes in. */
  readonly inputs: readonly NetworkPort[];
  /** What can come out. */
  readonly outputs: readonly NetworkPort[];
  readonly #session: InferenceSession;
  /** What is to be done, and the file. */
  readonly #purpose: string;

  private constructor(
    session: InferenceSession,
    { fingerprint, purpose }: { fingerprint: string; purpose: string },
  ) {
    const ports = (metadata: InferenceSession["inputMetadata"]) =>
      metadata.map((port) => ({
        name: port.name,
        ...(port.isTensor ? { shape: port.shape, type: port.type } : { shape: [], type: "" }),
      }));
    this.#session = session;
    this.#purpose = purpose;
    this.fingerprint = fingerprint;
    this.inputs = ports(session.inputMetadata);
    this.outputs = ports(session.outputMetadata);
  }

  /**
   * Opens a file.
   *
   * Throws a NotFound error if there is none or a file of its weights is missing, an Error if one cannot be
   * read, and a TypeError if it is no network or a provider does not work here; all say the purpose and what was
   * expected.
   */
  static async open(path: string, options: OpenNetworkOptions): Promise<OnnxNetwork> {
    const { expected = "an ONNX file", providers = ["cpu"] } = options;
    const purpose = `${options.purpose} ${path}`;
    requireProviders(providers, purpose);
    const read = (file: string, missing: string) =>
      Deno.readFile(file).catch((cause) => {
        if (!(cause instanceof Deno.errors.NotFound)) {
          const state = `${messageOf(cause)}, expected ${expected}`;
          throw new Error(`Cannot ${purpose}: ${state}`, { cause });
        }
        throw new Deno.errors.NotFound(`Cannot ${purpose}: ${missing}`, { cause });
      });
    const bytes = await read(path, `there is no such file, expected ${expected}`);
    const weights: { path: string; data: Uint8Array }[] = [];
    for (const name of weightFilesOf(bytes)) {
      const file = join(dirname(path), name);
      const missing =
        `it keeps weights in ${name}, which is not in its folder, expected both there`;
      // Of a name that begins with ./ onnxruntime takes that off, and then does not find it by the whole name.
      weights.push({ path: `./${name}`, data: await read(file, missing) });
    }
    const create = (executionProviders: readonly string[]) =>
      InferenceSession.create(bytes, { executionProviders, externalData: weights });
    const session = await create(providers).catch(async (cause) => {
      const fail = (state: string, error: unknown): never => {
        throw new TypeError(`Cannot ${purpose}${state}`, { cause: error });
      };
      // The CPU tells whether the file is at fault.
      const onCpu = await create(["cpu"])
        .catch((error) => fail(`: ${oneLine(error)}, expected ${expected}`, error));
      onCpu.release();
      return fail(
        ` by ${providers.join(", ")}: ${oneLine(cause)}, expected execution providers that work ` +
          "here, such as device.onnxProviders [cpu]",
        cause,
      );
    });
    const fingerprint = sha256Hex(bytes, ...weights.map(({ data }) => data));
    return new OnnxNetwork(session, { fingerprint, purpose });
  }

  /** The error for a network that is not what it should be: "Cannot encode with a.onnx: `state`". */
  error(state: string, cause?: unknown): TypeError {
    return new TypeError(`Cannot ${this.#purpose}: ${state}`, { cause });
  }

  /** Throws the error for a network that has not one input, which is to be such as `[n, 3, S, S]`. */
  requireOneInput(expected: string): void {
    if (this.inputs.length === 1) return;
    const names = this.inputs.map(({ name }) => name).join(", ");
    throw this.error(`its inputs are ${names}, expected one ${expected}`);
  }

  /**
   * Gives outputs for inputs by their names.
   *
   * Throws a TypeError, one line, if the network does not take them or an output is not of float32 or float16.
   */
  async run(
    inputs: Readonly<Record<string, NetworkInput>>,
    outputs: readonly string[],
  ): Promise<NetworkOutput[]> {
    const tensors = Object.fromEntries(
      Object.entries(inputs).map(([name, input]) => {
        const type = this.inputs.find((port) => port.name === name)?.type;
        return [name, tensorOf(input, type)];
      }),
    );
    const results = await this.#session.run(tensors, outputs).catch((cause) => {
      throw new TypeError(oneLine(cause), { cause });
    });
    return outputs.map((name) => {
      const { data, dims, type } = results[name]!;
      if (data instanceof Float32Array) return { values: data, shape: dims };
      if (data instanceof Float16Array) return { values: Float32Array.from(data), shape: dims };
      throw new TypeError(
        `its output ${name} is [${dims.join(", ")}] of ${type}, expected float32 or float16`,
      );
    });
  }

  /**
   * Gives an output, the first by default, for the one input.
   *
   * Throws what {@linkcode OnnxNetwork.run} throws.
   */
  async apply(input: NetworkInput, output: string = this.outputs[0]!.name): Promise<NetworkOutput> {
    const [found] = await this.run({ [this.inputs[0]!.name]: input }, [output]);
    return found!;
  }

  /**
   * Gives what {@linkcode OnnxNetwork.apply} gives for zeros [`shape`].
   *
   * Throws a TypeError that says that the network does not take `what`, which they stand for.
   */
  async tryWith(
    shape: readonly number[],
    { what, output }: { readonly what: string; readonly output?: string },
  ): Promise<NetworkOutput> {
    const values = new Float32Array(elementsOf(shape));
    return await this.apply({ values, shape }, output).catch((cause) => {
      throw this.error(`it does not take ${what}, ${cause.message}`, cause);
    });
  }

  /** Lets go of the network. */
  [Symbol.dispose](): void {
    this.#session.release();
  }
}

/** Throws a TypeError that names the first provider that this onnxruntime does not have. */
function requireProviders(providers: readonly string[], purpose: string): void {
  const known = listSupportedBackends().map(({ name }) => name);
  const unknown = providers.find((name) => !known.includes(name));
  if (unknown === undefined) return;
  throw new TypeError(
    `Cannot ${purpose} by ${unknown}: onnxruntime has no such execution provider here, expected ` +
      `device.onnxProviders of ${known.join(", ")}`,
  );
}

/** A tensor for an input of a type, which need not be the one that the values have. */
function tensorOf({ values, shape }: NetworkInput, type: string | undefined): Tensor {
  if (values instanceof Float32Array) {
    if (type !== "float16") return new Tensor("float32", values, shape);
    // Deno shows a native library a Float16Array as empty: its bits go in under their own type.
    const bits = new Uint16Array(Float16Array.from(values).buffer);
    return Object.assign(new Tensor("uint16", bits, shape), { type });
  }
  if (values instanceof Uint8Array) return new Tensor("uint8", values, shape);
  return type === "int32"
    ? new Tensor(type, Int32Array.from(values, Number), shape)
    : new Tensor("int64", values, shape);
}

/** What onnxruntime says, which takes several lines, without its last one of general advice. */
function oneLine(cause: unknown): string {
  const lines = messageOf(cause).split("\n").map((line) => line.trim());
  return lines.filter((line) => !line.startsWith("Please fix")).join(" ").replace(/\.$/, "");
}
