import assert from "node:assert/strict";
import { writeBank } from "../../bank/bank_writer.ts";
import { checkRunEncoder } from "../../bank/run_encoder.ts";
import { inDirectory } from "./_images.ts";

const ENCODER = { kind: "pixels", dim: 1, fingerprint: "1", preprocessing: {}, settings: {} };
const BANK = { dim: 1, snippets: Float32Array.of(1) };

Deno.test("checkRunEncoder() takes banks of the run's encoder, others by --any-encoder", async () => {
  await inDirectory((directory) => {
    const own = `${directory}/own`, nameless = `${directory}/nameless`;
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
    const options = { path: "other", checkpoint: "run", note: (line: string) => notes.push(line) };
    for (const anyEncoder of [false, true]) {
      checkRunEncoder({ ...options, bank: { encoder: ENCODER }, ownPath: own, anyEncoder });
    }
    assert.deepEqual(notes, []);
    for (const [ownPath, encoder, problem] of others) {
      const guiding = { ...options, bank: { encoder }, ownPath };
      assert.throws(() => checkRunEncoder({ ...guiding, anyEncoder: false }), {
        name: "TypeError",
        message: `Cannot guide run by other: ${problem}. Encode its images as the run did by ` +
          `bank build --like ${ownPath}, or take it as it is by --any-encoder`,
      });
      checkRunEncoder({ ...guiding, anyEncoder: true });
      assert.equal(notes.pop(), `${problem}; the samples may follow nothing`);
    }
  });
});
