import assert from "node:assert/strict";
import { interpolate } from "../../kernels/interpolate/mod.ts";
import { meanSquare, meanSquarePerSample } from "../../kernels/mean_square/mod.ts";
import { meanSquareReference } from "../../kernels/mean_square/reference.ts";
import { gvpInterpolant } from "../../model/interpolants/gvp.ts";
import { linearInterpolant } from "../../model/interpolants/linear.ts";
import { lossCoefficients } from "../../model/interpolants/prediction.ts";
import { vpInterpolant } from "../../model/interpolants/vp.ts";
import { assertClose, checkOp, randomValues, ROUNDING } from "../_check_op.ts";
import { goldenTest } from "../_goldens.ts";
import { gpuTest, NO_ADAPTER, sharedDevice } from "../_gpu.ts";

gpuTest("meanSquarePerSample() and its gradient match the reference", async (device) => {
  for (const shape of [[1, 1], [2, 7], [3, 4, 8, 8], [3, 67], [2, 5000]]) {
    const batch = shape[0]!, elements = randomValues(shape, 0).length / batch;
    const values = { target: randomValues(shape, 4), scale: randomValues([batch], 6) };
    // Made beside the op: nobody but the op holds them when the gradient is taken.
    const made = () => ({
      target: device.tensor(new Float32Array(values.target), shape),
      scale: device.tensor(new Float32Array(values.scale), [batch]),
    });
    // Differences are rounded relative to their terms, the partial sums have √elements terms.
    const tolerance = { forward: (2 * Math.sqrt(elements) + 8) * ROUNDING, backward: 8 * ROUNDING };
    await checkOp(device, {
      name: `meanSquarePerSample ${shape}`,
      inputs: { out: shape },
      op: ({ out }) => meanSquarePerSample(out!, made().target),
      reference: ({ out }) => meanSquareReference({ out: out!, target: values.target }, { batch }),
      tolerance,
    });
    await checkOp(device, {
      name: `meanSquarePerSample ${shape}, scaled`,
      inputs: { out: shape },
      op({ out }) {
        const { target, scale } = made();
        return meanSquarePerSample(out!, target, { scale });
      },
      reference: ({ out }) => meanSquareReference({ out: out!, ...values }, { batch }),
      tolerance,
    });
    await checkOp(device, {
      name: `meanSquare ${shape}`,
      inputs: { out: shape },
      op({ out }) {
        const { target, scale } = made();
        return meanSquare(out!, target, { scale });
      },
      reference: ({ out }) => {
        const losses = meanSquareReference({ out: out!, ...values }, { batch });
        return Float64Array.of(losses.reduce((sum, loss) => sum + loss / batch, 0));
      },
      tolerance,
    });
  }
});

goldenTest("meanSquarePerSample() gives the official losses of every path and prediction", {
  golden: "transport_losses",
  ignore: NO_ADAPTER,
  async fn(golden) {
    const device = await sharedDevice();
    const shape = [5, 4, 8, 8];
    const times = golden.readFloat32("input.t");
    const tensors = ["input.x1", "input.x0", "input.model_output"]
      .map((key) => device.tensor(golden.readFloat32(key), shape));
    const [data, noise, out] = tensors;
    const paths = { Linear: linearInterpolant, GVP: gvpInterpolant, VP: vpInterpolant };
    for (const [path, interpolant] of Object.entries(paths)) {
      for (const prediction of ["velocity", "noise", "score"] as const) {
        for (const weighting of ["none", "velocity", "likelihood"] as const) {
          const losses = [...times]
            .map((t) => lossCoefficients(interpolant, prediction, t, { weighting }));
          const coefficients = losses.flatMap((loss) => [0, 0, loss.data, loss.noise]);
          const loss = device.scope(() => {
            const rows = device.tensor(Float32Array.from(coefficients), [5, 4]);
            const scales = Float32Array.from(losses, ({ outputScale }) => outputScale);
            const { target } = interpolate(data!, noise!, rows);
            return meanSquarePerSample(out!, target, { scale: device.tensor(scales, [5]) });
          });
          const key = `loss.${path}.${prediction}.${weighting === "none" ? "None" : weighting}`;
          const got = await loss.read();
          // The losses of one case span five orders of magnitude: each is compared by itself. The
          // official factors are differences in f32, up to 1e-5 of their value.
          golden.readFloat32(key).forEach((want, b) =>
            assertClose([got[b]!], [want], { tolerance: 1e-5, name: `${key}[${b}]` })
          );
          loss.dispose();
        }
      }
    }
    for (const tensor of tensors) tensor.dispose();
  },
});

gpuTest("meanSquare() names the shapes that do not fit", (device) => {
  device.scope(() => {
    const out = device.empty([2, 3]);
    assert.throws(
      () => meanSquare(out, device.empty([3, 2])),
      /compare \[2, 3\] with target \[3, 2\]: expected/,
    );
    assert.throws(() => meanSquare(out, out, { scale: device.empty([3]) }), /by scale \[3\]/);
    assert.throws(() => meanSquare(device.empty([0, 3]), device.empty([0, 3])), TypeError);
  });
});
