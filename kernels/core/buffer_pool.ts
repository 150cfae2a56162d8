/**
 * Recycles GPU buffers and textures, so that a training step allocates nothing after the first.
 *
 * @module
 */

import { OutOfMemoryError } from "./errors.ts";

const ALIGNMENT_BYTES = 256;
/** Texels in one row of a staging texture; a row is 64 KiB of f32 or 32 KiB of f16. */
export const STAGING_ROW_TEXELS = 4096;
/** A format of staging textures. */
export type StagingFormat = "rgba32float" | "rgba16float";

/** Formats of staging textures with the bytes of a texel, which holds four elements. */
export const STAGING_TEXEL_BYTES: Readonly<Record<StagingFormat, number>> = {
  rgba32float: 16,
  rgba16float: 8,
};

/** A GPU resource with an identity by which bind groups are cached. */
export interface Pooled<T> {
  /** Unique in the process of the owning pool, never reused. */
  readonly id: number;
  /** The buffer or texture. */
  readonly resource: T;
  /** Size class in bytes. */
  readonly bytes: number;
}

/**
 * Free lists by exact size class. The lowest id goes out first: with that rule a step that asks for
 * the same sizes in the same order gets the same buffers, and the bind group cache hits every time
 * (last-in first-out never settles).
 */
class FreeLists<T> {
  readonly #lists = new Map<number, Pooled<T>[]>();

  take(bytes: number): Pooled<T> | undefined {
    return this.#lists.get(bytes)?.shift();
  }

  put(item: Pooled<T>): void {
    let list = this.#lists.get(item.bytes);
    if (!list) this.#lists.set(item.bytes, list = []);
    let low = 0, high = list.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (list[middle]!.id < item.id) low = middle + 1;
      else high = middle;
    }
    list.splice(low, 0, item);
  }

  drain(): Pooled<T>[] {
    const all = [...this.#lists.values()].flat();
    this.#lists.clear();
    return all;
  }
}

/** Hands out storage buffers and staging textures and takes them back. */
export class BufferPool {
  readonly #gpu: GPUDevice;
  readonly #buffers = new FreeLists<GPUBuffer>();
  readonly #textures: Readonly<Record<StagingFormat, FreeLists<GPUTexture>>> = {
    rgba32float: new FreeLists<GPUTexture>(),
    rgba16float: new FreeLists<GPUTexture>(),
  };
  #nextId = 1;
  #liveBytes = 0;
  #heldBytes = 0;
  #created = 0;
  #peakBytes = 0;

  /** Makes an empty pool on a device. */
  constructor(gpu: GPUDevice) {
    this.#gpu = gpu;
  }

  /** Bytes in use now. */
  get liveBytes(): number {
    return this.#liveBytes;
  }

  /** Bytes in use and free. */
  get heldBytes(): number {
    return this.#heldBytes;
  }

  /** Largest {@linkcode liveBytes} so far. */
  get peakBytes(): number {
    return this.#peakBytes;
  }

  /** Buffers and textures made so far; constant from the second training step on. */
  get created(): number {
    return this.#created;
  }

  /** A storage buffer of at least `bytes`, its contents unspecified. */
  takeBuffer(bytes: number): Pooled<GPUBuffer> {
    const size = Math.max(ALIGNMENT_BYTES, Math.ceil(bytes / ALIGNMENT_BYTES) * ALIGNMENT_BYTES);
    if (size > this.#gpu.limits.maxBufferSize) {
      throw new OutOfMemoryError(
        `Cannot make a buffer of ${size} bytes: this adapter allows ${this.#gpu.limits.maxBufferSize}`,
        { requestedBytes: size, heldBytes: this.#heldBytes },
      );
    }
    const item = this.#buffers.take(size) ?? this.#make(
      size,
      () =>
        this.#gpu.createBuffer({
          size,
          usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST,
        }),
    );
    this.#use(size);
    return item;
  }

  /** Takes a buffer back; work already recorded may still read it. */
  putBuffer(item: Pooled<GPUBuffer>): void {
    this.#liveBytes -= item.bytes;
    this.#buffers.put(item);
  }

  /** A texture of whole rows of {@linkcode STAGING_ROW_TEXELS} texels for `bytes`. */
  takeTexture(bytes: number, format: StagingFormat = "rgba32float"): Pooled<GPUTexture> {
    const rowBytes = STAGING_ROW_TEXELS * STAGING_TEXEL_BYTES[format];
    const rows = Math.ceil(bytes / rowBytes);
    const size = rows * rowBytes;
    const item = this.#textures[format].take(size) ?? this.#make(
      size,
      () =>
        this.#gpu.createTexture({
          size: [STAGING_ROW_TEXELS, rows],
          format,
          usage: GPUTextureUsage.TEXTURE_BINDING | GPUTextureUsage.COPY_DST,
        }),
    );
    this.#use(size);
    return item;
  }

  /** Takes a texture back. */
  putTexture(item: Pooled<GPUTexture>): void {
    this.#liveBytes -= item.bytes;
    this.#textures[item.resource.format as StagingFormat].put(item);
  }

  /** Destroys everything that is free. The caller has flushed. */
  trim(): void {
    const textures = Object.values(this.#textures).flatMap((lists) => lists.drain());
    for (const item of [...this.#buffers.drain(), ...textures]) {
      item.resource.destroy();
      this.#heldBytes -= item.bytes;
    }
  }

  #make<T>(bytes: number, create: () => T): Pooled<T> {
    this.#created++;
    this.#heldBytes += bytes;
    return { id: this.#nextId++, resource: create(), bytes };
  }

  #use(bytes: number): void {
    this.#liveBytes += bytes;
    this.#peakBytes = Math.max(this.#peakBytes, this.#liveBytes);
  }
}
