/** Drawing with files of weights, as those who trained official code have them. */

import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { writeBank } from "../../bank/bank_writer.ts";
import type { Device } from "../../kernels/core/device.ts";
import { ParameterStore } from "../../kernels/core/parameter_store.ts";
import { SafetensorsFile } from "../../kernels/core/safetensors.ts";
import { writeSafetensors } from "../../kernels/core/safetensors_writer.ts";
import { SiT, type SiTOptions } from "../../model/sit.ts";
import { openWeights, reverseTime } from "../../model/weights.ts";
import { sampleSchema } from "../../sample/config.ts";
import { draw } from "../../sample/draw.ts";
import { unscaleLatents, writeStatistics } from "../../train/datasets/latent_scaling.ts";
import { decodePng } from "../../train/datasets/png.ts";
import { inDirectory } from "../bank/_images.ts";
import { assertClose, randomValues } from "../_check_op.ts";
import { gpuTest } from "../_gpu.ts";
import { runTask } from "../_tasks.ts";
import { writeImages } from "../train/_tiny_latents.ts";
import { checkpointOf, type Stored } from "../model/_write_torch_file.ts";

const DECODER = fileURLToPath(new URL("../fixtures/tiny_decoder.onnx", import.meta.url));

/** A network of latents with 5 classes, as the training of SiT and REPA leaves it. */
const LABELLED: SiTOptions = {
  ...{ inputSize: 4, channels: 2, patchSize: 2, width: 16, depth: 1, heads: 2 },
  condition: { classes: 5 },
  learnSigma: true,
  projector: { depth: 1, width: 12, targetWidth: 8 },
};

/** Random weights of a network under their official names. */
function weightsOf(device: Device, options: SiTOptions): Map<string, Stored> {
  using store = new ParameterStore(device);
  new SiT(store, options);
  let seed = 1;
  return new Map([...store.entries()].map(([name, { shape }]) => {
    const values = Float32Array.from(randomValues(shape, seed++), (value) => 0.3 * value);
    return [name, { shape, values }];
  }));
}

async function drawnBy(args: readonly string[]): Promise<Record<string, unknown>> {
  const { code, stdout, stderr } = await runTask("sample", [...args, "--json"]);
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout);
}

function latentsIn(path: string): Float32Array {
  using file = SafetensorsFile.open(path);
  return file.readFloat32("latents");
}

gpuTest("sample --weights draws latents and images as the library does", async (device) => {
  await inDirectory(async (directory) => {
    const path = `${directory}/0400000.pt`, out = `${directory}/latents.safetensors`;
    const weights = weightsOf(device, LABELLED);
    Deno.writeFileSync(path, checkpointOf(weights, { prefix: "module.", section: "ema" }));
    const args = [
      ...["--heads", "2", "--class", "3", "--class", "0", "--count", "3", "--steps", "2"],
      ...["--set", "sample.guidance.scale=2"],
    ];
    const drawing = ["--weights", path, ...args];
    const none = await runTask("sample", [...drawing, "--out", out]);
    assert.equal(none.code, 1);
    // Before a device is opened, not after all is drawn.
    assert.match(
      none.stderr,
      /^error: .* no statistics, expected latents_stats.* or data\.latentNorm/,
    );
    const statistics = { mean: Float32Array.of(0.5, -1), std: Float32Array.of(2, 0.25) };
    writeStatistics(`${directory}/latents_stats.safetensors`, statistics);
    const result = await drawnBy([...drawing, "--out", out]);
    assert.deepEqual(
      [result.count, result.labels, result.step, result.evaluations],
      [3, [3, 0, 3], undefined, 8],
    );

    const { projector: _, ...options } = LABELLED;
    using store = new ParameterStore(device);
    const model = new SiT(store, options);
    for (const [name, parameter] of store.entries()) parameter.write(weights.get(name)!.values);
    using condition = device.tensor(Uint32Array.of(3, 0, 3), [3]);
    const config = sampleSchema.parse({ steps: 2, guidance: { scale: 2 } });
    const { images } = draw({ model, condition, config });
    const expected = await images.read();
    images.dispose();
    unscaleLatents(expected, { statistics, multiplier: 1 }, 16);
    assert.deepEqual(latentsIn(out), expected);

    // The same network with its time turned is that of REPA.
    const repa = `${directory}/repa.safetensors`;
    using opened = openWeights(path);
    const turned = reverseTime(opened);
    writeSafetensors(
      repa,
      Array.from(turned.keys(), (key) => {
        const data = turned.readFloat32(key);
        return [key, { dtype: "F32", shape: turned.shape(key), data }] as const;
      }),
    );
    const again = ["--weights", repa, "--reversed", ...args, "--out", out];
    await drawnBy(again);
    // Weights of the time embedding are rounded twice more.
    assertClose(latentsIn(out), expected, { tolerance: 1e-4, name: "latents" });
    await drawnBy(again.filter((arg) => arg !== "--reversed"));
    const wrong = latentsIn(out);
    assert.ok(wrong.some((value, i) => Math.abs(value - expected[i]!) > 0.1));
    for (const [task, more] of [["sample", []], ["evaluate", ["--reference", "x"]]] as const) {
      const { code, stderr } = await runTask(task, [
        ...["--weights", repa, "--heads", "2", "--reversed", ...more],
        ...["--set", "interpolant.prediction=noise"],
      ]);
      assert.equal(code, 2, stderr);
      assert.match(stderr, /^error: Cannot take --reversed with interpolant\.prediction noise: /m);
    }

    const picture = `${directory}/images.png`, decoder = ["--set", `data.decoder=${DECODER}`];
    await drawnBy([...drawing, ...decoder, "--out", picture]);
    const { width, height } = decodePng(Deno.readFileSync(picture));
    // Three images of 8 pixels, 20-fold as of a row of four.
    assert.deepEqual([width, height], [3 * 160 + 2 * 2, 160]);
    const reference = `${directory}/reference`;
    writeImages(reference, Array.from({ length: 9 }, (_, i) => `${i}.png`), 8);
    const measuring = ["--weights", path, "--heads", "2", "--count", "6", ...decoder];
    const measured = await runTask("evaluate", [
      ...[...measuring, "--reference", reference, "--steps", "2", "--resamples", "0"],
      ...["--set", "bank.dim=4", "--set", "bank.resolution=8"],
    ]);
    assert.equal(measured.code, 0, measured.stderr);
    const { samples, encoder } = JSON.parse(
      Deno.readTextFileSync(`${directory}/evaluation.json`),
    );
    assert.deepEqual([samples.source, samples.count, samples.steps], [path, 6, 2]);
    assert.equal(samples.step, undefined);
    assert.ok(encoder.frechet.value > 0);
    const refusals: [said: RegExp, ...args: string[]][] = [
      [/a file of weights names no training data, expected --reference PATH$/m],
      [
        /names no training data, expected no --copies$/m,
        "--reference",
        reference,
        "--copies",
        "c.png",
      ],
      [/expected either --checkpoint DIR or --weights FILE$/m, "--checkpoint", directory],
    ];
    for (const [said, ...args] of refusals) {
      const refused = await runTask("evaluate", [...measuring, ...args]);
      assert.equal(refused.code, 2);
      assert.match(refused.stderr, said);
    }
    const unknown = await runTask("sample", [...drawing, "--out", out, "--class", "5"]);
    assert.equal(unknown.code, 2);
    assert.match(unknown.stderr, /knows no such class, expected a number from 0 to 4$/m);
  });
});

gpuTest(
  "sample --weights takes a bank, also by noise, and no guidance without a null class",
  async (device) => {
    await inDirectory(async (directory) => {
      const path = `${directory}/network.pt`, bank = `${directory}/bank.safetensors`;
      const out = `${directory}/images.png`;
      const sizes = { inputSize: 4, channels: 3, patchSize: 2, width: 16, depth: 1, heads: 2 };
      const guided = weightsOf(device, { ...sizes, condition: { snippetDim: 2 } });
      Deno.writeFileSync(path, checkpointOf(guided, { prefix: "", section: "ema" }));
      const sample = ["--weights", path, "--heads", "2", "--steps", "2", "--count", "5"];
      const alone = await runTask("sample", sample);
      assert.equal(alone.code, 2);
      assert.match(alone.stderr, /network is guided by snippets, expected --bank FILE/);
      const snippets = Float32Array.of(1, 0, 0, 1, -1, 0);
      writeBank(bank, { dim: 2, snippets, frequencies: [0, 1, 0] });
      const result = await drawnBy([...sample, "--bank", bank, "--by-noise", "--out", out]);
      assert.deepEqual(result.snippets, [1, 1, 1, 1, 1]);
      const { channels } = decodePng(Deno.readFileSync(out));
      assert.equal(channels, 3);

      const labels = weightsOf(device, { ...sizes, condition: { classes: 5, nullClass: false } });
      Deno.writeFileSync(path, checkpointOf(labels, { prefix: "", section: "model" }));
      const drawing = [...sample, "--set", "model.classDropout=0", "--out", out];
      assert.deepEqual((await drawnBy([...drawing, "--class", "4"])).labels, Array(5).fill(4));
      const away = await runTask("sample", [...drawing, "--set", "sample.guidance.scale=2"]);
      assert.equal(away.code, 2);
      assert.match(
        away.stderr,
        /Cannot draw with sample\.guidance\.scale 2: model\.classDropout is 0/,
      );
    });
  },
);
