import assert from "node:assert/strict";
import { interpolate } from "../../kernels/interpolate/mod.ts";
import { interpolateReference } from "../../kernels/interpolate/reference.ts";
import { assertClose, randomValues, ROUNDING } from "../_check_op.ts";
import { goldenTest } from "../_goldens.ts";
import { gpuTest, inRowsOfTwo, NO_ADAPTER, sharedDevice } from "../_gpu.ts";

gpuTest("interpolate() matches the reference", async (device) => {
  for (const shape of [[1, 1], [3, 7], [2, 4, 8, 8], [5, 3, 133], [129, 1]]) {
    const values = {
      data: randomValues(shape, 1),
      noise: randomValues(shape, 2),
      coefficients: randomValues([shape[0]!, 4], 3),
    };
    const record = () =>
      device.scope(() =>
        interpolate(
          device.tensor(new Float32Array(values.data), shape),
          device.tensor(new Float32Array(values.noise), shape),
          device.tensor(new Float32Array(values.coefficients), [shape[0]!, 4]),
        )
      );
    const want = interpolateReference(values.data, values.noise, values.coefficients);
    for (const got of [inRowsOfTwo(device, record), record()]) {
      for (const name of ["x", "target"] as const) {
        assert.deepEqual(got[name].shape, shape);
        // Two products and a sum of numbers below one.
        const options = { tolerance: 4 * ROUNDING, scale: 1, name: `${name} ${shape}` };
        assertClose(await got[name].read(), want[name], options);
        got[name].dispose();
      }
    }
  }
});

goldenTest("interpolate() gives the official points and targets of every path", {
  golden: "transport_losses",
  ignore: NO_ADAPTER,
  async fn(golden) {
    const device = await sharedDevice();
    for (const path of ["Linear", "GVP", "VP"]) {
      const columns = ["alpha", "sigma", "d_alpha", "d_sigma"]
        .map((name) => golden.readFloat32(`path.${path}.${name}`));
      const coefficients = Float32Array.from({ length: 20 }, (_, i) => columns[i % 4]![i >> 2]!);
      const got = device.scope(() =>
        interpolate(
          device.tensor(golden.readFloat32("input.x1"), [5, 4, 8, 8]),
          device.tensor(golden.readFloat32("input.x0"), [5, 4, 8, 8]),
          device.tensor(coefficients, [5, 4]),
        )
      );
      const tolerance = 4 * ROUNDING;
      const x = golden.readFloat32(`path.${path}.xt`),
        target = golden.readFloat32(`path.${path}.ut`);
      assertClose(await got.x.read(), x, { tolerance, name: `${path} x` });
      assertClose(await got.target.read(), target, { tolerance, name: `${path} target` });
      got.x.dispose();
      got.target.dispose();
    }
  },
});

gpuTest("interpolate() names the shapes that do not fit", (device) => {
  device.scope(() => {
    const data = device.empty([2, 3]), coefficients = device.empty([2, 4]);
    assert.throws(
      () => interpolate(data, device.empty([3, 2]), coefficients),
      /data \[2, 3\] and noise \[3, 2\] by coefficients \[2, 4\]: expected/,
    );
    assert.throws(() => interpolate(data, data, device.empty([4, 2])), TypeError);
  });
});
