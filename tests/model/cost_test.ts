import assert from "node:assert/strict";
import { FullBank } from "../../bank/full_bank.ts";
import { Device } from "../../kernels/core/device.ts";
import { ParameterStore } from "../../kernels/core/parameter_store.ts";
import { activationBytes, countFlops, largestActivationBytes } from "../../model/cost.ts";
import { namedModel } from "../../model/named_models.ts";
import { SiT, type SiTOptions } from "../../model/sit.ts";
import { Trainer } from "../../train/trainer.ts";
import { NO_ADAPTER, openDevice } from "../_gpu.ts";

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

Deno.test("countFlops() counts the embedding of snippets, and that labels are looked up", () => {
  const forward = (condition: SiTOptions["condition"]) =>
    countFlops({ ...namedModel("SiT-B/2"), condition }).forward;
  const labels = forward({ classes: 1000 });
  assert.equal(forward({ classes: 10 }), labels);
  assert.equal(forward({ snippetDim: 64 }) - labels, 2 * 64 * 768);
  const layers = 64 * 768 + 2 * 768 * 768;
  assert.equal(forward({ snippetDim: 64, embedding: "mlp3" }) - labels, 2 * layers);
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

Deno.test("largestActivationBytes() counts what the last layer gives of few large patches", () => {
  const options = { ...SMALL, patchSize: 16, width: 8, heads: 1, learnSigma: true };
  // One token of 256 pixels, three channels each, twice.
  assert.equal(largestActivationBytes(options), 4 * 256 * 3 * 2);
});

Deno.test("activationBytes() counts the snippets of a batch", () => {
  const [few, many] = [16, 1016].map((snippetDim) =>
    activationBytes({ ...SMALL, condition: { snippetDim } }, { batch: 4 })
  );
  assert.equal(many! - few!, 4 * 4 * 1000);
});

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
  Deno.test(`activationBytes() of ${name} is what a training step holds, or up to 12 % more`, {
    ignore: NO_ADAPTER,
  }, async () => {
    for (const recompute of [false, true]) {
      using opened = await openDevice();
      // As on a GPU: the copies of inputs as textures are the CPU driver's own.
      const { gpu, profile } = opened;
      using device = new Device(gpu, { profile: { ...profile, driver: "gpu" }, variants: QUICK });
      const measured = await measureActivations(device, options, { batch: 4, recompute });
      const computed = activationBytes(options, { batch: 4, recompute });
      const ratio = computed / measured;
      assert.ok(
        ratio > 0.99 && ratio < 1.12,
        `${computed} bytes computed, ${measured} measured with recompute ${recompute}`,
      );
    }
  });
}
