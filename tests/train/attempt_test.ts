import assert from "node:assert/strict";
import { DeviceLostError, OutOfMemoryError } from "../../kernels/core/errors.ts";
import { attempt } from "../../train/attempt.ts";

Deno.test("attempt() gives what work gives, and tells why it failed", async () => {
  const told: string[] = [], options = { tell: (line: string) => void told.push(line) };
  assert.equal(await attempt("the sum", options, () => Promise.resolve(3)), 3);
  assert.deepEqual(told, []);
  const failing = () => Promise.reject(new RangeError("too large"));
  assert.equal(await attempt("the sum", options, failing), undefined);
  assert.deepEqual(told, ["skipped the sum: too large"]);
});

Deno.test("attempt() throws what training cannot go on after", async () => {
  const options = { tell: () => assert.fail("it goes on") };
  for (
    const error of [
      new DeviceLostError("lost"),
      new OutOfMemoryError("full", { requestedBytes: 8, heldBytes: 0, largest: [] }),
    ]
  ) {
    await assert.rejects(attempt("the sum", options, () => Promise.reject(error)), error);
  }
});
