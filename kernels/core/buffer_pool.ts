/**
 * Recycles GPU buffers and textures, so that a training step allocates nothing after the first.
 *
 * @module
 */

import { type HeldTensors, OutOfMemoryError } from "./errors.ts";

/** Where a binding may begin on every adapter; buffers are whole blocks of it. */
export const ALIGNMENT_BYTES = 256;
/** Texels in one row of a staging texture that hold elements. */
export const STAGING_ROW_TEXELS = 1024;
/**
 * Texels at the end of a row that hold nothing: a cache line, without which matrix rows a power of
 * two apart would share the same few lines of a CPU's cache.
 */
const STAGING_PADDING_TEXELS = 4;
/** Bytes of a texel, which holds four elements of f32. */
export const STAGING_TEXEL_BYTES = 16;
/** Bytes of a row without its padding: 16 KiB. */
export const STAGING_ROW_BYTES: number = STAGING_ROW_TEXELS * STAGING_TEXEL_BYTES;

/** Bytes that a staging texture of a device holds at most. */
export function mostStagedBytes({ maxTextureDimension2D }: GPUSupportedLimits): number {
  return maxTextureDimension2D * STAGING_ROW_BYTES;
}

/** Whether a tensor is made in a scope, `passing`, or outside of every scope, `lasting`. */
export type Life = "passing" | "lasting";

/** What a buffer is taken for. */
export interface BufferUse {
  /** How long it is held. */
  readonly life: Life;
  /** Of the tensor that is to have it. */
  readonly shape: readonly number[];
}

/** A GPU resource with an identity by which bind groups are cached. */
export interface Pooled<T> {
  /** Unique in the process of the owning pool, never reused. */
  readonly id: number;
  /** The buffer or texture. */
  readonly resource: T;
  /** Size class in bytes. */
  readonly bytes: number;
  /** The life of every tensor that it is handed out for. */
  readonly life: Life;
  /** Of the tensor that has it; undefined for a texture and where nobody has it. */
  shape: readonly number[] | undefined;
}

/**
 * Free lists by life and exact size class: were a lasting tensor to take what a passing one has
 * freed, the next step would lack it and allocate. The lowest id goes out first: with that rule a
 * step that asks for the same sizes in the same order gets the same buffers, and the bind group cache
 * hits every time (last-in first-out never settles).
 */
class FreeLists<T> {
  readonly #lists = new Map<string, Pooled<T>[]>();

  take(bytes: number, life: Life): Pooled<T> | undefined {
    return this.#lists.get(life + bytes)?.shift();
  }

  put(item: Pooled<T>): void {
    const key = item.life + item.bytes;
    let list = this.#lists.get(key);
    if (!list) this.#lists.set(key, list = []);
    let low = 0, high = list.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (list[middle]!.id < item.id) low = middle + 1;
      else high = middle;
    }
    list.splice(low, 0, item);
  }

  remove(item: Pooled<T>): void {
    const list = this.#lists.get(item.life + item.bytes) ?? [], index = list.indexOf(item);
    if (index >= 0) list.splice(index, 1);
  }

  drain(): Pooled<T>[] {
    const all = [...this.#lists.values()].flat();
    this.#lists.clear();
    return all;
  }
}

/** The size of a buffer for `bytes`: whole blocks of 256 bytes, one at least. */
export function blockBytes(bytes: number): number {
  return Math.max(1, Math.ceil(bytes / ALIGNMENT_BYTES)) * ALIGNMENT_BYTES;
}

/** Held bytes below which the pool is never {@linkcode BufferPool.idle}. */
const IDLE_BYTES = 2 ** 28;
/** How many times what was in use at once an idle pool holds; the steps of a run hold 1 to 2 times that. */
const IDLE_FACTOR = 4;

/** A buffer in use. */
export type HeldBuffer = Pick<HeldTensors, "shape" | "bytes">;

/** Shapes that an error for want of memory lists. */
const LISTED_SHAPES = 10;

/** The shapes that hold most bytes, the largest first, of the buffers in use. */
export function largestOf(buffers: readonly HeldBuffer[]): HeldTensors[] {
  const byShape = Map.groupBy(buffers, ({ shape }) => shape.join());
  return [...byShape.values()]
    .map((alike) => ({
      shape: alike[0]!.shape,
      count: alike.length,
      bytes: alike.reduce((sum, { bytes }) => sum + bytes, 0),
    }))
    .sort((a, b) => b.bytes - a.bytes)
    .slice(0, LISTED_SHAPES);
}

/**
 * Runs `make`, which takes `bytes` of GPU memory, and sees to it that a lack of them is told, to `failed`
 * as well.
 */
export type Allocate = <T>(bytes: number, make: () => T, failed: () => void) => T;

/**
 * Hands out storage buffers and staging textures and takes them back.
 *
 * @example
 * ```ts
 * import { Device } from "@gmem/gmem/kernels";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * const { pool } = device;
 * device.empty([64]).dispose();
 * device.empty([8, 8]).dispose(); // gets the buffer of the first
 * console.log(pool.created, pool.liveBytes, pool.heldBytes); // 1 0 256
 * ```
 */
export class BufferPool {
  readonly #gpu: GPUDevice;
  readonly #allocate: Allocate;
  readonly #maxBufferBytes: number;
  readonly #buffers = new FreeLists<GPUBuffer>();
  readonly #textures = new FreeLists<GPUTexture>();
  /** All that is held. What there was no memory for is not, and nobody must get it again. */
  readonly #held = new Set<Pooled<unknown>>();
  #nextId = 1;
  #liveBytes = 0;
  #heldBytes = 0;
  #created = 0;
  #peakBytes = 0;
  /** Largest live bytes since the last trim. */
  #recentPeak = 0;

  /** Makes an empty pool on a device. */
  constructor(gpu: GPUDevice, allocate: Allocate) {
    this.#gpu = gpu;
    this.#allocate = allocate;
    this.#maxBufferBytes = gpu.limits.maxBufferSize;
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

  /**
   * Whether far more is held than was ever in use at once since the last trim: most of it must be of sizes that
   * nobody asks for any more, as where every batch has another size.
   */
  get idle(): boolean {
    return this.#heldBytes > Math.max(IDLE_BYTES, IDLE_FACTOR * this.#recentPeak);
  }

  /** Buffers and textures made so far; constant from the second training step on. */
  get created(): number {
    return this.#created;
  }

  /** Buffers in use now, with the shapes that they were taken for. */
  inUse(): HeldBuffer[] {
    const inUse: HeldBuffer[] = [];
    for (const { shape, bytes } of this.#held) {
      if (shape) inUse.push({ shape, bytes });
    }
    return inUse;
  }

  /**
   * A storage buffer of at least `bytes`, its contents unspecified; `OutOfMemoryError` for more
   * than the adapter allows in one.
   */
  takeBuffer(bytes: number, { life, shape }: BufferUse): Pooled<GPUBuffer> {
    const size = blockBytes(bytes);
    if (size > this.#maxBufferBytes) {
      throw new OutOfMemoryError(
        `Cannot make a buffer of ${size} bytes: this adapter allows ${this.#maxBufferBytes}`,
        {
          requestedBytes: size,
          heldBytes: this.#heldBytes,
          largest: largestOf(this.inUse()),
        },
      );
    }
    const item = this.#buffers.take(size, life) ?? this.#make(
      { bytes: size, life, free: this.#buffers },
      () =>
        this.#gpu.createBuffer({
          size,
          usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST,
        }),
    );
    item.shape = shape;
    this.#use(size);
    return item;
  }

  /** Takes a buffer back; work already recorded may still read it. */
  putBuffer(item: Pooled<GPUBuffer>): void {
    item.shape = undefined;
    this.#liveBytes -= item.bytes;
    if (this.#held.has(item)) this.#buffers.put(item);
  }

  /** A texture of whole rows, as CPU drivers read them, for `bytes` of f32. */
  takeTexture(bytes: number, life: Life): Pooled<GPUTexture> {
    const rows = Math.max(1, Math.ceil(bytes / STAGING_ROW_BYTES));
    const width = STAGING_ROW_TEXELS + STAGING_PADDING_TEXELS;
    const size = rows * width * STAGING_TEXEL_BYTES;
    const item = this.#textures.take(size, life) ?? this.#make(
      { bytes: size, life, free: this.#textures },
      () =>
        this.#gpu.createTexture({
          size: [width, rows],
          format: "rgba32float",
          usage: GPUTextureUsage.STORAGE_BINDING | GPUTextureUsage.COPY_DST,
        }),
    );
    this.#use(size);
    return item;
  }

  /** Takes a texture back. */
  putTexture(item: Pooled<GPUTexture>): void {
    this.#liveBytes -= item.bytes;
    if (this.#held.has(item)) this.#textures.put(item);
  }

  /** Destroys everything that is free. The caller has flushed. */
  trim(): void {
    for (const item of [...this.#buffers.drain(), ...this.#textures.drain()]) {
      item.resource.destroy();
      this.#held.delete(item);
      this.#heldBytes -= item.bytes;
    }
    this.#recentPeak = this.#liveBytes;
  }

  #make<T>(
    { free, ...size }: { bytes: number; life: Life; free: FreeLists<T> },
    create: () => T,
  ): Pooled<T> {
    this.#created++;
    const resource = this.#allocate(size.bytes, create, () => {
      this.#heldBytes -= size.bytes;
      this.#held.delete(item);
      free.remove(item);
    });
    const item: Pooled<T> = { id: this.#nextId++, resource, ...size, shape: undefined };
    this.#heldBytes += size.bytes;
    this.#held.add(item);
    return item;
  }

  #use(bytes: number): void {
    this.#liveBytes += bytes;
    this.#recentPeak = Math.max(this.#recentPeak, this.#liveBytes);
    this.#peakBytes = Math.max(this.#peakBytes, this.#recentPeak);
  }
}
