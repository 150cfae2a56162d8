import assert from "node:assert/strict";
import { NpyFile, npyHeader, writeNpy } from "../../bank/npy.ts";
import { inDirectory } from "./_images.ts";

/** The bytes of a file as numpy.save writes it. */
function npy(header: string, numbers: ArrayBufferView): Uint8Array {
  const text = new TextEncoder().encode(`${header.padEnd(117)}\n`);
  const data = new Uint8Array(numbers.buffer as ArrayBuffer);
  return Uint8Array.of(
    ...[0x93, ...new TextEncoder().encode("NUMPY"), 1, 0, text.length, 0],
    ...text,
    ...data,
  );
}

Deno.test("NpyFile reads what numpy wrote, of several types", async () => {
  await inDirectory((directory) => {
    const path = `${directory}/a.npy`;
    const values = [1, -2.5, 3, 4, 5, 6];
    const cases = [
      ["<f4", Float32Array.from(values)],
      ["<f8", Float64Array.from(values)],
      ["<f2", Float16Array.from(values)],
      ["<i8", BigInt64Array.from([1n, -2n, 3n, 4n, 5n, 6n])],
    ] as const;
    for (const [type, data] of cases) {
      const header = `{'descr': '${type}', 'fortran_order': False, 'shape': (3, 2), }`;
      Deno.writeFileSync(path, npy(header, data));
      using file = NpyFile.open(path);
      assert.deepEqual(file.shape, [3, 2]);
      const want = type === "<i8" ? [-2, 3, 4] : [-2.5, 3, 4];
      assert.deepEqual([...file.rows(0, 2)].slice(1), want);
      assert.deepEqual([...file.rows(2, 1)], [5, 6]);
      assert.throws(() => file.rows(2, 2), {
        name: "RangeError",
        message: `Cannot read rows 2 to 4 of ${JSON.stringify(path)}: expected at most 3`,
      });
    }
    const big = new Uint8Array(8);
    new DataView(big.buffer).setFloat32(0, 1.5);
    new DataView(big.buffer).setFloat32(4, 7);
    Deno.writeFileSync(path, npy("{'descr': '>f4', 'fortran_order': False, 'shape': (2,), }", big));
    using file = NpyFile.open(path);
    assert.deepEqual([...file.rows(0, 2)], [1.5, 7]);
  });
});

Deno.test("NpyFile reads headers of the later versions, whose length has four bytes", async () => {
  await inDirectory((directory) => {
    const path = `${directory}/a.npy`;
    const whole = npy(
      "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }",
      Float32Array.of(3, 4),
    );
    for (const version of [2, 3]) {
      Deno.writeFileSync(
        path,
        Uint8Array.of(...whole.subarray(0, 6), version, 0, 118, 0, 0, 0, ...whole.subarray(10)),
      );
      using file = NpyFile.open(path);
      assert.deepEqual([...file.rows(0, 2)], [3, 4]);
    }
    for (const version of [0, 4]) {
      Deno.writeFileSync(path, Uint8Array.of(...whole.subarray(0, 6), version, 0, ...whole));
      assert.throws(() => NpyFile.open(path), /expected a file of numpy.save$/);
    }
  });
});

Deno.test("npyHeader() fills whole blocks and ends its text with a line", () => {
  // Shapes of 1 to 64 axes: every length of the text.
  for (let axes = 1; axes <= 64; axes++) {
    const header = npyHeader("|u1", Array(axes).fill(2));
    const text = new TextDecoder("latin1").decode(header.subarray(10));
    assert.equal(header.length % 64, 0);
    assert.equal(header[8]! + 256 * header[9]!, text.length);
    assert.match(text, /^\{'descr': '\|u1', [^}]*, \} *\n$/);
    // No more blocks than are needed.
    assert.ok(text.length - text.trimEnd().length <= 64);
  }
});

Deno.test("NpyFile says what is wrong with a file", async () => {
  await inDirectory((directory) => {
    const path = `${directory}/a.npy`;
    const data = new Float32Array(4);
    const bad = [
      ["{'descr': '<f4', 'fortran_order': True, 'shape': (2, 2), }", /order is that of Fortran/],
      ["{'descr': '|O', 'fortran_order': False, 'shape': (2, 2), }", /expected plain numbers$/],
      [
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }",
        /it has 144 bytes, expected 152/,
      ],
      ["{'descr': '<f4', 'fortran_order': False, }", /has no shape/],
    ] as const;
    for (const [header, message] of bad) {
      Deno.writeFileSync(path, npy(header, data));
      assert.throws(() => NpyFile.open(path), { name: "CheckpointError", message });
    }
    const whole = npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), }", data);
    Deno.writeFileSync(path, whole);
    {
      const shrinking = NpyFile.open(path);
      Deno.truncateSync(path, 140);
      assert.throws(() => shrinking.rows(1, 1), {
        name: "CheckpointError",
        message: /it became shorter since it was opened$/,
      });
      shrinking[Symbol.dispose]();
      assert.throws(() => shrinking.rows(0, 1), {
        name: "ReferenceError",
        message: /it is closed$/,
      });
    }
    Deno.writeTextFileSync(path, "no array, but long enough");
    assert.throws(() => NpyFile.open(path), /expected a file of numpy.save$/);
    Deno.writeFileSync(path, whole.subarray(0, 60));
    assert.throws(
      () => NpyFile.open(path),
      /it is cut short or no array: its header has 118 bytes, expected at most 50$/,
    );
  });
});

Deno.test("writeNpy() writes what NpyFile reads, and nothing for the wrong number of values", async () => {
  await inDirectory(async (directory) => {
    const path = `${directory}/a.npy`;
    await writeNpy(path, {
      shape: [3, 2],
      pieces: [Float32Array.of(1, 2), Float32Array.of(3, 4, 5, 6)],
    });
    {
      using file = NpyFile.open(path);
      assert.deepEqual([file.shape, [...file.rows(0, 3)]], [[3, 2], [1, 2, 3, 4, 5, 6]]);
    }
    // The header fills whole blocks, so that the numbers are aligned.
    assert.equal((Deno.statSync(path).size - 24) % 64, 0);
    await assert.rejects(writeNpy(path, { shape: [3], pieces: [Float32Array.of(1)] }), TypeError);
    assert.deepEqual([...Deno.readDirSync(directory)].map(({ name }) => name), ["a.npy"]);
  });
});

Deno.test("writeNpy() at the same time as another, of the same file, leaves one of them whole", async () => {
  await inDirectory(async (directory) => {
    const path = `${directory}/a.npy`, shape = [2];
    await Promise.all(
      [1, 2].map((value) =>
        writeNpy(path, { shape, pieces: [Float32Array.of(value), Float32Array.of(value)] })
      ),
    );
    using file = NpyFile.open(path);
    const [first, second] = file.rows(0, 2);
    assert.equal(first, second);
    assert.deepEqual([...Deno.readDirSync(directory)].map(({ name }) => name), ["a.npy"]);
  });
});

Deno.test("writeNpy() says why it cannot begin", async () => {
  await inDirectory(async (directory) => {
    const path = `${directory}/nowhere/a.npy`;
    await assert.rejects(
      writeNpy(path, { shape: [1], pieces: [Float32Array.of(1)] }),
      (error: Error) => error.message.includes("open"),
    );
  });
});
