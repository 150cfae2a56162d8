import assert from "node:assert/strict";
import type { EncoderDescription } from "../../bank/encoders/encoder.ts";
import { normalizeSnippets } from "../../bank/normalize.ts";
import { Device } from "../../kernels/core/device.ts";
import { writeSafetensors } from "../../kernels/core/safetensors_writer.ts";
import {
  loadMapper,
  type MapperEnds,
  readMapperEnds,
  saveMapper,
} from "../../train/mapper_file.ts";
import {
  type MappingPairs,
  mapVectors,
  retrievalAccuracy,
  trainMapper,
  type TrainMapperOptions,
} from "../../train/mapper_training.ts";
import { assertClose, randomValues } from "../_check_op.ts";
import { gpuTest } from "../_gpu.ts";
import { inDirectory } from "../bank/_images.ts";

const INPUTS = 6, DIM = 5, TRAINED = 192, HELD_OUT = 40;

/** Vectors, and snippets that are a turned and squashed view of them: pairs to learn from, and others. */
function makePairs(): { train: MappingPairs; heldOut: MappingPairs } {
  const size = TRAINED + HELD_OUT;
  const inputs = new Float32Array(randomValues([size, INPUTS], 1));
  const view = randomValues([INPUTS, DIM], 2);
  const features = Float64Array.from({ length: size * DIM }, (_, at) => {
    const row = Math.floor(at / DIM);
    let sum = 0;
    for (let k = 0; k < INPUTS; k++) sum += inputs[row * INPUTS + k]! * view[k * DIM + at % DIM]!;
    return Math.tanh(sum);
  });
  const snippets = normalizeSnippets(features, { dim: DIM });
  const part = (first: number, end: number) => ({
    inputs: inputs.slice(first * INPUTS, end * INPUTS),
    snippets: snippets.slice(first * DIM, end * DIM),
    snippetDim: DIM,
  });
  return { train: part(0, TRAINED), heldOut: part(TRAINED, size) };
}

function settings(loss: "contrastive" | "cosine"): TrainMapperOptions {
  const { train: pairs } = makePairs();
  return { pairs, loss, width: 24, epochs: 40, batchSize: 48, learningRate: 5e-3, seed: 3 };
}

const ENDS: MapperEnds = {
  source: describe("hashed_ngrams", INPUTS),
  target: describe("pixel_pca", DIM),
};

function describe(kind: string, dim: number): EncoderDescription {
  return { kind, dim, fingerprint: "ab", preprocessing: {}, settings: {} };
}

gpuTest("trainMapper() makes the loss smaller and finds pairs it never saw", async (device) => {
  const { heldOut } = makePairs();
  for (const loss of ["contrastive", "cosine"] as const) {
    const losses: number[] = [];
    using owned = await trainMapper(device, {
      ...settings(loss),
      onEpoch: (epoch, value) => {
        assert.equal(epoch, losses.push(value));
      },
    });
    assert.equal(losses.length, 40);
    assert.ok(losses.at(-1)! < losses[0]! / 3, `${loss}: ${losses[0]} to ${losses.at(-1)}`);
    const mapped = await mapVectors(owned.mapper, heldOut.inputs);
    const found = retrievalAccuracy(mapped, heldOut.snippets, { dim: DIM });
    assert.equal(found.images, HELD_OUT);
    // By chance a fortieth and an eighth.
    assert.ok(found.top1 > 0.5 && found.top5 > 0.9, `${loss}: ${JSON.stringify(found)}`);
    assert.ok(loss === "contrastive" || found.cosine > 0.95, `${found.cosine}`);
  }
});

gpuTest("trainMapper() waits for the GPU within a long epoch", async (device) => {
  const own = new Device(device.gpu, { profile: device.profile });
  let waits = 0;
  own.settle = () => {
    waits++;
    return Device.prototype.settle.call(own);
  };
  // 192 steps, of which those past a hundred would lie on the GPU with what they read.
  using _owned = await trainMapper(own, { ...settings("cosine"), epochs: 1, batchSize: 1 });
  assert.equal(waits, 1);
});

gpuTest("mapVectors() maps more vectors than it does at once, in their order", async (device) => {
  using owned = await trainMapper(device, { ...settings("cosine"), epochs: 1 });
  // 1,024 at once.
  const size = 1030, inputs = new Float32Array(randomValues([size, INPUTS], 8));
  const mapped = await mapVectors(owned.mapper, inputs);
  assert.equal(mapped.length, size * DIM);
  for (const row of [0, 1023, 1024, size - 1]) {
    const alone = await mapVectors(
      owned.mapper,
      inputs.slice(row * INPUTS, (row + 1) * INPUTS),
    );
    // Sums of some 24 products in f32, perhaps in another order.
    assertClose(mapped.subarray(row * DIM, (row + 1) * DIM), [...alone], {
      tolerance: 24 * 2 ** -23,
      scale: 1,
      name: `row ${row}`,
    });
  }
});

gpuTest("trainMapper() is decided by the seed", async (device) => {
  const { heldOut: { inputs } } = makePairs();
  const mappedBy = async (seed: number) => {
    const made = { ...settings("contrastive"), epochs: 3, seed };
    using owned = await trainMapper(device, made);
    return await mapVectors(owned.mapper, inputs);
  };
  const first = await mappedBy(3);
  assert.deepEqual(await mappedBy(3), first);
  assert.notDeepEqual(await mappedBy(4), first);
});

gpuTest(
  "trainMapper() keeps the scale of a contrastive loss within that of CLIP",
  async (device) => {
    using owned = await trainMapper(device, { ...settings("contrastive"), learningRate: 0.2 });
    const [scale] = await owned.mapper.parameters.get("logit_scale").read();
    assert.equal(scale, Math.fround(Math.log(100)));
  },
);

gpuTest("a mapper comes back from its file, for its encoders alone", async (device) => {
  const { heldOut: { inputs } } = makePairs();
  await inDirectory(async (directory) => {
    const path = `${directory}/mapper.safetensors`;
    for (const loss of ["cosine", "contrastive"] as const) {
      using owned = await trainMapper(device, { ...settings(loss), epochs: 1 });
      await saveMapper(path, owned.mapper, ENDS);
      assert.deepEqual(readMapperEnds(path), ENDS);
      using loaded = loadMapper(device, path, ENDS);
      assert.deepEqual(loaded.mapper.options, { inputs: INPUTS, width: 24, snippetDim: DIM });
      assert.deepEqual(
        await mapVectors(loaded.mapper, inputs),
        await mapVectors(owned.mapper, inputs),
      );
    }
    assertRefused(device, path, {
      expected: { source: { ...ENDS.source, fingerprint: "cd" } },
      said: /for the vectors of another encoder, fingerprint is "ab", expected "cd"/,
    });
    assertRefused(device, path, {
      expected: { target: describe("pixel_pca", 9) },
      said: /for the snippets of another encoder, dim is 5, expected 9/,
    });
    const data = new Float32Array(DIM);
    writeSafetensors(path, [["snippets", { dtype: "F32", shape: [1, DIM], data }]]);
    assertRefused(device, path, { expected: {}, said: /its format is not said, version not said/ });
    writeSafetensors(path, [["net.0.bias", { dtype: "F32", shape: [DIM], data }]], {
      metadata: {
        format: "gmem-snippet-mapper",
        version: "1",
        source: JSON.stringify(ENDS.source),
        target: "{}",
      },
    });
    assertRefused(device, path, { expected: {}, said: /description of an encoder: kind/ });
  });
});

function assertRefused(
  device: Device,
  path: string,
  options: { expected: Partial<MapperEnds>; said: RegExp },
): void {
  assert.throws(() => loadMapper(device, path, options.expected), options.said);
}

gpuTest("trainMapper() and mapVectors() name what does not fit", async (device) => {
  const made = settings("cosine");
  const short = { ...made.pairs, inputs: made.pairs.inputs.slice(1) };
  await assert.rejects(
    trainMapper(device, { ...made, pairs: short }),
    /mapper of 1151 values to 960: expected vectors \[n, e\] and snippets \[n, 5\]/,
  );
  const wrong = [
    [{ loss: "mse" as "cosine" }, "loss is mse, expected one of contrastive, cosine"],
    ...[0, -1, 1.5].flatMap((count) =>
      (["epochs", "batchSize"] as const).map((name) =>
        [{ [name]: count }, `${name} is ${count}, expected a whole number from 1`] as const
      )
    ),
  ] as const;
  for (const [change, said] of wrong) {
    await assert.rejects(trainMapper(device, { ...made, ...change }), {
      name: "RangeError",
      message: `Cannot train a mapper: ${said}`,
    });
  }
  using owned = await trainMapper(device, { ...made, epochs: 1 });
  await assert.rejects(
    mapVectors(owned.mapper, new Float32Array(7)),
    /map 7 values: expected vectors \[n, 6\]/,
  );
  await assert.rejects(
    trainMapper(device, { ...made, learningRate: 1e30 }),
    /Cannot go on training a mapper: the loss of epoch \d+ is NaN, expected/,
  );
});

Deno.test("retrievalAccuracy() counts what is nearer than the right image", () => {
  // Six directions in the plane; each of the mapped looks for its own.
  const at = (...degrees: number[]) =>
    Float32Array.from(degrees.flatMap((degree) => [
      Math.cos(degree * Math.PI / 180),
      Math.sin(degree * Math.PI / 180),
    ]));
  const snippets = at(0, 60, 120, 180, 240, 300);
  const all = retrievalAccuracy(snippets, snippets, { dim: 2 });
  assert.deepEqual([all.images, all.top1, all.top5], [6, 1, 1]);
  assert.ok(Math.abs(all.cosine - 1) < 1e-6);
  // The first finds itself; the second is found second; the fourth last, after all others.
  const some = retrievalAccuracy(at(10, 95, 120, 10, 240, 300), snippets, { dim: 2 });
  assert.ok(Math.abs(some.top1 - 4 / 6) < 1e-9 && Math.abs(some.top5 - 5 / 6) < 1e-9);
});

Deno.test("retrievalAccuracy() finds nothing by ties but exact copies of the right snippet", () => {
  const axes = Float32Array.from({ length: 36 }, (_, i) => Number(i % 7 === 0));
  // As near to each of the six as to any other.
  const nowhere = retrievalAccuracy(new Float32Array(36), axes, { dim: 6 });
  assert.deepEqual([nowhere.top1, nowhere.top5], [0, 0]);
  const between = retrievalAccuracy(Float32Array.of(1, 1, 1, 1), Float32Array.of(1, 0, 0, 1), {
    dim: 2,
  });
  assert.deepEqual([between.top1, between.top5], [0, 1]);
  const copies = Float32Array.of(1, 0, 1, 0, 0, 1);
  assert.equal(retrievalAccuracy(copies, copies, { dim: 2 }).top1, 1);
});

Deno.test("retrievalAccuracy() refuses vectors that are not as many as snippets, or none", () => {
  for (const [mapped, snippets] of [[0, 4], [2, 4], [4, 2], [3, 3], [0, 0]] as const) {
    const compare = () =>
      retrievalAccuracy(new Float32Array(mapped), new Float32Array(snippets), { dim: 2 });
    assert.throws(compare, {
      name: "TypeError",
      message: `Cannot look for the right images of ${mapped} values among ${snippets}: ` +
        "expected as many vectors as snippets of length 2, at least one",
    });
  }
});

Deno.test("retrievalAccuracy() names the row that is not finite", () => {
  const good = Float32Array.of(1, 0, 0, 1), bad = Float32Array.of(1, 0, 0, NaN);
  assert.throws(() => retrievalAccuracy(bad, good, { dim: 2 }), {
    name: "TypeError",
    message: "Cannot look for the right images: mapped vector 1 holds NaN, expected finite numbers",
  });
  assert.throws(() => retrievalAccuracy(good, bad, { dim: 2 }), /: snippet 1 holds NaN/);
});
