import assert from "node:assert/strict";
import { writeBank } from "../../bank/bank_writer.ts";
import { BankFile } from "../../bank/file.ts";
import { bankFingerprint, beginsWith } from "../../bank/fingerprint.ts";
import { normalizeSnippets } from "../../bank/normalize.ts";
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
    assert.deepEqual(bankFingerprint(bankOf(own)), fingerprint);
    assert.ok(beginsWith(bank, fingerprint));
    assert.ok(beginsWith(bankOf(snippets), fingerprint));
    assert.ok(!beginsWith(bankOf(own.slice(dim)), fingerprint));
    // One place on, which leaves none where it was.
    const turned = new Float32Array([...own.subarray(dim), ...own.subarray(0, dim)]);
    assert.ok(!beginsWith(bankOf(turned), fingerprint));
  });
});
