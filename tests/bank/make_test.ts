import assert from "node:assert/strict";
import { makeBank } from "../../bank/make.ts";
import { parseConfig } from "../../train/config.ts";
import { gpuTest } from "../_gpu.ts";
import { inDirectory, randomImages, sourceOf } from "./_images.ts";

const SIZES = { channels: 3, imageSize: 8 };

gpuTest("makeBank() notes images that are few for the length of the snippets", async (device) => {
  await inDirectory(async (directory) => {
    const notesOf = async (count: number, dim: number) => {
      const notes: string[] = [];
      const made = await makeBank({
        device,
        config: parseConfig(`bank: { dim: ${dim}, resolution: 8 }`).bank,
        images: sourceOf(randomImages(count, SIZES), SIZES),
        path: `${directory}/${count}.safetensors`,
        note: (line) => notes.push(line),
      });
      made![Symbol.dispose]();
      return notes;
    };
    assert.deepEqual(await notesOf(40, 4), []);
    assert.deepEqual(await notesOf(39, 4), [
      "4 numbers tell little of so few images: expected 40 or more, not 39, or bank.dim=3",
    ]);
    assert.equal((await notesOf(3, 2)).length, 1);
  });
});
