import assert from "node:assert/strict";
import { extract } from "../../evaluate/extract.ts";
import type { ByteBatch, ImageStream } from "../../evaluate/image_stream.ts";
import type { Reporter } from "../../evaluate/reporter.ts";
import { pixelEncoder } from "../bank/_images.ts";

Deno.test("extract() keeps pixels and features of batches in the places of their images", async () => {
  // Seven images of one pixel in batches of three, two and two.
  const all = Uint8Array.from({ length: 7 * 3 }, (_, i) => 10 + 7 * i);
  const stream: ImageStream = {
    size: 7,
    imageSize: 1,
    channels: 3,
    async *batches() {
      for (const [first, count] of [[0, 3], [3, 2], [5, 2]] as const) {
        yield { first, count, pixels: all.slice(3 * first, 3 * (first + count)) };
      }
    },
  };
  const told: number[] = [];
  const reporter: Reporter = {
    note() {},
    warn() {},
    begin: () => ({ advance: (done) => told.push(done), [Symbol.dispose]() {} }),
  };
  const encoder = pixelEncoder(3), options = { label: "samples", reporter };
  const { features, pixels, inception } = await extract(stream, { ...options, encoder, kept: 4 });
  // Kept images end within a batch.
  assert.deepEqual(pixels, all.slice(0, 3 * 4));
  const values = Float32Array.from(all, (byte) => byte / 127.5 - 1);
  const shape = { count: 7, channels: 3, height: 1, width: 1 };
  assert.deepEqual(features, await encoder.encode(values, shape));
  assert.deepEqual([inception, told], [undefined, [3, 5, 7]]);
  assert.deepEqual((await extract(stream, { ...options, kept: 9 })).pixels, all);

  // Features of a network that are the pixels, and others of one number.
  const run = ({ pixels }: ByteBatch) => {
    const pool = Float32Array.from(pixels);
    const spatial = pool.filter((_, i) => i % 3 === 0);
    return Promise.resolve({ pool, spatial, probabilities: pool.map(() => 1 / 3) });
  };
  const made = (await extract(stream, { ...options, inception: { run } })).inception!;
  assert.deepEqual([made.dim, made.pool], [3, Float32Array.from(all)]);
  assert.deepEqual([made.spatial!.dim, made.spatial!.count], [1, 7]);
  assert.equal(made.score!.classes, 3);
});
