import assert from "node:assert/strict";
import { PartFile } from "../../bank/part_file.ts";
import { onFullDisk } from "../_disk.ts";
import { inDirectory } from "./_images.ts";

Deno.test("PartFile.open() leaves no file open where the disk refuses", async () => {
  await inDirectory((directory) => {
    const path = `${directory}/bank.safetensors.part`;
    const open = () => PartFile.open(path, { key: "key", dim: 2 });
    assert.throws(() => onFullDisk(0, open), { name: "CheckpointError", message: /No space left/ });
    // It was locked as long as it was open.
    open()[Symbol.dispose]();
  });
});

Deno.test("PartFile.open() leaves a file of another kind as it is", async () => {
  await inDirectory((directory) => {
    const path = `${directory}/bank.safetensors.part`;
    const open = () => PartFile.open(path, { key: "key", dim: 2 });
    Deno.writeTextFileSync(path, "notes");
    assert.throws(open, {
      name: "CheckpointError",
      message: /\.part": it is no file of rows .*, expected none .*; move it away, or remove it/,
    });
    assert.equal(Deno.readTextFileSync(path), "notes");
    // What a kill cut off, and what has another key.
    for (const left of ["gmem", `gmempart${"x".repeat(50)}`]) {
      Deno.writeTextFileSync(path, left);
      using part = open();
      assert.equal(part.rows, 0);
      part.append(Float32Array.of(1, 2), Uint32Array.of(3));
    }
    using again = open();
    assert.deepEqual([again.rows, again.read(0, 1), again.mark(0)], [1, Float32Array.of(1, 2), 3]);
  });
});
