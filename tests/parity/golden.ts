/**
 * A file of recorded numbers that knows which of them were looked at.
 *
 * @module
 */

import type { Device } from "../../kernels/core/device.ts";
import { SafetensorsFile } from "../../kernels/core/safetensors.ts";
import type { Shape, Tensor } from "../../kernels/core/tensor.ts";
import type { TensorSource } from "../../model/state_dict.ts";
import { Fields } from "./fields.ts";

/** An open file of recordings. */
export class Golden implements Disposable {
  /** Path of the file. */
  readonly path: string;
  readonly #file: SafetensorsFile;
  readonly #used = new Set<string>();

  /** Opens the file; throws a `CheckpointError` when it is not sound. */
  constructor(path: string) {
    this.path = path;
    this.#file = SafetensorsFile.open(path);
  }

  /** Whether there is a tensor of that name. */
  has(key: string): boolean {
    return this.#file.has(key);
  }

  /** All names. */
  keys(): string[] {
    return this.#file.keys();
  }

  /** What follows `prefix` in each name that begins with it. */
  namesUnder(prefix: string): string[] {
    return this.keys().filter((key) => key.startsWith(prefix)).map((key) =>
      key.slice(prefix.length)
    );
  }

  /** The sizes of a tensor. */
  shape(key: string): Shape {
    return this.#file.entry(key).shape;
  }

  /** The elements of a tensor. */
  values(key: string): Float64Array {
    this.use(key);
    return this.#file.readFloat64(key);
  }

  /** The elements of a tensor, rounded to float32. */
  readFloat32(key: string): Float32Array {
    this.use(key);
    return this.#file.readFloat32(key);
  }

  /** The elements of a tensor of integers. */
  integers(key: string): Float64Array {
    this.use(key);
    return this.#file.readIntegers(key);
  }

  /** A tensor on the device; integers become u32. The caller owns it. */
  tensor(device: Device, key: string): Tensor {
    const { dtype, shape } = this.#file.entry(key);
    const data = dtype === "I64" ? Uint32Array.from(this.integers(key)) : this.readFloat32(key);
    return device.tensor(data, shape);
  }

  /** The file as what a model's parameters are loaded from. */
  source(): TensorSource {
    return {
      path: this.path,
      keys: () => this.keys(),
      shape: (key) => this.shape(key),
      readFloat32: (key) => this.readFloat32(key),
    };
  }

  /** Says that a tensor was looked at. */
  use(key: string): void {
    this.#used.add(key);
  }

  /** Names of the tensors that nobody looked at. */
  unused(): string[] {
    return this.keys().filter((key) => !this.#used.has(key));
  }

  /** The free text of a name, or `""`. */
  text(name: string): string {
    return this.#file.metadata[name] ?? "";
  }

  /** The free text of a name as a JSON object; without fields when there is none. */
  fields(name: string): Fields {
    return Fields.parse(this.text(name) || "{}", name);
  }

  /** All free texts, each that is a JSON value parsed. */
  metadata(): Fields {
    const { metadata } = this.#file;
    return new Fields(
      Object.fromEntries(
        Object.entries(metadata).map(([name, text]) => [name, parseOrKeep(text)]),
      ),
      "metadata",
    );
  }

  /** Closes the file. */
  [Symbol.dispose](): void {
    this.#file[Symbol.dispose]();
  }
}

function parseOrKeep(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
