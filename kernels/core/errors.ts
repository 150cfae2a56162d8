/**
 * The errors of gmem that carry data, and the message of any. Everything else throws a built-in
 * class by meaning: `TypeError` for a wrong type or shape, `RangeError` for a value out of range,
 * `ReferenceError` for a tensor used after its release, `SyntaxError` for text that cannot be parsed.
 *
 * @module
 */

/**
 * No usable WebGPU device: {@linkcode missing} says what was asked for and not there.
 *
 * @example
 * ```ts
 * import { Device, UnsupportedDeviceError } from "@gmem/gmem/kernels";
 *
 * try {
 *   using device = await Device.open(); // no driver that computes on the CPU
 *   console.log(device.profile.label);
 * } catch (error) {
 *   if (!(error instanceof UnsupportedDeviceError)) throw error;
 *   console.log(error.missing); // [ "a hardware adapter" ]
 * }
 * ```
 */
export class UnsupportedDeviceError extends Error {
  /** The class, by which errors from other realms can be told. */
  override readonly name = "UnsupportedDeviceError";
  /** What the machine lacks, one entry each. */
  readonly missing: readonly string[];

  /** Makes the error from what is missing and what to do about it. */
  constructor(message: string, options: { missing: readonly string[] }) {
    super(message);
    this.missing = options.missing;
  }
}

/** What an error of the GPU says of the commands beside those that failed. */
export const UNDEFINED_RESULTS =
  "what was computed and copied since the last wait is undefined, later work is not affected";

/**
 * A shader was refused by the WebGPU implementation. The kernel fails whenever it is used, and with it the
 * commands that were submitted together with it; the device can be used on.
 *
 * @example
 * ```ts
 * import { Device, Kernel, ShaderCompilationError } from "@gmem/gmem/kernels";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * const kernel = new Kernel({ source: "@compute @workgroup_size(1)\nfn twice() { x *= 2.0; }" });
 * device.dispatch(kernel, { tensors: {}, workgroups: [1] });
 * try {
 *   await device.settle();
 * } catch (error) {
 *   if (!(error instanceof ShaderCompilationError)) throw error;
 *   console.log(error.kernel, error.line, error.column); // twice 2 14
 * }
 * ```
 */
export class ShaderCompilationError extends Error {
  /** The class, by which errors from other realms can be told. */
  override readonly name = "ShaderCompilationError";
  /** Entry point of the shader, which is the kernel's name. */
  readonly kernel: string;
  /** Line of the shader, from 1, past its end in an include; undefined where the compiler names none. */
  readonly line: number | undefined;
  /** Column in that line, from 1. */
  readonly column: number | undefined;

  /** Makes the error from the kernel's name and the compiler's text. */
  constructor(kernel: string, detail: string) {
    super(`Cannot compile kernel ${kernel}: ${detail}\n(${UNDEFINED_RESULTS})`);
    this.kernel = kernel;
    // "wgsl:2:14" of wgpu, ":2:14 error" of Dawn.
    const [line, column] = /:(\d+):(\d+)/.exec(detail)?.slice(1).map(Number) ?? [];
    this.line = line;
    this.column = column;
  }
}

/**
 * The GPU went away (reset, unplugged, driver crash). The process cannot go on using it.
 *
 * @example
 * ```ts
 * import { Device, DeviceLostError } from "@gmem/gmem/kernels";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * device.gpu.destroy(); // as if its driver had crashed
 * try {
 *   await device.settle();
 * } catch (error) {
 *   console.log(error instanceof DeviceLostError); // true
 * }
 * ```
 */
export class DeviceLostError extends Error {
  /** The class, by which errors from other realms can be told. */
  override readonly name = "DeviceLostError";
}

/** Tensors of one shape that hold memory. */
export interface HeldTensors {
  /** The shape of each, or of the one that others view. */
  readonly shape: readonly number[];
  /** How many there are. */
  readonly count: number;
  /** Bytes that they hold together. */
  readonly bytes: number;
}

/**
 * A buffer could not be made. The tensor that was to have it holds nothing and is of no use but to be
 * released; the device can be used on.
 *
 * @example
 * ```ts
 * import { Device, OutOfMemoryError } from "@gmem/gmem/kernels";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * try {
 *   device.empty([2 ** 20, 2 ** 20]);
 * } catch (error) {
 *   if (!(error instanceof OutOfMemoryError)) throw error;
 *   console.log(error.requestedBytes / 2 ** 40, error.largest); // 4 []
 * }
 * ```
 */
export class OutOfMemoryError extends Error {
  /** The class, by which errors from other realms can be told. */
  override readonly name = "OutOfMemoryError";
  /** Bytes that were asked for. */
  readonly requestedBytes: number;
  /** Bytes that the device's pool held at that moment. */
  readonly heldBytes: number;
  /** The ten shapes whose tensors held most of it, the largest first. */
  readonly largest: readonly HeldTensors[];

  /** Makes the error from the request and what was held already. */
  constructor(
    message: string,
    options: { requestedBytes: number; heldBytes: number; largest: readonly HeldTensors[] },
  ) {
    super(message);
    this.requestedBytes = options.requestedBytes;
    this.heldBytes = options.heldBytes;
    this.largest = options.largest;
  }
}

/**
 * The WebGPU implementation refused a command: a defect of gmem or of a custom kernel. Those that were
 * submitted together with it did not run; the device can be used on.
 *
 * @example
 * ```ts
 * import { addTo, Device, GpuValidationError, Tensor } from "@gmem/gmem/kernels";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * using whole = device.empty([128]), out = device.empty([64]);
 * whole.storage.retain();
 * using view = new Tensor(whole.storage, { shape: [64], dtype: "f32", offset: 4 });
 * device.named("blocks.3", () => addTo(out, view)); // no adapter binds from the second element on
 * try {
 *   await device.settle();
 * } catch (error) {
 *   if (error instanceof GpuValidationError) console.log(error.path); // blocks.3
 * }
 * ```
 */
export class GpuValidationError extends Error {
  /** The class, by which errors from other realms can be told. */
  override readonly name = "GpuValidationError";
  /** Names of the modules and kernels in whose recording the error arose. */
  readonly path: string;

  /** Makes the error from the implementation's text and the path of names. */
  constructor(detail: string, options: { path: string }) {
    super(`Cannot run ${options.path}: ${detail}\n(${UNDEFINED_RESULTS})`);
    this.path = options.path;
  }
}

/**
 * A kernel wrote a number that is infinite or NaN: the first to do so since the last wait, on a device that
 * was opened with `debug`.
 *
 * @example
 * ```ts
 * import { Device, multiply, NonFiniteResultError } from "@gmem/gmem/kernels";
 *
 * using device = await Device.open({ allowCpuDriver: true, debug: true });
 * using x = device.tensor(Float32Array.of(1e30), [1]);
 * using square = device.named("blocks.3", () => multiply(x, x));
 * using more = multiply(square, x);
 * try {
 *   await more.read();
 * } catch (error) {
 *   if (error instanceof NonFiniteResultError) console.log(error.path); // blocks.3 > multiply > out
 * }
 * ```
 */
export class NonFiniteResultError extends Error {
  /** The class, by which errors from other realms can be told. */
  override readonly name = "NonFiniteResultError";
  /** Names of the modules, the kernel and its binding. */
  readonly path: string;

  /** Makes the error from the path of names. */
  constructor(path: string) {
    super(`Cannot go on: ${path} holds a number that is not finite, the first since the last wait`);
    this.path = path;
  }
}

/**
 * A checkpoint, bank or tensor file that cannot be read or written.
 *
 * @example
 * ```ts
 * import { CheckpointError, SafetensorsFile } from "@gmem/gmem/kernels";
 *
 * try {
 *   using file = SafetensorsFile.from(new Uint8Array(4), "model.safetensors");
 *   console.log(file.metadata);
 * } catch (error) {
 *   if (error instanceof CheckpointError) console.log(error.path); // model.safetensors
 * }
 * ```
 */
export class CheckpointError extends Error {
  /** The class, by which errors from other realms can be told. */
  override readonly name = "CheckpointError";
  /** The file. */
  readonly path: string;
  /** The tensor or metadata key in the file, where there is one. */
  readonly key: string | undefined;

  /** Makes the error; the message should name the file and the key. */
  constructor(
    message: string,
    options: { path: string; key?: string | undefined; cause?: unknown },
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.path = options.path;
    this.key = options.key;
  }
}

/** The message of whatever was thrown. */
export function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}

/** Whether an error says that the device is lost or out of memory, so that no other work on it would go better. */
export function isOfDevice(error: unknown): error is DeviceLostError | OutOfMemoryError {
  return error instanceof DeviceLostError || error instanceof OutOfMemoryError;
}
