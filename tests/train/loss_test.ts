import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Tape } from "../../kernels/core/tape.ts";
import type { Tensor } from "../../kernels/core/tensor.ts";
import { canonicalName } from "../../model/state_dict.ts";
import { alignedLoss, denoisingLoss } from "../../train/loss.ts";
import { assertClose, randomValues, sumTolerance } from "../_check_op.ts";
import { gpuTest } from "../_gpu.ts";
import { Golden } from "../parity/golden.ts";
import { loadModel } from "../parity/golden_model.ts";
import { largestError, normError, Report } from "../parity/report.ts";
import { GRADIENT, LOSS } from "../parity/tolerances.ts";

gpuTest("denoisingLoss() scales each output, and adds the cosine's part", async (device) => {
  const shape = [2, 3, 4, 4], pixels = 16;
  const out = randomValues(shape, 1), target = randomValues(shape, 2);
  const scales = Float64Array.of(0.5, 3);
  const square = out.reduce(
    (sum, value, i) => sum + (scales[Math.floor(i / 48)]! * value - target[i]!) ** 2 / 96,
    0,
  );
  let cosine = 0;
  for (const image of [0, 1]) {
    for (let pixel = 0; pixel < pixels; pixel++) {
      const at = [0, 1, 2].map((channel) => (image * 3 + channel) * pixels + pixel);
      const product = (a: Float64Array, b: Float64Array) =>
        at.reduce((sum, i) => sum + a[i]! * b[i]!, 0);
      const norms = Math.sqrt(product(out, out) * product(target, target));
      cosine += (1 - product(out, target) / norms) / (2 * pixels);
    }
  }
  const losses = device.scope(() => {
    const x = device.tensor(new Float32Array(out), shape);
    const y = device.tensor(new Float32Array(target), shape);
    const factors = device.tensor(new Float32Array(scales), [2]);
    return [
      denoisingLoss(x, y, { scale: factors }),
      denoisingLoss(x, y, { scale: factors, cosineLoss: true }),
    ];
  });
  for (const [i, want] of [square, square + cosine].entries()) {
    assertClose(await losses[i]!.read(), [want], {
      tolerance: sumTolerance(96),
      name: `loss ${i}`,
    });
    losses[i]!.dispose();
  }
});

/** The official losses with an alignment part, and whether a cosine of the velocity is in them. */
const OFFICIAL = { gmem_lightningdit: true, repa_sit_label: false };

for (const [name, withCosine] of Object.entries(OFFICIAL)) {
  const url = new URL(`../../../shared/goldens/${name}.safetensors`, import.meta.url);
  const path = fileURLToPath(url);
  if (!existsSync(path)) {
    console.log(`Skipping the losses of ${name}: it is not in shared/goldens`);
    continue;
  }
  gpuTest(`alignedLoss() and all its gradients are those of ${name}`, async (device) => {
    using golden = new Golden(path);
    const model = await loadModel(device, golden, new Report(path));
    using parameters = model.parameters;
    const results = device.scope(() => {
      const load = (key: string): Tensor => golden.tensor(device, key);
      const condition = load(golden.has("input.s") ? "input.s" : "input.y");
      const x = load("input.x"), tokens = load("input.z");
      const target = golden.has("input.target") ? load("input.target") : device.tensor(
        // REPA's velocity leads from data to noise.
        golden.readFloat32("input.noise").map((noise, i) =>
          noise - golden.readFloat32("input.data")[i]!
        ),
        x.shape,
      );
      const tape = new Tape(device);
      const loss = tape.record(() => {
        const { output, projection } = model.forwardWithProjection(x, load("input.t"), condition);
        const denoising = denoisingLoss(output, target, { cosineLoss: withCosine });
        return alignedLoss(denoising, { tokens, projection, weight: 0.5 });
      });
      tape.backward(loss.total);
      return [loss.total, loss.alignment];
    });
    for (const [i, key] of ["output.loss", "output.proj_loss"].entries()) {
      using result = results[i]!;
      const error = largestError(await result.read(), golden.values(key));
      assert.ok(error <= LOSS, `${key} is off by ${error}`);
    }
    let compared = 0;
    for (const official of golden.namesUnder("grad.")) {
      const parameter = canonicalName(official);
      if (!parameters.has(parameter)) continue;
      using gradient = parameters.get(parameter).gradient;
      const error = normError(await gradient.read(), golden.values(`grad.${official}`));
      assert.ok(error <= GRADIENT, `the gradient of ${official} is off by ${error}`);
      if (parameter.startsWith("projectors.0.")) compared++;
    }
    assert.equal(compared, 6);
  });
}
