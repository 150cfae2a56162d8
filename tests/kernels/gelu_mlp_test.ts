import assert from "node:assert/strict";
import { roundToF16Reference } from "../../kernels/cast/reference.ts";
import type { Device } from "../../kernels/core/device.ts";
import { Tape } from "../../kernels/core/tape.ts";
import type { Shape, Tensor } from "../../kernels/core/tensor.ts";
import { geluReference } from "../../kernels/gelu/reference.ts";
import { GELU_MLP, geluMlp } from "../../kernels/gelu_mlp/mod.ts";
import { linearReference } from "../../kernels/linear/reference.ts";
import {
  assertClose,
  checkOp,
  randomValues,
  runsOfEightTolerance,
  sumTolerance,
} from "../_check_op.ts";
import { dispatchesOf, forcedTest, gpuTest, lacksHalves, variantTest } from "../_gpu.ts";

interface Size {
  readonly rows: number;
  readonly inputs: number;
  readonly hidden: number;
  readonly outputs: number;
}

type Named<T> = Readonly<Record<string, T>>;

function shapesOf({ rows, inputs, hidden, outputs }: Size): Named<Shape> {
  return {
    x: [rows, inputs],
    w1: [hidden, inputs],
    b1: [hidden],
    w2: [outputs, hidden],
    b2: [outputs],
  };
}

function apply({ x, w1, b1, w2, b2 }: Named<Tensor>): Tensor {
  return geluMlp(x!, { fc1: { weight: w1!, bias: b1! }, fc2: { weight: w2!, bias: b2! } });
}

function reference({ x, w1, b1, w2, b2 }: Named<Float64Array>, { inputs, hidden }: Size) {
  const raised = geluReference(linearReference({ x: x!, weight: w1!, bias: b1! }, { inputs }));
  return linearReference({ x: raised, weight: w2!, bias: b2! }, { inputs: hidden });
}

// Primes, whole vec4, tiles with ends.
const SIZES: readonly Size[] = [
  { rows: 1, inputs: 1, hidden: 1, outputs: 1 },
  { rows: 7, inputs: 5, hidden: 13, outputs: 3 },
  { rows: 36, inputs: 20, hidden: 68, outputs: 24 },
];

// A result passes through two sums, a gradient through three; gelu's slopes are 1.13 at most.
function toleranceOf({ rows, inputs, hidden, outputs }: Size) {
  return {
    forward: 2 * (sumTolerance(inputs) + sumTolerance(hidden)),
    backward: 2 *
      (sumTolerance(inputs) + sumTolerance(outputs) + sumTolerance(Math.max(rows, hidden))),
  };
}

variantTest("geluMlp() and its gradients match the reference", {
  op: "geluMlp",
  among: GELU_MLP,
  async run(device, variant) {
    for (const size of SIZES) {
      await checkOp(device, {
        name: `geluMlp ${variant} ${Object.values(size)}`,
        inputs: shapesOf(size),
        op: apply,
        reference: (values) => reference(values, size),
        tolerance: toleranceOf(size),
      });
    }
  },
});

/** Compares the result and all gradients in f16 with those of operands that were rounded in float64. */
async function checkRounded(
  device: Device,
  { size, tolerance }: { size: Size; tolerance: (length: number) => number },
): Promise<void> {
  const shapes = shapesOf(size), names = Object.keys(shapes);
  const values = Object.fromEntries(names.map((name, i) => [name, randomValues(shapes[name]!, i)]));
  const { rows, inputs, hidden, outputs } = size;
  const dy = randomValues([rows, outputs], 9);
  const live = device.pool.liveBytes;
  const tensors = Object.fromEntries(
    names.map((name) => [name, device.tensor(new Float32Array(values[name]!), shapes[name]!)]),
  );
  const got = device.scope(() => {
    const tape = new Tape(device);
    for (const name of names) tape.watch(tensors[name]!);
    const out = tape.record(() => device.withPrecision("f16", () => apply(tensors)));
    tape.backwardFrom(out, device.tensor(new Float32Array(dy), [rows, outputs]));
    return {
      out,
      ...Object.fromEntries(names.map((name) => [name, tape.gradient(tensors[name]!)])),
    };
  });
  const half = Object.fromEntries(
    names.map((name) => [
      name,
      name.startsWith("b") ? values[name]! : roundToF16Reference(values[name]!),
    ]),
  );
  const roundedDy = roundToF16Reference(dy);
  const sums = linearReference({ x: half.x!, weight: half.w1!, bias: half.b1! }, { inputs });
  const raised = roundToF16Reference(geluReference(sums));
  const want: Record<string, Float64Array> = {
    out: linearReference({ x: raised, weight: half.w2!, bias: half.b2! }, { inputs: hidden }),
    x: new Float64Array(rows * inputs),
    w1: new Float64Array(hidden * inputs),
    b1: new Float64Array(hidden),
    w2: new Float64Array(outputs * hidden),
    b2: new Float64Array(outputs),
  };
  for (let row = 0; row < rows; row++) {
    for (let o = 0; o < outputs; o++) {
      want.b2![o]! += dy[row * outputs + o]!;
      for (let h = 0; h < hidden; h++) {
        want.w2![o * hidden + h]! += roundedDy[row * outputs + o]! * raised[row * hidden + h]!;
      }
    }
    for (let h = 0; h < hidden; h++) {
      let product = 0;
      for (let o = 0; o < outputs; o++) {
        product += roundedDy[row * outputs + o]! * half.w2![o * hidden + h]!;
      }
      const sum = sums[row * hidden + h]!;
      const [up, down] = geluReference(Float64Array.of(sum + 1e-5, sum - 1e-5));
      const slope = product * (up! - down!) / 2e-5;
      want.b1![h]! += slope;
      for (let i = 0; i < inputs; i++) {
        want.w1![h * inputs + i]! += slope * half.x![row * inputs + i]!;
        want.x![row * inputs + i]! += slope * half.w1![h * inputs + i]!;
      }
    }
  }
  // Beside the sums' own errors what is rounded to f16 between the layers, by 2^-11 at most.
  const longest = Math.max(...Object.values(size));
  for (const [name, tensor] of Object.entries(got)) {
    assertClose(await tensor.read(), want[name]!, {
      tolerance: 3 * tolerance(longest) + 2 ** -11,
      name: `${name} of ${Object.values(size)}`,
    });
  }
  for (const tensor of [...Object.values(tensors), ...Object.values(got)]) tensor.dispose();
  assert.equal(device.pool.liveBytes, live);
}

variantTest("geluMlp() in f16 rounds the operands of its products", {
  op: "geluMlp",
  among: GELU_MLP,
  async run(device) {
    if (lacksHalves(device)) return;
    for (const size of SIZES) await checkRounded(device, { size, tolerance: sumTolerance });
  },
});

forcedTest("geluMlp() in f16 on a GPU keeps halves alone between the layers", {
  variants: {},
  profile: { driver: "gpu" },
  async run(device) {
    if (lacksHalves(device)) return;
    for (const size of SIZES) {
      await checkRounded(device, { size, tolerance: runsOfEightTolerance });
    }
    const shapes = shapesOf(SIZES[2]!);
    device.scope(() => {
      const tensors = Object.fromEntries(
        Object.entries(shapes).map(([name, shape]) => [name, device.empty(shape)]),
      );
      using tape = new Tape(device);
      for (const tensor of Object.values(tensors)) tape.watch(tensor);
      const products = (record: () => void) =>
        dispatchesOf(device, record).map((name) => name.replace(/_(?:f16|vector)$/, ""));
      let out: Tensor | undefined;
      assert.deepEqual(
        products(() => {
          out = tape.record(() => device.withPrecision("f16", () => apply(tensors)));
        }),
        ["cast_to", "cast_to", "cast_to", "matmul_tiled", "matmul_tiled"],
      );
      assert.deepEqual(
        products(() => tape.backwardFrom(out!, out!)),
        [
          "cast_to",
          "matmul_tiled",
          "matmul_tiled",
          "column_sum",
          "matmul_tiled",
          "matmul_tiled",
          "column_sum",
        ],
      );
    });
  },
});

forcedTest("geluMlp() computes nothing for layers that are not trained", {
  variants: { geluMlp: "fused" },
  run(device) {
    const shapes = shapesOf(SIZES[2]!);
    device.scope(() => {
      const tensors = Object.fromEntries(
        Object.entries(shapes).map(([name, shape]) => [name, device.empty(shape)]),
      );
      using tape = new Tape(device);
      tape.watch(tensors.w2!);
      const out = tape.record(() => apply(tensors));
      const backward = dispatchesOf(device, () => tape.backwardFrom(out, out));
      assert.equal(backward.filter((name) => name.startsWith("matmul")).length, 1);
    });
  },
});

gpuTest("geluMlp() names the shapes that do not fit", (device) => {
  device.scope(() => {
    const weight = device.empty([6, 5]), bias = device.empty([6]);
    assert.throws(
      () =>
        geluMlp(device.empty([2, 3, 4]), {
          fc1: { weight, bias },
          fc2: { weight: device.empty([4, 6]), bias: device.empty([4]) },
        }),
      {
        name: "TypeError",
        message: "Cannot apply fc1 [6, 5] with bias [6] and fc2 [4, 6] with bias [4] to " +
          "[2, 3, 4]: expected weights [h, 4] and [O, h], biases [h] and [O]",
      },
    );
  });
});
