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
