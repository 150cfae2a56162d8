import assert from "node:assert/strict";
import { openDryDevice } from "../../bench/dry_gpu.ts";
import { countMemory } from "../../bench/memory.ts";
import { makeTrainer, SNIPPET_DIM, type Workload } from "../../bench/workload.ts";
import type { Device } from "../../kernels/core/device.ts";
import type { SiTOptions } from "../../model/sit.ts";
import { NO_ADAPTER, openDevice } from "../_gpu.ts";

const SIZES: SiTOptions = {
  inputSize: 16,
  channels: 3,
  patchSize: 2,
  width: 64,
  depth: 3,
  heads: 4,
  condition: { snippetDim: SNIPPET_DIM },
};

const NETWORKS: Readonly<Record<string, SiTOptions>> = {
  SiT: SIZES,
  LightningDiT: {
    ...SIZES,
    qkNorm: true,
    rope: true,
    rmsNorm: true,
    swiglu: true,
    learnSigma: true,
    condition: { snippetDim: SNIPPET_DIM, embedding: "mlp3" },
  },
  "wide with few tokens": { ...SIZES, patchSize: 8, width: 128 },
};

for (const [name, model] of Object.entries(NETWORKS)) {
  Deno.test(`activationBytes() of ${name} is what a step holds within a tenth`, async () => {
    for (const recompute of [false, true]) {
      const row = await countMemory({ name, batch: 8, model }, { recompute });
      const ratio = row.estimatedBytes / row.activationBytes;
      assert.ok(Math.abs(ratio - 1) < 0.1, `${ratio} with recompute ${recompute}`);
    }
  });
}

Deno.test(
  "a dry device counts what the adapter's device holds",
  { ignore: NO_ADAPTER },
  async () => {
    using device = await openDevice();
    const workload: Workload = {
      name: "tiny",
      batch: 4,
      model: { ...SIZES, inputSize: 8, patchSize: 4, width: 16, depth: 1, heads: 2 },
    };
    async function peak(device: Device): Promise<{ peakBytes: number; created: number }> {
      using trainer = makeTrainer(device, workload);
      for await (const _ of trainer.run({ steps: 2 })) { /* two steps */ }
      const { peakBytes, created } = device.pool;
      return { peakBytes, created };
    }
    using dry = openDryDevice(device.profile);
    assert.deepEqual(await peak(dry), await peak(device));
  },
);
