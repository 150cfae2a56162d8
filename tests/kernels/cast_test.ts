import assert from "node:assert/strict";
import { cast, castInto, rounded, TO_F16 } from "../../kernels/cast/mod.ts";
import { roundToF16Reference } from "../../kernels/cast/reference.ts";
import { fill } from "../../kernels/core/in_place.ts";
import { Kernel } from "../../kernels/core/kernel.ts";
import { ParameterStore } from "../../kernels/core/parameter_store.ts";
import { Tape } from "../../kernels/core/tape.ts";
import { type Tensor, viewOf } from "../../kernels/core/tensor.ts";
import { meanSquare } from "../../kernels/mean_square/mod.ts";
import { assertClose, randomValues, ROUNDING } from "../_check_op.ts";
import { gpuTest, inRowsOfTwo, variantTest } from "../_gpu.ts";

const BROKEN = new Kernel({
  source: /* wgsl */ `
    @group(0) @binding(1) var<storage, read_write> out: array<f32>;
    @compute @workgroup_size(1) fn broken() { out[0] = nonsense; }`,
});

/** Every half, the middle between each two, and the f32 on both sides of each middle. */
function edges(): Float32Array<ArrayBuffer> {
  const halves = new Float16Array(Uint16Array.from({ length: 0x7c01 }, (_, i) => i).buffer);
  const values: number[] = [];
  for (const [i, low] of halves.subarray(0, -1).entries()) {
    const next = halves[i + 1]!;
    const middle = next === Infinity ? 65520 : (low + next) / 2;
    const bits = new Uint32Array(Float32Array.of(middle).buffer)[0]!;
    const around = new Float32Array(Uint32Array.of(bits - 1, bits + 1).buffer);
    values.push(low, middle, ...around);
  }
  return Float32Array.from([...values, ...values.map((value) => -value)]);
}

function sameNumbers(got: ArrayLike<number>, want: ArrayLike<number>, input: Float32Array): void {
  assert.equal(got.length, want.length);
  for (let i = 0; i < want.length; i++) {
    if (!Object.is(got[i], want[i])) assert.fail(`${input[i]} became ${got[i]}, want ${want[i]}`);
  }
}

variantTest("cast() rounds to the nearest f16, ties to even", {
  op: "cast",
  among: TO_F16,
  async run(device) {
    const special = [
      NaN,
      -NaN,
      Infinity,
      -Infinity,
      0,
      -0,
      65504,
      65519.996,
      65520,
      -65520,
      1e38,
    ];
    // Smaller than any half: the least one, its half, what lies around, and an f32 subnormal.
    const small = [2 ** -24, 2 ** -25, 2 ** -25 * 1.0001, 2 ** -26, 1e-40, -1e-40, 3 * 2 ** -25];
    for (
      const values of [
        Float32Array.from([...special, ...small]),
        Float32Array.of(1 / 3),
        Float32Array.from(randomValues([5003], 1), (x) => x * 1e5),
        edges(),
      ]
    ) {
      const x = device.tensor(values, [values.length]);
      const half: Tensor = inRowsOfTwo(device, () => cast(x, { dtype: "f16" }));
      const back: Tensor = inRowsOfTwo(device, () => cast(half, { dtype: "f32" }));
      assert.equal(half.dtype, "f16");
      assert.equal(half.bytes, 2 * values.length);
      const want = roundToF16Reference(values);
      sameNumbers(await half.read(), want, values);
      sameNumbers(await back.read(), want, values);
      const plain = cast(x, { dtype: "f16" }), again = cast(half, { dtype: "f32" });
      sameNumbers(await plain.read(), want, values);
      sameNumbers(await again.read(), want, values);
      for (const tensor of [x, half, back, plain, again]) tensor.dispose();
    }
  },
});

gpuTest("castInto() a parameter leaves the padding of its slab zero", async (device) => {
  using store = new ParameterStore(device);
  const weight = store.parameter("weight", [5], () => {});
  using half = device.tensor(Float32Array.of(1, 2, 3, 4, 5, NaN, NaN, NaN), [8], { dtype: "f16" });
  using part = viewOf(half, { shape: [5] });
  castInto(weight, part);
  assert.deepEqual([...await store.values[0]!.read()], [1, 2, 3, 4, 5, ...Array(59).fill(0)]);
});

gpuTest("Tensor.write() rounds to f16 as cast() does, for odd sizes too", async (device) => {
  for (const size of [1, 3, 4097]) {
    const values = new Float32Array(randomValues([size], size));
    using x = device.tensor(values, [size], { dtype: "f16" });
    using copy = device.empty([size], { dtype: "f16" });
    device.copyInto(copy, x);
    assert.deepEqual(await copy.read(), new Float32Array(roundToF16Reference(values)));
  }
});

gpuTest("cast() hands the gradient on in f32", async (device) => {
  using x = device.tensor(Float32Array.of(1 / 3, -2, 3), [3]);
  using target = device.tensor(new Float32Array(3), [3]);
  using gradient = device.scope(() => {
    const tape = new Tape(device);
    tape.watch(x);
    const loss = tape.record(() =>
      meanSquare(cast(cast(x, { dtype: "f16" }), { dtype: "f32" }), target)
    );
    tape.backward(loss);
    return tape.gradient(x);
  });
  // 2 x / 3 of the rounded x: a third is 0.333251953125 in f16, the others are exact.
  const want = [0.333251953125, -2, 3].map((value) => 2 * value / 3);
  assertClose(await gradient.read(), want, { tolerance: 4 * ROUNDING, name: "gradient" });
});

gpuTest("cast() of a tensor to its own type is a view of its elements", (device) => {
  for (const dtype of ["f32", "f16"] as const) {
    using x = device.empty([2, 3], { dtype });
    const { dispatches } = device.recorder;
    using view = cast(x, { dtype });
    assert.equal(view.buffer, x.buffer);
    assert.notEqual(view, x);
    assert.deepEqual([view.shape, view.dtype], [[2, 3], dtype]);
    assert.equal(device.recorder.dispatches, dispatches);
  }
});

gpuTest("cast() of a parameter to its own type hands the gradient on", async (device) => {
  using store = new ParameterStore(device);
  const weight = store.parameter("weight", [3], (values) => values.set([1, -2, 3]));
  using copy = cast(weight, { dtype: "f32" });
  assert.deepEqual([...await copy.read()], [1, -2, 3]);
  device.scope(() => {
    const target = device.tensor(new Float32Array(3), [3]);
    const tape = new Tape(device);
    tape.backward(tape.record(() => meanSquare(cast(weight, { dtype: "f32" }), target)));
  });
  using gradient = weight.gradient;
  const want = [1, -2, 3].map((value) => 2 * value / 3);
  assertClose(await gradient.read(), want, { tolerance: 4 * ROUNDING, name: "gradient" });
});

gpuTest("rounded() rounds once until the elements change, and outlives them", async (device) => {
  const x = device.tensor(Float32Array.of(1, 2, 3, 4), [2, 2]);
  const before = device.recorder.dispatches;
  const first = rounded(x), second = rounded(x);
  assert.equal(device.recorder.dispatches - before, 1);
  assert.equal(first.buffer, second.buffer);
  assert.deepEqual(first.shape, [2, 2]);
  fill(x, 7);
  second.dispose();
  const third = rounded(x);
  x.dispose();
  assert.deepEqual([...await third.read()], [7, 7, 7, 7]);
  first.dispose();
  third.dispose();
});

gpuTest("rounded() keeps views of one buffer apart", async (device) => {
  using x = device.tensor(Float32Array.of(1, 2, 3, 4), [4]);
  using part = viewOf(x, { shape: [2] });
  using all = rounded(x), first = rounded(part);
  assert.notEqual(all.buffer, first.buffer);
  assert.deepEqual([[...await all.read()], [...await first.read()]], [[1, 2, 3, 4], [1, 2]]);
});

gpuTest("rounded() rounds again what failed with other commands", async (device) => {
  using x = device.tensor(Float32Array.of(1, 2), [2]), out = device.empty([1]);
  rounded(x).dispose();
  fill(x, 5);
  await device.settle();
  // Submitted together, none of them runs.
  rounded(x).dispose();
  device.dispatch(BROKEN, { tensors: { out }, workgroups: [1] });
  await assert.rejects(device.settle(), { name: "ShaderCompilationError" });
  using again = rounded(x);
  assert.deepEqual([...await again.read()], [5, 5]);
});

gpuTest("cast() and kernels of f32 say which type they expect", (device) => {
  device.scope(() => {
    const labels = device.empty([4], { dtype: "u32" }), half = device.empty([4], { dtype: "f16" });
    assert.throws(() => cast(labels, { dtype: "f16" }), /Cannot cast u32 \[4\] to f16 \[4\]/);
    assert.throws(() => castInto(half, device.empty([5])), /as many elements/);
    assert.throws(() => fill(half, 1), /Cannot dispatch fill: out is f16, expected f32, use cast/);
    assert.throws(
      () => device.copyInto(device.empty([2]), half),
      /f16 to \[2\] f32: sizes or types/,
    );
  });
});
