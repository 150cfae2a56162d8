/**
 * The GPU device with its pool, recorder and compiled kernels.
 *
 * @module
 */

import { BufferPool, type HeldBuffer, largestOf } from "./buffer_pool.ts";
import {
  DeviceLostError,
  GpuValidationError,
  type HeldTensors,
  OutOfMemoryError,
  UNDEFINED_RESULTS,
  UnsupportedDeviceError,
} from "./errors.ts";
import type { Kernel } from "./kernel.ts";
import { isWhole, MAX_WORKGROUPS } from "./limits.ts";
import { requireOneOf } from "./nearest_name.ts";
import { NonFiniteSearch } from "./non_finite.ts";
import { paramsWriter, Pipelines } from "./pipelines.ts";
import { type Profile, requestDevice } from "./profile.ts";
import { Recorder, requireRecorded } from "./recorder.ts";
import {
  type DType,
  ELEMENT_BYTES,
  elementsOf,
  formatShape,
  onAnother,
  requireWholeSizes,
  type Shape,
  Storage,
  Tensor,
} from "./tensor.ts";
import type { Tape } from "./tape.ts";
import {
  type AskedVariant,
  type ForcedVariants,
  OPS_WITH_VARIANTS,
  type OpWithVariants,
  shapeKey,
  type Tuning,
  type TuningTable,
  type VariantQuestion,
} from "./tuning.ts";

/** How to open a device. */
export interface DeviceOptions {
  /** Accept a software driver; without it one is an `UnsupportedDeviceError`. Default `false`. */
  readonly allowCpuDriver?: boolean | undefined;
  /** Kernel variants to use whatever the profile says, by op: `{ matmul: "naive" }`. */
  readonly variants?: ForcedVariants | undefined;
  /** Variants that were measured; those of this adapter are used where none is forced. */
  readonly tuning?: Tuning | undefined;
  /**
   * Submits each kernel by itself, so that an error of the GPU names it, and searches what it writes for
   * numbers that are not finite: a wait throws a `NonFiniteResultError` that names the first kernel which
   * wrote one. Several times as slow. Mixed precision overflows on purpose while it looks for its scale.
   */
  readonly debug?: boolean | undefined;
  /** Told, once each, which forced and measured variants cannot be used. */
  readonly note?: ((line: string) => void) | undefined;
}

/** What operands of matrix products may be rounded to. */
export const PRECISIONS = ["f32", "f16"] as const;

/**
 * What operands of matrix products are rounded to. Sums are f32, but with `"f16"` on GPUs, whose
 * packed multiply-adds sum each eight products in f16 first; see `matmulInto` for the error.
 */
export type Precision = typeof PRECISIONS[number];

/** What a dispatch binds. */
export interface DispatchOptions {
  /**
   * A tensor for every binding of the kernel, by name. The binding goes on past its last element, to a
   * whole block of 256 bytes.
   */
  readonly tensors: Readonly<Record<string, Tensor>>;
  /** A number for every field of the kernel's `Params`, whole ones for `u32` and `i32`. */
  readonly params?: Readonly<Record<string, number>> | undefined;
  /** Workgroups in x, y and z; see {@linkcode spreadWorkgroups} for long rows of them. */
  readonly workgroups: readonly [number, number?, number?];
  /** Values of pipeline-overridable constants. */
  readonly constants?: Readonly<Record<string, number>> | undefined;
}

/** Under what the GPU is asked for something. */
interface Circumstances {
  /** Bytes of memory that are asked for. */
  readonly requestedBytes?: number;
  /** The buffers in use, where an error may be for want of memory; by default those that are when it is told. */
  readonly inUse?: HeldBuffer[];
  /** Bytes that the pool held beside what is asked for; by default those that it does when an error is told. */
  readonly heldBytes?: number;
  /** The names for an error; by default those that stand now. */
  readonly path?: string;
  /** Told of an error. */
  readonly failed?: () => void;
}

/** Uploads hold memory of the driver until the next submission. */
const MAX_WAITING_UPLOAD_BYTES = 1 << 26;
/** How long after a wait that failed the loss of the GPU may be told. */
const LATE_MILLISECONDS = 100;
const NO_DEVICE_ADVICE =
  "install the driver of the GPU's maker, or on Linux a CPU driver for Vulkan " +
  "(package mesa-vulkan-drivers of Debian, Ubuntu and Fedora)";

/**
 * Spreads `count` workgroups over x and y, each at most 65,535. The kernel finds its place by
 * `workgroup_id.y * num_workgroups.x + workgroup_id.x` and skips what is past the end. A count of 0
 * gives one workgroup.
 *
 * @example
 * ```ts
 * import { spreadWorkgroups } from "@gmem/gmem/kernels";
 *
 * console.log(spreadWorkgroups(1000)); // [ 1000, 1 ]
 * console.log(spreadWorkgroups(100_000)); // [ 50000, 2 ]
 * ```
 */
export function spreadWorkgroups(count: number): [number, number] {
  if (count <= MAX_WORKGROUPS) return [Math.max(count, 1), 1];
  const y = Math.ceil(count / MAX_WORKGROUPS);
  return [Math.ceil(count / y), y];
}

/**
 * An open GPU device.
 *
 * Recording is synchronous: an op appends to one compute pass. {@linkcode Device.flush} submits;
 * only {@linkcode Device.settle} and {@linkcode Tensor.read} wait for the GPU, and there errors of
 * the GPU are thrown: `ShaderCompilationError`, `GpuValidationError`, `OutOfMemoryError`. What was
 * recorded before is undefined then; later work is not affected. After a `DeviceLostError` alone the device
 * is of no use, and every call throws it.
 *
 * @example
 * ```ts
 * import { Device } from "@gmem/gmem/kernels";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * using x = device.tensor(Float32Array.of(1, 2, 3), [3]);
 * console.log(await x.read()); // Float32Array(3) [ 1, 2, 3 ]
 * ```
 */
export class Device implements Disposable {
  /** The WebGPU device, for raw use. */
  readonly gpu: GPUDevice;
  /** What the adapter can do. */
  readonly profile: Profile;
  /** Recycled buffers. */
  readonly pool: BufferPool;
  /** The one way to the queue. */
  readonly recorder: Recorder;
  /** Measured variants of this adapter, by op and sizes; a tuner puts its candidates here. */
  tuning: TuningTable;
  /** Called with every question for a variant that depends on sizes, unless it is forced. */
  onVariant: ((asked: AskedVariant) => void) | undefined;
  readonly #variants: ForcedVariants;
  readonly #note: ((line: string) => void) | undefined;
  readonly #refused = new Set<string>();
  readonly #pipelines: Pipelines;
  /** There is one on a device that was opened to debug. */
  readonly #search: NonFiniteSearch | undefined;
  #scopes: Tensor[][] = [];
  #path = "";
  #tape: Tape | undefined;
  #precision: Precision = "f32";
  #lost: DeviceLostError | undefined;
  #failures = 0;
  /** What was asked of the GPU whose errors no wait has thrown yet. */
  readonly #checks = new Set<Promise<Error | undefined>>();
  /** Dispatches and copies recorded so far. */
  #commands = 0;
  #waitingUploadBytes = 0;
  #closed = false;

  /**
   * Wraps an open WebGPU device; most callers use {@linkcode Device.open}. Throws `RangeError` for a
   * forced variant of an op that has none.
   */
  constructor(
    gpu: GPUDevice,
    options: { profile: Profile } & Omit<DeviceOptions, "allowCpuDriver">,
  ) {
    this.gpu = gpu;
    this.profile = options.profile;
    this.#variants = options.variants ?? {};
    requireOps(Object.keys(this.#variants));
    this.tuning = options.tuning?.adapters[options.profile.label] ?? {};
    this.#note = options.note;
    this.pool = new BufferPool(
      gpu,
      (requestedBytes, make, failed) => {
        if (this.pool.idle) this.trim();
        return this.#guarded(make, { requestedBytes, failed });
      },
    );
    this.recorder = new Recorder(gpu, {
      paced: options.profile.driver === "gpu",
      // Of many commands an error does not say which one failed: the names that stand now may not be its own.
      guarded: (submit) => this.#guarded(submit, { path: this.#search ? this.#path : "" }),
    });
    this.#pipelines = new Pipelines(gpu, {
      profile: options.profile,
      recorder: this.recorder,
      validated: (make, describe) => this.#validated(make, describe),
    });
    this.#search = options.debug ? new NonFiniteSearch(this) : undefined;
    gpu.addEventListener("uncapturederror", (event) => {
      event.preventDefault();
      this.#check(
        Promise.resolve((event as GPUUncapturedErrorEvent).error),
        (error) => this.#gpuError(error),
      );
    });
    gpu.lost.then(async ({ message }) => {
      if (this.#closed) return;
      const lost = `Cannot go on: the GPU was lost, ${message}`;
      this.#lost = new DeviceLostError(lost);
      // Where there is no memory for an upload wgpu gives up the whole device.
      const errors = await Promise.all(this.#checks);
      const full = errors.find((error) => error instanceof OutOfMemoryError);
      if (!full) return;
      this.#lost = new DeviceLostError(
        `${lost}, after it ran out of memory with ${full.heldBytes} bytes held, expected smaller parts, such as ` +
          "a smaller batch",
      );
    });
  }

  /**
   * Opens the fastest adapter. Throws `UnsupportedDeviceError` when there is none that will do, and `RangeError`
   * for a forced variant of an op that has none.
   */
  static async open(options: DeviceOptions = {}): Promise<Device> {
    if (!("gpu" in navigator)) {
      throw new UnsupportedDeviceError("Cannot open a GPU: this runtime has no WebGPU", {
        missing: ["navigator.gpu"],
      });
    }
    const adapter = await navigator.gpu.requestAdapter({ powerPreference: "high-performance" });
    if (!adapter) {
      throw new UnsupportedDeviceError(`Cannot open a GPU: no adapter found, ${NO_DEVICE_ADVICE}`, {
        missing: ["a GPU adapter"],
      });
    }
    const { gpu, profile } = await requestDevice(adapter);
    using opened = new DisposableStack();
    opened.defer(() => gpu.destroy());
    if (profile.driver === "cpu" && !options.allowCpuDriver) {
      throw new UnsupportedDeviceError(
        `Cannot open a GPU: ${profile.label} computes on the CPU, expected a GPU or allowCpuDriver: true`,
        { missing: ["a hardware adapter"] },
      );
    }
    const device = new Device(gpu, { ...options, profile });
    opened.move();
    return device;
  }

  /** The tape that records now, if any; ops append to it. */
  get tape(): Tape | undefined {
    return this.#tape;
  }

  /**
   * Runs `fn` with another recording tape, or none: what it makes counts as constant then. Used by
   * {@linkcode Tape}.
   */
  withTape<T>(tape: Tape | undefined, fn: () => T): T {
    const outer = this.#tape;
    this.#tape = tape;
    try {
      return requireRecorded(fn());
    } finally {
      this.#tape = outer;
    }
  }

  /** What `linear` and `geluMlp` round their operands to now; see {@linkcode Device.withPrecision}. */
  get precision(): Precision {
    return this.#precision;
  }

  /**
   * Runs `fn`, which records a forward pass, with the operands of every `linear` and `geluMlp` rounded
   * to `precision`; the backward pass of what it recorded rounds alike. Results and everything else stay
   * f32, but for what `geluMlp` has between its layers on GPUs, and so do sums but for those of each eight
   * products, which GPUs make in f16. Throws what
   * {@linkcode Device.requirePrecision} throws.
   */
  withPrecision<T>(precision: Precision, fn: () => T): T {
    this.requirePrecision(precision);
    const outer = this.#precision;
    this.#precision = precision;
    try {
      return requireRecorded(fn());
    } finally {
      this.#precision = outer;
    }
  }

  /**
   * Throws `UnsupportedDeviceError` when the adapter cannot compute with a precision, and `RangeError` for one that
   * there is none of.
   */
  requirePrecision(precision: Precision): void {
    requireOneOf("Cannot compute: precision", precision, PRECISIONS);
    if (precision === "f32" || this.profile.f16) return;
    throw new UnsupportedDeviceError(
      `Cannot compute in f16: ${this.profile.label} lacks shader-f16, expected it or precision f32`,
      { missing: ["shader-f16"] },
    );
  }

  /** The names that stand now, `blocks.3 > attention`; empty outside of {@linkcode Device.named}. */
  get path(): string {
    return this.#path;
  }

  /**
   * Runs `fn` under a name that errors which the GPU reports show: `blocks.3 > attention`. It stands after
   * those of `within`, by default the ones that stand now.
   */
  named<T>(name: string, fn: () => T, options: { within?: string | undefined } = {}): T {
    const outer = this.#path, { within = outer } = options;
    this.#path = within === "" ? name : `${within} > ${name}`;
    try {
      return requireRecorded(fn());
    } finally {
      this.#path = outer;
    }
  }

  /**
   * The variant of an op: the one forced at {@linkcode Device.open}, else the only one that can compute the
   * question's sizes, else the one measured for them, else `picked`. For a forced or a measured one that
   * cannot compute them another stands in, with a note.
   *
   * Throws `RangeError` when the op has no variant of the forced name.
   */
  variant<V extends string>(op: OpWithVariants, picked: V, question: VariantQuestion<V>): V {
    const { among, shape, only, supports = () => true } = question;
    const isOne = (name: string): name is V => Object.hasOwn(among, name);
    const forced = this.#variants[op];
    if (forced !== undefined) {
      if (!isOne(forced)) {
        throw new RangeError(
          `Cannot compute ${op} with variant ${JSON.stringify(forced)}: expected one of ` +
            Object.keys(among).join(", "),
        );
      }
      const used = only ?? (supports(forced) ? forced : picked);
      if (used !== forced) {
        this.#refuse(
          `forced variant: ${op} ${forced} cannot compute all sizes here, using ${used}`,
        );
      }
      return used;
    }
    if (only !== undefined) return only;
    if (!shape) return picked;
    this.onVariant?.({ op, shape, picked });
    const measured = this.tuning[op];
    if (!measured) return picked;
    const key = shapeKey(shape), variant = measured[key];
    if (variant === undefined || variant === picked) return picked;
    if (isOne(variant) && supports(variant)) return variant;
    this.#refuse(
      "measured variant: " +
        `${op} (${key}) has no variant ${JSON.stringify(variant)} here, using ${picked}`,
    );
    return picked;
  }

  /**
   * A tensor without defined contents, owned by the current scope or, outside of one, the caller. Throws
   * `TypeError` for another type than f32, f16 and u32, and `RangeError` when a size is no whole number.
   */
  empty(shape: Shape, options: { dtype?: DType | undefined } = {}): Tensor {
    this.#assertUsable();
    requireWholeSizes(shape);
    const { dtype = "f32" } = options;
    if (!Object.hasOwn(ELEMENT_BYTES, dtype)) {
      throw new TypeError(
        `Cannot make tensor ${formatShape(shape)} of ${dtype}: expected f32, f16 or u32`,
      );
    }
    const bytes = elementsOf(shape) * ELEMENT_BYTES[dtype];
    const life = this.#scopes.length > 0 ? "passing" : "lasting";
    const storage = new Storage(this, this.pool.takeBuffer(bytes, { life, shape }));
    // A kernel that writes a part of it must not be taken for the one that left something in the rest.
    if (this.#search) this.recorder.clear(storage.pooled.resource);
    return this.adopt(new Tensor(storage, { shape, dtype }));
  }

  /**
   * A tensor with the given elements, by default of their own type; `TypeError` when their count is
   * not the shape's, or their type not that of {@linkcode Tensor.write}.
   */
  tensor(
    data: Float32Array | Uint32Array,
    shape: Shape,
    options: { dtype?: DType | undefined } = {},
  ): Tensor {
    const { dtype = data instanceof Uint32Array ? "u32" : "f32" } = options;
    const tensor = this.empty(shape, { dtype });
    try {
      tensor.write(data);
    } catch (error) {
      tensor.dispose();
      throw error;
    }
    return tensor;
  }

  /** Puts a tensor in the care of the current scope and returns it. */
  adopt<T extends Tensor>(tensor: T): T {
    this.#scopes.at(-1)?.push(tensor);
    return tensor;
  }

  /**
   * Runs `fn` and releases every tensor made inside except those it returns (a tensor, or an array
   * or plain object of them), which pass to the outer scope. Tensors saved by a tape live on until
   * their backward pass. Release is at record time: recorded work still runs on the buffers. When `fn`
   * throws everything is released; an op that throws outside of every scope keeps what it made until the
   * device is closed, so run what may be refused in one.
   */
  scope<T>(fn: () => T): T {
    const made: Tensor[] = [];
    this.#scopes.push(made);
    let result: T;
    try {
      result = fn();
    } catch (error) {
      for (const tensor of made) tensor.dispose();
      throw error;
    } finally {
      this.#scopes.pop();
    }
    if (result instanceof Promise) { for (const tensor of made) tensor.dispose(); }
    requireRecorded(result);
    const kept = new Set<Tensor>();
    collectTensors(result, kept);
    for (const tensor of made) {
      if (kept.has(tensor)) this.adopt(tensor);
      else tensor.dispose();
    }
    return result;
  }

  /** Runs `fn` outside of every scope: what it makes is the caller's to dispose. */
  unscoped<T>(fn: () => T): T {
    const scopes = this.#scopes;
    this.#scopes = [];
    try {
      return requireRecorded(fn());
    } finally {
      this.#scopes = scopes;
    }
  }

  /**
   * Records a kernel. Every binding and parameter must be given, by name: otherwise `TypeError`, as when a
   * tensor that is written lies in one buffer with another. `RangeError` beyond the adapter's limits, and for
   * parameters of whole numbers that are none.
   */
  dispatch(kernel: Kernel, options: DispatchOptions): void {
    const search = this.#search;
    if (!search || search.isOwn(kernel)) return this.#record(kernel, options);
    this.named(kernel.name, () => {
      this.#record(kernel, options);
      this.flush();
      for (const { access, name } of kernel.bindings) {
        if (access === "write") search.record(options.tensors[name]!, `${this.#path} > ${name}`);
      }
    });
  }

  /** Submits everything recorded, without waiting. */
  flush(): void {
    if (!this.recorder.pending) return;
    this.#assertUsable();
    this.recorder.submit();
    this.#waitingUploadBytes = 0;
  }

  /**
   * Errors that the GPU has reported so far, thrown or not. Where it has risen, what was recorded meanwhile
   * may not have run.
   */
  get failures(): number {
    return this.#failures;
  }

  /**
   * Submits, waits until the GPU is idle, and throws any error that it reported since the last wait. Waits
   * that go on at the same time throw the same.
   */
  async settle(): Promise<void> {
    this.#assertUsable();
    this.flush();
    if (this.#waitingUploadBytes > 0) this.#submitUploads();
    await this.#arrival(this.gpu.queue.onSubmittedWorkDone());
  }

  /**
   * Gives the memory that is free in the pool back to the system, before work of other sizes, which
   * could not recycle it. Submits what is recorded. The device does so by itself where the pool holds more than
   * 256 MiB and four times what was in use at once.
   */
  trim(): void {
    this.flush();
    this.pool.trim();
    this.#pipelines.forgetGroups();
  }

  /**
   * Copies a tensor's bytes to the CPU; see {@linkcode Tensor.read}. Rejects with a `TypeError` for a
   * tensor of another device.
   */
  async download(tensor: Tensor): Promise<ArrayBuffer> {
    this.#assertUsable();
    if (tensor.device !== this) throw onAnother("read", formatShape(tensor.shape));
    this.flush();
    if (tensor.bytes === 0) return new ArrayBuffer(0);
    return await this.#copyOut(tensor, (mapped) => this.#arrival(mapped));
  }

  /**
   * Writes a tensor's elements from the CPU, rounded to the nearest where it is f16. A queue write
   * overtakes recorded commands, so recorded work is submitted first: values never reach an earlier
   * command. Throws `TypeError` for a tensor of another device.
   */
  upload(tensor: Tensor, data: Float32Array | Uint32Array): void {
    this.#assertUsable();
    if (tensor.device !== this) throw onAnother("write", formatShape(tensor.shape));
    if (data.length === 0) return;
    this.flush();
    const { buffer, byteOffset, byteLength } = tensor.dtype === "f16" ? toHalves(data) : data;
    this.gpu.queue.writeBuffer(
      tensor.buffer,
      tensor.offset,
      buffer as ArrayBuffer,
      byteOffset,
      byteLength,
    );
    tensor.storage.version++;
    this.#tape?.noteMade([tensor], { of: [], by: "a write" });
    this.#waitingUploadBytes += byteLength;
    if (this.#waitingUploadBytes > MAX_WAITING_UPLOAD_BYTES) this.#submitUploads();
  }

  /**
   * Records a copy of all elements of `x` into `out`, from its element `first` on; without `first` both
   * have the same size. Throws `TypeError` when sizes or types differ, when both lie in one
   * buffer or one on another device, and for a part of an `f16` tensor that does not begin and end with a
   * whole word.
   */
  copyInto(out: Tensor, x: Tensor, options: { first?: number | undefined } = {}): void {
    this.#assertUsable();
    const { first } = options;
    if (first !== undefined && (!Number.isInteger(first) || first < 0)) {
      throw new RangeError(`Cannot copy to element ${first} on: expected a whole number`);
    }
    const end = (first ?? 0) + x.elements;
    const fits = first === undefined ? end === out.elements : end <= out.elements;
    if (!fits || x.dtype !== out.dtype) {
      const [from, to] = [x, out].map(({ shape, dtype }) => `${formatShape(shape)} ${dtype}`);
      throw new TypeError(
        `Cannot copy ${from} to ${to}${first === undefined ? "" : ` from element ${first} on`}: ` +
          "sizes or types differ",
      );
    }
    for (const { device, shape } of [x, out]) {
      if (device !== this) throw onAnother("copy", formatShape(shape));
    }
    const offset = out.offset + (first ?? 0) * ELEMENT_BYTES[out.dtype];
    if (x.buffer === out.buffer) {
      throw new TypeError(
        `Cannot copy ${formatShape(x.shape)} to ${formatShape(out.shape)}: both lie in ` +
          "one buffer, as the parameters of a store do, copy by way of a third tensor",
      );
    }
    if (offset % 4 !== 0 || (first !== undefined && x.bytes % 4 !== 0)) {
      throw new TypeError(
        `Cannot copy ${formatShape(x.shape)} f16 to element ${first} on: ` +
          "expected even numbers of halves",
      );
    }
    this.recorder.copyToBuffer(
      { buffer: x.buffer, offset: x.offset, bytes: x.bytes },
      { buffer: out.buffer, offset },
    );
    this.#commands++;
    out.storage.version++;
    this.#tape?.noteMade([out], { of: [x], by: "a copy" });
  }

  /** Closes the device; tensors on it cannot be used afterwards, and what is not submitted yet never runs. */
  dispose(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.gpu.destroy();
  }

  /** As {@linkcode Device.dispose}, for `using`. */
  [Symbol.dispose](): void {
    this.dispose();
  }

  #assertUsable(): void {
    if (this.#closed) throw new ReferenceError("Cannot use the device: it was closed");
    if (this.#lost) throw this.#lost;
  }

  #record(kernel: Kernel, options: DispatchOptions): void {
    this.#assertUsable();
    const compiled = this.#pipelines.compile(kernel, options.constants);
    const group = this.#pipelines.bindGroup(kernel, compiled, options.tensors);
    const [x, y = 1, z = 1] = options.workgroups;
    if (!isWhole(x, MAX_WORKGROUPS) || !isWhole(y, MAX_WORKGROUPS) || !isWhole(z, MAX_WORKGROUPS)) {
      throw new RangeError(
        `Cannot dispatch ${kernel.name} over [${x}, ${y}, ${z}] workgroups: expected whole numbers, ` +
          `at most ${MAX_WORKGROUPS} each`,
      );
    }
    this.recorder.dispatch({
      name: kernel.name,
      pipeline: compiled.pipeline,
      group,
      params: paramsWriter(kernel, options.params ?? {}),
      workgroups: [x, y, z],
    });
    this.#commands++;
    const written: Tensor[] = [];
    for (const { access, name } of kernel.bindings) {
      if (access === "write") written.push(options.tensors[name]!);
    }
    for (const { storage } of written) storage.version++;
    this.#tape?.noteMade(written, { of: Object.values(options.tensors), by: kernel.name });
  }

  #submitUploads(): void {
    this.gpu.queue.submit([]);
    this.#waitingUploadBytes = 0;
  }

  #refuse(reason: string): void {
    if (this.#refused.has(reason)) return;
    this.#refused.add(reason);
    this.#note?.(`ignored a ${reason}`);
  }

  #gpuError(
    error: GPUError,
    circumstances: Omit<Circumstances, "failed"> = {},
  ): Error {
    const { path = "", requestedBytes = 0, inUse = this.pool.inUse() } = circumstances;
    if (!(error instanceof GPUOutOfMemoryError)) {
      return new GpuValidationError(error.message, { path: path || "the last commands" });
    }
    const { heldBytes = this.pool.heldBytes } = circumstances, largest = largestOf(inUse);
    const held = [`${heldBytes} bytes held`, ...largest.slice(0, 3).map(listed)].join(", ");
    return new OutOfMemoryError(
      `Cannot take ${requestedBytes || "some"} bytes more: the GPU is out of memory with ` +
        `${held}, expected smaller parts, such as a smaller batch (${UNDEFINED_RESULTS})`,
      { requestedBytes, heldBytes, largest },
    );
  }

  /** The bytes of a tensor, when `wait` has come to the end of what it is given. */
  async #copyOut(
    { buffer, offset, bytes }: Tensor,
    wait: (mapped: Promise<unknown>) => Promise<unknown>,
  ): Promise<ArrayBuffer> {
    const size = Math.ceil(bytes / 4) * 4;
    const staging = this.#guarded(
      () =>
        this.gpu.createBuffer({ size, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST }),
      { requestedBytes: size },
    );
    try {
      this.recorder.copyToBuffer({ buffer, offset, bytes }, { buffer: staging, offset: 0 });
      this.recorder.submit();
      await wait(staging.mapAsync(GPUMapMode.READ));
      return staging.getMappedRange().slice(0);
    } finally {
      staging.destroy();
    }
  }

  /** Waits for what the GPU does; errors that it reported come before the wait's own. */
  async #arrival(work: Promise<unknown>): Promise<void> {
    const checks = [...this.#checks], commands = this.#commands;
    try {
      await work;
      this.recorder.waited();
    } catch (error) {
      // Deno tells that the GPU was lost only after what failed by it.
      const late = Promise.withResolvers<void>();
      const timer = setTimeout(late.resolve, LATE_MILLISECONDS);
      await Promise.race([this.gpu.lost, late.promise]);
      clearTimeout(timer);
      throw error;
    } finally {
      await this.#throwFailure({ checks, commands });
    }
    await this.#search?.throwFound((tensor) => this.#copyOut(tensor, (mapped) => mapped));
  }

  /** What `fn` gives; errors of the GPU that it causes are thrown at the next wait. */
  #guarded<T>(fn: () => T, options: Circumstances): T {
    const { heldBytes } = this.pool;
    this.gpu.pushErrorScope("out-of-memory");
    this.gpu.pushErrorScope("validation");
    try {
      return fn();
    } finally {
      this.#checkScope(options);
      this.#checkScope({ ...options, inUse: this.pool.inUse(), heldBytes });
    }
  }

  /** As `#guarded`, for validation alone; `describe` makes an error without the names. */
  #validated<T>(make: () => T, describe?: (error: GPUError) => Error): T {
    this.gpu.pushErrorScope("validation");
    try {
      return make();
    } finally {
      if (describe) this.#check(this.gpu.popErrorScope(), describe);
      else this.#checkScope();
    }
  }

  /** Pops an error scope; what it caught is thrown at the next wait. */
  #checkScope({ failed, path = this.#path, ...memory }: Circumstances = {}): void {
    this.#check(this.gpu.popErrorScope(), (error) => {
      failed?.();
      return this.#gpuError(error, { path, ...memory });
    });
  }

  /** What comes of `asked` is thrown at the next wait, as the error that `describe` makes of it. */
  #check(asked: Promise<GPUError | null>, describe: (error: GPUError) => Error): void {
    this.#checks.add(asked.then((error) => {
      if (!error) return undefined;
      this.#failures++;
      this.#pipelines.forgetGroups();
      return describe(error);
    }));
  }

  async #throwFailure(
    { checks, commands }: { checks: readonly Promise<Error | undefined>[]; commands: number },
  ): Promise<void> {
    const error = (await Promise.all(checks)).find((each) => each !== undefined);
    // What was recorded during the wait may depend on what failed: then the next one throws it too.
    if (!error || commands === this.#commands) {
      for (const check of checks) this.#checks.delete(check);
    }
    if (this.#lost) throw this.#lost;
    if (error) throw error;
  }
}

function requireOps(names: readonly string[]): void {
  for (const name of names) {
    if (OPS_WITH_VARIANTS.some((op) => op === name)) continue;
    throw new RangeError(
      `Cannot force a variant of ${name}: expected one of ${OPS_WITH_VARIANTS.join(", ")}`,
    );
  }
}

/** An even number of halves, since WebGPU writes whole words. */
function toHalves(data: Float32Array | Uint32Array): Float16Array {
  const halves = new Float16Array(Math.ceil(data.length / 2) * 2);
  halves.set(data);
  return halves;
}

/** Tensors of one shape, for an error: "176160768 by 84 of [32, 64, 256]". */
function listed({ shape, count, bytes }: HeldTensors): string {
  return `${bytes} by ${count} of ${formatShape(shape)}`;
}

function collectTensors(value: unknown, into: Set<Tensor>): void {
  if (value instanceof Tensor) into.add(value);
  else if (Array.isArray(value)) { for (const item of value) collectTensors(item, into); }
  else if (value !== null && typeof value === "object") {
    if (Object.getPrototypeOf(value) === Object.prototype) {
      for (const item of Object.values(value)) collectTensors(item, into);
    }
  }
}
