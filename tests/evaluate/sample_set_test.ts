import assert from "node:assert/strict";
import type { Device } from "../../kernels/core/device.ts";
import { ParameterStore } from "../../kernels/core/parameter_store.ts";
import { SiT } from "../../model/sit.ts";
import { drawnSamples, type DrawnSamplesOptions } from "../../evaluate/sample_set.ts";
import type { SamplerName } from "../../sample/samplers.ts";
import { resolveConfig } from "../../train/config.ts";
import { gpuTest } from "../_gpu.ts";

/** Channels and side of what the model makes. */
const LATENT = { channels: 2, side: 4 };

/** Draws 70 samples of a network that begins at zero, with changes to how. */
async function drawing(
  device: Device,
  changes: Partial<DrawnSamplesOptions>,
  sampler: SamplerName = "euler",
): Promise<{ set: ReturnType<typeof drawnSamples>; pixels: number[] }> {
  using store = new ParameterStore(device, { seed: 1 });
  const model = new SiT(store, {
    ...{ inputSize: LATENT.side, channels: LATENT.channels, patchSize: 2 },
    ...{ width: 16, depth: 1, heads: 2, condition: { classes: 2 } },
  });
  const set = drawnSamples({
    model,
    config: resolveConfig({ sample: { sampler, steps: 3 } }).sample,
    count: 70,
    conditionOf: (_, count) => device.tensor(new Uint32Array(count), [count]),
    source: "runs/tiny",
    // One grey pixel: the mean of each latent.
    viewer: {
      ...{ channels: 1, imageSize: 1 },
      view: (latents) => Promise.resolve(meansOf(latents)),
    },
    ...changes,
  });
  const pixels: number[] = [];
  for await (const batch of set.stream.batches()) pixels.push(...batch.pixels);
  return { set, pixels };
}

function meansOf(latents: Float32Array): Float32Array {
  const length = LATENT.channels * LATENT.side ** 2;
  return Float32Array.from(
    { length: latents.length / length },
    (_, i) => latents.subarray(i * length, (i + 1) * length).reduce((a, b) => a + b, 0) / length,
  );
}

gpuTest("drawnSamples() gives what the viewer makes, as bytes", async (device) => {
  const seen: number[] = [];
  const { set, pixels } = await drawing(device, {
    viewer: {
      ...{ channels: 1, imageSize: 1 },
      view: (latents) => {
        const means = meansOf(latents);
        seen.push(...means);
        return Promise.resolve(means);
      },
    },
  });
  assert.deepEqual(pixels, seen.map((mean) => Math.trunc(127.5 * mean + 128)));
  assert.ok(new Set(pixels).size > 20);
  const { stream: { size, imageSize, channels }, sampler, steps } = set;
  assert.deepEqual([size, imageSize, channels], [70, 1, 1]);
  assert.deepEqual([sampler, steps, set.evaluations()], ["euler, 3 steps", 3, 3]);
});

gpuTest("drawnSamples() does not say how many steps the adaptive sampler takes", async (device) => {
  const { set: { sampler, steps } } = await drawing(device, {}, "dopri5");
  assert.deepEqual([sampler, steps], ["dopri5", undefined]);
});

gpuTest("drawnSamples() names the sample that is not finite", async (device) => {
  const view = (latents: Float32Array) => Promise.resolve(meansOf(latents).fill(NaN, 3, 4));
  await assert.rejects(drawing(device, { viewer: { channels: 1, imageSize: 1, view } }), {
    name: "RangeError",
    message: "Cannot use sample 3: it holds NaN, expected finite numbers",
  });
});
