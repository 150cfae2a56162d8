import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { CheckpointError } from "../../kernels/core/errors.ts";
import { elementsOf } from "../../kernels/core/tensor.ts";
import { TorchFile, TorchOpaque, TorchTensor } from "../../model/torch_file.ts";
import {
  type ArchiveEntry,
  type Code,
  code,
  makeArchive,
  makeTorchFile,
  type TorchFileOptions,
} from "./_write_torch_file.ts";

const FIXTURE = fileURLToPath(new URL("../fixtures/torch_checkpoint.pt", import.meta.url));

/** Asserts a CheckpointError whose message names the file and, if given, the key. */
function assertRefused(run: () => unknown, state: RegExp, key?: string): void {
  assert.throws(run, (error) => {
    assert.ok(error instanceof CheckpointError, String(error));
    assert.match(error.message, state);
    assert.match(error.message, /"bad\.pt"/);
    assert.equal(error.path, "bad.pt");
    assert.equal(error.key, key);
    if (key !== undefined) assert.ok(error.message.includes(JSON.stringify(key)));
    return true;
  });
}

function refuseFile(bytes: Uint8Array, state: RegExp, key?: string): void {
  assertRefused(() => TorchFile.from(bytes, "bad.pt"), state, key);
}

/** Asserts that a file with such a root is refused. */
function refuse(value: Code, state: RegExp, options?: TorchFileOptions & { key?: string }): void {
  refuseFile(makeTorchFile(value, options), state, options?.key);
}

/** The tensor at the root of a file made of one tensor. */
function openTensor(value: Code, options: TorchFileOptions): TorchTensor {
  const { root } = TorchFile.from(makeTorchFile(value, options));
  assert.ok(root instanceof TorchTensor);
  return root;
}

/** The first `count` numbers, divided by eight. */
function eighths(count: number): Float32Array {
  return Float32Array.from({ length: count }, (_, index) => index / 8);
}

Deno.test("TorchFile reads the tensors of a file that PyTorch wrote", () => {
  using file = TorchFile.open(FIXTURE);
  const tensors = file.stateDict({ select: "model" });
  const expected: [string, string, number[], number[]][] = [
    ["weight", "F32", [2, 3], [0, 0.25, 0.5, 0.75, 1, 1.25]],
    ["bias", "F32", [2], [-1.5, 2.5]],
    ["half", "F16", [5], [-0.5, -0.25, 0, 0.25, 0.5]],
    ["brain", "BF16", [3], [1, -2, 3.140625]],
    ["grid", "F32", [2, 3, 4], [...eighths(24)]],
    // Axis 2, then axes 0 and 1 of the same storage.
    [
      "transposed",
      "F32",
      [4, 2, 3],
      [0, 1, 2, 3].flatMap((last) => [0, 4, 8, 12, 16, 20].map((first) => (first + last) / 8)),
    ],
    ["part", "F32", [2, 2], [2, 2.25, 2.5, 2.75]],
    ["expanded", "F32", [2, 3], [7, 7, 7, 8, 8, 8]],
    ["double", "F64", [2], [0.1, -Infinity]],
    ["long", "I64", [2], [-(2 ** 40), 5]],
    ["int", "I32", [2], [-(2 ** 31), 2 ** 31]],
    ["short", "I16", [2], [-32768, 32767]],
    ["byte", "U8", [2], [0, 255]],
    ["char", "I8", [2], [-128, 127]],
    ["bool", "BOOL", [3], [1, 0, 1]],
    ["scalar", "F32", [], [3.5]],
    ["empty", "F32", [0, 4], []],
  ];
  assert.deepEqual([...tensors.keys()], expected.map(([name]) => name));
  for (const [name, dtype, shape, values] of expected) {
    const tensor = tensors.get(name)!;
    assert.equal(tensor.dtype, dtype, name);
    assert.deepEqual(tensor.shape, shape, name);
    assert.deepEqual(tensor.readFloat32(), new Float32Array(values), name);
  }
});

Deno.test("TorchFile reads the containers and scalars of a file that PyTorch wrote", () => {
  using file = TorchFile.open(FIXTURE);
  const { root } = file;
  assert.ok(root instanceof Map);
  assert.deepEqual([...root.keys()], ["model", "ema", "step", "args", "nested", "large"]);
  assert.equal(root.get("step"), 3);
  assert.deepEqual(root.get("large"), [2 ** 31, 2n ** 53n, -(2n ** 70n)]);
  assert.deepEqual(root.get("nested").slice(0, 2), [1, [2.5, [true, null, "ü"]]]);
  assert.deepEqual(root.get("nested")[2].get("deep")[0].readFloat32(), new Float32Array([1, 1]));
  assert.ok(root.get("args") instanceof TorchOpaque);
  assert.deepEqual({ ...root.get("args") }, { name: "argparse.Namespace" });
});

Deno.test("TorchFile.stateDict() prefers the moving average and strips wrappers", () => {
  using file = TorchFile.open(FIXTURE);
  const tensors = file.stateDict();
  assert.deepEqual([...tensors.keys()], ["weight", "bias"]);
  assert.deepEqual(tensors.get("weight")!.readFloat32(), new Float32Array(6).fill(0.25));
});

Deno.test("TorchFile.stateDict() names an object that it does not read", () => {
  const root = makeTorchFile(code.record({
    args: [...code.global("argparse", "Namespace"), 0x29, 0x81, ...code.record({}), 0x62],
  }));
  assertRefused(
    () => TorchFile.from(root, "bad.pt").stateDict({ select: "args" }),
    /it is an object of argparse\.Namespace, which is not read .*, expected a state dict/,
    "args",
  );
});

Deno.test("TorchFile.stateDict() selects among ema, model, network and state_dict", () => {
  const storages = { 0: new Float32Array([1]) };
  const one = code.tensor("FloatStorage", [1]);
  const names = ["state_dict", "network", "model", "ema"];
  for (let count = 1; count <= names.length; count++) {
    const root: Record<string, Code> = { memorybank: one, step: code.integer(1) };
    for (const name of names.slice(0, count)) root[name] = code.record({ [`in_${name}`]: one });
    using file = TorchFile.from(makeTorchFile(code.record(root), { storages }));
    assert.deepEqual([...file.stateDict().keys()], [`in_${names[count - 1]}`]);
    assert.deepEqual([...file.stateDict({ select: "state_dict" }).keys()], ["in_state_dict"]);
  }
  // A section that is no dict, such as None for a missing average, does not count.
  using absent = TorchFile.from(
    makeTorchFile(code.record({ ema: code.none, model: code.record({ a: one }) }), { storages }),
  );
  assert.deepEqual([...absent.stateDict().keys()], ["a"]);
  // Nothing but tensors: the root itself, even when a tensor is called model.
  using flat = TorchFile.from(
    makeTorchFile(code.record({ "model": one, "module.b": one }), { storages }),
  );
  assert.deepEqual([...flat.stateDict().keys()], ["model", "b"]);
});

Deno.test("TorchFile.stateDict() strips nested wrappers at the start of names only", () => {
  const one = code.tensor("FloatStorage", [1]);
  const names = ["module._orig_mod.a", "_orig_mod.module.module.b", "c.module.d", "modules.e", "f"];
  const storages = { 0: new Float32Array([1]) };
  using file = TorchFile.from(
    makeTorchFile(code.record(Object.fromEntries(names.map((name) => [name, one]))), { storages }),
  );
  assert.deepEqual([...file.stateDict().keys()], ["a", "b", "c.module.d", "modules.e", "f"]);
  const clash = makeTorchFile(code.record({ "a": one, "module.a": one }), { storages });
  assertRefused(
    () => TorchFile.from(clash, "bad.pt").stateDict(),
    /the name "a" is taken/,
    "module.a",
  );
});

Deno.test("TorchFile.stateDict() says what it found instead of a state dict", () => {
  const storages = { 0: new Float32Array([1]) };
  const one = code.tensor("FloatStorage", [1]);
  const state = (value: Code, select?: string): () => unknown => () =>
    TorchFile.from(makeTorchFile(value, { storages }), "bad.pt")
      .stateDict(select === undefined ? {} : { select });
  assertRefused(state(one), /it holds a tensor of shape \[1\], expected a state dict/);
  assertRefused(state(code.list(one)), /it holds a list of 1 items/);
  assertRefused(state(code.none), /it holds None/);
  for (const [count, rest] of [[20, ""], [21, " and 1 more"]] as const) {
    const keys = Array.from({ length: count }, (_, i) => `key ${i}`);
    const root = code.record(Object.fromEntries(keys.map((key) => [key, code.none])));
    assertRefused(state(root), new RegExp(`keys "key 0", .*, "key 19"${rest}, expected "ema"`));
  }
  assertRefused(state(code.record({})), /with the keys , expected "ema" or "model" or/);
  assertRefused(
    state(code.record({ a: one, step: code.integer(3) })),
    /a dict with the keys "a", "step", expected "ema" or "model"/,
  );
  assertRefused(state(code.record({ model: one }), "best"), /keys "model", expected "best"/);
  assertRefused(
    state(code.record({ ema: code.list() }), "ema"),
    /it is a list of 0 items, expected a state dict/,
    "ema",
  );
  assertRefused(
    state(code.record({ ema: code.record({ decay: code.float(0.5) }) })),
    /it is a number, expected a tensor/,
    "decay",
  );
  assertRefused(
    state(code.record({ ema: code.dict([code.integer(1), one]) })),
    /has a number as key, expected names/,
  );
});

Deno.test("TorchFile reads a plain tensor at the root, as memory banks are saved", () => {
  const bank = openTensor(code.tensor("FloatStorage", [3, 2]), { storages: { 0: eighths(6) } });
  assert.deepEqual(bank.shape, [3, 2]);
  assert.deepEqual(bank.readFloat32(), eighths(6));
});

Deno.test("TorchFile reads big-endian and little-endian files", () => {
  const types: [string, ArrayBufferView, number, number[]][] = [
    ["DoubleStorage", new Float64Array([0.1, -3]), 8, [0.1, -3]],
    ["FloatStorage", new Float32Array([1.5, -3]), 4, [1.5, -3]],
    ["HalfStorage", new Float16Array([1.5, -3]), 2, [1.5, -3]],
    ["BFloat16Storage", new Uint16Array([0x3f80, 0xc040]), 2, [1, -3]],
    ["LongStorage", new BigInt64Array([1n, -3n]), 8, [1, -3]],
    ["IntStorage", new Int32Array([1, -3]), 4, [1, -3]],
    ["ShortStorage", new Int16Array([1, -3]), 2, [1, -3]],
    ["ByteStorage", new Uint8Array([1, 253]), 1, [1, 253]],
    ["CharStorage", new Int8Array([1, -3]), 1, [1, -3]],
    ["BoolStorage", new Uint8Array([1, 0]), 1, [1, 0]],
  ];
  for (const [type, data, itemBytes, values] of types) {
    const little = new Uint8Array(data.buffer).slice();
    const big = little.slice();
    for (let start = 0; start < big.length; start += itemBytes) {
      big.subarray(start, start + itemBytes).reverse();
    }
    for (const [byteOrder, bytes] of [["little", little], ["big", big]] as const) {
      const tensor = openTensor(code.tensor(type, [2]), { storages: { 0: bytes }, byteOrder });
      assert.deepEqual(tensor.readFloat32(), new Float32Array(values), `${type} ${byteOrder}`);
    }
  }
  refuse(code.none, /its byte order is "middle", expected "little" or "big"/, {
    byteOrder: "middle",
  });
});

Deno.test("TorchFile reads views with any strides and offset of a shared storage", () => {
  const count = 2 * 3 * 4 * 5;
  const data = eighths(count + 7);
  const axes = [
    { size: 2, stride: 60 },
    { size: 3, stride: 20 },
    { size: 4, stride: 5 },
    { size: 5, stride: 1 },
  ];
  // Every order of the axes, each also with an axis of one and one that repeats.
  const orders = [[0, 1, 2, 3], [3, 2, 1, 0], [1, 0, 3, 2], [2, 3, 0, 1], [0, 2, 1, 3], [3, 1]];
  for (const order of orders) {
    const view = [
      ...order.map((axis) => axes[axis]!),
      { size: 1, stride: 999 },
      { size: 3, stride: 0 },
    ];
    for (const used of [view.slice(0, -2), view.slice(0, -1), view]) {
      const shape = used.map(({ size }) => size);
      const tensor = openTensor(
        code.tensor("FloatStorage", shape, {
          count: data.length,
          offset: 7,
          strides: used.map(({ stride }) => stride),
        }),
        { storages: { 0: data } },
      );
      const expected = used.reduce<number[]>(
        (starts, { size, stride }) =>
          starts.flatMap((start) => Array.from({ length: size }, (_, i) => start + i * stride)),
        [7],
      ).map((index) => index / 8);
      assert.deepEqual(tensor.readFloat32(), new Float32Array(expected));
    }
  }
});

Deno.test("TorchTensor.readRows() reads a part of any view", () => {
  const data = eighths(40);
  for (const strides of [[6, 2, 1], [1, 4, 12], [0, 2, 1]]) {
    const place = { count: 40, offset: 3, strides };
    const tensor = openTensor(code.tensor("FloatStorage", [4, 3, 2], place), {
      storages: { 0: data },
    });
    const whole = tensor.readFloat32();
    assert.deepEqual(tensor.readRows(1, 2), whole.slice(6, 18));
    assert.deepEqual(tensor.readRows(0, 4), whole);
    assert.deepEqual(tensor.readRows(4, 0), new Float32Array(0));
    for (const [first, count] of [[3, 2], [-1, 1], [0.5, 1], [0, NaN]] as const) {
      assert.throws(() => tensor.readRows(first, count), RangeError);
    }
  }
});

Deno.test("TorchFile reads zip64 archives, comments and entries of newer PyTorch", () => {
  const storages = { 0: eighths(4) };
  const value = code.tensor("FloatStorage", [4]);
  const more: ArchiveEntry[] = [
    { name: "archive/.format_version", content: Uint8Array.of(0x31), comment: new Uint8Array(7) },
    { name: "archive/.storage_alignment", content: Uint8Array.of(0x36, 0x34) },
    { name: "archive/.data/serialization_id", content: new Uint8Array(40).fill(0x30) },
  ];
  // A comment that itself looks like an end record must not mislead.
  const comment = Uint8Array.of(0x50, 0x4b, 5, 6, ...new Array(40).fill(0));
  for (
    const options of [
      { wide: true },
      { more },
      { comment },
      { wide: true, more, comment, byteOrder: "little" },
    ]
  ) {
    const tensor = openTensor(value, { storages, ...options });
    assert.deepEqual(tensor.readFloat32(), eighths(4));
  }
});

Deno.test("TorchFile reads the instructions of protocols 3, 4 and 5", () => {
  const stack = (module: string, name: string): Code => {
    const short = (text: string): Code => [0x8c, text.length, ...new TextEncoder().encode(text)];
    return [...short(module), 0x94, ...short(name), 0x94, 0x93, 0x94];
  };
  for (const protocol of [2, 3, 4, 5]) {
    const wide = [0x8d, 2, 0, 0, 0, 0, 0, 0, 0, 0x68, 0x69];
    const dict = [...stack("collections", "OrderedDict"), 0x29, 0x52];
    const value = [
      // FRAME of a length that the pickle has.
      ...[0x95, 10, 0, 0, 0, 0, 0, 0, 0],
      ...[0x5d, 0x94],
      ...wide,
      0x61,
      ...[...dict, ...code.text("key"), ...code.integer(-7), 0x73, 0x61],
      // BINGET of the list itself would be cyclic; the name "collections" is slot 1.
      ...[0x68, 1, 0x61],
      ...[0x6a, 2, 0, 0, 0, 0x61],
      ...[...code.integer(1), ...code.integer(2), 0x86, 0x61],
      ...[0x4e, 0x32, 0x30, 0x61],
      ...[0x28, 0x4e, 0x4e, 0x31],
    ];
    using file = TorchFile.from(makeTorchFile(value, { protocol }));
    assert.deepEqual(file.root, [
      "hi",
      new Map([["key", -7]]),
      "collections",
      "OrderedDict",
      [1, 2],
      null,
    ]);
  }
});

Deno.test("TorchFile reads a frame that ends with its pickle, and none beyond it", () => {
  const frame = (bytes: number): Code => [0x95, bytes, ...new Array(7).fill(0), 0x4e];
  // None, and the instruction that stops.
  assert.equal(TorchFile.from(makeTorchFile(frame(2), { protocol: 4 })).root, null);
  refuse(frame(3), /has a frame beyond its end/, { protocol: 4 });
});

Deno.test("TorchFile reads integers of every size", () => {
  const values = [0, 255, 256, 65535, 65536, -1, 2 ** 31 - 1, -(2 ** 31), 2 ** 31, -(2 ** 40)];
  const large = [2n ** 53n, -(2n ** 63n), 2n ** 200n];
  const limits = [2 ** 53 - 1, 1 - 2 ** 53];
  using file = TorchFile.from(
    makeTorchFile(code.list(...[...values, ...large, ...limits].map(code.integer), [0x8a, 0])),
  );
  assert.deepEqual(file.root, [...values, ...large, ...limits, 0]);
});

/** What a file holds whose dict has the value at "other", beside a tensor that is read. */
function otherThan(value: Code, protocol?: number): unknown {
  const weight = code.tensor("FloatStorage", [2]);
  const bytes = makeTorchFile(code.record({ other: value, model: code.record({ weight }) }), {
    storages: { 0: Float32Array.of(1, 2) },
    ...(protocol && { protocol }),
  });
  using file = TorchFile.from(bytes);
  assert.deepEqual(file.stateDict().get("weight")!.readFloat32(), Float32Array.of(1, 2));
  assert.ok(file.root instanceof Map);
  return file.root.get("other");
}

Deno.test("TorchFile keeps the name of what only code would make, and runs none", () => {
  const classes: [string, string][] = [
    ["posix", "system"],
    ["builtins", "eval"],
    ["torch", "load"],
    ["torch._utils", "_rebuild_tensor"],
    ["torch.storage", "_load_from_bytes"],
    ["numpy.core.multiarray", "scalar"],
    ["omegaconf.dictconfig", "DictConfig"],
    ["argparse", "Namespace"],
    ["argparse.Namespace", ""],
    ["", "collections.OrderedDict"],
    ["constructor", "prototype"],
  ];
  for (const [module, name] of classes) {
    const path = `${module}.${name}`, named = code.global(module, name);
    const stacked = [...code.text(module), ...code.text(name), 0x93];
    const attributes = [...code.record({ a: code.list() }), 0x62];
    for (
      const [value, protocol] of [
        [named],
        [code.call(module, name, code.text("echo"))],
        [[...code.call(module, name), ...attributes]],
        [[...named, ...code.tuple(), 0x81, ...attributes]],
        [[...stacked, ...code.tuple(), ...code.record({}), 0x92], 4],
        // Lists and dicts of classes of their own.
        [[...code.call(module, name), 0x28, ...code.none, 0x65]],
        [[...code.call(module, name), ...code.none, 0x61]],
        [[...code.call(module, name), 0x28, ...code.none, ...code.none, 0x75]],
        [[...code.call(module, name), ...code.none, ...code.none, 0x73]],
      ] as [Code, number?][]
    ) {
      const other = otherThan(value, protocol);
      assert.ok(other instanceof TorchOpaque, path);
      assert.equal(other.name, path);
    }
  }
  const long = otherThan(code.global("a", "b".repeat(10_000)));
  assert.equal((long as TorchOpaque).name.length, 200);
  refuse([...code.list(), ...code.text("x"), 0x93], /asks for an object without a name/, {
    protocol: 4,
  });
});

Deno.test("TorchFile passes over bytes and sets, and reads dicts with a default", () => {
  for (
    const [value, name] of [
      [[0x43, 2, 0x61, 0x62], "bytes"],
      [[0x42, 2, 0, 0, 0, 0x61, 0x62], "bytes"],
      [[0x8e, 2, 0, 0, 0, 0, 0, 0, 0, 0x61, 0x62], "bytes"],
      [[0x96, 2, 0, 0, 0, 0, 0, 0, 0, 0x61, 0x62], "bytearray"],
      [[0x8f, 0x28, ...code.none, ...code.yes, 0x90], "set"],
      [[0x28, ...code.none, 0x91], "frozenset"],
    ] as [Code, string][]
  ) {
    const other = otherThan(value, 5);
    assert.ok(other instanceof TorchOpaque, name);
    assert.equal(other.name, `builtins.${name}`);
  }
  const factory = code.global("builtins", "int");
  const counts = [...code.call("collections", "defaultdict", factory), 0x28];
  assert.deepEqual(
    otherThan([...counts, ...code.text("a"), ...code.integer(3), 0x75]),
    new Map([["a", 3]]),
  );
  refuse([...code.list(), 0x28, ...code.none, 0x90], /adds to something that is no set/, {
    protocol: 4,
  });
  refuse([0x43, 9, 0x61], /ends in the middle of an instruction/, { protocol: 4 });
});

Deno.test("TorchFile refuses known names used otherwise than PyTorch does", () => {
  const pairs = code.list(code.tuple(code.text("a"), code.none));
  refuse(code.call("collections", "OrderedDict", pairs), /calls collections\.OrderedDict/);
  refuse(code.call("torch", "FloatStorage", code.integer(4)), /calls torch\.FloatStorage/);
  refuse(code.call("torch._utils", "_rebuild_parameter", code.none), /_rebuild_parameter with/);
  refuse([...code.global("collections", "OrderedDict"), 0x4e, 0x52], /calls something that is no/);
  refuse([...code.text("f"), ...code.tuple(), 0x52], /calls something that is no function/);
  refuse([...code.call("a", "b"), ...code.tuple(), 0x52], /calls something that is no function/);
  refuse([...code.global("collections", "OrderedDict"), 0x29, 0x81], /makes an object of coll/);
  refuse([0x4e, 0x29, 0x81], /makes an object of no class/);
  refuse([...code.list(), ...code.record({}), 0x62], /sets attributes of something/);
  refuse([...code.global("argparse", "Namespace"), 0x4e, 0x62], /sets attributes of something/);
  refuse(
    [...code.storage("FloatStorage", "0", 1), 0x4e, 0x62],
    /sets attributes of something that is no object/,
    { storages: { 0: new Float32Array(1) } },
  );
});

Deno.test("TorchFile refuses values that are no checkpoint data, by kind", () => {
  for (
    const [instruction, kind] of [
      [0x97, "a buffer outside the pickle"],
      [0x82, "an object of a registered extension"],
      [0x8b, "an integer of more than 255 bytes"],
    ] as const
  ) refuse([instruction, 0, 0, 0, 0], new RegExp(`its pickle holds ${kind}, expected tensors`));
  // Instructions of protocols 0 and 1, a second PROTO, and none at all.
  for (const instruction of [0x49, 0x53, 0x69, 0x6f, 0x50, 0x64, 0x6c, 0x80, 0x00, 0xff]) {
    refuse([instruction, 2], /has the instruction 0x.., expected one that PyTorch writes/);
  }
});

Deno.test("TorchFile refuses damaged pickles", () => {
  for (const protocol of [0, 1, 6, 255]) {
    refuse(code.none, /does not begin with a protocol from 2 to 5/, { protocol });
  }
  const empty = /takes a value from an empty stack/;
  for (const value of [[], [0x30], [0x32], [0x61], [0x85], [0x52], [0x62], [0x51], [0x94]]) {
    refuse(value, empty);
  }
  // Values below a mark are out of reach.
  refuse([0x4e, 0x28, 0x30], empty);
  refuse([0x4e, 0x28], empty);
  refuse([0x74], /up to a mark that it never set/);
  refuse([0x4e, 0x4e], /leaves more than one value/);
  refuse([0x28, 0x4e, 0x28, 0x74], /leaves more than one value/);
  refuse([0x7d, 0x28, 0x4e, 0x75], /sets a key without a value/);
  refuse([...code.list(), 0x4e, 0x4e, 0x73], /sets a key of something that is no dict/);
  refuse([...code.record({}), 0x4e, 0x61], /appends to something that is no list/);
  refuse([...code.tuple(), 0x4e, 0x61], /appends to something that is no list/);
  refuse([0x29, 0x28, 0x4e, 0x65], /appends to something that is no list/);
  refuse([0x68, 3], /recalls the value 3/);
  refuse([0x58, 1, 0, 0, 0, 0xff], /string that is not UTF-8/);
  refuse([0x58, 0xff, 0xff, 0xff, 0xff], /ends in the middle of an instruction/);
  refuse([0x8d, ...new Array(8).fill(0xff)], /ends in the middle of an instruction/);
  refuse([0x95, ...new Array(8).fill(0x7f)], /has a frame beyond its end/);
  refuse([0x63, 0x61, 0x62], /ends in the middle of an instruction/);
  const whole = code.pickle(code.record({ a: code.tensor("FloatStorage", [1]) }));
  for (let length = 0; length < whole.length; length++) {
    refuseFile(
      makeArchive([
        { name: "a/data.pkl", content: whole.subarray(0, length) },
        { name: "a/data/0", content: new Uint8Array(4) },
      ]),
      /its pickle/,
    );
  }
});

Deno.test("TorchFile refuses a tensor that stands for the negatives of its numbers", () => {
  const storages = { 0: eighths(4) };
  const marked = (marks: Record<string, Code>) => code.tensor("FloatStorage", [4], { marks });
  // PyTorch writes so what torch.Tensor.imag makes of a conjugate.
  refuse(marked({ neg: code.yes }), /makes a tensor with the marks neg, expected one whose/, {
    storages,
  });
  assert.equal(openTensor(marked({}), { storages }).readFloat32().length, 4);
});

Deno.test("TorchFile refuses tensors that leave their storage", () => {
  const storages = { 0: eighths(4) };
  const tensor = (shape: number[], place: { offset?: number; strides?: number[] } = {}): Code =>
    code.tensor("FloatStorage", shape, { count: 4, ...place });
  for (
    const value of [
      tensor([5]),
      tensor([4], { offset: 1 }),
      tensor([2, 2], { strides: [3, 1] }),
      tensor([2], { strides: [2 ** 52] }),
      tensor([], { offset: 4 }),
      tensor([2 ** 31, 2 ** 31], { strides: [0, 0] }),
      tensor([2 ** 30], { strides: [0] }),
      tensor(new Array(64).fill(2), { strides: new Array(64).fill(0) }),
    ]
  ) refuse(value, /makes a tensor of shape .* expected it within the 4 elements/, { storages });
  for (
    const value of [
      tensor([-4]),
      tensor([4], { offset: -1 }),
      tensor([4], { strides: [-1] }),
      tensor([4], { strides: [1, 1] }),
      tensor(new Array(65).fill(1)),
      code.call("torch._utils", "_rebuild_tensor_v2"),
      code.call("torch._utils", "_rebuild_tensor_v2", code.none, code.integer(0)),
    ]
  ) refuse(value, /makes a tensor of something that is no storage/, { storages });
  // Empty tensors need no storage.
  const empty = openTensor(tensor([2 ** 40, 0], { offset: 9 }), { storages });
  assert.deepEqual(empty.readFloat32(), new Float32Array(0));
  const steps = openTensor(tensor([3, 0], { strides: [2 ** 20, 1] }), { storages });
  assert.deepEqual(steps.readFloat32(), new Float32Array(0));
});

Deno.test("TorchFile refuses storages that are missing, short, unknown or malformed", () => {
  refuse(code.tensor("FloatStorage", [4]), /the archive has no such entry/, { key: "data/0" });
  refuse(code.tensor("FloatStorage", [4]), /it has 15 bytes, expected 16 for 4 numbers of F32/, {
    storages: { 0: new Uint8Array(15) },
    key: "data/0",
  });
  refuse(code.tensor("FloatStorage", [1], { key: "../version" }), /no such entry/, {
    key: "data/../version",
  });
  refuse(
    code.storage("ComplexFloatStorage", "0", 1),
    /has a storage of torch\.ComplexFloatStorage, expected torch\.DoubleStorage, /,
  );
  const id = (...items: Code[]): Code => [...code.tuple(...items), 0x51];
  const type = code.global("torch", "FloatStorage");
  for (
    const value of [
      [...code.text("0"), 0x51],
      id(code.text("module"), type, code.text("0"), code.text("cpu"), code.integer(1)),
      id(code.text("storage"), type, code.integer(0), code.text("cpu"), code.integer(1)),
      id(code.text("storage"), type, code.text("0"), code.text("cpu"), code.integer(-1)),
      id(code.text("storage"), type, code.text("0"), code.text("cpu"), code.float(0.5)),
      id(code.text("storage"), type),
    ]
  ) refuse(value, /refers to something that is no storage of PyTorch/);
  refuse(
    id(code.text("storage"), code.none, code.text("0"), code.text("cpu"), code.integer(1)),
    /has a storage of no type, expected torch/,
  );
});

Deno.test("TorchFile explains files of other kinds", () => {
  // The first bytes of every file that PyTorch before 1.6 wrote: its magic number, pickled.
  const legacy = Uint8Array.of(0x80, 2, 0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8);
  // Such files often name a GPU, which the machine that saves them again need not have.
  refuseFile(
    legacy,
    /as PyTorch before 1\.6 wrote it, expected a file saved again .*, map_location="cpu"\), path\)/,
  );
  refuseFile(new Uint8Array(0), /it is no zip archive, expected a file that torch\.save wrote/);
  refuseFile(new TextEncoder().encode('{"a":1}'), /it is no zip archive/);
  const pickle = { name: "a/data.pkl", content: code.pickle(code.none) };
  refuseFile(makeArchive([]), /it has 0 entries data\.pkl/);
  refuseFile(makeArchive([{ ...pickle, name: "data.pkl" }]), /it has 0 entries data\.pkl/);
  refuseFile(makeArchive([{ ...pickle, name: "a/b/data.pkl" }]), /it has 0 entries data\.pkl/);
  refuseFile(makeArchive([pickle, { ...pickle, name: "b/data.pkl" }]), /it has 2 entries/);
  refuseFile(
    makeArchive([pickle, { ...pickle, name: "a/constants.pkl" }]),
    /it holds a TorchScript program/,
  );
  assert.throws(() => TorchFile.open("missing.pt"), CheckpointError);
});

Deno.test("TorchFile refuses damaged archives", () => {
  const pickle = { name: "a/data.pkl", content: code.pickle(code.none) };
  refuseFile(makeArchive([{ ...pickle, method: 8 }]), /"a\/data\.pkl" is compressed/);
  refuseFile(makeArchive([{ ...pickle, flags: 1 }]), /"a\/data\.pkl" is encrypted/);
  refuseFile(makeArchive([pickle, pickle]), /"a\/data\.pkl" is there twice/);
  refuseFile(makeArchive([{ ...pickle, claimedBytes: 2 ** 31 }]), /"a\/data\.pkl" ends at byte/);
  refuseFile(makeArchive([{ ...pickle, claimedOffset: 1 }]), /has no header at byte 1/);
  refuseFile(makeArchive([{ ...pickle, claimedOffset: 2 ** 31 }]), /it ends at byte/);
  refuseFile(
    makeArchive([{ ...pickle, claimedOffset: Number.MAX_SAFE_INTEGER }], { wide: true }),
    /it ends at byte/,
  );
  // A disk cannot even look for such a place.
  const path = Deno.makeTempFileSync();
  try {
    const far = { ...pickle, claimedOffset: Number.MAX_SAFE_INTEGER };
    Deno.writeFileSync(path, makeArchive([far], { wide: true }));
    assert.throws(() => TorchFile.open(path), /^CheckpointError: .* it ends at byte/);
  } finally {
    Deno.removeSync(path);
  }
  refuseFile(
    makeArchive([{ ...pickle, claimedBytes: 2 ** 60 }], { wide: true }),
    /has the number 1152921504606846976/,
  );
});

Deno.test("TorchFile takes names as they are, and refuses those that are no UTF-8", () => {
  const entry = (name: string): ArchiveEntry => ({ name, content: new Uint8Array(1) });
  const pickle = { name: "a/data.pkl", content: code.pickle(code.none) };
  // A mark of the byte order is a part of the name.
  const marked = makeArchive([pickle, entry("a/x"), entry("\ufeffa/x")]);
  assert.equal(TorchFile.from(marked).root, null);
  const broken = makeArchive([pickle, entry("a/~")])
    .map((byte) => byte === "~".charCodeAt(0) ? 0xff : byte);
  refuseFile(broken, /an entry of its directory has no name in UTF-8, expected one$/);
});

Deno.test("TorchFile refuses every truncation of a sound file", () => {
  for (const wide of [false, true]) {
    const whole = makeTorchFile(code.tensor("FloatStorage", [4]), {
      storages: { 0: eighths(4) },
      wide,
    });
    TorchFile.from(whole)[Symbol.dispose]();
    for (let length = 0; length < whole.length; length++) {
      assert.throws(() => TorchFile.from(whole.subarray(0, length)), CheckpointError);
    }
  }
});

Deno.test("TorchFile survives random damage with a CheckpointError or a sound reading", () => {
  const sound = Deno.readFileSync(FIXTURE);
  const wide = makeTorchFile(code.record({ model: code.tensor("FloatStorage", [4]) }), {
    storages: { 0: eighths(4) },
    wide: true,
  });
  let state = 1;
  let refused = 0;
  const trials = 1000;
  for (let trial = 0; trial < trials; trial++) {
    const bytes = (trial % 2 === 0 ? sound : wide).slice();
    for (let change = 0; change < 1 + trial % 4; change++) {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      bytes[Math.floor(state / 2 ** 32 * bytes.length)] = state >>> 10;
    }
    try {
      using file = TorchFile.from(bytes);
      for (const tensor of file.stateDict({ select: "model" }).values()) {
        const count = elementsOf(tensor.shape);
        assert.equal(tensor.readFloat32().length, count);
      }
    } catch (error) {
      assert.ok(error instanceof CheckpointError, (error as Error).stack);
      refused++;
    }
  }
  assert.ok(refused > trials / 10 && refused < trials, `${refused} refused`);
});

Deno.test("TorchFile reads only what is asked for, and nothing once disposed", () => {
  const folder = Deno.makeTempDirSync();
  try {
    const path = `${folder}/bad.pt`;
    Deno.writeFileSync(
      path,
      makeTorchFile(code.record({ a: code.tensor("FloatStorage", [4]) }), {
        storages: { 0: eighths(4) },
      }),
    );
    const file = TorchFile.open(path);
    const tensor = file.stateDict().get("a")!;
    Deno.truncateSync(path, 10);
    assert.throws(() => tensor.readFloat32(), /it became shorter since it was opened/);
    file[Symbol.dispose]();
    file[Symbol.dispose]();
    assert.throws(() => tensor.readFloat32(), ReferenceError);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
});
