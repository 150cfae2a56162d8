/**
 * A closed reader of the pickles that PyTorch writes: tensors, dicts, lists, tuples and scalars.
 *
 * A pickle is a program that may name any function of Python. This reader runs none: it makes tensors and
 * containers itself, and of every other object it keeps the name alone.
 *
 * @module
 */

import { fileError } from "../kernels/core/byte_source.ts";
import { isSize } from "../kernels/core/safetensors_format.ts";
import { readNumbers, STORED_BYTES, type StoredType } from "../kernels/core/stored_numbers.ts";
import { elementsOf } from "../kernels/core/tensor.ts";

/** The bytes that one or more tensors are views of. */
export interface TorchStorage {
  /** Format of the numbers. */
  readonly type: StoredType;
  /** Count of the numbers. */
  readonly count: number;
  /** Whether the bytes of a number come most significant first. */
  readonly bigEndian: boolean;
  /** Fills all of `target` with the storage's bytes from `position` on, or throws. */
  read(target: Uint8Array, position: number): void;
}

/** What {@linkcode unpickle} needs to know. */
export interface UnpickleOptions {
  /** The file, for errors. */
  readonly path: string;
  /** Finds the storage with that key and checks that it holds `count` numbers. */
  storage(key: string, type: StoredType, count: number): TorchStorage;
}

/**
 * A Python object of a checkpoint that is not read, only known by name.
 *
 * @example
 * ```ts ignore
 * import { TorchFile, type TorchOpaque } from "@gmem/gmem";
 *
 * using file = TorchFile.open("0400000.pt");
 * if (file.root instanceof Map) {
 *   const args = file.root.get("args") as TorchOpaque;
 *   console.log(args.name); // argparse.Namespace
 * }
 * ```
 */
export class TorchOpaque {
  /** Module and name of its class, such as `argparse.Namespace`. */
  readonly name: string;

  /** Stands for an object of the class `name`. */
  constructor(name: string) {
    this.name = name;
  }
}

/** A function or class that the pickle names. */
class PickleGlobal extends TorchOpaque {}

/** A storage that the pickle names, before a tensor views it. */
class PickleStorage extends TorchOpaque {
  readonly storage: TorchStorage;

  constructor(storage: TorchStorage) {
    super(`torch storage of ${storage.type}`);
    this.storage = storage;
  }
}

interface TensorPlace {
  storage: TorchStorage;
  offset: number;
  shape: readonly number[];
  strides: readonly number[];
}

/** The constructor of {@linkcode TorchTensor}, which is private: only this module makes one. */
let makeTensor: (place: TensorPlace) => TorchTensor;

/**
 * A tensor of a checkpoint; its numbers stay in the file until they are read.
 *
 * @example
 * ```ts ignore
 * import { TorchFile, type TorchTensor } from "@gmem/gmem";
 *
 * using file = TorchFile.open("memory_bank.pth");
 * const bank = file.root as TorchTensor; // [N, d]
 * const [size = 0, dim = 0] = bank.shape;
 * console.log(size, dim, bank.dtype, bank.readRows(0, 1)); // the last is the first snippet [d]
 * ```
 */
export class TorchTensor {
  static {
    makeTensor = (place) => new TorchTensor(place);
  }

  /** Format of the stored numbers. */
  readonly dtype: StoredType;
  /** Sizes, outermost first; empty for a scalar. */
  readonly shape: readonly number[];
  #place: TensorPlace;

  private constructor(place: TensorPlace) {
    this.dtype = place.storage.type;
    this.shape = place.shape;
    this.#place = place;
  }

  /**
   * Returns the elements, row-major whatever the strides in the file are, each rounded to f32.
   *
   * Throws a CheckpointError when the file cannot be read and a ReferenceError when it is closed.
   */
  readFloat32(): Float32Array {
    const { storage, offset, shape, strides } = this.#place;
    if (shape.includes(0)) return new Float32Array(0);
    // From the first element to the last, whatever lies between.
    const span = 1 + lastElement(shape, strides);
    const numbers = readNumbers(storage.type, {
      start: offset * STORED_BYTES[storage.type],
      out: new Float32Array(span),
      read: storage.read,
      bigEndian: storage.bigEndian,
    });
    return isContiguous(shape, strides) ? numbers : gather(numbers, shape, strides);
  }

  /**
   * As {@linkcode TorchTensor.readFloat32} for `count` entries of the outermost axis from the one of
   * index `first` on, for tensors that should not be in memory at once.
   *
   * Also throws a RangeError when the tensor does not have them.
   */
  readRows(first: number, count: number): Float32Array {
    const { storage, offset, strides } = this.#place;
    const [size = 0, ...rest] = this.shape;
    if (
      !Number.isInteger(first) || !Number.isInteger(count) || first < 0 || count < 0 ||
      first + count > size
    ) {
      throw new RangeError(
        `Cannot read ${count} rows from ${first} on of a tensor [${this.shape}]: expected rows within`,
      );
    }
    const place = { storage, offset: offset + first * (strides[0] ?? 0), strides };
    return makeTensor({ ...place, shape: [count, ...rest] }).readFloat32();
  }
}

/** What a checkpoint holds: a dict is a Map, a list or a tuple is an array, None is null. */
export type TorchValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | TorchTensor
  | TorchOpaque
  | readonly TorchValue[]
  | ReadonlyMap<TorchValue, TorchValue>;

/** Elements that a tensor may have beyond its storage's, by repeating them with a stride of zero. */
const MAX_REPEATED = 1 << 24;

/** The axes that a tensor of PyTorch has at most. */
const MAX_AXES = 64;

/** Letters that are kept of the name of a class. */
const MAX_NAME = 200;

const STORAGE_TYPES: ReadonlyMap<string, StoredType> = new Map([
  ["torch.DoubleStorage", "F64"],
  ["torch.FloatStorage", "F32"],
  ["torch.HalfStorage", "F16"],
  ["torch.BFloat16Storage", "BF16"],
  ["torch.LongStorage", "I64"],
  ["torch.IntStorage", "I32"],
  ["torch.ShortStorage", "I16"],
  ["torch.ByteStorage", "U8"],
  ["torch.CharStorage", "I8"],
  ["torch.BoolStorage", "BOOL"],
]);

const REBUILD_TENSOR = "torch._utils._rebuild_tensor_v2";
const REBUILD_PARAMETER = "torch._utils._rebuild_parameter";
const ORDERED_DICT = "collections.OrderedDict", DEFAULT_DICT = "collections.defaultdict";

/** What is made here, and by no other arguments than PyTorch gives. */
const KNOWN_GLOBALS: ReadonlySet<string> = new Set([
  ...STORAGE_TYPES.keys(),
  REBUILD_TENSOR,
  REBUILD_PARAMETER,
  ORDERED_DICT,
  DEFAULT_DICT,
]);

/** Instructions of protocols 2 to 5 for values that a checkpoint of tensors does not need. */
const REFUSED_INSTRUCTIONS: ReadonlyMap<number, string> = new Map([
  [0x82, "an object of a registered extension"],
  [0x83, "an object of a registered extension"],
  [0x84, "an object of a registered extension"],
  [0x8b, "an integer of more than 255 bytes"],
  [0x97, "a buffer outside the pickle"],
]);

function countElements(shape: readonly number[]): number {
  return shape.includes(0) ? 0 : elementsOf(shape);
}

function lastElement(shape: readonly number[], strides: readonly number[]): number {
  return shape.reduce((sum, size, axis) => sum + (size - 1) * strides[axis]!, 0);
}

function isContiguous(shape: readonly number[], strides: readonly number[]): boolean {
  let expected = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    if (shape[axis] !== 1 && strides[axis] !== expected) return false;
    expected *= shape[axis]!;
  }
  return true;
}

/** Copies a strided view out of `numbers` in row-major order. */
function gather(
  numbers: Float32Array,
  shape: readonly number[],
  strides: readonly number[],
): Float32Array {
  const out = new Float32Array(countElements(shape));
  const inner = shape.length - 1;
  const innerSize = shape[inner]!;
  const innerStride = strides[inner]!;
  const index = new Array<number>(shape.length).fill(0);
  let source = 0;
  for (let row = 0; row < out.length; row += innerSize) {
    for (let column = 0; column < innerSize; column++) {
      out[row + column] = numbers[source + column * innerStride]!;
    }
    // Counts up like an odometer, the last axis but one turning fastest.
    for (let axis = inner - 1; axis >= 0; axis--) {
      source += strides[axis]!;
      index[axis]!++;
      if (index[axis]! < shape[axis]!) break;
      source -= shape[axis]! * strides[axis]!;
      index[axis] = 0;
    }
  }
  return out;
}

function isSizes(value: TorchValue | undefined): value is number[] {
  return Array.isArray(value) && value.length <= MAX_AXES && value.every(isSize);
}

/**
 * Returns the value that a pickle of protocol 2, 3, 4 or 5 describes.
 *
 * Objects other than tensors, dicts, lists, tuples, numbers, strings, booleans and None become a
 * {@linkcode TorchOpaque}, without what they hold. Throws a CheckpointError for a damaged pickle, and for one that
 * uses what PyTorch writes otherwise than PyTorch does.
 */
export function unpickle(bytes: Uint8Array, options: UnpickleOptions): TorchValue {
  return new Unpickler(bytes, options).run();
}

class Unpickler {
  #bytes: Uint8Array;
  #view: DataView;
  #options: UnpickleOptions;
  #position = 0;
  #stack: TorchValue[] = [];
  /** Heights of the stack at the marks; values below the last are out of reach. */
  #marks: number[] = [];
  #memo: Map<number, TorchValue> = new Map();
  /** Tuples are arrays too, but must not grow. */
  #lists: WeakSet<readonly TorchValue[]> = new WeakSet();
  /** What instructions push, and their names in Python's pickletools. */
  readonly #values: Readonly<Record<number, () => TorchValue>> = {
    0x32: () => this.#top(), // DUP
    0x4e: () => null, // NONE
    0x88: () => true, // NEWTRUE
    0x89: () => false, // NEWFALSE
    0x4a: () => this.#view.getInt32(this.#take(4), true), // BININT
    0x4b: () => this.#view.getUint8(this.#take(1)), // BININT1
    0x4d: () => this.#view.getUint16(this.#take(2), true), // BININT2
    0x8a: () => this.#integer(this.#view.getUint8(this.#take(1))), // LONG1
    0x47: () => this.#view.getFloat64(this.#take(8), false), // BINFLOAT
    0x8c: () => this.#text(this.#view.getUint8(this.#take(1))), // SHORT_BINUNICODE
    0x58: () => this.#text(this.#view.getUint32(this.#take(4), true)), // BINUNICODE
    0x8d: () => this.#text(this.#length64()), // BINUNICODE8
    0x5d: () => this.#emptyList(), // EMPTY_LIST
    0x29: () => [], // EMPTY_TUPLE
    0x85: () => this.#tuple(1), // TUPLE1
    0x86: () => this.#tuple(2), // TUPLE2
    0x87: () => this.#tuple(3), // TUPLE3
    0x74: () => this.#popToMark(), // TUPLE
    0x7d: () => new Map(), // EMPTY_DICT
    0x68: () => this.#recall(this.#view.getUint8(this.#take(1))), // BINGET
    0x6a: () => this.#recall(this.#view.getUint32(this.#take(4), true)), // LONG_BINGET
    0x63: () => this.#global([this.#line(), this.#line()]), // GLOBAL
    0x93: () => this.#global(this.#tuple(2)), // STACK_GLOBAL
    0x51: () => this.#storage(this.#pop()), // BINPERSID
    0x52: () => this.#call(this.#tuple(2)), // REDUCE
    0x81: () => this.#create(this.#tuple(2)), // NEWOBJ
    0x92: () => this.#create(this.#tuple(3)), // NEWOBJ_EX
    0x43: () => this.#bytesOf("bytes", this.#view.getUint8(this.#take(1))), // SHORT_BINBYTES
    0x42: () => this.#bytesOf("bytes", this.#view.getUint32(this.#take(4), true)), // BINBYTES
    0x8e: () => this.#bytesOf("bytes", this.#length64()), // BINBYTES8
    0x96: () => this.#bytesOf("bytearray", this.#length64()), // BYTEARRAY8
    0x8f: () => new TorchOpaque("builtins.set"), // EMPTY_SET
    0x91: () => this.#frozenSet(), // FROZENSET
  };

  constructor(bytes: Uint8Array, options: UnpickleOptions) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#options = options;
  }

  run(): TorchValue {
    const start = this.#take(2);
    const protocol = this.#bytes[start + 1]!;
    if (this.#bytes[start] !== 0x80 || protocol < 2 || protocol > 5) {
      throw this.#error("does not begin with a protocol from 2 to 5");
    }
    while (true) {
      const instruction = this.#bytes[this.#take(1)]!;
      if (instruction === 0x2e) break;
      this.#step(instruction);
    }
    const root = this.#pop();
    if (this.#stack.length > 0 || this.#marks.length > 0) {
      throw this.#error("leaves more than one value");
    }
    return root;
  }

  /** Runs one instruction; its name in Python's pickletools is in the comment. */
  #step(instruction: number): void {
    const value = this.#values[instruction];
    if (value !== undefined) {
      this.#stack.push(value());
      return;
    }
    switch (instruction) {
      case 0x28: // MARK
        this.#marks.push(this.#stack.length);
        return;
      case 0x30: // POP
        this.#pop();
        return;
      case 0x31: // POP_MARK
        this.#popToMark();
        return;
      case 0x61: // APPEND
        return this.#append([this.#pop()]);
      case 0x65: // APPENDS
        return this.#append(this.#popToMark());
      case 0x73: // SETITEM
        return this.#setItems(this.#tuple(2));
      case 0x75: // SETITEMS
        return this.#setItems(this.#popToMark());
      case 0x90: // ADDITEMS
        this.#popToMark();
        if (!isObject(this.#top())) throw this.#error("adds to something that is no set");
        return;
      case 0x71: // BINPUT
        this.#memo.set(this.#view.getUint8(this.#take(1)), this.#top());
        return;
      case 0x72: // LONG_BINPUT
        this.#memo.set(this.#view.getUint32(this.#take(4), true), this.#top());
        return;
      case 0x94: // MEMOIZE
        this.#memo.set(this.#memo.size, this.#top());
        return;
      case 0x95: // FRAME
        if (this.#length64() > this.#bytes.length - this.#position) {
          throw this.#error("has a frame beyond its end");
        }
        return;
      case 0x62: { // BUILD
        // Attributes of a state dict, which are its versions, or of an object that is known by its name alone.
        this.#pop();
        const target = this.#top();
        if (target instanceof Map || isObject(target)) return;
        throw this.#error("sets attributes of something that is no object");
      }
    }
    const refused = REFUSED_INSTRUCTIONS.get(instruction);
    throw this.#error(
      refused === undefined
        ? `has the instruction 0x${instruction.toString(16).padStart(2, "0")}, expected one that ` +
          "PyTorch writes"
        : `holds ${refused}, expected tensors, dicts, lists, tuples, numbers, strings, booleans ` +
          "and None",
    );
  }

  #error(state: string): Error {
    return fileError(this.#options.path, `its pickle ${state} (before byte ${this.#position})`);
  }

  #take(count: number): number {
    const start = this.#position;
    if (count > this.#bytes.length - start) {
      throw this.#error("ends in the middle of an instruction");
    }
    this.#position += count;
    return start;
  }

  #length64(): number {
    // Inexact above 2^53, where it is beyond the end either way.
    return Number(this.#view.getBigUint64(this.#take(8), true));
  }

  #text(length: number): string {
    const start = this.#take(length);
    try {
      return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(
        this.#bytes.subarray(start, this.#position),
      );
    } catch {
      throw this.#error("has a string that is not UTF-8");
    }
  }

  #line(): string {
    const end = this.#bytes.indexOf(0x0a, this.#position);
    const text = this.#text((end === -1 ? this.#bytes.length : end) - this.#position);
    this.#take(1);
    return text;
  }

  /** A little-endian integer in two's complement. */
  #integer(length: number): number | bigint {
    const start = this.#take(length);
    let value = 0n;
    for (let index = length - 1; index >= 0; index--) {
      value = value << 8n | BigInt(this.#bytes[start + index]!);
    }
    value = BigInt.asIntN(8 * length, value);
    return Number.isSafeInteger(Number(value)) ? Number(value) : value;
  }

  #top(): TorchValue {
    if (this.#stack.length <= (this.#marks.at(-1) ?? 0)) {
      throw this.#error("takes a value from an empty stack");
    }
    return this.#stack.at(-1)!;
  }

  #pop(): TorchValue {
    const value = this.#top();
    this.#stack.pop();
    return value;
  }

  #popToMark(): TorchValue[] {
    const start = this.#marks.pop();
    if (start === undefined) throw this.#error("takes values up to a mark that it never set");
    return this.#stack.splice(start);
  }

  #recall(slot: number): TorchValue {
    const value = this.#memo.get(slot);
    if (value === undefined) throw this.#error(`recalls the value ${slot}, which it never kept`);
    return value;
  }

  #emptyList(): TorchValue[] {
    const list: TorchValue[] = [];
    this.#lists.add(list);
    return list;
  }

  #tuple(length: number): TorchValue[] {
    const values: TorchValue[] = [];
    for (let index = 0; index < length; index++) values.unshift(this.#pop());
    return values;
  }

  #append(values: readonly TorchValue[]): void {
    const list = this.#top();
    if (isObject(list)) return;
    if (!Array.isArray(list) || !this.#lists.has(list)) {
      throw this.#error("appends to something that is no list");
    }
    for (const value of values) list.push(value);
  }

  #setItems(values: readonly TorchValue[]): void {
    if (values.length % 2 !== 0) throw this.#error("sets a key without a value");
    const dict = this.#top();
    if (isObject(dict)) return;
    if (!(dict instanceof Map)) throw this.#error("sets a key of something that is no dict");
    for (let index = 0; index < values.length; index += 2) {
      dict.set(values[index]!, values[index + 1]!);
    }
  }

  #bytesOf(kind: "bytes" | "bytearray", length: number): TorchOpaque {
    this.#take(length);
    return new TorchOpaque(`builtins.${kind}`);
  }

  #frozenSet(): TorchOpaque {
    this.#popToMark();
    return new TorchOpaque("builtins.frozenset");
  }

  #global([module, name]: readonly TorchValue[]): TorchValue {
    if (typeof module !== "string" || typeof name !== "string") {
      throw this.#error("asks for an object without a name");
    }
    return new PickleGlobal(`${module}.${name}`.slice(0, MAX_NAME));
  }

  /** Handles the persistent id ("storage", class, key, device, count). */
  #storage(id: TorchValue): TorchValue {
    const [kind, type, key, , count] = Array.isArray(id) ? id as TorchValue[] : [];
    const stored = type instanceof PickleGlobal ? STORAGE_TYPES.get(type.name) : undefined;
    if (kind !== "storage" || typeof key !== "string" || !isSize(count)) {
      throw this.#error("refers to something that is no storage of PyTorch");
    }
    if (stored === undefined) {
      const name = type instanceof PickleGlobal ? type.name : "no type";
      throw this.#error(
        `has a storage of ${name}, expected ${[...STORAGE_TYPES.keys()].join(", ")}`,
      );
    }
    return new PickleStorage(this.#options.storage(key, stored, count));
  }

  #call([target, values]: readonly TorchValue[]): TorchValue {
    if (target instanceof PickleGlobal && Array.isArray(values)) {
      if (target.name === ORDERED_DICT && values.length === 0) return new Map();
      // What it gives for keys that it lacks is of no interest.
      if (target.name === DEFAULT_DICT) return new Map();
      if (target.name === REBUILD_TENSOR) return this.#rebuildTensor(values);
      if (target.name === REBUILD_PARAMETER && values[0] instanceof TorchTensor) return values[0];
      if (!KNOWN_GLOBALS.has(target.name)) return new TorchOpaque(target.name);
      throw this.#error(`calls ${target.name} with arguments that PyTorch does not give it`);
    }
    throw this.#error("calls something that is no function");
  }

  #create([target]: readonly TorchValue[]): TorchValue {
    const name = target instanceof PickleGlobal ? target.name : "no class";
    if (target instanceof PickleGlobal && !KNOWN_GLOBALS.has(name)) return new TorchOpaque(name);
    throw this.#error(`makes an object of ${name}, expected one that PyTorch makes so`);
  }

  /**
   * Handles (storage, offset, shape, strides, …, marks); what stands between concerns gradients only. A mark says
   * that the numbers are the negatives of those stored.
   */
  #rebuildTensor(values: readonly TorchValue[]): TorchTensor {
    const [holder, offset, shape, strides, , , marks] = values;
    if (
      !(holder instanceof PickleStorage) || !isSize(offset) || !isSizes(shape) ||
      !isSizes(strides) || shape.length !== strides.length
    ) {
      throw this.#error(
        "makes a tensor of something that is no storage, offset, shape and strides",
      );
    }
    if (marks instanceof Map && marks.size > 0) {
      throw this.#error(
        `makes a tensor with the marks ${[...marks.keys()].join(", ")}, ` +
          "expected one whose numbers are stored as they are",
      );
    }
    const { storage } = holder;
    const count = countElements(shape);
    const end = count === 0 ? 0 : offset + lastElement(shape, strides) + 1;
    if (end > storage.count || count > storage.count + MAX_REPEATED) {
      throw this.#error(
        `makes a tensor of shape [${shape}] with strides [${strides}] at element ${offset}, ` +
          `expected it within the ${storage.count} elements of its storage`,
      );
    }
    return makeTensor({ storage, offset, shape: [...shape], strides: [...strides] });
  }
}

/** Whether a value stands for an object that is known by its name alone. */
function isObject(value: TorchValue): boolean {
  return value instanceof TorchOpaque && !(value instanceof PickleGlobal) &&
    !(value instanceof PickleStorage);
}
