import assert from "node:assert/strict";
import type { SnippetSet } from "../../bank/bank.ts";
import { BankFile } from "../../bank/file.ts";
import { FullBank } from "../../bank/full_bank.ts";
import { loadBank } from "../../bank/load.ts";
import { normalizeSnippets } from "../../bank/normalize.ts";
import { Device } from "../../kernels/core/device.ts";
import { assertClose, randomValues } from "../_check_op.ts";
import { gpuTest } from "../_gpu.ts";
import { inDirectory } from "./_images.ts";
import { readFull } from "./_read_bank.ts";

const SIZE = 37, DIM = 5;
const SNIPPETS = normalizeSnippets(randomValues([SIZE, DIM], 6), { dim: DIM });
const BANK: SnippetSet = {
  dim: DIM,
  snippets: SNIPPETS,
  names: Array.from({ length: SIZE }, (_, i) => `image ${i}`),
  labels: Int32Array.from({ length: SIZE }, (_, i) => i % 3),
  classes: ["a", "b", "c"],
};

function row(index: number): Float32Array {
  return SNIPPETS.slice(index * DIM, (index + 1) * DIM);
}

/** The rows of the given indices, one after the other. */
function rows(indices: number[]): number[] {
  return indices.flatMap((index) => [...row(index)]);
}

gpuTest("FullBank.gather() takes rows by indices on either side", async (device) => {
  using bank = FullBank.from(device, BANK);
  assert.deepEqual([bank.size, bank.dim], [SIZE, DIM]);
  const wanted = [36, 0, 17, 17];
  using onGpu = device.tensor(Uint32Array.from(wanted), [4]);
  for (const indices of [wanted, Uint32Array.from(wanted), onGpu]) {
    using snippets = bank.gather(indices);
    assert.deepEqual(snippets.shape, [4, DIM]);
    assert.deepEqual([...await snippets.read()], rows(wanted));
  }
  assert.deepEqual(await bank.snippet(9), row(9));
});

gpuTest(
  "FullBank.gather() gives its result to the caller's scope and keeps nothing else",
  (device) => {
    using bank = FullBank.from(device, BANK);
    const before = device.pool.liveBytes;
    device.scope(() => {
      bank.gather([1, 2]);
    });
    assert.equal(device.pool.liveBytes, before);
    const kept = device.scope(() => bank.gather([1, 2]));
    assert.equal(device.pool.liveBytes, before + 256);
    kept.dispose();
  },
);

gpuTest("FullBank lives on when the scope that it was made in ends", async (device) => {
  const made: FullBank[] = [];
  device.scope(() => {
    made.push(FullBank.from(device, BANK));
  });
  using bank = made[0]!;
  assert.deepEqual(await bank.snippet(3), row(3));
});

gpuTest("FullBank names its size for every index that it does not have", async (device) => {
  using bank = FullBank.from(device, BANK);
  for (const index of [-1, 37, 1.5, NaN, Infinity]) {
    const refusal = {
      name: "RangeError",
      message: `Cannot retrieve snippet ${index}: the bank has 37 snippets, ` +
        "expected a whole number from 0 to 36",
    };
    assert.throws(() => bank.gather([0, index]), refusal);
    await assert.rejects(bank.snippet(index), refusal);
  }
  assert.throws(() => bank.gather(Uint32Array.of(37)), RangeError);
  using floats = device.tensor(Float32Array.of(1), [1]);
  assert.throws(() => bank.gather(floats), TypeError);
});

gpuTest("FullBank.from() refuses snippets and records that are wrong", (device) => {
  const wrong = SNIPPETS.slice();
  wrong[12 * DIM] = 3;
  assert.throws(() => FullBank.from(device, { ...BANK, snippets: wrong }), {
    name: "RangeError",
    message: /^Cannot make a bank: snippet 12 has norm 3.*, expected 1 within 0.001$/,
  });
  assert.throws(() => FullBank.from(device, { ...BANK, dim: 4 }), TypeError);
  assert.throws(() => FullBank.from(device, { dim: 4, snippets: new Float32Array() }), TypeError);
  assert.throws(() => FullBank.from(device, { ...BANK, names: ["a"] }), {
    name: "TypeError",
    message: "Cannot make a bank: there are 1 names for 37 snippets",
  });
});

gpuTest("FullBank.addExternal() appends a snippet with its record, many times", async (device) => {
  using bank = FullBank.from(device, BANK);
  const added = normalizeSnippets(randomValues([60, DIM], 9), { dim: DIM });
  for (let i = 0; i < 60; i++) {
    const snippet = added.slice(i * DIM, (i + 1) * DIM);
    const record = i === 3 ? { name: "cat", label: 2 } : {};
    assert.equal(bank.addExternal(snippet, record), SIZE + i);
  }
  assert.equal(bank.size, SIZE + 60);
  using all = bank.gather([...Array(SIZE + 60).keys()]);
  assert.deepEqual([...await all.read()], [...SNIPPETS, ...added]);
  assert.deepEqual(bank.names!.slice(38, 42), ["added 38", "added 39", "cat", "added 41"]);
  assert.deepEqual([...bank.labels!.slice(38, 42)], [-1, -1, 2, -1]);
  assert.equal(bank.texts, undefined);
  assert.throws(() => bank.gather([SIZE + 60]), /the bank has 97 snippets/);
});

gpuTest("FullBank.addExternal() of a first label leaves the snippets before without", (device) => {
  using bank = FullBank.from(device, { dim: DIM, snippets: SNIPPETS, classes: ["cat", "dog"] });
  bank.addExternal(row(0));
  assert.equal(bank.labels, undefined);
  bank.addExternal(row(1), { label: 0 });
  assert.deepEqual([...bank.labels!], [...Array(SIZE + 1).fill(-1), 0]);
});

gpuTest("FullBank.addExternal() refuses what is no snippet and leaves the bank", (device) => {
  using bank = FullBank.from(device, BANK);
  assert.throws(() => bank.addExternal(new Float32Array(4)), {
    name: "RangeError",
    message: "Cannot add a snippet of length 4: expected 5, as the bank's have",
  });
  assert.throws(() => bank.addExternal(new Float32Array(5)), {
    name: "RangeError",
    message: /norm 0, expected 1/,
  });
  assert.throws(() => bank.addExternal(row(0), { label: 3 }), {
    name: "RangeError",
    message: "Cannot add a snippet of label 3: expected one of 3 classes, or -1 for none",
  });
  assert.deepEqual([bank.size, bank.names!.length, bank.labels!.length], [SIZE, SIZE, SIZE]);
});

gpuTest("FullBank gives nothing once it is released", async (device) => {
  const bank = FullBank.from(device, BANK);
  bank[Symbol.dispose]();
  bank[Symbol.dispose]();
  const released = { name: "ReferenceError", message: /rows of a bank: they were released$/ };
  assert.throws(() => bank.gather([0]), released);
  assert.throws(() => bank.size, released);
  await assert.rejects(bank.snippet(0), released);
  assert.throws(() => bank.addExternal(row(0)), released);
});

gpuTest(
  "FullBank.addInternal() appends the mix of two snippets, normalised",
  async (device) => {
    using bank = FullBank.from(device, BANK);
    const index = await bank.addInternal({ first: 3, second: 8, firstShare: 0.3 });
    assert.equal(index, SIZE);
    const second = row(8);
    const mixed = row(3).map((value, i) => 0.3 * value + 0.7 * second[i]!);
    assertClose(await bank.snippet(index), normalizeSnippets(mixed, { dim: DIM }), {
      tolerance: 2e-7,
      name: "mix",
    });
    for (const [firstShare, same] of [[1, 3], [0, 8]] as const) {
      const end = await bank.addInternal({ first: 3, second: 8, firstShare });
      assertClose(await bank.snippet(end), row(same), {
        tolerance: 2e-7,
        name: `share ${firstShare}`,
      });
    }
    await assert.rejects(bank.addInternal({ first: 0, second: 40, firstShare: 0.5 }), {
      message: /the bank has 40 snippets/,
    });
    await assert.rejects(bank.addInternal({ first: 0, second: 1, firstShare: 1.5 }), {
      name: "RangeError",
      message: "Cannot mix snippets: firstShare is 1.5, expected a number from 0 to 1",
    });
  },
);

gpuTest("FullBank.save() writes what loadBank() and FullBank.load() read", async (device) => {
  await inDirectory(async (directory) => {
    const path = `${directory}/bank.safetensors`;
    using bank = FullBank.from(device, BANK);
    bank.addExternal(row(0));
    await bank.save(path);
    using file = BankFile.open(path);
    const loads = [
      () => loadBank(device, path),
      () => FullBank.load(device, path),
      () => loadBank(device, file),
    ];
    for (const load of loads) {
      using loaded = load();
      assert.ok(loaded instanceof FullBank);
      using all = loaded.gather([...Array(SIZE + 1).keys()]);
      assert.deepEqual([...await all.read()], [...SNIPPETS, ...row(0)]);
      assert.deepEqual([loaded.names, loaded.labels], [bank.names, bank.labels]);
      assert.deepEqual(loaded.classes, BANK.classes);
    }
    const before = device.pool.liveBytes;
    const bytes = Deno.readFileSync(path);
    Deno.writeFileSync(path, bytes.subarray(0, bytes.length - 4));
    assert.throws(() => loadBank(device, path), { name: "CheckpointError" });
    assert.equal(device.pool.liveBytes, before);
  });
});

gpuTest("FullBank keeps all that is known, of a single snippet and of another", async (device) => {
  await inDirectory(async (directory) => {
    const known = {
      dim: DIM,
      encoder: { kind: "test", dim: DIM, fingerprint: "1", preprocessing: {}, settings: {} },
      encoderWeights: new Map([["mean", { shape: [2], values: Float32Array.of(0.5, -1) }]]),
      imageSize: 8,
      classes: ["cat", "dog"],
    };
    using bank = FullBank.from(device, {
      ...known,
      snippets: row(4),
      names: ["a"],
      labels: [1],
      texts: ["one"],
      frequencies: [3],
    });
    assert.equal(bank.addExternal(row(7), { name: "b", label: 0, text: "two" }), 1);
    const path = `${directory}/bank.safetensors`;
    await bank.save(path);
    using file = BankFile.open(path);
    assert.deepEqual(readFull(file), {
      ...known,
      snippets: Float32Array.from(rows([4, 7])),
      names: ["a", "b"],
      labels: Int32Array.of(1, 0),
      texts: ["one", "two"],
      // An added snippet is that of one image.
      frequencies: Float32Array.of(3, 1),
    });
  });
});

gpuTest("FullBank spreads over several buffers where one binding is too small", async (device) => {
  await inDirectory(async (directory) => {
    // 16 rows to a part: 37 are three of them, the last with 5.
    const profile = { ...device.profile, maxBindingBytes: 4 * DIM * 16 };
    const small = new Device(device.gpu, { profile });
    const added = normalizeSnippets(randomValues([30, DIM], 9), { dim: DIM });
    {
      using bank = FullBank.from(small, BANK);
      for (let i = 0; i < 30; i++) bank.addExternal(added.slice(i * DIM, (i + 1) * DIM));
      assert.equal(bank.size, SIZE + 30);
      const wanted = [36, 0, 15, 16, 17, 31, 32, 66, 47, 48, 36];
      const all = [...SNIPPETS, ...added];
      const want = wanted.flatMap((index) => all.slice(index * DIM, (index + 1) * DIM));
      using onGpu = small.tensor(Uint32Array.from([...wanted, 67, 2 ** 32 - 1]), [13]);
      using fromCpu = bank.gather(wanted), fromGpu = bank.gather(onGpu);
      assert.deepEqual([...await fromCpu.read()], want);
      const last = all.slice(66 * DIM);
      assert.deepEqual([...await fromGpu.read()], [...want, ...last, ...last]);
      await bank.save(`${directory}/bank.safetensors`);
      using loaded = FullBank.load(small, `${directory}/bank.safetensors`);
      const read: number[] = [];
      for (const { first, rows: range } of loaded.ranges(64)) {
        assert.equal(first, read.length / DIM);
        read.push(...await range.read());
        range.dispose();
      }
      assert.deepEqual(read, all);
    }
    assert.equal(small.pool.liveBytes, 0);
    const tiny = new Device(device.gpu, { profile: { ...profile, maxBindingBytes: 16 } });
    assert.throws(() => FullBank.from(tiny, BANK), {
      name: "RangeError",
      message: "Cannot hold a table of rows [1, 5] of 20 bytes: this device binds at most 16",
    });
  });
});
