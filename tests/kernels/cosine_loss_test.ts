import assert from "node:assert/strict";
import { MAX_LOOP_ROUNDS } from "../../kernels/core/limits.ts";
import { alignmentLoss, cosineLoss } from "../../kernels/cosine_loss/mod.ts";
import { meanCosineReference } from "../../kernels/cosine_loss/reference.ts";
import { assertClose, checkOp, randomValues, sumTolerance } from "../_check_op.ts";
import { goldenTest } from "../_goldens.ts";
import { gpuTest, NO_ADAPTER, sharedDevice } from "../_gpu.ts";

gpuTest("cosineLoss() and its gradients match the reference", async (device) => {
  for (const shape of [[1, 2, 1, 1], [2, 3, 5, 7], [3, 32, 16, 16]] as const) {
    const [batch, channels, height, width] = shape;
    const layout = {
      batch,
      channels,
      positions: height * width,
      channelLast: false,
      epsilon: 1e-8,
    };
    await checkOp(device, {
      name: `cosineLoss ${shape}`,
      inputs: { a: shape, b: shape },
      op: ({ a, b }) => cosineLoss(a!, b!),
      reference: ({ a, b }) => meanCosineReference(a!, b!, layout).map((cosine) => 1 - cosine),
      // The loss is near one, the cosines cancel over the positions.
      tolerance: { forward: sumTolerance(channels), backward: 2 * sumTolerance(channels) },
    });
  }
});

gpuTest("alignmentLoss() and its gradients match the reference", async (device) => {
  // The last has more vec4 than the eight invocations that share a position.
  for (const shape of [[1, 1, 2], [2, 3, 5], [3, 65, 24], [2, 9, 68]] as const) {
    const [batch, positions, channels] = shape;
    const layout = { batch, channels, positions, channelLast: true, epsilon: 1e-12 };
    // Positive vectors, so that the mean does not cancel; they are almost parallel, so that the two
    // terms of the gradient do, to about a sixteenth.
    const values = Object.fromEntries(
      ["a", "b"].map((key, i) => [key, randomValues(shape, i).map((value) => value + 1.5)]),
    );
    await checkOp(device, {
      name: `alignmentLoss ${shape}`,
      inputs: { a: shape, b: shape },
      values,
      op: ({ a, b }) => alignmentLoss(a!, b!),
      reference: ({ a, b }) => meanCosineReference(a!, b!, layout).map((cosine) => -cosine),
      tolerance: { forward: sumTolerance(channels), backward: 16 * sumTolerance(channels) },
    });
  }
});

gpuTest("alignmentLoss() of short vectors follows the clamped norm", async (device) => {
  const layout = { batch: 2, channels: 4, positions: 1, channelLast: true, epsilon: 4 };
  const values = {
    // Below and above the norm of 4.
    a: Float64Array.of(1, 0, 1, 2, 9, 1, 3, 1),
    b: Float64Array.of(7, 1, 3, 2, 1, 1, 1, 1),
  };
  await checkOp(device, {
    name: "alignmentLoss, clamped",
    inputs: { a: [2, 1, 4], b: [2, 1, 4] },
    values,
    op: ({ a, b }) => alignmentLoss(a!, b!, { epsilon: 4 }),
    reference: ({ a, b }) => meanCosineReference(a!, b!, layout).map((cosine) => -cosine),
    tolerance: { forward: sumTolerance(4), backward: 4 * sumTolerance(4) },
  });
});

gpuTest("cosineLoss() of short vectors follows the clamped norm", async (device) => {
  const layout = { batch: 2, channels: 3, positions: 2, channelLast: false, epsilon: 4 };
  const values = {
    // Positions 0 and 1 of the first sample: below and above the norm of 4.
    a: Float64Array.of(1, 5, 1, 6, 1, 7, 0, 2, 0, 9, 0, 1),
    b: Float64Array.of(2, 1, 3, 2, 9, 1, 1, 1, 2, 8, 3, 1),
  };
  await checkOp(device, {
    name: "cosineLoss, clamped",
    inputs: { a: [2, 3, 2], b: [2, 3, 2] },
    values,
    op: ({ a, b }) => cosineLoss(a!, b!, { epsilon: 4 }),
    reference: ({ a, b }) => meanCosineReference(a!, b!, layout).map((cosine) => 1 - cosine),
    tolerance: { forward: sumTolerance(3), backward: 4 * sumTolerance(3) },
  });
});

gpuTest("cosineLoss() counts as many channels as a loop has rounds", async (device) => {
  const channels = MAX_LOOP_ROUNDS;
  const layout = { batch: 1, channels, positions: 1, channelLast: false, epsilon: 1e-8 };
  // The last numbers decide.
  const a = Float64Array.from({ length: channels }, (_, i) => i < channels - 4 ? 2 ** -20 : 1);
  await checkOp(device, {
    name: "cosineLoss of many channels",
    inputs: { a: [1, channels, 1], b: [1, channels, 1] },
    values: { a, b: new Float64Array(channels).fill(1) },
    gradients: [],
    op: ({ a, b }) => cosineLoss(a!, b!),
    reference: ({ a, b }) => meanCosineReference(a!, b!, layout).map((cosine) => 1 - cosine),
    tolerance: { forward: sumTolerance(channels) },
  });
});

goldenTest("cosineLoss() and alignmentLoss() give the official losses", {
  golden: "transport_losses",
  ignore: NO_ADAPTER,
  async fn(golden) {
    const device = await sharedDevice();
    const losses = device.scope(() => {
      const image = [5, 4, 8, 8], tokens = [5, 6, 5];
      const out = device.tensor(golden.readFloat32("input.model_output"), image);
      const target = device.tensor(golden.readFloat32("path.Linear.ut"), image);
      const z = device.tensor(golden.readFloat32("input.repa.z"), tokens);
      const projected = device.tensor(golden.readFloat32("input.repa.z_tilde"), tokens);
      return [cosineLoss(out, target), alignmentLoss(z, projected)];
    });
    const [cosine, alignment] = await Promise.all(losses.map((loss) => loss.read()));
    assertClose(cosine!, golden.readFloat32("loss.lightning.cos"), {
      tolerance: sumTolerance(64),
      name: "cosine",
    });
    const mean = alignment!.reduce((sum, value) => sum + value / 5, 0);
    assertClose([mean], golden.readFloat32("loss.repa.linear.proj"), {
      tolerance: sumTolerance(30),
      scale: 1,
      name: "alignment",
    });
    for (const loss of losses) loss.dispose();
  },
});

gpuTest("cosineLoss() names the shapes that do not fit", (device) => {
  device.scope(() => {
    assert.throws(
      () => cosineLoss(device.empty([2, 3, 4]), device.empty([2, 4, 3])),
      /cosine of \[2, 3, 4\] and \[2, 4, 3\]: expected/,
    );
    assert.throws(() => alignmentLoss(device.empty([2, 3]), device.empty([2, 3])), TypeError);
    const long = device.empty([1, 65_536, 1]);
    assert.throws(() => cosineLoss(long, long), {
      name: "RangeError",
      message: "Cannot take the cosine of vectors of 65536 numbers: expected at most 65535",
    });
  });
});

gpuTest(
  "cosineLoss() and alignmentLoss() take norms from 1e-8 and 1e-12 on as they are",
  async (device) => {
    const values = [
      // Norms 1e-6 and 1e-9 are above; of norms a hundredth of epsilon the cosine is 1e-4.
      ...[[cosineLoss, 1e-6, 0], [cosineLoss, 1e-10, 1 - 1e-4]] as const,
      ...[[alignmentLoss, 1e-9, -1], [alignmentLoss, 1e-14, -1e-4]] as const,
    ];
    for (const [loss, norm, expected] of values) {
      using x = device.tensor(
        Float32Array.of(0, norm),
        loss === cosineLoss ? [1, 2, 1] : [1, 1, 2],
      );
      // Undefined is what is left out.
      for (const options of [undefined, { epsilon: undefined } as object]) {
        using result = loss(x, x, options);
        // Some ten roundings.
        assert.ok(Math.abs((await result.read())[0]! - expected) < 10 * 2 ** -23, `${norm}`);
      }
    }
  },
);
