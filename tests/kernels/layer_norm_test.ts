import assert from "node:assert/strict";
import { MAX_WORKGROUPS } from "../../kernels/core/limits.ts";
import { Tape } from "../../kernels/core/tape.ts";
import { GroupSums, layerNorm, rmsNorm, ROWS } from "../../kernels/layer_norm/mod.ts";
import { layerNormReference } from "../../kernels/layer_norm/reference.ts";
import { pickLayerNorm, supportsLayerNorm } from "../../kernels/layer_norm/variants.ts";
import { assertClose, checkOp, randomValues, ROUNDING, sumTolerance } from "../_check_op.ts";
import { dispatchesOf, forcedTest, gpuTest, testProfile, variantTest } from "../_gpu.ts";

// One row, a prime, more than two workgroups and a tile of rows; one column, a prime, real widths,
// almost the widest that the register kernels hold.
const SIZES = [[1, 1], [7, 5], [135, 5], [33, 64], [1, 192], [7, 1152], [2, 2044]] as const;

variantTest("layerNorm() and rmsNorm() match the reference", {
  op: "layerNorm",
  among: ROWS,
  async run(device, variant) {
    for (const [rows, width] of SIZES) {
      if (!supportsLayerNorm(variant, { profile: device.profile, width })) continue;
      // Two sums of `width` terms follow each other in the backward pass.
      const tolerance = {
        forward: sumTolerance(width),
        backward: 2 * sumTolerance(width + rows),
      };
      await checkOp(device, {
        name: `layerNorm ${variant} ${rows}x${width}`,
        inputs: { x: [rows, width], weight: [width], bias: [width] },
        op: ({ x, weight, bias }) => layerNorm(x!, { weight, bias }),
        reference: ({ x, weight, bias }) => layerNormReference({ x: x!, weight, bias }, { width }),
        tolerance,
      });
      // In one column the norm is a sign, whose slope is nothing but epsilon.
      const epsilon = width === 1 ? 0.5 : 1e-6;
      await checkOp(device, {
        name: `rmsNorm ${variant} ${rows}x${width}`,
        inputs: { x: [rows, width], weight: [width] },
        op: ({ x, weight }) => rmsNorm(x!, { weight, epsilon }),
        reference: ({ x, weight }) =>
          layerNormReference({ x: x!, weight }, { width, norm: "rms", epsilon }),
        tolerance,
      });
    }
  },
});

variantTest("layerNorm() keeps the digits of rows far from zero", {
  op: "layerNorm",
  among: ROWS,
  async run(device, variant) {
    const rows = 7, width = 192, mean = 1000;
    // Uniform values of deviation 1.
    const values = randomValues([rows, width], 3)
      .map((value) => Math.fround(mean + Math.sqrt(3) * value));
    await checkOp(device, {
      name: `layerNorm ${variant} of mean ${mean}`,
      inputs: { x: [rows, width] },
      values: { x: values },
      op: ({ x }) => layerNorm(x!),
      reference: ({ x }) => layerNormReference({ x: x! }, { width }),
      // The rounded mean, and what the shader states for the rest. E[x²] − E[x]² errs by 3 %.
      tolerance: {
        forward: ROUNDING * mean + sumTolerance(width),
        backward: 2 * (ROUNDING * mean + sumTolerance(width)),
      },
    });
    const x = device.tensor(new Float32Array(rows * width).fill(mean + 0.1), [rows, width]);
    const out = device.scope(() => layerNorm(x));
    assert.ok((await out.read()).every((value) => value === 0), "equal values have no deviation");
    x.dispose();
    out.dispose();
  },
});

for (const variant of ["workgroup", "register"]) {
  forcedTest(`layerNorm() with the ${variant} kernels needs no subgroups`, {
    variants: { layerNorm: variant },
    profile: { subgroups: false },
    async run(device) {
      const rows = 3, width = 1152;
      await checkOp(device, {
        name: `layerNorm ${variant} without subgroups`,
        inputs: { x: [rows, width] },
        op: ({ x }) => layerNorm(x!),
        reference: ({ x }) => layerNormReference({ x: x! }, { width }),
        tolerance: { forward: sumTolerance(width), backward: 2 * sumTolerance(width) },
      });
    },
  });
}

gpuTest("layerNorm() sums nothing for parameters that need no gradient", (device) => {
  device.scope(() => {
    const x = device.empty([3, 8]), weight = device.empty([8]), bias = device.empty([8]);
    const tape = new Tape(device);
    tape.watch(x);
    const out = tape.record(() => layerNorm(x, { weight, bias }));
    const names = dispatchesOf(device, () => tape.backwardFrom(out, out));
    assert.equal(names.length, 1, names.join());
    assert.match(names[0]!, /^layer_norm_backward/);
  });
});

gpuTest("layerNorm() and rmsNorm() refuse an epsilon below 0", (device) => {
  using x = device.empty([1, 8]);
  for (const norm of [layerNorm, rmsNorm]) {
    for (const epsilon of [-5, NaN]) {
      assert.throws(() => norm(x, { epsilon }), {
        name: "RangeError",
        message: `Cannot normalise with epsilon ${epsilon}: expected a number from 0`,
      });
    }
  }
});

gpuTest("layerNorm() without parameters takes any leading axes", async (device) => {
  await checkOp(device, {
    name: "layerNorm 2x3x5x8",
    inputs: { x: [2, 3, 5, 8] },
    op: ({ x }) => layerNorm(x!, { epsilon: 1e-3 }),
    reference: ({ x }) => layerNormReference({ x: x! }, { width: 8, epsilon: 1e-3 }),
    tolerance: { forward: sumTolerance(8), backward: 2 * sumTolerance(8) },
  });
});

gpuTest(
  "layerNorm() sums its parameters' gradients over more rows than one loop",
  async (device) => {
    const rows = 20_000;
    for (const width of [4, 5]) {
      await checkOp(device, {
        name: `layerNorm ${rows}x${width}`,
        inputs: { x: [rows, width], weight: [width], bias: [width] },
        op: ({ x, weight, bias }) => layerNorm(x!, { weight, bias }),
        reference: ({ x, weight, bias }) => layerNormReference({ x: x!, weight, bias }, { width }),
        gradients: ["weight", "bias"],
        tolerance: { forward: sumTolerance(width), backward: sumTolerance(rows) },
      });
    }
  },
);

gpuTest("layerNorm() normalises the widest rows", async (device) => {
  // Some drivers stop an invocation after 65,535 steps of all its loops together.
  for (const width of [16_383, 16_384]) {
    await checkOp(device, {
      name: `layerNorm 1x${width}`,
      inputs: { x: [1, width] },
      op: ({ x }) => layerNorm(x!),
      reference: ({ x }) => layerNormReference({ x: x! }, { width }),
      tolerance: { forward: sumTolerance(width), backward: 2 * sumTolerance(width) },
    });
  }
});

gpuTest("layerNorm() normalises more rows than one axis of workgroups holds", async (device) => {
  const rows = 8 * 65_536 + 3;
  const row = Float32Array.of(0, 1, 2, 5), values = new Float32Array(4 * rows);
  for (let first = 0; first < values.length; first += 4) values.set(row, first);
  const x = device.tensor(values, [rows, 4]);
  const out = device.scope(() => layerNorm(x, { epsilon: 0 }));
  const got = await out.read();
  // Mean 2 and variance 3.5, in every row.
  const want = Float32Array.from(row, (value) => (value - 2) / Math.sqrt(3.5));
  for (const at of [0, rows >> 1, rows - 1]) {
    assertClose(got.subarray(4 * at, 4 * at + 4), want, {
      tolerance: 8 * ROUNDING,
      name: `row ${at}`,
    });
  }
  x.dispose();
  out.dispose();
});

gpuTest("sums for parameters take no more chunks of rows than an axis has workgroups", (device) => {
  using x = device.empty([1, 4]);
  for (const tokens of [1, 2 ** 15, 2 ** 31]) {
    using groups = new GroupSums(x, { x, tokens });
    assert.ok(groups.chunks >= 1 && groups.chunks <= MAX_WORKGROUPS, `${groups.chunks} chunks`);
  }
});

gpuTest("layerNorm() and rmsNorm() name the shapes that do not fit", (device) => {
  device.scope(() => {
    const x = device.empty([2, 3]), vector = device.empty([3]), wrong = device.empty([4]);
    assert.throws(() => layerNorm(x, { weight: wrong }), /\[2, 3\] with weight \[4\]/);
    assert.throws(() => layerNorm(x, { bias: wrong }), /\[2, 3\] with bias \[4\]: expected \[3\]/);
    assert.throws(() => rmsNorm(x, { weight: wrong }), TypeError);
    assert.throws(() => rmsNorm(device.empty([1, 16385])), RangeError);
    for (const shape of [[0, 4], [2, 0], []]) {
      assert.throws(() => layerNorm(device.empty(shape)), {
        name: "TypeError",
        message: `Cannot normalise [${shape.join(", ")}]: expected one row [D] at least`,
      });
    }
    assert.deepEqual(layerNorm(x, { weight: vector, bias: vector }).shape, [2, 3]);
  });
});

Deno.test("pickLayerNorm() gives CPU drivers subgroups and GPUs registers", () => {
  const profile = testProfile();
  assert.equal(pickLayerNorm(profile, 64), "subgroup");
  assert.equal(pickLayerNorm({ ...profile, subgroups: false }, 64), "workgroup");
  const gpu = testProfile({ driver: "gpu" });
  assert.equal(pickLayerNorm(gpu, 64), "register");
  assert.equal(pickLayerNorm(gpu, 2048), "register");
  assert.equal(pickLayerNorm(gpu, 2052), "workgroup");
  assert.equal(pickLayerNorm(gpu, 63), "naive");
  assert.equal(pickLayerNorm(profile, 63), "naive");
});
