import assert from "node:assert/strict";
import type { SnippetSet } from "../../bank/bank.ts";
import { BankWriter, LowRankWriter, writeBank, writeLowRankBank } from "../../bank/bank_writer.ts";
import { BankFile } from "../../bank/file.ts";
import { normalizeSnippets } from "../../bank/normalize.ts";
import { reconstructRows } from "../../bank/svd.ts";
import { counted } from "../../kernels/core/counted.ts";
import { type SafetensorsTensor, writeSafetensors } from "../../kernels/core/safetensors_writer.ts";
import { randomValues } from "../_check_op.ts";
import { inDirectory } from "./_images.ts";
import { readFull, readLowRank } from "./_read_bank.ts";

const SNIPPETS = normalizeSnippets(randomValues([5, 3], 1), { dim: 3 });

/** A bank with every kind of record. */
const BANK: SnippetSet = {
  dim: 3,
  snippets: SNIPPETS,
  encoder: {
    kind: "test",
    dim: 3,
    fingerprint: "12",
    preprocessing: { size: 8 },
    settings: { whiten: false },
  },
  encoderWeights: new Map([
    ["mean", { shape: [2], values: Float32Array.of(0.5, -1) }],
    ["components", { shape: [1, 2], values: Float32Array.of(3, 4) }],
  ]),
  imageSize: 12,
  names: ["a", 'b\n"quoted"', "ç", "日本.png", "e"],
  labels: Int32Array.of(0, 1, -1, 1, 0),
  classes: ["first class", "second"],
  texts: ["", "two", "three", "four", "five"],
  frequencies: Float32Array.of(3, 0, 1, 1, 0.5),
};

const LOW_RANK = {
  coefficients: new Float32Array(randomValues([5, 2], 2)),
  basis: new Float32Array(randomValues([3, 2], 3)),
  singularValues: Float32Array.of(2, 0.5),
  mean: Float32Array.of(0.1, 0.2, 0.3),
};

function floats(shape: number[], data: Float32Array): SafetensorsTensor {
  return { dtype: "F32", shape, data };
}

function text(value: string): SafetensorsTensor {
  const data = new TextEncoder().encode(value);
  return { dtype: "U8", shape: [data.length], data };
}

/** Writes a file of a bank's tensors with some of them, or of the metadata, replaced. */
async function withFile(
  tensors: Record<string, SafetensorsTensor>,
  options: { metadata?: Record<string, string> },
  body: (path: string) => void,
): Promise<void> {
  await inDirectory((directory) => {
    const path = `${directory}/bank.safetensors`;
    writeSafetensors(path, Object.entries(tensors), options);
    body(path);
  });
}

Deno.test("writeBank() writes all that BankFile reads", async () => {
  await inDirectory((directory) => {
    const path = `${directory}/bank.safetensors`;
    writeBank(path, BANK);
    using file = BankFile.open(path);
    assert.deepEqual(
      [file.path, file.size, file.dim, file.rank, file.labels],
      [path, 5, 3, undefined, BANK.labels],
    );
    assert.deepEqual(readFull(file), BANK);
    assert.deepEqual(file.rows(2, 2), SNIPPETS.slice(6, 12));
    assert.throws(() => file.readShared(), {
      name: "TypeError",
      message: /it is full, expected a low-rank bank$/,
    });
  });
});

Deno.test("writeLowRankBank() writes all that BankFile reads, and rows() reconstructs", async () => {
  await inDirectory((directory) => {
    const path = `${directory}/bank.safetensors`;
    const { dim: _, snippets: __, ...records } = BANK;
    writeLowRankBank(path, { ...records, ...LOW_RANK });
    using file = BankFile.open(path);
    assert.deepEqual([file.size, file.dim, file.rank], [5, 3, 2]);
    const kept = { storage: "f32", loss: undefined };
    assert.deepEqual(readLowRank(file), { ...records, ...LOW_RANK, ...kept });
    const rows = normalizeSnippets(reconstructRows(LOW_RANK.coefficients, LOW_RANK), { dim: 3 });
    assert.deepEqual(file.rows(0, 5), rows);
    assert.deepEqual(file.rows(4, 1), rows.slice(12));
  });
});

Deno.test("BankFile reads a file that holds nothing but snippets, in half precision too", async () => {
  const halves = new Float16Array(SNIPPETS);
  await withFile({ snippets: { dtype: "F16", shape: [5, 3], data: halves } }, {}, (path) => {
    using file = BankFile.open(path);
    assert.deepEqual(file.rows(0, 5), new Float32Array(halves));
    assert.deepEqual(
      [file.encoder, file.encoderWeights.size, file.names, file.labels, file.classes, file.texts],
      [undefined, 0, undefined, undefined, [], undefined],
    );
    assert.equal(file.imageSize, undefined);
  });
  const snippets = floats([5, 3], SNIPPETS);
  for (const size of ["0", "8.5", "large", ""]) {
    await withFile({ snippets }, { metadata: { image_size: size } }, (path) => {
      assert.throws(() => BankFile.open(path), {
        name: "CheckpointError",
        message: /its image_size is ".*", expected a whole number of pixels$/,
      });
    });
  }
});

Deno.test("BankFile takes a file with snippets and coefficients for a full bank", async () => {
  const snippets = floats([5, 3], SNIPPETS), coefficients = floats([5, 2], LOW_RANK.coefficients);
  await withFile({ coefficients, snippets }, {}, (path) => {
    using file = BankFile.open(path);
    assert.deepEqual([file.dim, file.rank, file.rows(0, 5)], [3, undefined, SNIPPETS]);
  });
});

Deno.test("BankFile.rows() throws on snippets that the bank does not have", async () => {
  await withFile({ snippets: floats([5, 3], SNIPPETS) }, {}, (path) => {
    using file = BankFile.open(path);
    for (const [first, count] of [[0, 6], [-1, 1], [5, 1], [0, 1.5], [0, -1], [NaN, 1]] as const) {
      assert.throws(() => file.rows(first, count), {
        name: "RangeError",
        message: `Cannot read ${counted(count, "snippet")} from ${first} on: ` +
          "the bank has 5 snippets, expected whole numbers within",
      });
    }
    assert.equal(file.rows(5, 0).length, 0);
  });
});

Deno.test("BankFile.rows() names the snippet that is not of norm 1", async () => {
  for (const [value, norm] of [[NaN, "NaN"], [2, "2."], [Infinity, "Infinity"]] as const) {
    const snippets = SNIPPETS.slice();
    snippets[10] = value;
    await withFile({ snippets: floats([5, 3], snippets) }, {}, (path) => {
      using file = BankFile.open(path);
      file.rows(0, 3);
      assert.throws(() => file.rows(2, 3), (error: Error & { path: string; key: string }) => {
        assert.equal(error.name, "CheckpointError");
        assert.ok(error.message.includes(`: snippet 3 has norm ${norm}`), error.message);
        assert.match(error.message, /expected 1 within 0.001$/);
        assert.deepEqual([error.path, error.key], [path, "snippets"]);
        return true;
      });
    });
  }
});

Deno.test("BankFile.open() says what is wrong with a file that is no bank", async () => {
  const snippets = floats([5, 3], SNIPPETS);
  const names = '["a","b","c","d","e"]';
  const encoder = JSON.stringify({ ...BANK.encoder, dim: 4 });
  const lowRank = {
    coefficients: floats([5, 2], LOW_RANK.coefficients),
    basis: floats([3, 2], LOW_RANK.basis),
    singular_values: floats([2], LOW_RANK.singularValues),
    mean: floats([3], LOW_RANK.mean),
  };
  const { mean: _, ...withoutMean } = lowRank;
  const cases: [Record<string, SafetensorsTensor>, Record<string, string>, RegExp][] = [
    [{ weight: snippets }, {}, /it has the tensors weight, expected snippets \[N, d\] or coef/],
    [{ snippets: floats([15], SNIPPETS) }, {}, /snippets has shape \[15\], expected two sizes/],
    [{ snippets: floats([0, 3], new Float32Array()) }, {}, /snippets has shape \[0, 3\]/],
    [{ snippets: floats([5, 1, 3], SNIPPETS) }, {}, /snippets has shape \[5, 1, 3\]/],
    [{ snippets }, { format: "other" }, /its format is "other", expected "gmem-bank"$/],
    [{ snippets }, { version: "2" }, /its version is "2", expected "1"$/],
    [{ snippets }, { encoder: "{" }, /Cannot read the description of an encoder: it/],
    [{ snippets }, { encoder: '{"kind":"x"}' }, /Cannot read the description of an encoder: dim/],
    [{ snippets }, { encoder }, /its encoder makes snippets of length 4, expected 3$/],
    [{ snippets }, { classes: "{}" }, /classes is not a JSON array of strings$/],
    [{ snippets, names: text("no JSON") }, {}, /names is not a JSON array of strings$/],
    [{ snippets, names: text("[1,2,3,4,5]") }, {}, /names is not a JSON array of strings$/],
    [{ snippets, names: text('["a"]') }, {}, /there are 1 names for 5 snippets$/],
    [{ snippets, names: text(names), texts: text("[]") }, {}, /there are 0 texts for 5 snippets$/],
    [
      { snippets, labels: { dtype: "I32", shape: [5], data: Int32Array.of(0, 0, -2, 0, 0) } },
      {},
      /label 2 is -2, expected a whole number, or -1 for none$/,
    ],
    [
      { snippets, labels: { dtype: "I32", shape: [5], data: Int32Array.of(0, 0, 0, 0, 1) } },
      { classes: '["one"]' },
      /label 4 is 1, expected one of 1 classes, or -1 for none$/,
    ],
    [{ snippets, labels: floats([5], new Float32Array(5)) }, {}, /its dtype is F32/],
    [
      // Of 32 bits this one would be 1.
      {
        snippets,
        labels: {
          dtype: "I64",
          shape: [5],
          data: BigInt64Array.of(0n, 2n ** 32n + 1n, 0n, 0n, 0n),
        },
      },
      {},
      /label 1 is 4294967297, expected a whole number, or -1 for none$/,
    ],
    [
      { snippets, names: { ...text(names), data: new TextEncoder().encode(names).with(2, 0xff) } },
      {},
      /names is not in UTF-8, expected text that is$/,
    ],
    [
      { ...lowRank, coefficients: { dtype: "I8", shape: [5, 2], data: new Int8Array(10) } },
      {},
      /coefficient_scales is missing, expected \[2\]/,
    ],
    [
      { snippets, frequencies: floats([2], Float32Array.of(1, 1)) },
      {},
      /there are 2 frequencies for 5 snippets$/,
    ],
    [
      { snippets, frequencies: floats([5], Float32Array.of(1, 1, -1, 1, 1)) },
      {},
      /frequency 2 is -1, expected 0 or a positive number$/,
    ],
    [
      { snippets, frequencies: floats([5], new Float32Array(5)) },
      {},
      /all frequencies are 0, expected one above 0$/,
    ],
    [lowRank, { loss: '{"energy":1}' }, /its loss is not a JSON object of numbers$/],
    [
      { ...lowRank, coefficient_scales: floats([3], Float32Array.of(1, 1, 1)) },
      {},
      /coefficient_scales is \[3\], expected \[2\]/,
    ],
    [withoutMean, {}, /mean is missing, expected \[0\] with 2 coefficients$/],
    [
      { ...lowRank, basis: floats([2, 3], LOW_RANK.basis) },
      {},
      /basis is \[2, 3\], expected \[3, 2\] with 2 coefficients$/,
    ],
    [
      { ...lowRank, singular_values: floats([1], Float32Array.of(1)) },
      {},
      /singular_values is \[1\], expected \[2\]/,
    ],
  ];
  for (const [tensors, metadata, message] of cases) {
    await withFile(tensors, { metadata }, (path) => {
      assert.throws(() => BankFile.open(path), { name: "CheckpointError", message });
    });
  }
});

Deno.test("BankFile.openIfThere() returns undefined for a file that is not there alone", async () => {
  await inDirectory((directory) => {
    const path = `${directory}/bank.safetensors`;
    assert.equal(BankFile.openIfThere(path), undefined);
    for (const wrong of [directory, path]) {
      if (wrong === path) Deno.writeTextFileSync(path, "no bank");
      assert.throws(() => BankFile.openIfThere(wrong), { name: "CheckpointError" });
    }
    writeBank(path, { dim: 1, snippets: Float32Array.of(1) });
    using file = BankFile.openIfThere(path);
    assert.equal(file?.size, 1);
  });
});

Deno.test("BankFile refuses low-rank factors that are not finite or not positive", async () => {
  const { coefficients, basis, singularValues, mean } = LOW_RANK;
  const wrong = coefficients.slice();
  wrong[7] = NaN;
  const cases = [
    [{ ...LOW_RANK, coefficients: wrong }, /coefficients holds NaN at 7, expected finite numbers$/],
    [{ ...LOW_RANK, basis: basis.map(() => Infinity) }, /basis holds Infinity at 0/],
    [{ ...LOW_RANK, mean: mean.map(() => NaN) }, /mean holds NaN at 0/],
    [
      { ...LOW_RANK, singularValues: singularValues.map((value) => value - 0.5) },
      /singularValues holds 0 at 1, expected positive numbers$/,
    ],
  ] as const;
  for (const [bank, message] of cases) {
    await inDirectory((directory) => {
      const path = `${directory}/bank.safetensors`;
      writeLowRankBank(path, bank);
      using file = BankFile.open(path);
      assert.throws(() => readLowRank(file), { name: "CheckpointError", message });
      assert.throws(() => file.rows(0, 5), { name: "CheckpointError" });
    });
  }
});

Deno.test("BankFile.coefficients() names the number that is not finite, of a scale too", async () => {
  const lowRank = {
    coefficients: { dtype: "I8", shape: [5, 2], data: new Int8Array(10).fill(1) },
    basis: floats([3, 2], LOW_RANK.basis),
    singular_values: floats([2], LOW_RANK.singularValues),
    mean: floats([3], LOW_RANK.mean),
    coefficient_scales: floats([2], Float32Array.of(1, NaN)),
  } as const;
  await withFile(lowRank, {}, (path) => {
    using file = BankFile.open(path);
    assert.throws(() => file.coefficients(2, 1), {
      name: "CheckpointError",
      message: /coefficients holds NaN at 5, expected finite numbers$/,
    });
    assert.throws(() => file.coefficients(2, 4), { name: "RangeError", message: /has 5 snippets/ });
  });
  await withFile({ snippets: floats([5, 3], SNIPPETS) }, {}, (path) => {
    using file = BankFile.open(path);
    assert.throws(() => file.coefficients(0, 1), { name: "TypeError", message: /it is full/ });
  });
});

Deno.test("LowRankWriter refuses bytes without maxima, and what halves cannot hold", async () => {
  await inDirectory((directory) => {
    const path = `${directory}/bank.safetensors`;
    const shared = {
      mean: LOW_RANK.mean,
      basis: LOW_RANK.mean,
      singularValues: Float32Array.of(1),
    };
    assert.throws(() => new LowRankWriter(path, { size: 2, shared, storage: "int8" }), {
      name: "TypeError",
      message: "Cannot store coefficients as int8: there are 0 column maxima, expected 1",
    });
    assert.throws(() => new LowRankWriter(path, { size: 2, shared, storage: "int4" as "int8" }), {
      name: "RangeError",
      message:
        "Cannot store coefficients: storage is int4, did you mean int8? Expected one of f32, f16, int8",
    });
    using writer = new LowRankWriter(path, { size: 2, shared, storage: "f16" });
    // 65520 is half-way to what would be the next number of 16 bits.
    assert.throws(() => writer.append(Float32Array.of(65520, 1)), {
      name: "RangeError",
      message: "Cannot store coefficients as f16: one is 65520, expected at most 65504",
    });
    writer.append(Float32Array.of(65519, -65504));
    writer.commit();
    using file = BankFile.open(path);
    assert.deepEqual([...file.coefficients(0, 2)], [65504, -65504]);
  });
});

Deno.test("BankWriter leaves nothing behind unless all snippets came and were committed", async () => {
  await inDirectory(async (directory) => {
    const path = `${directory}/bank.safetensors`;
    const files = async () =>
      (await Array.fromAsync(Deno.readDir(directory))).map(({ name }) => name);
    {
      using writer = new BankWriter(path, { ...BANK, size: 5 });
      for (const row of [0, 3]) writer.append(SNIPPETS.subarray(row, row + 3));
      assert.throws(() => writer.commit(), { name: "CheckpointError", message: /24 bytes/ });
      assert.throws(() => writer.append(new Float32Array(3)), {
        name: "RangeError",
        message: "Cannot write a bank: snippet 2 has norm 0, expected 1 within 0.001",
      });
      assert.equal((await files()).length, 1);
    }
    assert.deepEqual(await files(), []);
    const broken = new Map([["mean", { shape: [3], values: new Float32Array(4) }]]);
    assert.throws(() => writeBank(path, { ...BANK, encoderWeights: broken }), {
      name: "CheckpointError",
    });
    assert.throws(() => writeLowRankBank(path, { ...LOW_RANK, encoderWeights: broken }), {
      name: "CheckpointError",
    });
    for (const size of [0, 1.5]) {
      assert.throws(() => new BankWriter(path, { size, dim: 3 }), {
        name: "CheckpointError",
        message:
          `Cannot write bank ${JSON.stringify(path)}: its size is ${size}, expected a whole ` +
          "number of snippets from 1",
      });
    }
    assert.throws(() => writeBank(path, { ...BANK, names: ["a"] }), {
      name: "CheckpointError",
      message: /^Cannot write bank ".*": there are 1 names for 5 snippets$/,
    });
    assert.deepEqual(await files(), []);
  });
});
