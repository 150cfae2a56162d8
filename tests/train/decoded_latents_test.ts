import assert from "node:assert/strict";
import { LatentShards } from "../../train/datasets/latent_shards.ts";
import { decodeLatents } from "../../train/decoded_latents.ts";
import { CHANNELS, rowsOf, SIDE, writeShards } from "./_shards.ts";

const SIZE = 150;
const SHARDS = Deno.makeTempDirSync({ prefix: "gmem_decoded_" });
Deno.test.afterAll(() => Deno.remove(SHARDS, { recursive: true }));
const LATENTS = writeShards(SHARDS, { counts: [70, 80] }).get("latents")!;

/** Shows the first value of each latent, divided by four, as one grey pixel. */
const VIEWER = {
  channels: 1,
  imageSize: 1,
  view: (latents: Float32Array) => {
    const length = CHANNELS * SIDE ** 2;
    return Promise.resolve(
      Float32Array.from({ length: latents.length / length }, (_, i) => latents[i * length]! / 4),
    );
  },
} as const;

function bytesOf(indices: readonly number[]): number[] {
  const length = CHANNELS * SIDE ** 2, values = rowsOf(LATENTS, indices, SIZE);
  return indices.map((_, i) => {
    const level = Math.trunc(127.5 * Math.fround(values[i * length]! / 4) + 128);
    return Math.min(255, Math.max(0, level));
  });
}

Deno.test("decodeLatents() makes bytes of all latents, or of some that are spread evenly", async () => {
  using latents = await LatentShards.open(SHARDS);
  const done: number[][] = [];
  const all = await decodeLatents(latents, {
    ...{ viewer: VIEWER, most: 1000 },
    onProgress: (...counts) => done.push(counts),
  });
  const indices = Array.from({ length: SIZE }, (_, i) => i);
  assert.deepEqual([...all.pixels], bytesOf(indices));
  assert.ok(new Set(all.pixels).size > 20);
  assert.deepEqual([all.size, all.imageSize, all.channels, all.names[9]], [SIZE, 1, 1, "9"]);
  assert.deepEqual(done, [[64, SIZE], [128, SIZE], [SIZE, SIZE]]);
  const some = await decodeLatents(latents, { viewer: VIEWER, most: 3 });
  assert.deepEqual(some.names, ["25", "75", "125"]);
  assert.deepEqual([...some.pixels], bytesOf([25, 75, 125]));
});

Deno.test("decodeLatents() names the latent of which a decoder makes what is not finite", async () => {
  using latents = await LatentShards.open(SHARDS);
  let seen = 0;
  const view = async (values: Float32Array) => {
    const images = await VIEWER.view(values);
    if (seen <= 70 && seen + images.length > 70) images[70 - seen] = NaN;
    seen += images.length;
    return images;
  };
  await assert.rejects(decodeLatents(latents, { viewer: { ...VIEWER, view }, most: 1000 }), {
    name: "RangeError",
    message: "Cannot measure decoded latent 70: it holds NaN, expected finite numbers",
  });
});
