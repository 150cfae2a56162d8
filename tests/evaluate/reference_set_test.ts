import assert from "node:assert/strict";
import { buildBank } from "../../bank/build.ts";
import { compressBank } from "../../bank/compress.ts";
import { BankFile } from "../../bank/file.ts";
import { copyBank } from "../../bank/merge.ts";
import { findUnlike, openBankOf, openReferenceSet } from "../../evaluate/reference_set.ts";
import { ImageSet } from "../../train/datasets/image_set.ts";
import { inDirectory, pixelEncoder, randomImages, sourceOf } from "../bank/_images.ts";

Deno.test("openReferenceSet() knows the training images from all others", async () => {
  const imagesOf = (name: string) =>
    new ImageSet({ imageSize: 1, channels: 1, pixels: Uint8Array.of(7), names: [name] });
  const sources = {
    training: () => Promise.resolve(imagesOf("a")),
    heldOut: () => Promise.resolve(imagesOf("b")),
    openImages: () =>
      Promise.resolve({
        ...{ images: undefined, pool: undefined, spatial: undefined },
        [Symbol.dispose]() {},
      }),
  };
  for (
    const [asked, isTraining] of [["train", true], ["held-out", false], ["dir", false]] as const
  ) {
    using set = await openReferenceSet(asked, sources);
    assert.deepEqual([set.asked, set.isTraining], [asked, isTraining]);
  }
});

Deno.test("snippets are features of images only in full and of the same images", async () => {
  await inDirectory(async (directory) => {
    const size = 6, names = Array.from({ length: size }, (_, i) => `image ${i}`);
    const images = { size, imageSize: 2, names };
    const encoder = pixelEncoder(12), sizes = { imageSize: 2, channels: 3 };
    const [full, low, again] = ["full", "low", "again"].map((name) => `${directory}/${name}`);
    const source = sourceOf(randomImages(size, sizes), { ...sizes, names });
    await buildBank({ images: source, encoder, out: full! });
    using file = BankFile.open(full!);
    await compressBank(file, { rank: 2, out: low! });
    using kept = BankFile.open(low!);
    await copyBank(kept, { out: again! });
    const opens = (path: string, changes: Partial<typeof images> = {}) => {
      using found = openBankOf({ ...images, ...changes }, { path, encoder });
      return found !== undefined;
    };
    assert.ok(opens(full!));
    assert.ok(!opens(full!, { imageSize: 4 }));
    assert.ok(!opens(full!, { names: names.toReversed() }));
    const { description } = encoder;
    const other = { ...encoder, description: { ...description, fingerprint: "another" } };
    assert.equal(openBankOf(images, { path: full!, encoder: other }), undefined);
    assert.ok(!opens(low!));
    // The same number of the same names by the same encoder, but made of the low-rank ones.
    assert.ok(!opens(again!));
    assert.ok(!opens(`${directory}/none`));

    assert.equal(findUnlike(file, 2), undefined);
    assert.match(findUnlike(file, 4)!, /of images of 2 × 2 pixels, the samples have 4 × 4: /);
    assert.match(findUnlike(kept, 2)!, /low are kept in part, by 2 numbers each: /);
    using made = BankFile.open(again!);
    assert.equal(findUnlike(made, 2), undefined);
  });
});
