import assert from "node:assert/strict";
import { roundToF16Reference } from "../../kernels/cast/reference.ts";
import { Device } from "../../kernels/core/device.ts";
import { fill } from "../../kernels/core/in_place.ts";
import { MAX_WORKGROUPS } from "../../kernels/core/limits.ts";
import { Tape } from "../../kernels/core/tape.ts";
import type { Tensor } from "../../kernels/core/tensor.ts";
import { gelu } from "../../kernels/gelu/mod.ts";
import { COLUMN_SUMS, columnSumInto, linear } from "../../kernels/linear/mod.ts";
import { linearReference } from "../../kernels/linear/reference.ts";
import { supportsMatmul } from "../../kernels/matmul/variants.ts";
import {
  assertClose,
  checkOp,
  randomValues,
  runsOfEightTolerance,
  sumTolerance,
} from "../_check_op.ts";
import {
  dispatchesOf,
  gpuTest,
  halvesTest,
  inRowsOfTwo,
  lacksHalves,
  variantTest,
} from "../_gpu.ts";

gpuTest("linear() and its gradients match the reference", async (device) => {
  for (
    const { rows, inputs, outputs } of [
      { rows: 1, inputs: 1, outputs: 1 },
      { rows: 7, inputs: 5, outputs: 3 },
      { rows: 33, inputs: 48, outputs: 20 },
    ]
  ) {
    await checkOp(device, {
      name: `linear ${rows}x${inputs}x${outputs}`,
      inputs: { x: [rows, inputs], weight: [outputs, inputs], bias: [outputs] },
      op: ({ x, weight, bias }) => linear(x!, weight!, { bias }),
      reference: ({ x, weight, bias }) =>
        linearReference({ x: x!, weight: weight!, bias: bias! }, { inputs }),
      tolerance: { forward: sumTolerance(inputs), backward: sumTolerance(Math.max(rows, outputs)) },
    });
  }
});

/**
 * Runs linear() in f16 with its gradients against float64 sums over operands that were rounded; those of the bias
 * take what is not rounded, unless they are made with a product.
 */
async function checkRounded(
  device: Device,
  { rows, inputs, outputs, tolerance, isTiled }: {
    rows: number;
    inputs: number;
    outputs: number;
    /** Of a sum of so many products. */
    tolerance: (length: number) => number;
    /** Whether products go through tiles, which sum rows of whole vec4 besides. */
    isTiled: boolean;
  },
): Promise<void> {
  const sumsHalves = isTiled && inputs % 4 === 0 && outputs % 4 === 0;
  const values = {
    x: randomValues([rows, inputs], 1),
    weight: randomValues([outputs, inputs], 2),
    bias: randomValues([outputs], 3),
    dy: randomValues([rows, outputs], 4),
  };
  const [x, weight, bias, dy] = Object.values(values).map((each, i) =>
    device.tensor(
      new Float32Array(each),
      [[rows, inputs], [outputs, inputs], [outputs], [
        rows,
        outputs,
      ]][i]!,
    )
  ) as [Tensor, Tensor, Tensor, Tensor];
  const got = device.scope(() => {
    const tape = new Tape(device);
    for (const each of [x, weight, bias]) tape.watch(each);
    const out = tape.record(() => device.withPrecision("f16", () => linear(x, weight, { bias })));
    tape.backwardFrom(out, dy);
    return [out, ...[x, weight, bias].map((each) => tape.gradient(each))];
  });
  const half = {
    x: roundToF16Reference(values.x),
    weight: roundToF16Reference(values.weight),
    dy: roundToF16Reference(values.dy),
  };
  const forward = linearReference({ ...half, bias: values.bias }, { inputs });
  const dx = new Float64Array(rows * inputs), dw = new Float64Array(outputs * inputs);
  const db = new Float64Array(outputs);
  for (let row = 0; row < rows; row++) {
    for (let o = 0; o < outputs; o++) {
      const slope = half.dy[row * outputs + o]!;
      db[o]! += sumsHalves ? slope : values.dy[row * outputs + o]!;
      for (let i = 0; i < inputs; i++) {
        dx[row * inputs + i]! += slope * half.weight[o * inputs + i]!;
        dw[o * inputs + i]! += slope * half.x[row * inputs + i]!;
      }
    }
  }
  const checks = [
    [forward, tolerance(inputs)],
    [dx, tolerance(outputs)],
    [dw, tolerance(rows)],
    [db, sumTolerance(rows)],
  ] as const;
  for (const [i, [want, tolerance]] of checks.entries()) {
    assertClose(await got[i]!.read(), want, {
      tolerance,
      name: `${["result", "dx", "dw", "db"][i]} of ${rows}x${inputs}x${outputs}`,
    });
  }
  for (const tensor of [x, weight, bias, dy, ...got]) tensor.dispose();
}

// Products of two halves are exact in f32, so only the sums round but where they are made in f16.
const F16_TOLERANCES = {
  naive: sumTolerance,
  register: sumTolerance,
  subgroup: sumTolerance,
  tiled: runsOfEightTolerance,
};

variantTest("linear() in f16 sums products of rounded operands", {
  op: "matmul",
  among: F16_TOLERANCES,
  async run(device, variant) {
    if (lacksHalves(device)) return;
    const { profile } = device, standIn = profile.driver === "gpu" ? "tiled" : "naive";
    for (const [rows, inputs, outputs] of [[7, 5, 3], [36, 48, 20]] as const) {
      const size = { M: rows, N: outputs, K: inputs };
      const ran = supportsMatmul(variant, { profile, size }) ? variant : standIn;
      const tolerance = F16_TOLERANCES[ran], isTiled = ran === "tiled";
      await checkRounded(device, { rows, inputs, outputs, tolerance, isTiled });
    }
  },
});

halvesTest("linear() in f16 keeps its input rounded, and not in f32 as well", (device) => {
  using x = device.tensor(new Float32Array(1 << 16), [1024, 64]);
  using weight = device.tensor(new Float32Array(256), [4, 64]);
  const kept = (["f32", "f16"] as const).map((precision) =>
    device.scope(() => {
      const tape = new Tape(device);
      tape.watch(x);
      // Twice: the second time all that depends on the weight alone is there already.
      device.scope(() => void device.withPrecision(precision, () => linear(gelu(x), weight)));
      const before = device.pool.liveBytes;
      const out = device.scope(() =>
        tape.record(() => device.withPrecision(precision, () => linear(gelu(x), weight)))
      );
      const bytes = device.pool.liveBytes - before - out.bytes;
      tape.backwardFrom(out, out);
      return bytes;
    })
  );
  // Half of the elements' bytes; a CPU driver keeps no texture of halves either.
  assert.ok(kept[1]! > 0 && kept[1]! <= kept[0]! / 2, `${kept} bytes`);
});

halvesTest(
  "linear() in f16 rounds a weight once until it changes, and says what it lacks",
  (device) => {
    using x = device.tensor(new Float32Array(16), [4, 4]);
    using weight = device.tensor(new Float32Array(16), [4, 4]);
    const roundings = () =>
      dispatchesOf(device, () => {
        device.withPrecision("f16", () => linear(x, weight)).dispose();
      }).filter((name) => name.startsWith("cast_to_f16")).length;
    assert.equal(roundings(), 2);
    assert.equal(roundings(), 0);
    fill(weight, 1);
    assert.equal(roundings(), 1);
    assert.equal(device.precision, "f32");
    const without = new Device(device.gpu, { profile: { ...device.profile, f16: false } });
    assert.throws(
      () => without.withPrecision("f16", () => {}),
      /^UnsupportedDeviceError: Cannot compute in f16: .* lacks shader-f16, expected it or precision f32/,
    );
  },
);

gpuTest("columnSumInto() adds a million ones exactly", async (device) => {
  // One loop over a million would stop at 65,535 on some drivers without an error.
  for (const columns of [1, 4]) {
    const x = device.tensor(new Float32Array(1_000_000).fill(1), [1_000_000 / columns, columns]);
    const out = device.empty([columns]);
    columnSumInto(out, x);
    assert.deepEqual([...await out.read()], Array(columns).fill(1_000_000 / columns));
    x.dispose();
    out.dispose();
  }
});

variantTest("columnSumInto() adds exactly what is there", {
  op: "columnSum",
  among: COLUMN_SUMS,
  profile: { driver: "gpu" },
  async run(device) {
    // Columns within a vec4, a workgroup, past one, and whole workgroups; rows within a chunk, past one, and
    // of so many chunks that these are summed in chunks; small whole numbers, whose sums are exact.
    for (
      const [rows, columns] of [
        [1, 4],
        [7, 64],
        [131, 68],
        [300, 136],
        [300, 256],
        [16_600, 4],
      ] as const
    ) {
      const values = Float32Array.from({ length: rows * columns }, (_, i) => (i * 7) % 11);
      using x = device.tensor(values, [rows, columns]);
      using out = device.tensor(new Float32Array(columns).fill(3), [columns]);
      using assigned = device.tensor(new Float32Array(columns).fill(NaN), [columns]);
      inRowsOfTwo(device, () => columnSumInto(out, x, { accumulate: 1 }));
      columnSumInto(assigned, x);
      const want = Array.from({ length: columns }, (_, j) => {
        let sum = 3;
        for (let i = 0; i < rows; i++) sum += values[i * columns + j]!;
        return sum;
      });
      assert.deepEqual([...await out.read()], want);
      assert.deepEqual([...await assigned.read()], want.map((sum) => sum - 3));
    }
  },
});

variantTest("columnSumInto() adds up halves exactly", {
  op: "columnSum",
  among: COLUMN_SUMS,
  profile: { driver: "gpu" },
  async run(device) {
    if (lacksHalves(device)) return;
    // Columns that are no whole vec4, too; whole numbers and subnormal halves, whose sums are exact.
    for (const [rows, columns, unit] of [[7, 5, 1], [131, 68, 1], [300, 136, 2 ** -24]] as const) {
      const values = Float32Array.from({ length: rows * columns }, (_, i) => (i * 7) % 11 * unit);
      using x = device.tensor(values, [rows, columns], { dtype: "f16" });
      using out = device.tensor(new Float32Array(columns).fill(3 * unit), [columns]);
      columnSumInto(out, x, { accumulate: 1 });
      const want = Array.from({ length: columns }, (_, j) => {
        let sum = 3 * unit;
        for (let i = 0; i < rows; i++) sum += values[i * columns + j]!;
        return sum;
      });
      assert.deepEqual([...await out.read()], want);
    }
  },
});

variantTest("columnSumInto() sums more columns than an axis has workgroups", {
  op: "columnSum",
  among: COLUMN_SUMS,
  async run(device, variant) {
    // Of an odd number, which has the scalar kernel alone, and of whole vec4.
    const columns = MAX_WORKGROUPS * COLUMN_SUMS[variant].width + (variant === "scalar" ? 1 : 4);
    const values = Float32Array.from({ length: 2 * columns }, (_, i) => i % 7);
    using x = device.tensor(values, [2, columns]);
    using out = device.empty([columns]);
    columnSumInto(out, x);
    const got = await out.read();
    const wrong = got.findIndex((sum, i) => sum !== values[i]! + values[columns + i]!);
    assert.equal(wrong, -1, `column ${wrong} is ${got[wrong]}`);
  },
});

gpuTest("linear() names the shapes that do not fit", (device) => {
  device.scope(() => {
    assert.throws(
      () => linear(device.empty([2, 3]), device.empty([4, 5])),
      /weight \[4, 5\] to \[2, 3\]: expected weight \[O, 3\]/,
    );
  });
});

gpuTest("columnSumInto() refuses what is no rows of the sum's length", (device) => {
  device.scope(() => {
    const out = device.empty([3]), x = device.empty([2, 4]);
    assert.throws(() => columnSumInto(out, x), {
      name: "TypeError",
      message: /rows of \[2, 4\] into \[3\]: expected \[\.\.\., columns\]/,
    });
    assert.throws(() => columnSumInto(out, device.empty([0, 3])), TypeError);
    assert.throws(() => columnSumInto(device.empty([0]), x), TypeError);
  });
});
