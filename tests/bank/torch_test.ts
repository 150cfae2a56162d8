import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { BankFile } from "../../bank/file.ts";
import type { BankSummary } from "../../bank/inspect.ts";
import { normalizeSnippets } from "../../bank/normalize.ts";
import {
  externalCoefficients,
  factorize,
  reconstructRows,
  type SharedFactors,
} from "../../bank/svd.ts";
import { importTorchBank } from "../../bank/torch.ts";
import { randomValues } from "../_check_op.ts";
import { code, makeTorchFile } from "../model/_write_torch_file.ts";
import { inDirectory } from "./_images.ts";

function writeTorch(path: string, ...parts: Parameters<typeof makeTorchFile>): void {
  Deno.writeFileSync(path, makeTorchFile(...parts));
}

Deno.test("importTorchBank() normalises the features of a plain tensor", async () => {
  await inDirectory((directory) => {
    const path = `${directory}/memory_bank.pth`, out = `${directory}/bank.safetensors`;
    const features = Float32Array.from(randomValues([5, 6], 3), (value) => 40 * value);
    const storages = { 0: features };
    writeTorch(path, code.tensor("FloatStorage", [5, 6]), { storages });
    importTorchBank(path, { out });
    using file = BankFile.open(out);
    assert.deepEqual([file.size, file.dim, file.rank], [5, 6, undefined]);
    assert.deepEqual(file.rows(0, 5), normalizeSnippets(features, { dim: 6 }));
    // The first GMem release keeps its bank in the checkpoint.
    const bank = code.tensor("FloatStorage", [5, 6]);
    writeTorch(path, code.record({ network: code.record({}), memorybank: bank }), { storages });
    importTorchBank(path, { out });
    using again = BankFile.open(out);
    assert.deepEqual(again.rows(0, 5), file.rows(0, 5));
    assert.equal(again.frequencies, undefined);
  });
});

Deno.test("importTorchBank() keeps the frequencies of the first release", async () => {
  await inDirectory((directory) => {
    const path = `${directory}/checkpoint.pt`, out = `${directory}/bank.safetensors`;
    const storages = {
      0: Float32Array.from(randomValues([3, 4], 3)),
      1: Float32Array.of(2, 0, 5),
      2: Float32Array.of(2, 0, -1),
    };
    const memorybank = code.tensor("FloatStorage", [3, 4]);
    const counts = (size: number, key = "1") => code.tensor("FloatStorage", [size], { key });
    writeTorch(path, code.record({ memorybank, memoryfreq: counts(3) }), { storages });
    importTorchBank(path, { out });
    using file = BankFile.open(out);
    assert.deepEqual(file.frequencies, Float32Array.of(2, 0, 5));
    const cases = [
      [counts(2), /its memoryfreq is a tensor \[2\], expected \[3\], one number for each snippet$/],
      [counts(3, "2"), /in its memoryfreq, frequency 2 is -1, expected 0 or a positive number$/],
      [code.integer(1), /its memoryfreq is no tensor/],
    ] as const;
    for (const [memoryfreq, message] of cases) {
      writeTorch(path, code.record({ memorybank, memoryfreq }), { storages });
      assert.throws(() => importTorchBank(path, { out }), { name: "CheckpointError", message });
    }
  });
});

Deno.test("importTorchBank() takes more snippets than it reads at once", async () => {
  await inDirectory((directory) => {
    const path = `${directory}/memory_bank.pth`, out = `${directory}/bank.safetensors`;
    // One stored row repeated by a stride of zero; the rows of a piece are 2^22 / 3 000 = 1 398.
    const row = randomValues([3000], 4);
    const place = { count: 3000, strides: [0, 1] };
    const storages = { 0: Float32Array.from(row) };
    writeTorch(path, code.tensor("FloatStorage", [1500, 3000], place), { storages });
    importTorchBank(path, { out });
    using file = BankFile.open(out);
    const snippet = normalizeSnippets(Float32Array.from(row), { dim: 3000 });
    assert.equal(file.size, 1500);
    for (const index of [0, 1397, 1398, 1499]) assert.deepEqual(file.rows(index, 1), snippet);
  });
});

Deno.test("importTorchBank() takes the factors of a low-rank bank", async () => {
  await inDirectory((directory) => {
    const path = `${directory}/bank_svd.pth`, out = `${directory}/bank.safetensors`;
    const storages = {
      0: Float32Array.of(1, 0, 0, 2, 1, 1),
      1: Float32Array.of(1, 0, 0, 1, 0, 0, 0, 0),
      2: Float32Array.of(4, 1),
      3: Float32Array.of(0, 0, 3, 0),
    };
    const part = (key: string, ...shape: number[]) => code.tensor("FloatStorage", shape, { key });
    const parts = {
      C: part("0", 3, 2),
      M: part("1", 4, 2),
      S: part("2", 2),
      mean: part("3", 1, 4),
    };
    const numbers = { latent_dim: code.integer(2), feature_dim: code.integer(4) };
    writeTorch(path, code.record({ ...parts, ...numbers }), { storages });
    importTorchBank(path, { out });
    using file = BankFile.open(out);
    assert.deepEqual([file.size, file.dim, file.rank], [3, 4, 2]);
    const rows = Float32Array.of(1, 0, 3, 0, 0, 2, 3, 0, 1, 1, 3, 0);
    for (const [i, value] of normalizeSnippets(rows, { dim: 4 }).entries()) {
      // Each factor is rounded once when it is scaled, and once when it is stored.
      assert.ok(Math.abs(file.rows(0, 3)[i]! - value) < 1e-6, `${i}`);
    }

    writeTorch(path, code.record({ ...parts, M: part("1", 2, 2) }), { storages });
    assert.throws(() => importTorchBank(path, { out }), /its M has shape \[2, 2\], expected 8/);
    writeTorch(path, code.record({ ...parts, S: code.none }), { storages });
    assert.throws(() => importTorchBank(path, { out }), /its S is no tensor/);
  });
});

Deno.test("importTorchBank() scales factors of raw features, beside which new snippets have norm 1", async () => {
  await inDirectory(async (directory) => {
    const path = `${directory}/bank_svd.pth`, out = `${directory}/bank.safetensors`;
    const size = 40, dim = 6, rank = 5;
    const values = Float32Array.from(randomValues([size + 4, dim], 5), (x, i) => x + i % dim / 4);
    const snippets = normalizeSnippets(values, { dim }), known = snippets.subarray(0, size * dim);
    const factorsOf = (rows: Float32Array) =>
      factorize({
        size,
        dim,
        rows: (first, count) => rows.subarray(first * dim, (first + count) * dim),
      }, { rank });
    /** What the snippets that the factors were not made of become, by equations 10 and 9. */
    const added = (factors: SharedFactors) => {
      const coefficients = externalCoefficients(snippets.subarray(size * dim), factors);
      return normalizeSnippets(reconstructRows(coefficients, factors), { dim });
    };
    const own = await factorsOf(known);
    for (const norm of [1, 47]) {
      const raw = await factorsOf(known.map((value) => norm * value));
      const part = (key: string, ...shape: number[]) => code.tensor("FloatStorage", shape, { key });
      const parts = {
        C: part("0", size, rank),
        M: part("1", dim, rank),
        S: part("2", rank),
        mean: part("3", dim),
      };
      const { coefficients, basis, singularValues, mean } = raw;
      writeTorch(path, code.record(parts), {
        storages: { 0: coefficients, 1: basis, 2: singularValues, 3: mean },
      });
      importTorchBank(path, { out });
      using file = BankFile.open(out);
      // Those of snippets of norm 1 are kept as they are.
      if (norm === 1) assert.deepEqual(file.readShared(), { mean, basis, singularValues });
      const expected = added(own), imported = added(file.readShared());
      // What the factors keep of snippets of norm 1 has a norm a little below 1. The scale is off by as much,
      // and with it the part of the mean that lies outside of the basis.
      for (const [i, value] of imported.entries()) {
        assert.ok(Math.abs(value - expected[i]!) < 0.01, `norm ${norm}, ${i}: ${value}`);
      }
    }
  });
});

Deno.test("importTorchBank() refuses other contents and leaves no file", async () => {
  await inDirectory((directory) => {
    const path = `${directory}/memory_bank.pth`, out = `${directory}/bank.safetensors`;
    const storages = { 0: Float32Array.of(1, 2, 0, 0, 3, 4) };
    const cases = [
      [code.tensor("FloatStorage", [6]), "CheckpointError", /shape \[6\], expected \[N, d\]/],
      [code.tensor("FloatStorage", [3, 2, 1]), "CheckpointError", /shape \[3, 2, 1\], expected/],
      [code.tensor("FloatStorage", [0, 2]), "CheckpointError", /shape \[0, 2\], expected/],
      [
        code.record({ C: code.none }),
        "CheckpointError",
        /holds a dict with the keys "C", expected a tensor \[N, d\]/,
      ],
      [code.list(code.integer(1)), "CheckpointError", /holds a list of 1 items, expected/],
      [code.tensor("FloatStorage", [3, 2]), "RangeError", /snippet 1 of ".*": its norm is 0/],
    ] as const;
    for (const [root, name, message] of cases) {
      writeTorch(path, root, { storages });
      assert.throws(() => importTorchBank(path, { out }), { name, message });
    }
    assert.deepEqual([...Deno.readDirSync(directory)].map((entry) => entry.name), [
      "memory_bank.pth",
    ]);
  });
});

Deno.test("bank import writes a bank file and sums it up", async () => {
  const main = fileURLToPath(new URL("../../bank/main.ts", import.meta.url));
  await inDirectory(async (directory) => {
    const path = `${directory}/memory_bank.pth`, out = `${directory}/bank.safetensors`;
    const storages = { 0: Float32Array.of(3, 4, 0, 5, -2, 0) };
    writeTorch(path, code.tensor("FloatStorage", [3, 2]), { storages });
    const permissions = ["--allow-read", "--allow-write", "--allow-env"];
    const command = new Deno.Command(Deno.execPath(), {
      args: ["run", "--no-check", ...permissions, main, "import", path, "--out", out, "--json"],
      env: { NO_COLOR: "1" },
    });
    const { code: exit, stdout, stderr } = await command.output();
    assert.equal(exit, 0, new TextDecoder().decode(stderr));
    const summary: BankSummary = JSON.parse(new TextDecoder().decode(stdout));
    assert.deepEqual([summary.size, summary.dim, summary.rank], [3, 2, null]);
    using file = BankFile.open(out);
    assert.deepEqual(file.rows(0, 3), Float32Array.of(0.6, 0.8, 0, 1, -1, 0));
  });
});
