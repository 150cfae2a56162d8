import assert from "node:assert/strict";
import { crc32 } from "node:zlib";
import { unzipSync, zipSync } from "fflate";
import { npyHeader } from "../../bank/npy.ts";
import { toBytes } from "../../bank/pixels.ts";
import { AdmBatchWriter, openAdmBatch } from "../../evaluate/adm_batch.ts";
import { archiveHead, archiveTail } from "../../evaluate/byte_archive.ts";
import {
  type ImageStream,
  readPixels,
  spreadOf,
  withChannels,
} from "../../evaluate/image_stream.ts";
import { storedSamples } from "../../evaluate/sample_set.ts";
import { ZipDirectory } from "../../kernels/core/zip_directory.ts";
import { onFullDisk } from "../_disk.ts";
import { inDirectory } from "../bank/_images.ts";

const SIZE = 70, SIDE = 3;
const PIXELS = Uint8Array.from({ length: SIZE * 3 * SIDE ** 2 }, (_, i) => (i * 37) % 256);
const LENGTH = 3 * SIDE ** 2;

async function pixelsOf(stream: ImageStream): Promise<number[]> {
  const batches = await Array.fromAsync(stream.batches());
  return batches.flatMap(({ pixels }) => [...pixels]);
}

/** The pixels as NumPy has them, the channels last. */
function pixelsLast(): Uint8Array {
  return PIXELS.map((_, i) => {
    const image = Math.floor(i / LENGTH), pixel = Math.floor(i / 3) % SIDE ** 2;
    return PIXELS[image * LENGTH + i % 3 * SIDE ** 2 + pixel]!;
  });
}

/** A `.npy` file of doubles, or of anything that a header says. */
function npy(type: "<f8" | "|u1", shape: readonly number[], bytes: Uint8Array): Uint8Array {
  const text = String.fromCharCode(...npyHeader("|u1", shape)).replace("|u1", type);
  const header = Uint8Array.from(text, (letter) => letter.charCodeAt(0));
  const file = new Uint8Array(header.length + bytes.length);
  file.set(header);
  file.set(bytes, header.length);
  return file;
}

function doubles(...values: number[]): Uint8Array {
  return new Uint8Array(Float64Array.from(values).buffer);
}

Deno.test("AdmBatchWriter writes what openAdmBatch reads, as numpy orders it", async () => {
  await inDirectory(async (directory) => {
    const path = `${directory}/samples.npz`;
    {
      using writer = new AdmBatchWriter(path, { size: SIZE, imageSize: SIDE, channels: 3 });
      writer.append({ first: 0, count: 64, pixels: PIXELS.subarray(0, 64 * LENGTH) });
      for (const first of [0, 65]) {
        assert.throws(
          () => writer.append({ first, count: 6, pixels: PIXELS.subarray(0, 6 * LENGTH) }),
          {
            name: "RangeError",
            message:
              `Cannot append images from ${first} on: 64 are written, expected the next ones`,
          },
        );
      }
      writer.append({ first: 64, count: 6, pixels: PIXELS.subarray(64 * LENGTH) });
      writer.commit();
    }
    using batch = openAdmBatch(path);
    const { images } = batch;
    assert.deepEqual([images?.size, images?.imageSize, images?.channels], [SIZE, SIDE, 3]);
    assert.deepEqual(await pixelsOf(images!), [...PIXELS]);
    assert.deepEqual([batch.pool, batch.spatial], [undefined, undefined]);
    // In the file the three channels of a pixel follow each other.
    const bytes = Deno.readFileSync(path), plane = SIDE ** 2;
    const first = [0, plane, 2 * plane, 1].map((i) => PIXELS[i]!);
    const text = new TextDecoder("latin1").decode(bytes);
    const start = text.indexOf("\n", text.indexOf("NUMPY")) + 1;
    assert.deepEqual([...bytes.subarray(start, start + 4)], first);
  });
});

Deno.test("spreadOf() takes images from all over a stream", async () => {
  async function* batches() {
    for (const [first, count] of [[0, 3], [3, 1], [4, 6]] as const) {
      yield { first, count, pixels: Uint8Array.from({ length: count }, (_, i) => first + i) };
    }
  }
  const stream: ImageStream = { size: 10, imageSize: 1, channels: 1, batches };
  for (
    const [count, wanted] of [
      [1, [5]],
      [2, [2, 7]],
      [4, [1, 3, 6, 8]],
      [9, [0, 1, 2, 3, 5, 6, 7, 8, 9]],
    ] as const
  ) {
    const some = spreadOf(stream, count);
    assert.equal(some.size, count);
    let next = 0;
    for await (const { first, count, pixels } of some.batches()) {
      assert.deepEqual([first, count], [next, pixels.length]);
      next += count;
    }
    assert.deepEqual([...await readPixels(some)], wanted);
  }
  assert.equal(spreadOf(stream, 10), stream);
});

Deno.test("AdmBatchWriter leaves no file that is not complete", async () => {
  await inDirectory((directory) => {
    const path = `${directory}/samples.npz`;
    {
      using writer = new AdmBatchWriter(path, { size: 2, imageSize: SIDE, channels: 3 });
      writer.append({ first: 0, count: 1, pixels: PIXELS.subarray(0, LENGTH) });
      assert.throws(() => writer.commit(), /differ by 27 bytes from \[2, 3, 3, 3\]/);
    }
    assert.deepEqual([...Deno.readDirSync(directory)], []);
  });
});

Deno.test("AdmBatchWriter leaves nothing where the disk refuses the head or the name", async () => {
  await inDirectory((directory) => {
    const path = `${directory}/samples.npz`, shape = { size: 1, imageSize: SIDE, channels: 3 };
    const left = () => [...Deno.readDirSync(directory)].map(({ name }) => name);
    const full = /^Error: Cannot write ".*samples\.npz": No space left/;
    for (const room of [0, 60]) {
      onFullDisk(room, () => assert.throws(() => new AdmBatchWriter(path, shape), full));
      assert.deepEqual(left(), []);
    }
    Deno.mkdirSync(`${path}/inside`, { recursive: true });
    const batch = { first: 0, count: 1, pixels: PIXELS.subarray(0, LENGTH) };
    using cut = new AdmBatchWriter(path, shape), writer = new AdmBatchWriter(path, shape);
    onFullDisk(5, () => assert.throws(() => cut.append(batch), full));
    writer.append(batch);
    assert.throws(() => writer.commit(), /^Error: Cannot write ".*samples\.npz": .*os error/);
    assert.deepEqual(left(), ["samples.npz"]);
  });
});

Deno.test("readPixels() and storedSamples() give the images of a stream, or some of all over it", async () => {
  const stream: ImageStream = {
    ...{ size: SIZE, imageSize: SIDE, channels: 3 },
    async *batches() {
      for (let first = 0; first < SIZE; first += 32) {
        const count = Math.min(32, SIZE - first);
        const pixels = PIXELS.subarray(first * LENGTH, (first + count) * LENGTH);
        yield await Promise.resolve({ first, count, pixels });
      }
    },
  };
  assert.deepEqual(await readPixels(stream), PIXELS);
  for (const [count, size] of [[undefined, SIZE], [40, 40], [SIZE + 1, SIZE]] as const) {
    const set = storedSamples(stream, { source: "samples.npz", count });
    assert.deepEqual([set.source, set.stream.size], ["samples.npz", size]);
    assert.deepEqual([set.sampler, set.steps, set.evaluations()], Array(3).fill(undefined));
    const images = Array.from({ length: size }, (_, i) => Math.floor((i + 0.5) * SIZE / size));
    assert.deepEqual(
      [...await readPixels(set.stream)],
      images.flatMap((i) => [...PIXELS.subarray(i * LENGTH, (i + 1) * LENGTH)]),
    );
  }
  assert.throws(() => storedSamples(undefined, { source: "statistics.npz", count: 3 }), {
    name: "TypeError",
    message: "Cannot take samples of statistics.npz: it has no arr_0, expected images in it",
  });
});

Deno.test("AdmBatchWriter writes a zip archive that others read", async () => {
  await inDirectory((directory) => {
    const path = `${directory}/samples.npz`;
    {
      using writer = new AdmBatchWriter(path, { size: SIZE, imageSize: SIDE, channels: 3 });
      writer.append({ first: 0, count: SIZE, pixels: PIXELS });
      writer.commit();
    }
    const bytes = Deno.readFileSync(path), array = unzipSync(bytes)["arr_0.npy"]!;
    assert.deepEqual(array, Uint8Array.of(...npy("|u1", [SIZE, SIDE, SIDE, 3], pixelsLast())));
    const view = new DataView(bytes.buffer);
    assert.equal(view.getUint32(14, true), crc32(array));
    // The last records, of 56, 20 and 22 bytes: one entry, whose directory ends where the first of them begins.
    const end = bytes.length - 98;
    assert.equal(view.getUint32(end, true), 0x06064b50);
    const [here, all, length, start] = [24, 32, 40, 48].map((at) =>
      view.getBigUint64(end + at, true)
    );
    assert.deepEqual([here, all, start! + length!], [1n, 1n, BigInt(end)]);
  });
});

Deno.test("archives of more than 4 GiB are read where they were written", () => {
  const entry = { name: "arr_0.npy", bytes: 50_000 * 3 * 256 ** 2 + 128, checksum: 0x89abcdef };
  const head = archiveHead(entry), tail = archiveTail(entry), end = head.length + entry.bytes;
  const read = (target: Uint8Array, position: number) => {
    for (let i = 0; i < target.length; i++) {
      const at = position + i;
      target[i] = at < end ? head[at] ?? 0 : tail[at - end]!;
    }
    return target.length;
  };
  const source = { size: end + tail.length, read, [Symbol.dispose]: () => {} };
  const directory = new ZipDirectory(source, "large");
  assert.deepEqual(directory.names(), ["arr_0.npy"]);
  assert.deepEqual(directory.find("arr_0.npy"), { offset: head.length, bytes: entry.bytes });
});

Deno.test("openAdmBatch() reads statistics with all digits, stored or compressed", async () => {
  await inDirectory((directory) => {
    const arrays = {
      "mu.npy": npy("<f8", [2], doubles(0.1, 1 / 3)),
      "sigma.npy": npy("<f8", [2, 2], doubles(2, 0.1, 0.1, 1 / 7)),
      "mu_s.npy": npy("<f8", [1], doubles(5)),
      "sigma_s.npy": npy("<f8", [1, 1], doubles(6)),
    };
    for (const level of [0, 6] as const) {
      const path = `${directory}/${level}.npz`;
      Deno.writeFileSync(path, zipSync(arrays, { level }));
      using batch = openAdmBatch(path);
      assert.equal(batch.images, undefined);
      assert.deepEqual([...batch.pool!.mean()], [0.1, 1 / 3]);
      assert.deepEqual([...batch.pool!.covariance()], [2, 0.1, 0.1, 1 / 7]);
      assert.deepEqual([batch.spatial!.dim, ...batch.spatial!.covariance()], [1, 6]);
    }
  });
});

Deno.test("openAdmBatch() says what is wrong with a file", async () => {
  await inDirectory(async (directory) => {
    const path = `${directory}/a.npz`;
    const refused = (arrays: Record<string, Uint8Array>, said: RegExp) => {
      Deno.writeFileSync(path, zipSync(arrays, { level: 0 }));
      assert.throws(() => openAdmBatch(path), said);
    };
    refused({ "x.npy": npy("|u1", [1], Uint8Array.of(1)) }, /has the arrays x, expected arr_0/);
    refused({ "mu.npy": npy("<f8", [1], doubles(1)) }, /it has mu alone, expected mu and sigma/);
    refused({
      "mu.npy": npy("<f8", [1], doubles(1)),
      "sigma.npy": npy("<f8", [1, 2], doubles(1, 2)),
    }, /mu and sigma: Cannot use a covariance of 2 values/);
    refused(
      { "arr_0.npy": npy("|u1", [1, 2, 3, 3], new Uint8Array(18)) },
      /arr_0 has shape \[1, 2, 3, 3\], expected square images/,
    );
    Deno.writeFileSync(path, zipSync({ "arr_0.npy": npy("<f8", [1, 1, 1], doubles(0.5)) }));
    using batch = openAdmBatch(path);
    await assert.rejects(pixelsOf(batch.images!), /arr_0 holds 0.5, expected whole numbers/);
    // Of 3 MB, so that it is checked in pieces; the last number but one is another.
    const many = zipSync({ "arr_0.npy": npy("|u1", [1, 1000, 1000, 3], new Uint8Array(3e6)) }, {
      level: 0,
    });
    Deno.writeFileSync(path, many);
    openAdmBatch(path)[Symbol.dispose]();
    const last = new TextDecoder("latin1").decode(many).lastIndexOf("PK\x01\x02") - 2;
    Deno.writeFileSync(path, many.with(last, 1));
    assert.throws(() => openAdmBatch(path), {
      name: "CheckpointError",
      message: /its entry "arr_0.npy" is damaged: its checksum is \d+, expected \d+$/,
    });
    // A compressed entry that claims more than memory holds, in the field that stands for 0xffffffff.
    const wide = new Uint8Array(new BigUint64Array([2n ** 53n - 1n]).buffer);
    const claiming = zipSync({
      "arr_0.npy": [npy("|u1", [1, 1, 1], Uint8Array.of(1)), { extra: { 1: wide } }],
    });
    const entry = new TextDecoder("latin1").decode(claiming).lastIndexOf("PK\x01\x02");
    new DataView(claiming.buffer).setUint32(entry + 20, 0xffffffff, true);
    Deno.writeFileSync(path, claiming);
    assert.throws(() => openAdmBatch(path), {
      name: "CheckpointError",
      message: /its entry "arr_0.npy" ends at byte \d+, expected at most \d+$/,
    });
    Deno.writeTextFileSync(path, "no archive");
    assert.throws(() => openAdmBatch(path), { name: "CheckpointError" });
  });
});

Deno.test("withChannels() copies grey, takes grey of equal channels and refuses colours", () => {
  const grey = { first: 4, count: 2, pixels: Uint8Array.of(1, 2) };
  const colours = withChannels(grey, { from: 1, to: 3 });
  assert.deepEqual([...colours], [1, 1, 1, 2, 2, 2]);
  const back = { ...grey, pixels: colours };
  assert.deepEqual([...withChannels(back, { from: 3, to: 1 })], [1, 2]);
  colours[5] = 3;
  assert.throws(() => withChannels(back, { from: 3, to: 1 }), /image 5 for a grey one/);
  assert.throws(() => withChannels(back, { from: 3, to: 4 }), TypeError);
});

Deno.test("toBytes() keeps the bytes that values were made of", () => {
  const bytes = Uint8Array.from({ length: 256 }, (_, i) => i);
  assert.deepEqual(toBytes(Float32Array.from(bytes, (byte) => byte / 127.5 - 1)), bytes);
  assert.deepEqual([...toBytes(Float32Array.of(-2, 2))], [0, 255]);
});
