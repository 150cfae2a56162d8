import assert from "node:assert/strict";
import { openStoredImages } from "../../evaluate/stored_images.ts";
import { canLink } from "../_system.ts";
import { inDirectory } from "../bank/_images.ts";

Deno.test("openStoredImages() names the PNG file that cannot be opened", async () => {
  if (!canLink()) return;
  await inDirectory(async (directory) => {
    Deno.symlinkSync(`${directory}/nowhere`, `${directory}/lost.png`, { type: "file" });
    const unused = () => Promise.reject(new Error("no other file is read"));
    const reporter = {
      note() {},
      warn() {},
      begin: () => {
        throw new Error("nothing is measured");
      },
    };
    await assert.rejects(
      openStoredImages(directory, { imageSize: unused, loadDecoder: unused, reporter }),
      /^Error: Cannot load image .*lost\.png: No such file .*, expected an image file$/,
    );
  });
});
