import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { CheckpointError } from "../../../kernels/core/errors.ts";
import { SafetensorsFile } from "../../../kernels/core/safetensors.ts";
import {
  type SafetensorsTensor,
  SafetensorsWriter,
  writeSafetensors,
} from "../../../kernels/core/safetensors_writer.ts";
import { onFullDisk, withWrites } from "../../_disk.ts";

/** A whole file from a header, as text, bytes or a value to serialise, and the tensors' bytes. */
function makeFile(header: unknown, data: Uint8Array = new Uint8Array(0)): Uint8Array {
  const bytes = header instanceof Uint8Array
    ? header
    : new TextEncoder().encode(typeof header === "string" ? header : JSON.stringify(header));
  const file = new Uint8Array(8 + bytes.length + data.length);
  new DataView(file.buffer).setBigUint64(0, BigInt(bytes.length), true);
  file.set(bytes, 8);
  file.set(data, 8 + bytes.length);
  return file;
}

/** Asserts a CheckpointError whose message and fields name the file and, if given, the key. */
function assertRefused(
  run: () => unknown,
  expected: { state: RegExp; key?: string; path?: string },
): void {
  const path = expected.path ?? "bad.safetensors";
  assert.throws(run, (error) => {
    assert.ok(error instanceof CheckpointError, String(error));
    assert.match(error.message, expected.state);
    assert.ok(error.message.includes(JSON.stringify(path)), error.message);
    assert.equal(error.path, path);
    assert.equal(error.key, expected.key);
    if (expected.key !== undefined) assert.ok(error.message.includes(JSON.stringify(expected.key)));
    return true;
  });
}

function refuse(bytes: Uint8Array, expected: { state: RegExp; key?: string }): void {
  assertRefused(() => SafetensorsFile.from(bytes, "bad.safetensors"), expected);
}

function entry(dtype: unknown, shape: unknown, offsets: unknown): Record<string, unknown> {
  return { dtype, shape, data_offsets: offsets };
}

function bytesOf(data: ArrayBufferView): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

function withFolder(run: (folder: string) => void): void {
  const folder = Deno.makeTempDirSync();
  try {
    run(folder);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

function listFolder(folder: string): string[] {
  return [...Deno.readDirSync(folder)].map(({ name }) => name).sort();
}

const EIGHT = Uint8Array.from({ length: 8 }, (_, index) => index + 1);

Deno.test("SafetensorsFile reads the example of the format's description", () => {
  const data = new Uint8Array(12);
  new DataView(data.buffer).setUint16(0, 0x3c00, true);
  new DataView(data.buffer).setUint16(2, 0xc100, true);
  new DataView(data.buffer).setFloat64(4, 0.1, true);
  const bytes = makeFile(
    {
      __metadata__: { format: "pt" },
      half: entry("F16", [1, 2], [0, 4]),
      "nested.name": entry("F64", [], [4, 12]),
    },
    data,
  );
  using file = SafetensorsFile.from(bytes, "example");
  assert.equal(file.path, "example");
  assert.deepEqual(file.metadata, { format: "pt" });
  assert.deepEqual(file.keys(), ["half", "nested.name"]);
  assert.equal(file.has("half"), true);
  assert.equal(file.has("toString"), false);
  assert.deepEqual(file.entry("half"), {
    dtype: "F16",
    shape: [1, 2],
    offset: bytes.length - 12,
    bytes: 4,
  });
  assert.deepEqual(file.readFloat32("half"), new Float32Array([1, -2.5]));
  assert.deepEqual(file.readFloat64("nested.name"), new Float64Array([0.1]));
  assert.deepEqual(file.readFloat32("nested.name"), new Float32Array([0.1]));
  assert.deepEqual(file.readBytes("half"), data.slice(0, 4));
});

Deno.test("SafetensorsFile converts every dtype, edges included", () => {
  const cases: [string, ArrayBufferView, number[]][] = [
    ["F64", new Float64Array([0.1, -Infinity, NaN, 5e-324]), [0.1, -Infinity, NaN, 5e-324]],
    ["F32", new Float32Array([1.5, 1e-45]), [1.5, 2 ** -149]],
    // Smallest subnormal, largest finite, minus infinity, minus zero.
    ["F16", new Uint16Array([1, 0x7bff, 0xfc00, 0x8000]), [2 ** -24, 65504, -Infinity, -0]],
    // One, minus two, the largest finite, infinity, a NaN.
    [
      "BF16",
      new Uint16Array([0x3f80, 0xc000, 0x7f7f, 0x7f80, 0x7fc0]),
      [1, -2, 255 * 2 ** 120, Infinity, NaN],
    ],
    ["I64", new BigInt64Array([-(2n ** 53n), 2n ** 53n - 1n]), [-(2 ** 53), 2 ** 53 - 1]],
    ["I32", new Int32Array([-(2 ** 31), 2 ** 31 - 1]), [-(2 ** 31), 2 ** 31 - 1]],
    ["U32", new Uint32Array([2 ** 32 - 1]), [2 ** 32 - 1]],
    ["U8", new Uint8Array([0, 255]), [0, 255]],
    ["I8", new Int8Array([-128, 127]), [-128, 127]],
    ["BOOL", new Uint8Array([0, 1, 2]), [0, 1, 1]],
  ];
  for (const [dtype, data, expected] of cases) {
    const bytes = makeFile(
      { x: entry(dtype, [expected.length], [0, data.byteLength]) },
      bytesOf(data),
    );
    using file = SafetensorsFile.from(bytes);
    assert.deepEqual(file.readFloat64("x"), new Float64Array(expected), dtype);
    assert.deepEqual(file.readFloat32("x"), new Float32Array(expected), dtype);
    assert.deepEqual(file.readBytes("x"), bytesOf(data), dtype);
    assert.deepEqual(
      file.readRange("x", expected.length - 1, 1),
      new Float32Array(expected.slice(-1)),
    );
  }
});

Deno.test("SafetensorsFile reads tensors at unaligned places", () => {
  const data = new Uint8Array(9);
  data.set(bytesOf(new Float64Array([Math.PI])), 1);
  for (const padding of ["", " ", "  ", "   "]) {
    const header = `{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},` +
      `"b":{"dtype":"F64","shape":[1],"data_offsets":[1,9]}}${padding}`;
    using file = SafetensorsFile.from(makeFile(header, data));
    assert.deepEqual(file.readFloat64("b"), new Float64Array([Math.PI]));
  }
});

Deno.test("SafetensorsFile reads files without tensors and tensors without elements", () => {
  using empty = SafetensorsFile.from(makeFile("{}"));
  assert.deepEqual(empty.keys(), []);
  assert.deepEqual(empty.metadata, {});
  using file = SafetensorsFile.from(
    makeFile({
      a: entry("F32", [0, 2 ** 52], [0, 0]),
      b: entry("U8", [8], [0, 8]),
      c: entry("BF16", [3, 0], [8, 8]),
      // The other sizes multiply to infinity.
      d: entry("F32", [...Array(20).fill(2 ** 52), 0], [8, 8]),
    }, EIGHT),
  );
  assert.deepEqual(file.readFloat32("a"), new Float32Array(0));
  for (const key of ["c", "d"]) assert.deepEqual(file.readFloat32(key), new Float32Array(0));
  assert.deepEqual(file.readRange("b", 8, 0), new Float32Array(0));
});

Deno.test("SafetensorsFile keeps names that JavaScript objects treat specially", () => {
  const names = ["__proto__", "constructor", "10", "2", "", 'quo"te', "ü\ud83d\ude00"];
  const header = `{${
    names.map((name, index) =>
      `${JSON.stringify(name)}:{"dtype":"U8","shape":[1],"data_offsets":[${index},${index + 1}]}`
    ).join(",")
  }}`;
  using file = SafetensorsFile.from(makeFile(header, EIGHT.slice(0, names.length)));
  assert.deepEqual(file.keys().sort(), [...names].sort());
  names.forEach((name, index) => assert.equal(file.readIntegers(name)[0], index + 1));
});

Deno.test("SafetensorsFile refuses a truncated length", () => {
  for (const length of [0, 1, 7]) {
    refuse(new Uint8Array(length), { state: new RegExp(`it has ${length} bytes, expected 8`) });
  }
});

Deno.test("SafetensorsFile refuses a header that is longer than the file or than the limit", () => {
  const file = makeFile("{}");
  const view = new DataView(file.buffer);
  view.setBigUint64(0, 3n, true);
  refuse(file, {
    state: /it is cut short or .*: its header has 3 bytes, expected at most the 2 that follow/,
  });
  view.setBigUint64(0, 100_000_000n, true);
  refuse(file, { state: /its header has 100000000 bytes, expected at most the 2 that follow/ });
  for (const length of [100_000_001n, 2n ** 32n, 2n ** 53n + 1n, 2n ** 64n - 1n]) {
    view.setBigUint64(0, length, true);
    refuse(file, {
      state: new RegExp(`no safetensors file: .* ${length} bytes, expected at most 100000000$`),
    });
  }
});

Deno.test("SafetensorsFile refuses headers that are not a JSON object in UTF-8", () => {
  for (const text of ["", "{", '{"a":}', "{}{}", "{'a':1}", "\ufeff{}", "\0", "{}\0"]) {
    refuse(makeFile(text), { state: /its header is not JSON in UTF-8/ });
  }
  refuse(makeFile(Uint8Array.of(0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d)), {
    state: /its header is not JSON in UTF-8/,
  });
  for (const text of ["[]", "null", "3", '"{}"', " {}"]) {
    refuse(makeFile(text), { state: /expected a JSON object/ });
  }
  refuse(makeFile("[".repeat(1_000_000)), { state: /its header is not JSON/ });
});

Deno.test("SafetensorsFile refuses duplicate keys, however they are spelled", () => {
  const one = '{"dtype":"U8","shape":[8],"data_offsets":[0,8]}';
  refuse(makeFile(`{"a":${one},"a":${one}}`, EIGHT), { state: /that key twice/, key: "a" });
  refuse(makeFile(`{"a":${one},"\\u0061" :${one}}`, EIGHT), { state: /that key twice/, key: "a" });
  refuse(makeFile(`{"a\\"":${one},"a\\u0022"\t:${one}}`, EIGHT), {
    state: /Cannot read tensor "a\\""/,
    key: 'a"',
  });
  refuse(makeFile('{"__metadata__":{"k":"1","k":"2"}}'), { state: /that key twice/, key: "k" });
  refuse(makeFile('{"a":{"dtype":"U8","dtype":"U8","shape":[],"data_offsets":[0,1]}}'), {
    state: /that key twice/,
    key: "dtype",
  });
  // The same text as a value, in another object, or inside a string is not a duplicate.
  using file = SafetensorsFile.from(
    makeFile(`{"__metadata__":{"a":"a","b":"{\\"a\\":1,\\"a\\":2}\\\\"},"a":${one}}`, EIGHT),
  );
  assert.deepEqual(file.keys(), ["a"]);
});

Deno.test("SafetensorsFile refuses metadata that is not text", () => {
  for (const value of [null, [], "text", 3]) {
    refuse(makeFile({ __metadata__: value }), { state: /object of strings/ });
  }
  refuse(makeFile({ __metadata__: { epoch: 3 } }), { state: /"epoch" is 3/, key: "epoch" });
  refuse(makeFile({ __metadata__: { a: { b: "c" } } }), { state: /is \{"b":"c"\}/, key: "a" });
});

Deno.test("SafetensorsFile refuses entries with missing or mistyped fields", () => {
  for (const value of [null, 3, "F32", [], true]) {
    refuse(makeFile({ a: value }), { state: /its entry is .*, expected an object/, key: "a" });
  }
  for (const dtype of [undefined, null, 4, "f32", "F8_E4M3", "C64", "toString", ["F32"]]) {
    refuse(makeFile({ a: entry(dtype, [8], [0, 8]) }, EIGHT), {
      state: /its dtype is .*, expected one of F64, I64/,
      key: "a",
    });
  }
  for (const shape of [undefined, null, 8, "8", [-8], [8.5], ["8"], [[8]], [2 ** 53], [null]]) {
    refuse(makeFile({ a: entry("U8", shape, [0, 8]) }, EIGHT), {
      state: /its shape is .*, expected sizes/,
      key: "a",
    });
  }
  for (
    const offsets of [undefined, null, 8, [], [8], [0, 4, 8], ["0", "8"], [0.5, 8], [0, 2 ** 53]]
  ) {
    refuse(makeFile({ a: entry("U8", [8], offsets) }, EIGHT), {
      state: /its offsets are .*, expected a first and an end/,
      key: "a",
    });
  }
});

Deno.test("SafetensorsFile refuses offsets that are negative, reversed or out of range", () => {
  for (const offsets of [[-1, 7], [-8, 0], [0, -1]]) {
    refuse(makeFile({ a: entry("U8", [8], offsets) }, EIGHT), {
      state: /its offsets are .*, expected a first and an end/,
      key: "a",
    });
  }
  refuse(makeFile({ a: entry("U8", [8], [8, 0]) }, EIGHT), {
    state: /its offsets are \[8,0\], expected them in order/,
    key: "a",
  });
  for (const offsets of [[0, 9], [8, 16], [2 ** 53 - 2, 2 ** 53 - 1]]) {
    refuse(makeFile({ a: entry("U8", [8], offsets) }, EIGHT), {
      state: new RegExp(`it ends at byte ${offsets[1]} of 8 bytes of data: the file is cut short`),
      key: "a",
    });
  }
});

Deno.test("SafetensorsFile refuses shapes whose bytes differ from the offsets", () => {
  for (
    const [dtype, shape] of [
      ["F32", [1]],
      ["F32", [3]],
      ["F64", []],
      ["F64", [0]],
      ["BF16", [2, 3]],
      // 2^64 + 8 bytes, were the product taken modulo 2^64 it would be 8.
      ["U8", [2 ** 32, 2 ** 32]],
      ["U8", Array(2000).fill(2 ** 52)],
    ] as const
  ) {
    const size = dtype === "F64" && shape.length === 0 ? 4 : 8;
    refuse(makeFile({ a: entry(dtype, shape, [0, size]) }, EIGHT.slice(0, size)), {
      state: new RegExp(`takes \\S+ bytes, expected the ${size} between its offsets`),
      key: "a",
    });
  }
});

Deno.test("SafetensorsFile refuses overlaps, gaps, truncated data and trailing bytes", () => {
  refuse(makeFile({ a: entry("U8", [5], [0, 5]), b: entry("U8", [4], [4, 8]) }, EIGHT), {
    state: /overlaps the tensor before/,
    key: "b",
  });
  refuse(makeFile({ a: entry("U8", [8], [0, 8]), b: entry("U8", [8], [0, 8]) }, EIGHT), {
    state: /overlaps the tensor before/,
    key: "b",
  });
  refuse(makeFile({ a: entry("U8", [8], [0, 8]), b: entry("U8", [0], [4, 4]) }, EIGHT), {
    state: /overlaps the tensor before/,
    key: "b",
  });
  refuse(makeFile({ a: entry("U8", [3], [0, 3]), b: entry("U8", [4], [4, 8]) }, EIGHT), {
    state: /leaves a gap after the tensor before/,
    key: "b",
  });
  refuse(makeFile({ a: entry("U8", [7], [1, 8]) }, EIGHT), { state: /leaves a gap/, key: "a" });
  const whole = makeFile({ a: entry("U8", [8], [0, 8]) }, EIGHT);
  refuse(whole.subarray(0, whole.length - 1), {
    state: /it ends at byte 8 of 7 bytes of data/,
    key: "a",
  });
  refuse(Uint8Array.of(...whole, 0), { state: /1 bytes follow the last tensor/ });
  refuse(makeFile("{}", EIGHT), { state: /8 bytes follow the last tensor/ });
});

Deno.test("SafetensorsFile refuses every truncation of a sound file", () => {
  const whole = makeFile({
    __metadata__: { a: "b" },
    x: entry("F32", [1], [0, 4]),
    y: entry("I8", [2, 2], [4, 8]),
  }, EIGHT);
  SafetensorsFile.from(whole)[Symbol.dispose]();
  for (let length = 0; length < whole.length; length++) {
    assert.throws(() => SafetensorsFile.from(whole.subarray(0, length)), CheckpointError);
  }
});

Deno.test("SafetensorsFile survives random damage with a CheckpointError or a sound header", () => {
  const whole = makeFile({ x: entry("F32", [1], [0, 4]), y: entry("I8", [2, 2], [4, 8]) }, EIGHT);
  let state = 12345;
  let refused = 0;
  for (let trial = 0; trial < 3000; trial++) {
    const bytes = whole.slice();
    for (let change = 0; change < 1 + trial % 3; change++) {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      bytes[(state >>> 8) % bytes.length] = state >>> 24;
    }
    try {
      using file = SafetensorsFile.from(bytes);
      for (const key of file.keys()) {
        assert.equal(file.readBytes(key).length, file.entry(key).bytes);
        file.readFloat32(key);
      }
    } catch (error) {
      assert.ok(error instanceof CheckpointError, String(error));
      refused++;
    }
  }
  assert.ok(refused > 1000 && refused < 3000, `${refused} refused`);
});

Deno.test("SafetensorsFile names the missing tensor, and refuses to read when disposed", () => {
  const file = SafetensorsFile.from(makeFile({ a: entry("U8", [8], [0, 8]) }, EIGHT), "f");
  for (const run of [() => file.entry("b"), () => file.readFloat32("b")]) {
    assertRefused(run, { state: /1 tensors and none of that name/, key: "b", path: "f" });
  }
  file[Symbol.dispose]();
  file[Symbol.dispose]();
  assert.throws(() => file.readBytes("a"), /the file is closed/);
});

Deno.test("SafetensorsFile.readIntegers() refuses floats and inexact 64-bit integers", () => {
  const read = (dtype: string, data: ArrayBufferView, shape: number[]): Float64Array =>
    SafetensorsFile.from(
      makeFile({ a: entry(dtype, shape, [0, data.byteLength]) }, bytesOf(data)),
      "bad.safetensors",
    ).readIntegers("a");
  assert.deepEqual(
    read("I64", new BigInt64Array([2n ** 53n - 1n, 1n - 2n ** 53n]), [2]),
    new Float64Array([2 ** 53 - 1, 1 - 2 ** 53]),
  );
  for (const value of [2n ** 53n, 2n ** 53n + 1n, -(2n ** 63n)]) {
    assertRefused(() => read("I64", new BigInt64Array([0n, value]), [2]), {
      state: /its element 1 is about/,
      key: "a",
    });
  }
  for (const [dtype, bytes] of [["F64", 8], ["F32", 4], ["F16", 2], ["BF16", 2]] as const) {
    assertRefused(() => read(dtype, new Uint8Array(bytes), [1]), {
      state: new RegExp(`its dtype is ${dtype}, expected integers`),
      key: "a",
    });
  }
});

Deno.test("SafetensorsFile.readRange() equals the slice of the whole across chunks", () => {
  const count = 600_001;
  // Of a period that no power of two has: numbers of another chunk are others.
  const halves = new Float16Array(count).map((_, index) => index % 2039);
  using file = SafetensorsFile.from(
    makeFile({ x: entry("F16", [count], [0, 2 * count]) }, bytesOf(halves)),
  );
  const whole = file.readFloat32("x");
  assert.ok(whole.every((value, index) => value === halves[index]));
  for (const [first, length] of [[0, 1], [262_143, 2], [5, 524_288], [600_000, 1]] as const) {
    assert.deepEqual(file.readRange("x", first, length), whole.slice(first, first + length));
    const out = new Float32Array(length + 2).fill(-1);
    file.readRangeInto("x", first, out.subarray(1, 1 + length));
    assert.deepEqual(out.subarray(1, -1), whole.subarray(first, first + length));
    assert.deepEqual([out[0], out.at(-1)], [-1, -1]);
  }
  for (
    const [first, length] of [[-1, 1], [0, count + 1], [count, 1], [0.5, 1], [0, NaN]] as const
  ) {
    assert.throws(() => file.readRange("x", first, length), RangeError);
  }
  assert.throws(() => file.readRangeInto("x", count, new Float32Array(1)), RangeError);
});

Deno.test("SafetensorsFile.open() refuses what is not a regular file", () => {
  withFolder((folder) => {
    const cases = [[`${folder}/missing`, /no such file/], [folder, /it is a folder/]] as const;
    for (const [path, state] of cases) {
      assertRefused(() => SafetensorsFile.open(path), { state, path });
    }
    assert.throws(
      () => SafetensorsFile.open(`${folder}/missing`),
      ({ cause }) => cause instanceof Deno.errors.NotFound,
    );
    const path = `${folder}/short`;
    Deno.writeFileSync(path, new Uint8Array(3));
    assertRefused(() => SafetensorsFile.open(path), { state: /it has 3 bytes/, path });
    assert.throws(() => SafetensorsFile.open(path), (error: Error) => !("cause" in error));
  });
});

Deno.test("SafetensorsFile reports a file that shrinks after it was opened", () => {
  withFolder((folder) => {
    const path = `${folder}/a.safetensors`;
    writeSafetensors(path, [["x", { dtype: "U8", shape: [8], data: EIGHT }]]);
    using file = SafetensorsFile.open(path);
    Deno.truncateSync(path, Deno.statSync(path).size - 1);
    assertRefused(() => file.readFloat32("x"), { state: /became shorter/, key: "x", path });
  });
});

Deno.test("writeSafetensors() writes what SafetensorsFile reads back", () => {
  withFolder((folder) => {
    const path = `${folder}/all.safetensors`;
    const buffer = new Float32Array([9, 1, 2, 3, 4, 9]);
    const tensors: [string, SafetensorsTensor][] = [
      ["bytes", { dtype: "U8", shape: [3], data: Uint8Array.of(1, 2, 3) }],
      ["half", { dtype: "BF16", shape: [1, 1], data: new Uint16Array([0x3f80]) }],
      ["rounded", { dtype: "F16", shape: [3], data: Float16Array.of(1 / 3, 65504, 1e5) }],
      ["slice", { dtype: "F32", shape: [2, 2], data: buffer.subarray(1, 5) }],
      ["wide", { dtype: "I64", shape: [1], data: new BigInt64Array([-5n]) }],
      ["scalar", { dtype: "F64", shape: [], data: new Float64Array([0.1]) }],
      ["none", { dtype: "F32", shape: [0, 4], data: new Float32Array(0) }],
      ["__proto__", { dtype: "I8", shape: [1], data: Int8Array.of(-1) }],
    ];
    const metadata = { "encoder": "dinov2", "ü": '"quoted"' };
    writeSafetensors(path, new Map(tensors), { metadata });
    assert.deepEqual(listFolder(folder), ["all.safetensors"]);
    assert.equal(Object.isFrozen(metadata), false);
    using file = SafetensorsFile.open(path);
    assert.deepEqual(file.metadata, metadata);
    // Larger types first, declared order among equals.
    assert.deepEqual(file.keys(), [
      "wide",
      "scalar",
      "slice",
      "none",
      "half",
      "rounded",
      "bytes",
      "__proto__",
    ]);
    assert.deepEqual([...file.readFloat32("rounded")], [0.333251953125, 65504, Infinity]);
    for (const [key, { dtype, shape, data }] of tensors) {
      const { offset, ...rest } = file.entry(key);
      assert.deepEqual(rest, { dtype, shape, bytes: data.byteLength });
      assert.equal(
        offset % ({ F64: 8, I64: 8, F32: 4, BF16: 2, F16: 2 }[dtype as string] ?? 1),
        0,
        key,
      );
      assert.deepEqual(file.readBytes(key), bytesOf(data).slice());
    }
    assert.equal(file.entry("wide").offset % 8, 0);
  });
});

Deno.test("writeSafetensors() gives the exact bytes of the format", () => {
  withFolder((folder) => {
    const path = `${folder}/x`;
    writeSafetensors(path, [["x", { dtype: "U8", shape: [2], data: Uint8Array.of(7, 8) }]]);
    const header = '{"x":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}   ';
    assert.equal(header.length % 8, 0);
    assert.deepEqual(Deno.readFileSync(path), makeFile(header, Uint8Array.of(7, 8)));
  });
});

Deno.test("writeSafetensors() refuses unsound tensors and leaves the old file alone", () => {
  withFolder((folder) => {
    const path = `${folder}/kept.safetensors`;
    Deno.writeTextFileSync(path, "old");
    const data = new Float32Array(4);
    const refuseWrite = (
      tensors: [string, unknown][],
      expected: { state: RegExp; key: string },
    ): void =>
      assertRefused(() => writeSafetensors(path, tensors as [string, SafetensorsTensor][]), {
        ...expected,
        path,
      });
    refuseWrite([["a", { dtype: "F32", shape: [5], data }]], {
      state: /it has 16 bytes, expected 20 for the shape \[5\] of F32/,
      key: "a",
    });
    refuseWrite([["a", { dtype: "F32", shape: [3], data }]], {
      state: /it would have 16 bytes, expected 12/,
      key: "a",
    });
    const sound = { dtype: "F32", shape: [4], data };
    refuseWrite([["a", sound], ["a", sound]], { state: /declared twice/, key: "a" });
    refuseWrite([["__metadata__", sound]], { state: /for itself/, key: "__metadata__" });
    refuseWrite([["a", { ...sound, dtype: "F8" }]], { state: /its dtype is "F8"/, key: "a" });
    refuseWrite([["a", { ...sound, shape: [-4] }]], { state: /its shape is \[-4\]/, key: "a" });
    refuseWrite([["a", { ...sound, shape: [2 ** 30, 2 ** 30] }]], { state: /its shape/, key: "a" });
    assertRefused(
      () =>
        writeSafetensors(path, [], {
          metadata: { step: 3 } as unknown as Record<string, string>,
        }),
      { state: /Cannot write metadata .*"step" is 3/, key: "step", path },
    );
    // No reader takes a longer header.
    assertRefused(
      () => writeSafetensors(path, [], { metadata: { text: "x".repeat(100_000_000) } }),
      { state: /its header has 100000032 bytes, expected at most 100000000/, path },
    );
    assert.deepEqual(listFolder(folder), ["kept.safetensors"]);
    assert.equal(Deno.readTextFileSync(path), "old");
  });
});

Deno.test("writeSafetensors() leaves the old file and no temporary when the disk is full", () => {
  withFolder((folder) => {
    const path = `${folder}/kept.safetensors`;
    Deno.writeTextFileSync(path, "old");
    const tensor: SafetensorsTensor = { dtype: "U8", shape: [5000], data: new Uint8Array(5000) };
    for (const room of [0, 40, 3000, 5000]) {
      onFullDisk(room, () =>
        assertRefused(() => writeSafetensors(path, [["x", tensor]]), {
          state: /Cannot write file .*: No space left on device/,
          path,
        }));
      assert.deepEqual(listFolder(folder), ["kept.safetensors"]);
      assert.equal(Deno.readTextFileSync(path), "old");
    }
    // Writes of a few bytes at a time are not an error.
    withWrites(
      (real, bytes) => real(bytes.subarray(0, 7)),
      () => writeSafetensors(path, [["x", tensor]]),
    );
    using file = SafetensorsFile.open(path);
    assert.deepEqual(file.readBytes("x"), tensor.data);
  });
});

Deno.test("writeSafetensors() reports a folder that is not there and a target that is a folder", () => {
  withFolder((folder) => {
    const missing = `${folder}/missing/x`;
    assertRefused(() => writeSafetensors(missing, []), {
      state: /^Cannot write file ".*": No such file/,
      path: missing,
    });
    Deno.mkdirSync(`${folder}/target`);
    Deno.writeTextFileSync(`${folder}/target/inside`, "");
    const target = `${folder}/target`;
    assertRefused(() => writeSafetensors(target, []), { state: /Cannot write/, path: target });
    assert.deepEqual(listFolder(folder), ["target"]);
  });
});

Deno.test("SafetensorsWriter takes chunks of several tensors in any order", () => {
  withFolder((folder) => {
    const path = `${folder}/x`;
    {
      using writer = new SafetensorsWriter(path, [
        ["small", { dtype: "U8", shape: [4] }],
        ["large", { dtype: "F32", shape: [2, 2] }],
      ], { metadata: { rows: "2" } });
      writer.append("small", Uint8Array.of(1, 2));
      writer.append("large", new Float32Array([1, 2]));
      writer.append("small", Uint8Array.of(3, 4));
      writer.append("large", new Float32Array([3, 4]));
      assert.throws(() => Deno.statSync(path), Deno.errors.NotFound);
      writer.commit();
      assert.throws(() => writer.append("small", new Uint8Array(0)), /the writer is closed/);
    }
    assert.deepEqual(listFolder(folder), ["x"]);
    using file = SafetensorsFile.open(path);
    assert.deepEqual(file.readFloat32("large"), new Float32Array([1, 2, 3, 4]));
    assert.deepEqual(file.readFloat32("small"), new Float32Array([1, 2, 3, 4]));
    assert.deepEqual(file.metadata, { rows: "2" });
  });
});

Deno.test("SafetensorsWriter without commit leaves nothing behind", () => {
  withFolder((folder) => {
    const path = `${folder}/x`;
    {
      using writer = new SafetensorsWriter(path, [["a", { dtype: "U8", shape: [2] }]]);
      writer.append("a", Uint8Array.of(1));
      assert.equal(listFolder(folder).length, 1);
      assertRefused(() => writer.append("b", EIGHT), { state: /not declared/, key: "b", path });
      assertRefused(() => writer.commit(), { state: /has 1 bytes, expected 2/, key: "a", path });
      // An incomplete commit can be completed.
      writer.append("a", Uint8Array.of(2));
    }
    assert.deepEqual(listFolder(folder), []);
  });
});

const GOLDENS = new URL("../../../../shared/goldens/", import.meta.url);

function findGoldens(): string[] {
  try {
    return [...Deno.readDirSync(GOLDENS)].map(({ name }) => name)
      .filter((name) => name.endsWith(".safetensors")).sort();
  } catch {
    return [];
  }
}

const goldens = findGoldens();
if (goldens.length === 0) console.log("safetensors goldens: skipped, the folder is not there");

Deno.test({
  name: "SafetensorsFile opens every golden file and reads all its tensors",
  ignore: goldens.length === 0,
  fn() {
    for (const name of goldens) {
      using file = SafetensorsFile.open(fileURLToPath(new URL(name, GOLDENS)));
      assert.ok(file.keys().length > 0, name);
      for (const key of file.keys()) {
        const { shape } = file.entry(key);
        const count = shape.reduce((product, size) => product * size, 1);
        assert.equal(file.readFloat32(key).length, count, `${name} ${key}`);
      }
    }
  },
});
