/**
 * Checkpoints and memory banks that PyTorch saved (`.pt`, `.pth`), read without Python.
 *
 * `torch.save` writes a zip archive: `data.pkl` describes the objects, `data/0`, `data/1`, … hold the
 * numbers of the tensors. The description is read by a closed unpickler that runs nothing; numbers
 * are read from the file when asked for.
 *
 * @module
 */

import {
  type ByteSource,
  fileError,
  memoryByteSource,
  openByteSource,
} from "../kernels/core/byte_source.ts";
import { CheckpointError } from "../kernels/core/errors.ts";
import { STORED_BYTES, type StoredType } from "../kernels/core/stored_numbers.ts";
import { ZipDirectory, type ZipEntry } from "../kernels/core/zip_directory.ts";
import {
  TorchOpaque,
  type TorchStorage,
  TorchTensor,
  type TorchValue,
  unpickle,
} from "./torch_pickle.ts";

export { TorchOpaque, TorchTensor, type TorchValue };

/** Options of {@linkcode TorchFile.stateDict}. */
export interface StateDictOptions {
  /** Key of the root whose value is wanted; without it the moving average is preferred. */
  readonly select?: string | undefined;
}

/** Where training scripts keep the weights, the most wanted first. */
const SECTIONS: readonly string[] = ["ema", "model", "network", "state_dict"];

/** What wrappers of PyTorch put before the names: data parallelism and compilation. */
const WRAPPERS = /^(?:module\.|_orig_mod\.)+/;

/** Against descriptions made to exhaust memory; that of an XL network has about 1 MB. */
const MAX_PICKLE_BYTES = 1 << 28;

function describe(value: TorchValue): string {
  if (value instanceof TorchTensor) return `a tensor of shape [${value.shape}]`;
  if (value instanceof TorchOpaque) {
    return `an object of ${value.name}, which is not read as only Python code gives it a meaning`;
  }
  if (value instanceof Map) return `a dict of ${value.size} items`;
  if (Array.isArray(value)) return `a list of ${value.length} items`;
  return value === null ? "None" : `a ${typeof value}`;
}

function listKeys(dict: ReadonlyMap<TorchValue, TorchValue>): string {
  const names = [...dict.keys()].map((key) =>
    typeof key === "string" ? JSON.stringify(key) : describe(key)
  );
  const shown = names.slice(0, 20).join(", ");
  return names.length > 20 ? `${shown} and ${names.length - 20} more` : shown;
}

/** What a file holds, in words: of a dict its keys. */
export function describeTorchValue(value: TorchValue): string {
  return value instanceof Map ? `a dict with the keys ${listKeys(value)}` : describe(value);
}

/** A dict with at least one item and nothing but tensors. */
function isTensorDict(dict: ReadonlyMap<TorchValue, TorchValue>): boolean {
  return dict.size > 0 && dict.values().every((value) => value instanceof TorchTensor);
}

/** A name without what wrappers put before it, however they are nested. */
export function withoutWrappers(name: string): string {
  return name.replace(WRAPPERS, "");
}

/**
 * A file of `torch.save` open for reading.
 *
 * Known are tensors of f64, f32, f16, bf16, i64, i32, i16, u8, i8 and bool, parameters, dicts, lists,
 * tuples, numbers, strings, booleans and None. Any other object, such as the `argparse.Namespace` or the numbers of
 * numpy that training scripts store beside the weights, becomes a {@linkcode TorchOpaque} without content: no code
 * of the file is run. A file that PyTorch before 1.6 wrote (no zip archive) is refused.
 *
 * @example
 * ```ts ignore
 * import { TorchFile } from "@gmem/gmem";
 *
 * using file = TorchFile.open("0400000.pt");
 * for (const [name, tensor] of file.stateDict()) {
 *   console.log(name, tensor.shape, tensor.readFloat32());
 * }
 * ```
 */
export class TorchFile implements Disposable {
  /** The file's path, or the name given to {@linkcode TorchFile.from}. */
  readonly path: string;
  /** What was saved: most often a Map, for a memory bank a {@linkcode TorchTensor}. */
  readonly root: TorchValue;
  #source: ByteSource | undefined;

  private constructor(source: ByteSource, path: string) {
    this.path = path;
    this.#source = source;
    this.#checkKind();
    const zip = new ZipDirectory(source, path);
    const pickles = zip.names().filter((name) => /^[^/]+\/data\.pkl$/.test(name));
    if (pickles.length !== 1) {
      throw fileError(
        path,
        `it has ${pickles.length} entries data.pkl, expected one as torch.save writes it`,
      );
    }
    const folder = pickles[0]!.slice(0, -"data.pkl".length);
    if (zip.find(`${folder}constants.pkl`) !== undefined) {
      throw fileError(
        path,
        "it holds a TorchScript program, expected tensors that torch.save wrote",
      );
    }
    const pickle = zip.find(pickles[0]!)!;
    if (pickle.bytes > MAX_PICKLE_BYTES) {
      throw fileError(
        path,
        `its data.pkl has ${pickle.bytes} bytes, expected at most ${MAX_PICKLE_BYTES}`,
      );
    }
    const bigEndian = this.#readByteOrder(zip.find(`${folder}byteorder`));
    const bytes = new Uint8Array(pickle.bytes);
    this.#read(bytes, pickle.offset);
    this.root = unpickle(bytes, {
      path,
      storage: (key, type, count) =>
        this.#storage(zip.find(`${folder}data/${key}`), { key, type, count, bigEndian }),
    });
  }

  /**
   * Opens the file at `path` and reads its description, not its tensors.
   *
   * Throws a {@linkcode CheckpointError} when it cannot be opened, is damaged, or is of another kind; the message
   * says what was found.
   */
  static open(path: string): TorchFile {
    using opened = new DisposableStack();
    const file = new TorchFile(opened.use(openByteSource(path)), path);
    opened.move();
    return file;
  }

  /**
   * Reads a file that is already in memory; `name` stands for its path in errors. The bytes are not
   * copied and must not change.
   *
   * Throws a {@linkcode CheckpointError} as {@linkcode TorchFile.open} does.
   */
  static from(bytes: Uint8Array, name: string = "memory"): TorchFile {
    return new TorchFile(memoryByteSource(bytes), name);
  }

  /**
   * Returns the network's tensors by name, without the prefixes `module.` and `_orig_mod.`.
   *
   * A root that holds only tensors is the state dict itself. Otherwise it is the value of
   * `select`, or else of the first of `ema`, `model`, `network` and `state_dict` that is there.
   *
   * Throws a {@linkcode CheckpointError} when there is no such dict, when it holds something other
   * than tensors, or when two names become equal without their prefixes.
   */
  stateDict(options: StateDictOptions = {}): Map<string, TorchTensor> {
    const tensors = new Map<string, TorchTensor>();
    for (const [name, tensor] of this.#select(options.select)) {
      if (typeof name !== "string") {
        throw fileError(this.path, `its state dict has ${describe(name)} as key, expected names`);
      }
      if (!(tensor instanceof TorchTensor)) {
        throw this.#tensorError(name, `it is ${describe(tensor)}, expected a tensor`);
      }
      const plain = withoutWrappers(name);
      if (tensors.has(plain)) {
        throw this.#tensorError(
          name,
          `the name ${JSON.stringify(plain)} is taken, expected one of its own`,
        );
      }
      tensors.set(plain, tensor);
    }
    return tensors;
  }

  /** Closes the file; tensors cannot be read afterwards. */
  [Symbol.dispose](): void {
    this.#source?.[Symbol.dispose]();
    this.#source = undefined;
  }

  #select(select: string | undefined): ReadonlyMap<TorchValue, TorchValue> {
    const { root } = this;
    if (!(root instanceof Map)) {
      throw fileError(this.path, `it holds ${describe(root)}, expected a state dict`);
    }
    if (select === undefined && isTensorDict(root)) return root;
    const key = select ?? SECTIONS.find((section) => root.get(section) instanceof Map);
    if (key === undefined || !root.has(key)) {
      const wanted = (select === undefined ? SECTIONS : [select]).map((name) =>
        JSON.stringify(name)
      );
      throw fileError(
        this.path,
        `it holds ${describeTorchValue(root)}, expected ${wanted.join(" or ")}`,
      );
    }
    const section = root.get(key);
    if (section instanceof Map) return section;
    throw this.#tensorError(key, `it is ${describe(section)}, expected a state dict`);
  }

  #tensorError(key: string, state: string): CheckpointError {
    return new CheckpointError(
      `Cannot read ${JSON.stringify(key)} of file ${JSON.stringify(this.path)}: ${state}`,
      { path: this.path, key },
    );
  }

  /** Tells apart the files that bear the same extension. */
  #checkKind(): void {
    const start = new Uint8Array(4);
    const length = this.#source!.read(start, 0);
    if (length === 4 && start[0] === 0x50 && start[1] === 0x4b) return;
    throw fileError(
      this.path,
      start[0] === 0x80
        ? "it is no zip archive but a pickle, as PyTorch before 1.6 wrote it, expected a file saved " +
          'again by a newer PyTorch: torch.save(torch.load(path, map_location="cpu"), path)'
        : "it is no zip archive, expected a file that torch.save wrote",
    );
  }

  #readByteOrder(entry: ZipEntry | undefined): boolean {
    // PyTorch before 2.1 wrote no record, on machines that were little-endian almost without exception.
    if (entry === undefined) return false;
    const bytes = new Uint8Array(Math.min(entry.bytes, 16));
    this.#read(bytes, entry.offset);
    const order = new TextDecoder().decode(bytes);
    if (order === "little" || order === "big") return order === "big";
    throw fileError(
      this.path,
      `its byte order is ${JSON.stringify(order)}, expected "little" or "big"`,
    );
  }

  #storage(
    entry: ZipEntry | undefined,
    options: { key: string; type: StoredType; count: number; bigEndian: boolean },
  ): TorchStorage {
    const { key, type, count, bigEndian } = options;
    const name = `data/${key}`;
    if (entry === undefined) {
      throw this.#tensorError(name, "the archive has no such entry, expected a storage");
    }
    const expected = count * STORED_BYTES[type];
    if (expected > entry.bytes) {
      throw this.#tensorError(
        name,
        `it has ${entry.bytes} bytes, expected ${expected} for ${count} numbers of ${type}`,
      );
    }
    return {
      type,
      count,
      bigEndian,
      read: (target, position) => this.#read(target, entry.offset + position),
    };
  }

  #read(target: Uint8Array, position: number): void {
    if (this.#source === undefined) {
      throw new ReferenceError(
        `Cannot read file ${JSON.stringify(this.path)}: it is closed, expected an open file`,
      );
    }
    if (this.#source.read(target, position) < target.length) {
      throw fileError(this.path, "it became shorter since it was opened");
    }
  }
}
