import assert from "node:assert/strict";
import { BankFile } from "../../bank/file.ts";
import { makeBank } from "../../bank/make.ts";
import { normalizeSnippets } from "../../bank/normalize.ts";
import { writeSafetensors } from "../../kernels/core/safetensors_writer.ts";
import { parseConfig } from "../../train/config.ts";
import { randomValues } from "../_check_op.ts";
import { gpuTest } from "../_gpu.ts";
import { code, makeTorchFile } from "../model/_write_torch_file.ts";
import { inDirectory, pixelEncoder, randomImages, sourceOf } from "./_images.ts";

const SIZES = { channels: 3, imageSize: 8 };

gpuTest("makeBank() notes images that are few for the length of the snippets", async (device) => {
  await inDirectory(async (directory) => {
    let notes: string[] = [];
    const notesOf = async (count: number, dim: number) => {
      notes = [];
      const made = await makeBank({
        device,
        config: parseConfig(`bank: { dim: ${dim}, resolution: 8 }`).bank,
        images: sourceOf(randomImages(count, SIZES), SIZES),
        out: `${directory}/${count}.safetensors`,
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
    await assert.rejects(notesOf(1, 2), /Cannot fit pixel_pca to 1 image: expected at least 2/);
    assert.deepEqual(notes, []);
  });
});

gpuTest("makeBank() leaves an encoder that it was given to the caller", async (device) => {
  await inDirectory(async (directory) => {
    const source = sourceOf(randomImages(20, SIZES), SIZES), notes: string[] = [];
    let released = 0;
    const encoder = { ...pixelEncoder(192), [Symbol.dispose]: () => released++ };
    const broken = { ...source, read: () => Promise.reject(new Error("no more images")) };
    const options = {
      device,
      config: parseConfig("bank: { dim: 4, resolution: 8 }").bank,
      out: `${directory}/bank.safetensors`,
      note: (line: string) => notes.push(line),
    };
    assert.equal(await makeBank({ ...options, images: source, encoder }), encoder);
    assert.deepEqual(notes, []);
    await assert.rejects(makeBank({ ...options, images: broken, encoder }), {
      message: "no more images",
    });
    assert.equal(released, 0);
  });
});

gpuTest("makeBank() counts the images that an encoder is fitted to", async (device) => {
  await inDirectory(async (directory) => {
    const done: [number, number][] = [];
    const options = {
      device,
      images: sourceOf(randomImages(20, SIZES), SIZES),
      out: `${directory}/bank.safetensors`,
      onProgress: (...each: [number, number]) => done.push(each),
    };
    const { bank: config } = parseConfig("bank: { dim: 2, resolution: 8 }");
    const made = await makeBank({ ...options, config, shard: { number: 2, count: 4 } });
    made![Symbol.dispose]();
    assert.deepEqual(done, [[20, 25], [25, 25]]);
    const onnx = parseConfig("bank: { encoder: onnx, path: other.safetensors }");
    await assert.rejects(makeBank({ ...options, config: onnx.bank }), {
      name: "TypeError",
      message: "Cannot open the encoder onnx: bank.onnx has no path, expected one",
    });
  });
});

gpuTest("makeBank() takes of vectors for all images those of its own", async (device) => {
  await inDirectory(async (directory) => {
    // Vectors are read 4096 at a time.
    const size = 4100, features = new Float32Array(randomValues([size, 2], 3));
    const from = `${directory}/a.safetensors`, path = `${directory}/bank.safetensors`;
    writeSafetensors(from, [["clip", { dtype: "F32", shape: [size, 2], data: features }]]);
    const indices = Uint32Array.from({ length: size }, (_, i) => i)
      .filter((index) => index !== 5 && index !== 4095);
    const sizes = { channels: 1, imageSize: 1 };
    const images = sourceOf(new Float32Array(indices.length), sizes);
    const { bank: config } = parseConfig(
      `bank: { encoder: features, features: { path: ${from} } }`,
    );
    const done: [number, number][] = [];
    const options = {
      device,
      config,
      images,
      out: path,
      onProgress: (...each: [number, number]) => done.push(each),
    };
    assert.equal(await makeBank({ ...options, places: { of: size, indices } }), undefined);
    assert.deepEqual(done, [[4094, 4098], [4098, 4098]]);
    using file = BankFile.open(path);
    const want = Array.from(indices, (index) => [...features.subarray(2 * index, 2 * index + 2)]);
    const rows = normalizeSnippets(Float32Array.from(want.flat()), { dim: 2 });
    assert.deepEqual(file.rows(0, indices.length), rows);
    const { bank: lost } = parseConfig(
      `bank: { encoder: features, features: { path: ${directory}/none.npy } }`,
    );
    await assert.rejects(makeBank({ ...options, config: lost }), {
      name: "CheckpointError",
      message: /none\.npy/,
    });
    for (const places of [undefined, { of: size - 1, indices }]) {
      await assert.rejects(makeBank({ ...options, places }), {
        name: "TypeError",
        message: /it has 4100 vectors, expected one for each of the 4098 images/,
      });
    }
    Deno.writeTextFileSync(`${path}.all`, "notes");
    await assert.rejects(makeBank({ ...options, places: { of: size, indices } }), {
      name: "AlreadyExists",
      message:
        /^Cannot write .*\.all: the file is there .*, expected none; move it away, or remove/,
    });
    assert.equal(Deno.readTextFileSync(`${path}.all`), "notes");
    Deno.removeSync(`${path}.all`);
    const shard = { number: 1, count: 2 };
    await assert.rejects(makeBank({ ...options, shard }), {
      name: "TypeError",
      message: "Cannot encode a shard: bank.encoder is features, expected an encoder",
    });
    assert.deepEqual([...Deno.readDirSync(directory)].map(({ name }) => name).sort(), [
      "a.safetensors",
      "bank.safetensors",
    ]);
  });
});

gpuTest("makeBank() keeps the frequencies of the snippets that it takes", async (device) => {
  await inDirectory(async (directory) => {
    const from = `${directory}/checkpoint.pt`, path = `${directory}/bank.safetensors`;
    const memorybank = code.tensor("FloatStorage", [3, 2], { key: "0" });
    const memoryfreq = code.tensor("FloatStorage", [3], { key: "1" });
    const storages = { 0: Float32Array.of(1, 0, 0, 1, -1, 0), 1: Float32Array.of(2, 0, 5) };
    const file = makeTorchFile(code.record({ memorybank, memoryfreq }), { storages });
    Deno.writeFileSync(from, file);
    const { bank: config } = parseConfig(
      `bank: { encoder: features, features: { path: ${from} } }`,
    );
    const made = async (...indices: number[]) => {
      const images = sourceOf(new Float32Array(indices.length), { channels: 1, imageSize: 1 });
      const places = { of: 3, indices: Uint32Array.from(indices) };
      await makeBank({ device, config, images, places, out: path });
      using file = BankFile.open(path);
      return file.frequencies;
    };
    assert.deepEqual(await made(1, 2), Float32Array.of(0, 5));
    assert.deepEqual(await made(0, 1, 2), Float32Array.of(2, 0, 5));
  });
});
