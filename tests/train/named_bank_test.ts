import assert from "node:assert/strict";
import { writeBank } from "../../bank/bank_writer.ts";
import { resolveConfig } from "../../train/config.ts";
import { checkNamedBank } from "../../train/named_bank.ts";
import { RUN_BANK } from "../../train/run_files.ts";
import { inDirectory } from "../bank/_images.ts";

const ENCODER = { kind: "pixels", dim: 1, fingerprint: "1", preprocessing: {}, settings: {} };
const BANK = { dim: 1, snippets: Float32Array.of(1) };

Deno.test("checkNamedBank() takes banks of the run's encoder, others by --any-encoder", async () => {
  await inDirectory((directory) => {
    const own = `${directory}/${RUN_BANK}`, nameless = `${directory}/nameless`;
    writeBank(own, { ...BANK, encoder: ENCODER });
    writeBank(nameless, BANK);
    const others = [
      [own, undefined, "the bank does not name its encoder"],
      [
        own,
        { ...ENCODER, fingerprint: "2" },
        'another encoder made its snippets, fingerprint is "2", expected "1"',
      ],
      [nameless, ENCODER, `the run's own bank ${nameless} does not name its encoder`],
      ["none", ENCODER, "the run's own bank none is not there"],
    ] as const;
    const notes: string[] = [];
    const options = { bank: "other", note: (line: string) => notes.push(line) };
    const run = { checkpoint: `${directory}/step_0000001`, config: resolveConfig({}) };
    for (const anyEncoder of [false, true]) {
      checkNamedBank({ ...run, bank: { encoder: ENCODER } }, { ...options, anyEncoder });
    }
    for (const [path, encoder, problem] of others) {
      const config = resolveConfig({ bank: { path } });
      const trained = { ...run, config, bank: { encoder } };
      assert.deepEqual(notes, []);
      checkNamedBank(trained, { ...options, bank: undefined, anyEncoder: false });
      assert.throws(() => checkNamedBank(trained, { ...options, anyEncoder: false }), {
        name: "TypeError",
        message: `Cannot guide ${run.checkpoint} by other: ${problem}. Encode its images as the ` +
          `run did by bank build --like ${path}, or take it as it is by --any-encoder`,
      });
      checkNamedBank(trained, { ...options, anyEncoder: true });
      assert.equal(notes.pop(), `${problem}; the samples may follow nothing`);
    }
  });
});
