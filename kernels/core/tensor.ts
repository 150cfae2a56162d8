/**
 * A tensor: a shape over a GPU buffer, contiguous and row-major.
 *
 * @module
 */

import type { Pooled } from "./buffer_pool.ts";
import type { Device } from "./device.ts";

/** Sizes of the axes, slowest first. */
export type Shape = readonly number[];

/** Element types that live on the GPU; two elements of `f16` share four bytes. */
export type DType = "f32" | "u32" | "f16";

/** Bytes that one element takes. */
export const ELEMENT_BYTES: Readonly<Record<DType, number>> = { f32: 4, u32: 4, f16: 2 };

/** The product of a shape's axes. */
export function elementsOf(shape: Shape): number {
  let product = 1;
  for (const size of shape) product *= size;
  return product;
}

/** Throws `RangeError` unless every size is a whole number. */
export function requireWholeSizes(shape: Shape): void {
  if (shape.every((size) => Number.isInteger(size) && size >= 0)) return;
  throw new RangeError(`Cannot make tensor ${formatShape(shape)}: every size is a whole number`);
}

/** A shape for error messages: `[2, 3]`. */
export function formatShape(shape: Shape): string {
  return `[${shape.join(", ")}]`;
}

/** The error for a tensor, told by its name or its shape, that lies on another device. */
export function onAnother(verb: string, tensor: string): TypeError {
  return new TypeError(
    `Cannot ${verb}: ${tensor} lies on another device, expected tensors of one`,
  );
}

/** A copy of a range of a storage is current while both numbers are those of the storage and the device. */
interface Current {
  /** Version of the storage that was copied. */
  version: number;
  /** Failures of the device: commands that failed may have been those of the copy. */
  readonly failures: number;
}

/** A copy of a range of a storage in a texture. */
interface StagedCopy extends Current {
  readonly texture: Pooled<GPUTexture>;
}

/** The elements of a range of a storage rounded to f16. */
interface RoundedCopy extends Current {
  readonly tensor: Tensor;
}

/**
 * A buffer shared by the tensors that view it. It returns to the pool when the last holder lets go;
 * work already recorded still runs on it, since the queue keeps order.
 *
 * @example
 * ```ts
 * import { Device } from "@gmem/gmem/kernels";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * const x = device.tensor(Float32Array.of(1, 2), [2]);
 * const { storage } = x, row = x.reshape([1, 2]);
 * x.dispose();
 * console.log(storage.alive, await row.read()); // true Float32Array(2) [ 1, 2 ]
 * row.dispose();
 * console.log(storage.alive); // false
 * ```
 */
export class Storage {
  static #made = 0;
  /** Number among all that were made, from 1: older ones have lower numbers. */
  readonly number: number = ++Storage.#made;
  /** The device that owns the buffer. */
  readonly device: Device;
  /** The pooled buffer. */
  readonly pooled: Pooled<GPUBuffer>;
  /** Raised by every dispatch, copy and upload that may write. */
  version = 0;
  /** Whether trained parameters lie in it: a tensor that views them has none of their gradients. */
  holdsParameters = false;
  readonly #staged = new Map<string, StagedCopy>();
  readonly #rounded = new Map<string, RoundedCopy>();
  #holders = 1;

  /** Wraps a buffer that was just taken from the device's pool, with one holder. */
  constructor(device: Device, pooled: Pooled<GPUBuffer>) {
    this.device = device;
    this.pooled = pooled;
  }

  /** How many were made so far, on any device. */
  static get made(): number {
    return Storage.#made;
  }

  /** Whether somebody still holds it. */
  get alive(): boolean {
    return this.#holders > 0;
  }

  /** Adds a holder. */
  retain(): void {
    this.#holders++;
  }

  /** Removes a holder; the last one gives the buffer back. `ReferenceError` where there is none. */
  release(): void {
    if (this.#holders === 0) throw new ReferenceError("Cannot release a buffer: nobody holds it");
    if (--this.#holders > 0) return;
    for (const { texture } of this.#staged.values()) this.device.pool.putTexture(texture);
    this.#staged.clear();
    for (const { tensor } of this.#rounded.values()) tensor.dispose();
    this.#rounded.clear();
    this.device.pool.putBuffer(this.pooled);
  }

  /** The texture that mirrors a range, copied anew by `copy` when the buffer has changed. */
  staged(
    range: { offset: number; bytes: number },
    copy: (texture: Pooled<GPUTexture>) => void,
  ): Pooled<GPUTexture> {
    const { offset, bytes } = range, { pool, failures } = this.device;
    const key = `${offset}:${bytes}`;
    let entry = this.#staged.get(key);
    if (entry?.failures !== failures) {
      if (entry) pool.putTexture(entry.texture);
      entry = { texture: pool.takeTexture(bytes, this.pooled.life), version: -1, failures };
      this.#staged.set(key, entry);
    }
    if (entry.version !== this.version) {
      copy(entry.texture);
      entry.version = this.version;
    }
    return entry.texture;
  }

  /**
   * The f16 tensor [elements] that mirrors a range of f32, rounded anew by `round` when the buffer
   * has changed. It belongs to the storage; a view of it may outlive the storage.
   */
  rounded(
    range: { offset: number; elements: number },
    round: (rounded: Tensor) => void,
  ): Tensor {
    const { offset, elements } = range, { device } = this;
    const key = `${offset}:${elements}`;
    let entry = this.#rounded.get(key);
    if (entry?.failures !== device.failures) {
      entry?.tensor.dispose();
      const tensor = device.unscoped(() => device.empty([elements], { dtype: "f16" }));
      entry = { tensor, version: -1, failures: device.failures };
      this.#rounded.set(key, entry);
    }
    if (entry.version !== this.version) {
      round(entry.tensor);
      entry.version = this.version;
    }
    return entry.tensor;
  }
}

/**
 * A contiguous n-dimensional array on the GPU.
 *
 * Made by {@linkcode Device.tensor}, {@linkcode Device.empty} and by ops. Inside a
 * {@linkcode Device.scope} it is released when the scope ends unless it is returned; outside, its
 * owner calls {@linkcode Tensor.dispose}.
 *
 * @example
 * ```ts
 * import { Device } from "@gmem/gmem/kernels";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * using x = device.tensor(Float32Array.of(1, 2, 3, 4, 5, 6), [6]);
 * using table = x.reshape([2, 3]); // the same elements, row by row
 * x.write(Float32Array.of(6, 5, 4, 3, 2, 1));
 * console.log(table.shape, await table.read()); // [ 2, 3 ] Float32Array(6) [ 6, 5, 4, 3, 2, 1 ]
 * ```
 */
export class Tensor implements Disposable {
  /** Sizes of the axes, slowest first. */
  readonly shape: Shape;
  /** Element type. */
  readonly dtype: DType;
  /** Number of elements. */
  readonly elements: number;
  /** Size in bytes. */
  readonly bytes: number;
  readonly #storage: Storage | undefined;
  readonly #offset: number;
  #disposed = false;

  /** Views a storage from `offset` bytes on; the new tensor takes over one hold on it. */
  constructor(
    storage: Storage | undefined,
    options: { shape: Shape; dtype: DType; offset?: number | undefined },
  ) {
    this.#storage = storage;
    this.#offset = options.offset ?? 0;
    this.shape = options.shape;
    this.dtype = options.dtype;
    this.elements = elementsOf(options.shape);
    this.bytes = this.elements * ELEMENT_BYTES[options.dtype];
  }

  /** The buffer's shared owner; a `ReferenceError` once it is released. */
  get storage(): Storage {
    const storage = this.#storage;
    if (!storage?.alive) {
      throw new ReferenceError(
        `Cannot use tensor ${formatShape(this.shape)}: it was released, ` +
          `return it from its scope or keep it outside of one`,
      );
    }
    return storage;
  }

  /** The device that the tensor lives on. */
  get device(): Device {
    return this.storage.device;
  }

  /** The GPU buffer, for raw WebGPU use. */
  get buffer(): GPUBuffer {
    return this.storage.pooled.resource;
  }

  /** Bytes from the start of {@linkcode Tensor.buffer}. */
  get offset(): number {
    return this.#offset;
  }

  /**
   * The same elements under another shape, sharing the buffer; `TypeError` when the counts differ,
   * `RangeError` when a size is no whole number.
   */
  reshape(shape: Shape): Tensor {
    requireWholeSizes(shape);
    if (elementsOf(shape) !== this.elements) {
      throw new TypeError(
        `Cannot reshape ${formatShape(this.shape)} to ${formatShape(shape)}: ` +
          `${this.elements} elements, expected ${elementsOf(shape)}`,
      );
    }
    return this.device.adopt(viewOf(this, { shape }));
  }

  /**
   * Copies the elements, of `f16` each as an f32, to the CPU after submitting what is recorded. Costs
   * a wait for the GPU. Rejects with a `TypeError` for a `u32` tensor.
   */
  async read(): Promise<Float32Array<ArrayBuffer>> {
    if (this.dtype === "u32") throw this.#otherType("readUint32()");
    const bytes = await this.device.download(this);
    return this.dtype === "f16"
      ? Float32Array.from(new Float16Array(bytes, 0, this.elements))
      : new Float32Array(bytes);
  }

  /** As {@linkcode Tensor.read} for `u32` tensors; rejects with a `TypeError` for others. */
  async readUint32(): Promise<Uint32Array<ArrayBuffer>> {
    if (this.dtype !== "u32") throw this.#otherType("read()");
    return new Uint32Array(await this.device.download(this));
  }

  /**
   * Replaces the elements; for an `f16` tensor rounds to the nearest, ties to even. Submits recorded
   * work first, which would otherwise see the new values. Throws `TypeError` when the count or the type
   * is another: whole numbers go to `u32`, others to `f32` and `f16`.
   */
  write(data: Float32Array | Uint32Array): void {
    const expected = this.dtype === "u32" ? Uint32Array : Float32Array;
    if (!(data instanceof expected)) {
      throw new TypeError(
        `Cannot write a ${(data as object).constructor.name} to tensor ` +
          `${formatShape(this.shape)} of ${this.dtype}: expected a ${expected.name}`,
      );
    }
    if (data.length !== this.elements) {
      throw new TypeError(
        `Cannot write ${data.length} values to tensor ${formatShape(this.shape)}: ` +
          `expected ${this.elements}`,
      );
    }
    this.device.upload(this, data);
  }

  #otherType(method: string): TypeError {
    return new TypeError(
      `Cannot read tensor ${formatShape(this.shape)} of ${this.dtype} so: expected ${method}`,
    );
  }

  /** Lets go of the buffer. Safe to call twice. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#storage?.release();
  }

  /** As {@linkcode Tensor.dispose}, for `using`. */
  [Symbol.dispose](): void {
    this.dispose();
  }
}

/**
 * A tensor over the buffer of another one, from that one's element `first` on (default 0) and of its type unless
 * told another. The caller disposes it, or gives it to {@linkcode Device.adopt}. A tape tells tensors by their
 * buffers and would take a part for the whole: use parts in what it does not record.
 */
export function viewOf(
  tensor: Tensor,
  part: { first?: number; shape: Shape; dtype?: DType },
): Tensor {
  const { storage, offset } = tensor, { first = 0, shape, dtype = tensor.dtype } = part;
  storage.retain();
  return new Tensor(storage, {
    shape,
    dtype,
    offset: offset + first * ELEMENT_BYTES[tensor.dtype],
  });
}
