import assert from "node:assert/strict";
import { roundToF16Reference } from "../../kernels/cast/reference.ts";
import type { Device } from "../../kernels/core/device.ts";
import { Tape } from "../../kernels/core/tape.ts";
import type { Shape, Tensor } from "../../kernels/core/tensor.ts";
import { geluReference, geluSlopeReference } from "../../kernels/gelu/reference.ts";
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

forcedTest("geluMlp() takes the weight and the bias of layers alone", {
  variants: { geluMlp: "fused" },
  async run(device) {
    /** A layer as a class may have it: what `geluMlp` reads are no properties of its own, and others are. */
    class Layer {
      readonly x = "another";
      readonly epilogue = "another";
      readonly #tensors: Tensor[];
      constructor(tensors: Tensor[]) {
        this.#tensors = tensors;
      }
      get weight() {
        return this.#tensors[0]!;
      }
      get bias() {
        return this.#tensors[1]!;
      }
    }
    const size = SIZES[1]!;
    await checkOp(device, {
      name: "geluMlp of classes",
      inputs: shapesOf(size),
      op: ({ x, w1, b1, w2, b2 }) =>
        geluMlp(x!, { fc1: new Layer([w1!, b1!]), fc2: new Layer([w2!, b2!]) }),
      reference: (values) => reference(values, size),
      tolerance: toleranceOf(size),
    });
  },
});

/** A half times this is rounded to the half again, and every sum of such products is off by 2^-12 otherwise. */
const OFF = 1 + 2 ** -12;
/** What is rounded to f16. */
const OPERANDS = ["x", "w1", "w2", "dy"] as const;

/** Compares the result and all gradients in f16 with those of rounded operands in float64; one is `off`. */
async function checkRounded(
  device: Device,
  { size, off, tolerance }: {
    size: Size;
    off: typeof OPERANDS[number];
    tolerance: (length: number) => number;
  },
): Promise<void> {
  const { rows, inputs, hidden, outputs } = size;
  const shapes: Named<Shape> = { ...shapesOf(size), dy: [rows, outputs] };
  const names = Object.keys(shapesOf(size));
  const half: Record<string, Float64Array> = {}, values: Record<string, Float64Array> = {};
  for (const [i, [name, shape]] of Object.entries(shapes).entries()) {
    half[name] = roundToF16Reference(randomValues(shape, i));
    values[name] = half[name].map((value) => name === off ? value * OFF : value);
  }
  const live = device.pool.liveBytes;
  const tensors = Object.fromEntries(
    Object.keys(shapes).map((
      name,
    ) => [name, device.tensor(new Float32Array(values[name]!), shapes[name]!)]),
  );
  const got = device.scope(() => {
    const tape = new Tape(device);
    for (const name of names) tape.watch(tensors[name]!);
    const out = tape.record(() => device.withPrecision("f16", () => apply(tensors)));
    tape.backwardFrom(out, tensors.dy!);
    return {
      out,
      ...Object.fromEntries(names.map((name) => [name, tape.gradient(tensors[name]!)])),
    };
  });
  const expanded = linearReference({ x: half.x!, weight: half.w1!, bias: half.b1! }, { inputs });
  const activated = roundToF16Reference(geluReference(expanded));
  const slopes = geluSlopeReference(expanded);
  const want: Record<string, Float64Array> = {
    out: linearReference({ x: activated, weight: half.w2!, bias: half.b2! }, { inputs: hidden }),
    x: new Float64Array(rows * inputs),
    w1: new Float64Array(hidden * inputs),
    b1: new Float64Array(hidden),
    w2: new Float64Array(outputs * hidden),
    b2: new Float64Array(outputs),
  };
  // Rows of whole vec4 are summed with the product that reads them, rounded, where it goes through tiles.
  const isTiled = device.profile.driver === "gpu" && outputs % 4 === 0 && hidden % 4 === 0;
  for (let row = 0; row < rows; row++) {
    for (let o = 0; o < outputs; o++) {
      const i = row * outputs + o;
      want.b2![o]! += (isTiled ? half : values).dy![i]!;
      for (let h = 0; h < hidden; h++) {
        want.w2![o * hidden + h]! += half.dy![i]! * activated[row * hidden + h]!;
      }
    }
    for (let h = 0; h < hidden; h++) {
      let product = 0;
      for (let o = 0; o < outputs; o++) {
        product += half.dy![row * outputs + o]! * half.w2![o * hidden + h]!;
      }
      const slope = product * slopes[row * hidden + h]!;
      want.b1![h]! += slope;
      for (let i = 0; i < inputs; i++) {
        want.w1![h * inputs + i]! += slope * half.x![row * inputs + i]!;
        want.x![row * inputs + i]! += slope * half.w1![h * inputs + i]!;
      }
    }
  }
  // Beside the sums' own errors what is rounded to f16 between the layers, by 2^-11 at most.
  const longest = Math.max(...Object.values(size));
  for (const [key, tensor] of Object.entries(got)) {
    const numbers = await tensor.read(), name = `${key} of ${Object.values(size)}, ${off} off`;
    assertClose(numbers, want[key]!, { tolerance: 3 * tolerance(longest) + 2 ** -11, name });
    // Those errors have no common sign but where a device cuts off the sums that slopes are made of, to which a
    // product is a quarter as sensitive: of many together they are less than three quarters of what OFF is.
    if (rows < 16) continue;
    const ratio = dot(numbers, want[key]!) / dot(want[key]!, want[key]!);
    assert.ok(
      Math.abs(ratio - 1) < 0.75 * 2 ** -12,
      `${name}: ${ratio} times as large as expected`,
    );
  }
  for (const tensor of [...Object.values(tensors), ...Object.values(got)]) tensor.dispose();
  assert.equal(device.pool.liveBytes, live);
}

function dot(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}

variantTest("geluMlp() in f16 rounds the operands of its products", {
  op: "geluMlp",
  among: GELU_MLP,
  async run(device) {
    if (lacksHalves(device)) return;
    const tolerance = device.profile.driver === "gpu" ? runsOfEightTolerance : sumTolerance;
    for (const size of SIZES) {
      for (const off of OPERANDS) await checkRounded(device, { size, off, tolerance });
    }
  },
});

/** Records the op and goes back over it; gives the kernels of both passes. */
function kernelsOf(
  device: Device,
  { precision, watched }: { precision: "f32" | "f16"; watched: readonly string[] },
): [forward: string[], backward: string[]] {
  return device.scope(() => {
    const tensors = Object.fromEntries(
      Object.entries(shapesOf(SIZES[2]!)).map(([name, shape]) => [name, device.empty(shape)]),
    );
    using tape = new Tape(device);
    for (const name of watched) tape.watch(tensors[name]!);
    let out: Tensor | undefined;
    const record = () => device.withPrecision(precision, () => apply(tensors));
    return [
      dispatchesOf(device, () => out = tape.record(record)),
      dispatchesOf(device, () => tape.backwardFrom(out!, out!)),
    ];
  });
}

const ALL = Object.keys(shapesOf(SIZES[0]!));

forcedTest("geluMlp() in f16 on a GPU keeps halves alone between the layers", {
  variants: {},
  profile: { driver: "gpu" },
  async run(device) {
    if (lacksHalves(device)) return;
    for (const size of SIZES) {
      for (const off of OPERANDS) {
        await checkRounded(device, { size, off, tolerance: runsOfEightTolerance });
      }
    }
    const [forward, backward] = kernelsOf(device, { precision: "f16", watched: ALL });
    const cast = "cast_to_f16", product = "matmul_tiled_f16", sum = "column_sum_vector";
    assert.deepEqual(forward, [cast, cast, cast, product, product]);
    assert.deepEqual(backward, [cast, product, product, sum, product, product, sum]);
  },
});

gpuTest(
  "geluMlp() takes passes where a CPU driver trains, with the bits of the other way",
  async (device) => {
    if (device.profile.driver !== "cpu") return;
    const [training] = kernelsOf(device, { precision: "f32", watched: ALL });
    assert.ok(training.some((name) => name.startsWith("gelu_forward")), `${training}`);
    const shapes = shapesOf(SIZES[2]!);
    const tensors = Object.fromEntries(
      ALL.map((name, i) => [
        name,
        device.tensor(new Float32Array(randomValues(shapes[name]!, i)), shapes[name]!),
      ]),
    );
    using tape = new Tape(device);
    tape.watch(tensors.x!);
    let sampled: Tensor | undefined;
    const sampling = dispatchesOf(device, () => sampled = apply(tensors));
    assert.ok(sampling.every((name) => name.startsWith("matmul")), `${sampling}`);
    using trained = tape.record(() => apply(tensors));
    // What is computed again in a backward pass is recorded, and was not the first time.
    assert.deepEqual(await sampled!.read(), await trained.read());
    for (const tensor of [sampled!, ...Object.values(tensors)]) tensor.dispose();
  },
);

forcedTest("geluMlp() makes nothing for layers that are not trained", {
  variants: { geluMlp: "fused" },
  run(device) {
    const kept = (watched: readonly string[]) =>
      device.scope(() => {
        const tensors = Object.fromEntries(
          Object.entries(shapesOf(SIZES[2]!)).map(([name, shape]) => [name, device.empty(shape)]),
        );
        using tape = new Tape(device);
        for (const name of watched) tape.watch(tensors[name]!);
        const before = device.pool.liveBytes;
        const out = device.scope(() => tape.record(() => apply(tensors)));
        return device.pool.liveBytes - before - out.bytes;
      });
    const { rows, hidden } = SIZES[2]!;
    assert.ok(kept(ALL) - kept(["w2", "b2"]) >= 4 * rows * hidden);
    const [, backward] = kernelsOf(device, { precision: "f32", watched: ["w2"] });
    assert.equal(backward.filter((name) => name.startsWith("matmul")).length, 1);
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
    // As many elements, but transposed; and a row of nothing.
    const fc2 = { weight: device.empty([4, 6]), bias: device.empty([4]) };
    const transposed = [
      { fc1: { weight: device.empty([4, 6]), bias }, fc2 },
      {
        fc1: { weight: device.empty([6, 4]), bias },
        fc2: { ...fc2, weight: device.empty([6, 4]) },
      },
    ];
    for (const parameters of transposed) {
      assert.throws(() => geluMlp(device.empty([2, 4]), parameters), { name: "TypeError" });
    }
    assert.throws(
      () => geluMlp(device.empty([3, 0]), { fc1: { weight: device.empty([6, 0]), bias }, fc2 }),
      { name: "TypeError" },
    );
  });
});
