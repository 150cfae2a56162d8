import assert from "node:assert/strict";
import { writeBank, writeLowRankBank } from "../../bank/bank_writer.ts";
import type { CoefficientStorage } from "../../bank/coefficient_format.ts";
import { BankFile } from "../../bank/file.ts";
import { bankFingerprint, beginsWith } from "../../bank/fingerprint.ts";
import { normalizeSnippets } from "../../bank/normalize.ts";
import { spreadIndices } from "../../bank/select_rows.ts";
import { sha256Hex } from "../../kernels/core/sha256.ts";
import { randomValues } from "../_check_op.ts";
import { inDirectory } from "./_images.ts";

Deno.test("the fingerprint of a bank is that of its first snippets, whatever follows", async () => {
  await inDirectory((directory) => {
    const dim = 3, size = 200;
    const snippets = normalizeSnippets(randomValues([size + 50, dim], 1), { dim });
    using opened = new DisposableStack();
    let banks = 0;
    const bankOf = (rows: Float32Array) => {
      const path = `${directory}/bank${banks++}`;
      writeBank(path, { dim, snippets: rows });
      return opened.use(BankFile.open(path));
    };
    const own = snippets.slice(0, size * dim), bank = bankOf(own);
    const fingerprint = bankFingerprint(bank);
    assert.equal(fingerprint.size, size);
    const seen = Array.from(spreadIndices(64, size), (index) => bank.rows(index, 1));
    assert.equal(fingerprint.sha256, sha256Hex(...seen));
    assert.deepEqual(bankFingerprint(bankOf(own)), fingerprint);
    assert.ok(beginsWith(bank, fingerprint));
    assert.ok(beginsWith(bankOf(snippets), fingerprint));
    assert.ok(!beginsWith(bankOf(own.slice(dim)), fingerprint));
    // One place on, which leaves none where it was.
    const turned = new Float32Array([...own.subarray(dim), ...own.subarray(0, dim)]);
    assert.ok(!beginsWith(bankOf(turned), fingerprint));
  });
});

Deno.test("the fingerprint of a low-rank bank lasts when a snippet is added that is larger than all", async () => {
  await inDirectory((directory) => {
    const dim = 4, rank = 2, size = 100;
    using opened = new DisposableStack();
    let banks = 0;
    const bankOf = (storage: CoefficientStorage, added: number[], seed: number) => {
      const path = `${directory}/bank${banks++}`;
      writeLowRankBank(path, {
        coefficients: Float32Array.of(...randomValues([size, rank], 1), ...added),
        basis: new Float32Array(randomValues([dim, rank], seed)),
        singularValues: Float32Array.of(2, 1),
        mean: Float32Array.of(1, 2, 3, 4),
        storage,
      });
      return opened.use(BankFile.open(path));
    };
    for (const storage of ["f32", "f16", "int8"] as const) {
      const fingerprint = bankFingerprint(bankOf(storage, [], 2));
      assert.ok(beginsWith(bankOf(storage, [], 2), fingerprint), storage);
      assert.ok(beginsWith(bankOf(storage, [30, -30], 2), fingerprint), storage);
      assert.ok(!beginsWith(bankOf(storage, [], 3), fingerprint), storage);
    }
  });
});
