import assert from "node:assert/strict";
import { LatentShards } from "../../train/datasets/latent_shards.ts";
import { decodeLatents } from "../../train/decoded_latents.ts";
import { CHANNELS, rowsOf, SIDE, writeShards } from "./_shards.ts";

const SIZE = 150;
const SHARDS = Deno.makeTempDirSync({ prefix: "gmem_decoded_" });
Deno.test.afterAll(() => Deno.remove(SHARDS, { recursive: true }));
const LATENTS = writeShards(SHARDS, { counts: [70, 80] }).get("latents")!;

/** Numbers of a latent, and of its image. */
const LENGTH = CHANNELS * SIDE ** 2, VALUES = 3 * 3 ** 2;

/** Shows the first values of each latent, divided by four, as nine pixels of three channels. */
const VIEWER = {
  channels: 3,
  imageSize: 3,
  view: (latents: Float32Array) => {
    const count = latents.length / LENGTH;
    return Promise.resolve(
      Float32Array.from(
        { length: count * VALUES },
        (_, i) => latents[Math.floor(i / VALUES) * LENGTH + i % VALUES]! / 4,
      ),
    );
  },
} as const;

function bytesOf(indices: readonly number[]): number[] {
  const rows = rowsOf(LATENTS, indices, SIZE);
  return rows.filter((_, i) => i % LENGTH < VALUES).map((value) => {
    const level = Math.trunc(127.5 * Math.fround(value / 4) + 128);
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
  assert.deepEqual([all.size, all.imageSize, all.channels, all.names[9]], [SIZE, 3, 3, "9"]);
  assert.deepEqual(done, [[64, SIZE], [128, SIZE], [SIZE, SIZE]]);
  const some = await decodeLatents(latents, { viewer: VIEWER, most: 3 });
  assert.deepEqual(some.names, ["25", "75", "125"]);
  assert.deepEqual([...some.pixels], bytesOf([25, 75, 125]));
  done.length = 0;
  const onProgress = (...counts: number[]) => void done.push(counts);
  await decodeLatents(latents, { viewer: VIEWER, most: 64, onProgress });
  assert.deepEqual(done, [[64, 64]]);
});

Deno.test("decodeLatents() names the latent of which a decoder makes what is not finite", async () => {
  using latents = await LatentShards.open(SHARDS);
  let seen = 0;
  const view = async (values: Float32Array) => {
    const images = await VIEWER.view(values);
    const count = images.length / VALUES;
    if (seen <= 70 && seen + count > 70) images[(70 - seen) * VALUES + 5] = NaN;
    seen += count;
    return images;
  };
  await assert.rejects(decodeLatents(latents, { viewer: { ...VIEWER, view }, most: 1000 }), {
    name: "RangeError",
    message: "Cannot use decoded latent 70: it holds NaN, expected finite numbers",
  });
});
