import assert from "node:assert/strict";
import { FullBank } from "../../bank/full_bank.ts";
import { Device } from "../../kernels/core/device.ts";
import { ParameterStore } from "../../kernels/core/parameter_store.ts";
import {
  activationBytes,
  countFlops,
  isFixedTable,
  largestActivationBytes,
  officialCount,
  parameterSizes,
} from "../../model/cost.ts";
import { namedModel } from "../../model/named_models.ts";
import { SiT, type SiTOptions } from "../../model/sit.ts";
import { Trainer } from "../../train/trainer.ts";
import { NO_ADAPTER, openDevice } from "../_gpu.ts";

const SIZES = {
  S: { depth: 12, width: 384, heads: 6 },
  B: { depth: 12, width: 768, heads: 12 },
  L: { depth: 24, width: 1024, heads: 16 },
  XL: { depth: 28, width: 1152, heads: 16 },
} as const;
type Size = keyof typeof SIZES;

/** Weights and biases of an affine layer. */
function affine(inputs: number, outputs: number): number {
  return (inputs + 1) * outputs;
}

/** The parameters of SiT from the description of the network, on 32 x 32 x 4 latents. */
function countSiT(size: Size, patch: number): number {
  const { depth, width: D } = SIZES[size];
  const block = affine(D, 6 * D) + affine(D, 3 * D) + affine(D, D) + affine(D, 4 * D) +
    affine(4 * D, D);
  return affine(4 * patch ** 2, D) + (32 / patch) ** 2 * D + affine(256, D) + affine(D, D) +
    1001 * D + depth * block + affine(D, 2 * D) + affine(D, patch ** 2 * 8);
}

/** The parameters of LightningDiT, on 16 x 16 x 32 latents. */
function countLightning(size: Size, patch: number): number {
  const { depth, width: D } = SIZES[size];
  const hidden = { S: 1024, B: 2048, L: 2730, XL: 3072 }[size];
  const block = 2 * D + affine(D, 6 * D) + affine(D, 3 * D) + affine(D, D) +
    affine(D, 2 * hidden) + affine(hidden, D);
  return affine(32 * patch ** 2, D) + (16 / patch) ** 2 * D + affine(256, D) + affine(D, D) +
    1001 * D + depth * block + D + affine(D, 2 * D) + affine(D, patch ** 2 * 32);
}

Deno.test("isFixedTable() knows the frozen parameters by their names, also in official files", () => {
  for (const name of ["SiT-S/2", "LightningDiT-S/2"]) {
    const sizes = parameterSizes(namedModel(name));
    for (const { name, frozen } of sizes) {
      assert.equal(isFixedTable(`module.${name}`), frozen, name);
    }
    assert(sizes.some(({ frozen }) => frozen));
  }
});

Deno.test("officialCount() of every published network is the official integer", () => {
  const count = (name: string) => officialCount(parameterSizes(namedModel(name)));
  for (const size of Object.keys(SIZES) as Size[]) {
    for (const patch of [2, 4, 8]) {
      assert.equal(count(`SiT-${size}/${patch}`), countSiT(size, patch));
    }
    for (const patch of [1, 2]) {
      assert.equal(count(`LightningDiT-${size}/${patch}`), countLightning(size, patch));
    }
  }
  // What the papers print: 33M, 130M, 458M and 675M; the last is also known to the unit.
  const millions = (name: string) => Math.floor(count(name) / 1e6);
  assert.deepEqual(
    ["S/2", "B/2", "L/2", "XL/2"].map((size) => millions(`SiT-${size}`)),
    [32, 130, 458, 675],
  );
  assert.deepEqual(
    ["B/1", "L/1", "XL/1"].map((size) => millions(`LightningDiT-${size}`)),
    [130, 458, 675],
  );
  assert.equal(count("SiT-XL/2"), 675_129_632);
});

Deno.test("namedModel() takes other data and refuses other names", () => {
  const options = namedModel("SiT-B/2", { inputSize: 64, condition: { snippetDim: 768 } });
  assert.deepEqual([options.inputSize, options.width], [64, 768]);
  const table = parameterSizes(namedModel("SiT-B/2")).at(-1)!;
  assert.deepEqual(table.name, "final_layer.linear.bias");
  assert.deepEqual(table.shape, [32]);
  for (const name of ["SiT-M/2", "SiT-B/3", "DiT-B/2", ""]) {
    assert.throws(() => namedModel(name), RangeError);
  }
});

Deno.test("countFlops() gives the flops that DiT's paper prints for its sizes", () => {
  // DiT (Peebles and Xie 2023), table 4, in billions of multiply-adds.
  const printed = { "S/2": 6.06, "B/2": 23.01, "L/2": 80.71, "XL/2": 118.64, "XL/8": 7.39 };
  for (const [size, billions] of Object.entries(printed)) {
    const { forward } = countFlops(namedModel(`SiT-${size}`));
    // Theirs counts some elementwise work too: 0.02 % at most, besides the rounding to two digits.
    assert.ok(Math.abs(forward / 2e9 - billions) < 0.006 + 2e-4 * billions, `${size}: ${forward}`);
  }
});

Deno.test("countFlops() counts a block of LightningDiT, with shifts and without", () => {
  const options = namedModel("LightningDiT-L/1"), D = 1024, tokens = 256, hidden = 2730;
  for (const [noShift, chunks] of [[false, 6], [true, 4]] as const) {
    const [one, two] = [1, 2].map((depth) => countFlops({ ...options, noShift, depth }).forward);
    const attention = 4 * D * D + 2 * tokens * D;
    assert.equal(two! - one!, 2 * (chunks * D * D + tokens * (attention + 3 * D * hidden)));
  }
  // Gates and values of the feed-forward layer side by side.
  assert.equal(largestActivationBytes(options), 4 * tokens * 2 * hidden);
});

Deno.test("countFlops() of a step is three evaluations, and one more of the blocks", () => {
  const options = namedModel("LightningDiT-B/1", {
    condition: { snippetDim: 768, embedding: "mlp3" },
  });
  const { forward, training, trainingWithRecomputation } = countFlops(options);
  assert.equal(training, 3 * forward);
  const doubled = countFlops({ ...options, depth: 24 });
  assert.equal(trainingWithRecomputation, training + doubled.forward - forward);
});

Deno.test("countFlops() counts the projector in training alone", () => {
  const plain = namedModel("LightningDiT-B/1", { condition: { snippetDim: 768 } });
  const projector = { depth: 4, width: 2048, targetWidth: 768 };
  const options = { ...plain, projector };
  const [without, flops] = [countFlops(plain), countFlops(options)];
  // Multiplications and additions of 256 tokens by three matrices.
  assert.equal(flops.projector, 2 * 256 * (768 * 2048 + 2048 * 2048 + 2048 * 768));
  assert.deepEqual([without.projector, flops.forward], [0, without.forward]);
  assert.equal(flops.training, without.training + 3 * flops.projector);
  assert.equal(
    flops.trainingWithRecomputation,
    without.trainingWithRecomputation + 3 * flops.projector,
  );
  assert.equal(
    officialCount(parameterSizes(options)) - officialCount(parameterSizes(plain)),
    affine(768, 2048) + affine(2048, 2048) + affine(2048, 768),
  );
});

Deno.test("SiT.largestActivationBytes() counts the projector in training alone", () => {
  const plain = namedModel("LightningDiT-B/1");
  const options = { ...plain, projector: { depth: 4, width: 8192, targetWidth: 768 } };
  const [without, model] = [plain, options].map((each) =>
    new SiT(new ParameterStore(undefined), each)
  );
  const drawing = without!.largestActivationBytes({ training: true });
  assert.equal(model!.largestActivationBytes({ training: false }), drawing);
  // Its hidden channels of 256 tokens.
  assert.equal(model!.largestActivationBytes({ training: true }), 4 * 256 * 8192);
  assert.ok(drawing < 4 * 256 * 8192);
});

const SMALL: SiTOptions = {
  inputSize: 16,
  channels: 3,
  patchSize: 2,
  width: 64,
  depth: 2,
  heads: 4,
  condition: { snippetDim: 16 },
};

const NETWORKS: readonly [name: string, options: SiTOptions][] = [
  ["SiT", SMALL],
  ["SiT with a projector", { ...SMALL, projector: { depth: 1, width: 96, targetWidth: 24 } }],
  ["LightningDiT", {
    ...SMALL,
    qkNorm: true,
    rope: true,
    rmsNorm: true,
    swiglu: true,
    noShift: true,
    learnSigma: true,
    condition: { classes: 3 },
  }],
];

/** Kernels that a CPU driver compiles quickly; which ones compute does not change the memory. */
const QUICK = { matmul: "naive", attention: "naive", layerNorm: "naive" };

/** Bytes that the pool holds in a training step beyond what it holds after it. */
async function measureActivations(
  device: Device,
  options: SiTOptions,
  { batch, recompute }: { batch: number; recompute: boolean },
): Promise<number> {
  const { condition, channels, inputSize } = options;
  using store = new ParameterStore(device, { seed: 1 });
  const model = new SiT(store, options);
  const size = batch, length = channels * inputSize ** 2;
  const snippets = new Float32Array(size * 16);
  for (let i = 0; i < size; i++) snippets[16 * i + i % 16] = 1;
  using bank = "classes" in condition ? undefined : FullBank.from(device, { snippets, dim: 16 });
  const dataset = {
    size,
    labels: new Uint32Array(size),
    read: (indices: Uint32Array) => new Float32Array(indices.length * length).fill(0.5),
    tokens: {
      ...{ count: 64, width: 24 },
      read: (indices: Uint32Array) => new Float32Array(indices.length * 64 * 24).fill(0.5),
    },
  };
  const alignmentWeight = options.projector && 0.5;
  using trainer = new Trainer({
    ...{ model, dataset, bank, batchSize: batch, recompute, alignmentWeight },
  });
  for await (const _ of trainer.run({ steps: 1 })) { /* one step */ }
  return device.pool.peakBytes - device.pool.liveBytes;
}

for (const [name, options] of NETWORKS) {
  Deno.test(`activationBytes() of ${name} is what a training step holds, within 15 %`, {
    ignore: NO_ADAPTER,
  }, async () => {
    for (const recompute of [false, true]) {
      using opened = await openDevice();
      // As on a GPU: the copies of inputs as textures are the CPU driver's own.
      const { gpu, profile } = opened;
      using device = new Device(gpu, { profile: { ...profile, driver: "gpu" }, variants: QUICK });
      const measured = await measureActivations(device, options, { batch: 4, recompute });
      const computed = activationBytes(options, { batch: 4, recompute });
      assert.ok(
        Math.abs(computed / measured - 1) < 0.15,
        `${computed} bytes computed, ${measured} measured with recompute ${recompute}`,
      );
    }
  });
}
