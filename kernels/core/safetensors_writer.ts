/**
 * Writing of safetensors files, all or nothing: it goes to a temporary file beside the target that is
 * renamed at the end, so the old file stays whole if anything fails.
 *
 * @module
 */

import { AtomicFile } from "./atomic_file.ts";
import { CheckpointError, messageOf } from "./errors.ts";
import {
  byteLength,
  checkMetadata,
  DTYPES,
  isDType,
  isSize,
  MAX_HEADER_BYTES,
  quote,
  type SafetensorsDType,
  type SafetensorsEntry,
  show,
} from "./safetensors_format.ts";
import { STORED_BYTES } from "./stored_numbers.ts";

/** What {@linkcode SafetensorsWriter} has to know of a tensor before the first byte is written. */
export interface SafetensorsDeclaration {
  /** Type of the elements. */
  readonly dtype: SafetensorsDType;
  /** Sizes, outermost first; empty for a scalar. */
  readonly shape: readonly number[];
}

/** A tensor to write: {@linkcode data} holds its elements, row-major, in the declared type. */
export interface SafetensorsTensor extends SafetensorsDeclaration {
  /** The elements' bytes. */
  readonly data: ArrayBufferView;
}

/** Options of {@linkcode writeSafetensors} and {@linkcode SafetensorsWriter}. */
export interface SafetensorsWriteOptions {
  /** Free text stored with the tensors. */
  readonly metadata?: Readonly<Record<string, string>> | undefined;
}

function writeError(path: string, state: string, cause?: unknown): CheckpointError {
  return new CheckpointError(`Cannot write file ${quote(path)}: ${state}`, { path, cause });
}

function tensorWriteError(path: string, key: string, state: string): CheckpointError {
  return new CheckpointError(`Cannot write tensor ${quote(key)} to file ${quote(path)}: ${state}`, {
    path,
    key,
  });
}

interface Slot {
  entry: SafetensorsEntry;
  written: number;
}

/**
 * Writes a safetensors file piece by piece, for tensors that are not in memory at once.
 *
 * All tensors are declared first. The file lays larger types before smaller ones, so that every
 * tensor is aligned to its type; {@linkcode append} may serve tensors in any order. The bytes
 * go to a temporary file beside the target, which {@linkcode commit} renames; without it the
 * temporary file is removed on disposal and the target stays as it was.
 *
 * @example
 * ```ts
 * import { SafetensorsFile, SafetensorsWriter } from "@gmem/gmem/kernels";
 *
 * const path = await Deno.makeTempFile({ suffix: ".safetensors" });
 * using writer = new SafetensorsWriter(path, [["rows", { dtype: "F32", shape: [2, 2] }]]);
 * writer.append("rows", Float32Array.of(1, 2));
 * writer.append("rows", Float32Array.of(3, 4));
 * writer.commit();
 * using file = SafetensorsFile.open(path);
 * console.log(file.readFloat32("rows")); // Float32Array(4) [ 1, 2, 3, 4 ]
 * await Deno.remove(path);
 * ```
 */
export class SafetensorsWriter implements Disposable {
  /** The path that the finished file gets. */
  readonly path: string;
  readonly #file: AtomicFile;
  #slots: Map<string, Slot> = new Map();

  /**
   * Creates the temporary file and writes the header.
   *
   * Throws a {@linkcode CheckpointError} for a declaration that is not sound or when the file cannot
   * be written.
   */
  constructor(
    path: string,
    tensors: Iterable<readonly [string, SafetensorsDeclaration]>,
    options: SafetensorsWriteOptions = {},
  ) {
    this.path = path;
    const declared = new Map<string, SafetensorsDeclaration>();
    for (const [key, { dtype, shape }] of tensors) {
      if (key === "__metadata__") {
        throw tensorWriteError(
          path,
          key,
          "the format keeps that name for itself, expected another",
        );
      }
      if (declared.has(key)) {
        throw tensorWriteError(path, key, "it is declared twice, expected once");
      }
      if (!isDType(dtype)) {
        throw tensorWriteError(
          path,
          key,
          `its dtype is ${show(dtype)}, expected one of ${DTYPES.join(", ")}`,
        );
      }
      if (!shape.every(isSize) || !isSize(byteLength(dtype, shape))) {
        throw tensorWriteError(
          path,
          key,
          `its shape is ${show(shape)}, expected sizes of a tensor`,
        );
      }
      declared.set(key, { dtype, shape });
    }
    const header = this.#layOut(
      declared,
      checkMetadata(options.metadata ?? {}, { path, verb: "write" }),
    );
    this.#file = this.#attempt(() => new AtomicFile(path));
    this.#attempt(() => this.#file.write(header));
  }

  /**
   * Adds the next bytes of a tensor; successive calls for one tensor follow each other.
   *
   * Throws a {@linkcode CheckpointError} when the tensor is not declared, when the bytes go beyond its
   * end, or when the disk refuses them, in which case the temporary file is removed.
   */
  append(key: string, data: ArrayBufferView): void {
    const slot = this.#slots.get(key);
    if (slot === undefined) {
      throw tensorWriteError(this.path, key, "it is not declared, expected a declared one");
    }
    const { entry, written } = slot;
    if (written + data.byteLength > entry.bytes) {
      throw tensorWriteError(
        this.path,
        key,
        `it would have ${written + data.byteLength} bytes, expected ${entry.bytes} for the shape ` +
          `${show(entry.shape)} of ${entry.dtype}`,
      );
    }
    this.#attempt(() => this.#file.write(data, entry.offset + written));
    slot.written += data.byteLength;
  }

  /**
   * Flushes the file to the disk and gives it its name, replacing any file there.
   *
   * Throws a {@linkcode CheckpointError} when a tensor is not complete or the disk refuses.
   */
  commit(): void {
    for (const [key, { entry, written }] of this.#slots) {
      if (written !== entry.bytes) {
        throw tensorWriteError(
          this.path,
          key,
          `it has ${written} bytes, expected ${entry.bytes} for the shape ` +
            `${show(entry.shape)} of ${entry.dtype}`,
        );
      }
    }
    this.#attempt(() => this.#file.commit());
  }

  /** Removes the temporary file unless it was committed. */
  [Symbol.dispose](): void {
    this.#file[Symbol.dispose]();
  }

  /** Gives every tensor its place and returns the bytes of the header. */
  #layOut(
    declared: ReadonlyMap<string, SafetensorsDeclaration>,
    metadata: Readonly<Record<string, string>>,
  ): Uint8Array {
    const sorted = [...declared].sort(
      ([, a], [, b]) => STORED_BYTES[b.dtype] - STORED_BYTES[a.dtype],
    );
    const fields: string[] = [];
    if (Object.keys(metadata).length > 0) {
      fields.push(`"__metadata__":${JSON.stringify(metadata)}`);
    }
    let position = 0;
    for (const [key, { dtype, shape }] of sorted) {
      const bytes = byteLength(dtype, shape);
      this.#slots.set(key, {
        entry: { dtype, shape: [...shape], offset: position, bytes },
        written: 0,
      });
      const data_offsets = [position, position + bytes];
      fields.push(`${JSON.stringify(key)}:${JSON.stringify({ dtype, shape, data_offsets })}`);
      position += bytes;
    }
    const json = new TextEncoder().encode(`{${fields.join(",")}}`);
    const length = Math.ceil(json.length / 8) * 8;
    if (length > MAX_HEADER_BYTES) {
      throw writeError(
        this.path,
        `its header has ${length} bytes, expected at most ${MAX_HEADER_BYTES}`,
      );
    }
    const header = new Uint8Array(8 + length).fill(0x20);
    new DataView(header.buffer).setBigUint64(0, BigInt(length), true);
    header.set(json, 8);
    for (const { entry } of this.#slots.values()) entry.offset += header.length;
    return header;
  }

  /** Runs what writes; what the disk refuses becomes an error that names the file. */
  #attempt<T>(write: () => T): T {
    try {
      return write();
    } catch (error) {
      if (error instanceof ReferenceError) throw error;
      throw writeError(this.path, messageOf(error), error);
    }
  }
}

/**
 * Writes tensors to a safetensors file, all or nothing: a failure, such as a full disk, leaves the
 * file that was there untouched and no temporary file behind.
 *
 * Throws a {@linkcode CheckpointError} for a tensor whose data does not have the bytes that its shape
 * and type take, or when the disk refuses.
 *
 * @example
 * ```ts
 * import { SafetensorsFile, writeSafetensors } from "@gmem/gmem/kernels";
 *
 * const path = await Deno.makeTempFile({ suffix: ".safetensors" });
 * const mean = { dtype: "F32", shape: [2], data: Float32Array.of(0.5, -0.5) } as const;
 * writeSafetensors(path, [["mean", mean]], { metadata: { encoder: "pixel_pca" } });
 * using file = SafetensorsFile.open(path);
 * console.log(file.metadata); // { encoder: "pixel_pca" }
 * console.log(file.readFloat32("mean")); // Float32Array(2) [ 0.5, -0.5 ]
 * await Deno.remove(path);
 * ```
 */
export function writeSafetensors(
  path: string,
  tensors: Iterable<readonly [string, SafetensorsTensor]>,
  options: SafetensorsWriteOptions = {},
): void {
  const listed = [...tensors];
  using writer = new SafetensorsWriter(path, listed, options);
  for (const [key, { data }] of listed) writer.append(key, data);
  writer.commit();
}
