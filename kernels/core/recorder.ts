/**
 * Collects dispatches into one compute pass and submits them together.
 *
 * @module
 */

import { STAGING_ROW_BYTES, STAGING_ROW_TEXELS, STAGING_TEXEL_BYTES } from "./buffer_pool.ts";

/** Dynamic offsets are multiples of it on every adapter. */
const SLOT_BYTES = 256;
/** Dispatches with parameters in a submission at most; their buffer has 1 MiB. */
const SLOTS = 4096;
/**
 * What one submission is to keep the GPU busy for. Many systems reset a GPU that has not come to the end
 * of one in some two seconds, and with it everything that trains there: work of another kind than what
 * was timed last may take several times as long for each dispatch.
 */
const SUBMISSION_MILLISECONDS = 250;
/** Dispatches in a submission as long as a kernel among them was never timed. */
const UNTIMED_DISPATCHES = 32;
/** How many times as many as before a submission may have after a wait. */
const GROWTH = 1.5;
/** A shorter time is mostly that of the wait for it. */
const SURE_MILLISECONDS = 50;

/** Writes one dispatch's parameters at a word index of the shared arrays. */
export type WriteParams = (
  words: { readonly u32: Uint32Array; readonly i32: Int32Array; readonly f32: Float32Array },
  firstWord: number,
) => void;

/** Gives each dispatch a place for the times of its begin and end; see `bench/profile.ts`. */
export type TimeDispatch = (name: string) => GPUComputePassTimestampWrites;

/** Runs a function and tells of the errors of the GPU that it causes. */
export type Guarded = (fn: () => void) => void;

/** One dispatch. */
export interface Dispatch {
  /** The kernel's name. */
  readonly name: string;
  /** The compiled kernel. */
  readonly pipeline: GPUComputePipeline;
  /** Its tensors. */
  readonly group: GPUBindGroup;
  /** Absent for kernels without `Params`. */
  readonly params: WriteParams | undefined;
  /** Workgroups in x, y and z. */
  readonly workgroups: readonly [number, number, number];
}

/**
 * How many dispatches the next submissions may have, given those that a GPU has `done` in some
 * `milliseconds` and how many there were `allowed`: as many as take a quarter of a second, but at most
 * half as many again as before. A short wait never makes them fewer.
 */
export function dispatchesAllowed(
  allowed: number,
  done: { dispatches: number; milliseconds: number },
): number {
  const fit = Math.max(
    1,
    Math.floor(SUBMISSION_MILLISECONDS * done.dispatches / done.milliseconds),
  );
  if (fit >= allowed) return Math.min(fit, Math.ceil(GROWTH * allowed));
  return done.milliseconds < SURE_MILLISECONDS ? allowed : fit;
}

/**
 * The one way to the queue. Parameters go to a ring of 256-byte slots addressed by dynamic offsets
 * and are uploaded with one write per submit. The recorder submits early when the ring is full, and
 * where the GPU is so slow that all that is recorded would keep it busy for too long at a time.
 *
 * @example
 * ```ts
 * import { Device, fill } from "@gmem/gmem/kernels";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * const { recorder } = device;
 * using x = device.empty([4]), y = device.empty([4]);
 * fill(x, 1);
 * fill(y, 2);
 * console.log(recorder.dispatches, recorder.submits, recorder.pending); // 2 0 true
 * device.flush();
 * console.log(recorder.dispatches, recorder.submits, recorder.pending); // 2 1 false
 * ```
 */
export class Recorder {
  /** Holds the parameters of one submit; bound at binding 0 of every kernel. */
  readonly paramsBuffer: GPUBuffer;
  /** When set, every dispatch runs in a pass of its own that is timed. */
  timeDispatch: TimeDispatch | undefined;
  /**
   * Dispatches after which it submits by itself, or `UNTIMED_DISPATCHES` if that is less, where a kernel
   * among them was never timed; {@linkcode Recorder.waited} fits it to the GPU.
   */
  mostDispatches: number;
  readonly #paced: boolean;
  readonly #guarded: Guarded;
  readonly #gpu: GPUDevice;
  readonly #words: { u32: Uint32Array<ArrayBuffer>; i32: Int32Array; f32: Float32Array };
  /** Where a dispatch's parameters begin. Deno reads it several times as fast as an array. */
  readonly #offset: Uint32Array<ArrayBuffer> = new Uint32Array(1);
  #encoder: GPUCommandEncoder | undefined;
  #pass: GPUComputePassEncoder | undefined;
  #slots = 0;
  #dispatches = 0;
  #submitted = 0;
  #submits = 0;
  readonly #known = new WeakSet<GPUComputePipeline>();
  /** Whether a kernel was recorded since the last wait that never was before. */
  #untimed = false;
  /** When the GPU got work after the last wait, and the dispatches submitted until that wait. */
  #busy: { readonly since: number; readonly submitted: number } | undefined;

  /**
   * Makes an empty recorder on a device. With `paced` it also submits early by the time that the GPU takes.
   * CPU drivers do without: no system resets them, and there a submission waits for the one before it. It
   * makes every submission in `guarded`, which sees to the errors of what it runs.
   */
  constructor(gpu: GPUDevice, { paced, guarded }: { paced: boolean; guarded: Guarded }) {
    this.#gpu = gpu;
    this.#paced = paced;
    this.#guarded = guarded;
    this.mostDispatches = paced ? UNTIMED_DISPATCHES : Infinity;
    this.paramsBuffer = gpu.createBuffer({
      size: SLOTS * SLOT_BYTES,
      usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST,
    });
    const memory = new ArrayBuffer(SLOTS * SLOT_BYTES);
    this.#words = {
      u32: new Uint32Array(memory),
      i32: new Int32Array(memory),
      f32: new Float32Array(memory),
    };
  }

  /** Whether something is recorded and not submitted. */
  get pending(): boolean {
    return this.#encoder !== undefined;
  }

  /** Dispatches recorded so far, submitted or not. */
  get dispatches(): number {
    return this.#dispatches;
  }

  /** Submits so far. */
  get submits(): number {
    return this.#submits;
  }

  /** Bytes of the parameter slot that a bind group exposes. */
  get slotBytes(): number {
    return SLOT_BYTES;
  }

  /** Appends a dispatch to the open pass. */
  dispatch({ name, pipeline, group, params, workgroups }: Dispatch): void {
    if (this.#paced && !this.#known.has(pipeline)) {
      this.#known.add(pipeline);
      this.#untimed = true;
    }
    const most = Math.min(this.mostDispatches, this.#untimed ? UNTIMED_DISPATCHES : Infinity);
    if (this.#slots === SLOTS || this.#dispatches - this.#submitted >= most) this.submit();
    if (this.timeDispatch) {
      const timestampWrites = this.timeDispatch(name);
      this.#pass = this.#endPass().beginComputePass({ timestampWrites });
    }
    this.#pass ??= this.#commands().beginComputePass();
    this.#pass.setPipeline(pipeline);
    if (params) {
      const offset = this.#slots++ * SLOT_BYTES;
      params(this.#words, offset / 4);
      this.#offset[0] = offset;
      this.#pass.setBindGroup(0, group, this.#offset, 0, 1);
    } else {
      this.#pass.setBindGroup(0, group);
    }
    this.#pass.dispatchWorkgroups(...workgroups);
    this.#dispatches++;
  }

  /** Appends a copy of a buffer's range into a staging texture. Ends the pass: copies stand outside. */
  copyToTexture(
    source: { buffer: GPUBuffer; offset: number; bytes: number },
    texture: GPUTexture,
  ): void {
    const encoder = this.#endPass();
    const texels = Math.ceil(source.bytes / STAGING_TEXEL_BYTES);
    const rows = Math.floor(texels / STAGING_ROW_TEXELS), rest = texels % STAGING_ROW_TEXELS;
    const { buffer, offset } = source;
    const layout = { buffer, bytesPerRow: STAGING_ROW_BYTES };
    if (rows > 0) {
      encoder.copyBufferToTexture({ ...layout, offset }, { texture }, [STAGING_ROW_TEXELS, rows]);
    }
    if (rest > 0) {
      encoder.copyBufferToTexture(
        { ...layout, offset: offset + rows * STAGING_ROW_BYTES },
        { texture, origin: [0, rows] },
        [rest, 1],
      );
    }
  }

  /** Appends a copy between buffers; bytes up to a multiple of 4 are copied, as WebGPU asks. */
  copyToBuffer(
    source: { buffer: GPUBuffer; offset: number; bytes: number },
    target: { buffer: GPUBuffer; offset: number },
  ): void {
    this.#endPass().copyBufferToBuffer(
      source.buffer,
      source.offset,
      target.buffer,
      target.offset,
      Math.ceil(source.bytes / 4) * 4,
    );
  }

  /** Appends the zeroing of a buffer. */
  clear(buffer: GPUBuffer): void {
    this.#endPass().clearBuffer(buffer);
  }

  /** Sends everything recorded to the queue. */
  submit(): void {
    if (this.#encoder) this.#guarded(() => this.#submit());
  }

  #submit(): void {
    const encoder = this.#endPass();
    if (this.#slots > 0) {
      this.#gpu.queue.writeBuffer(
        this.paramsBuffer,
        0,
        this.#words.u32,
        0,
        this.#slots * SLOT_BYTES / 4,
      );
    }
    this.#busy ??= { since: performance.now(), submitted: this.#submitted };
    this.#gpu.queue.submit([encoder.finish()]);
    this.#encoder = undefined;
    this.#slots = 0;
    this.#submitted = this.#dispatches;
    this.#submits++;
  }

  /** To be called when all that was submitted is done: the time that it took sets the pace. */
  waited(): void {
    const busy = this.#busy;
    this.#busy = undefined;
    if (!this.#paced || !busy || busy.submitted === this.#submitted) return;
    this.#untimed = false;
    this.mostDispatches = dispatchesAllowed(this.mostDispatches, {
      dispatches: this.#submitted - busy.submitted,
      milliseconds: performance.now() - busy.since,
    });
  }

  #commands(): GPUCommandEncoder {
    return this.#encoder ??= this.#gpu.createCommandEncoder();
  }

  #endPass(): GPUCommandEncoder {
    this.#pass?.end();
    this.#pass = undefined;
    return this.#commands();
  }
}

/**
 * Returns what a function gave that was to record commands and not to wait; `TypeError` for a promise,
 * whose work would go on after the state it was run in has ended.
 */
export function requireRecorded<T>(result: T): T {
  if (!(result instanceof Promise)) return result;
  // What it still fails at is of no interest besides this error.
  result.catch(() => {});
  throw new TypeError(
    "Cannot record an async function, or one that gives a promise: expected one that does not wait, " +
      "await what it reads after it",
  );
}
