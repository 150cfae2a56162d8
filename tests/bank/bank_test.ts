import assert from "node:assert/strict";
import { captionOf, titleOf } from "../../bank/bank.ts";

Deno.test("titleOf() gives the name of a snippet, captionOf() what its image shows", () => {
  const records = { names: ["a.png", "", "c.png"], texts: ["a heart", "a face", ""] };
  assert.deepEqual([0, 1, 2].map((i) => titleOf(records, i)), ["a.png", "snippet 1", "c.png"]);
  assert.deepEqual([0, 1, 2].map((i) => captionOf(records, i)), ["a heart", "a face", "c.png"]);
  assert.deepEqual([titleOf({}, 7), captionOf({}, 7)], ["snippet 7", "snippet 7"]);
});
