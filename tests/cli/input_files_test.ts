import assert from "node:assert/strict";
import { requireFiles } from "../../cli/input_files.ts";

Deno.test("requireFiles() names the file that is not there, or none, and what it is for", () => {
  requireFiles({ a: "deno.json", b: null, c: undefined });
  assert.throws(() => requireFiles({ a: "deno.json", "bank.path": "nowhere.npy" }), {
    name: "NotFound",
    message: "Cannot read nowhere.npy: there is no such file, expected one for bank.path",
  });
  assert.throws(() => requireFiles({ "bank.path": "configs" }), {
    name: "TypeError",
    message: "Cannot read configs: it is a folder, expected a file for bank.path",
  });
});
