/** Checks an op against its float64 reference: values, gradients, determinism, accumulation, leaks. */

import assert from "node:assert/strict";
import { blockBytes } from "../kernels/core/buffer_pool.ts";
import type { Device } from "../kernels/core/device.ts";
import { fill } from "../kernels/core/in_place.ts";
import { ParameterStore } from "../kernels/core/parameter_store.ts";
import { Tape } from "../kernels/core/tape.ts";
import { elementsOf, formatShape, type Shape, type Tensor } from "../kernels/core/tensor.ts";
import { add } from "../kernels/add/mod.ts";
import { linear } from "../kernels/linear/mod.ts";
import { matmul } from "../kernels/matmul/mod.ts";
import { dispatchesOf, inRowsOfTwo } from "./_gpu.ts";

/** Half a unit in the last place of a float32 significand. */
export const ROUNDING = 2 ** -24;

/**
 * Expected relative error of a float32 sum of `length` products: each of the terms and of the sums
 * is rounded once and roundings of random sign add up as a random walk; 4 standard deviations.
 */
export function sumTolerance(length: number): number {
  return ROUNDING * 4 * (2 + Math.sqrt(length));
}

/**
 * Expected error, relative to the largest result, of sums of products of halves that a GPU makes in
 * runs of 8 in f16, each rounded as a product and as a sum. The errors of a run of terms of deviation s
 * have a deviation below √(8 + 36) 0.43 · 2⁻¹¹ s (8 products, partial sums of 1 to 8 terms, roundings
 * even over half a unit), which is 2⁻¹¹ of the run's own, √8 s; 4 standard deviations, and the f32 sum
 * of the runs.
 */
export function runsOfEightTolerance(length: number): number {
  return 4 * 2 ** -11 + sumTolerance(length);
}

/** A small generator for test data, unrelated to the one under test. */
export function testNumbers(seed: number): () => number {
  let state = (seed * 2654435761 + 12345) >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let x = state;
    x = Math.imul(x ^ (x >>> 15), x | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 31 - 1;
  };
}

/** Float32-representable values in [-1, 1) as float64. */
export function randomValues(shape: Shape, seed: number): Float64Array {
  const next = testNumbers(seed);
  return Float64Array.from({ length: elementsOf(shape) }, () => Math.fround(next()));
}

/** Fails with index, value, expectation and bound when `|got - want|` exceeds `tolerance * scale`. */
export function assertClose(
  got: ArrayLike<number>,
  want: ArrayLike<number>,
  options: { tolerance: number; name: string; scale?: number },
): void {
  assert.equal(
    got.length,
    want.length,
    `${options.name}: ${got.length} values, want ${want.length}`,
  );
  let scale = options.scale ?? 0;
  if (options.scale === undefined) {
    for (let i = 0; i < want.length; i++) scale = Math.max(scale, Math.abs(want[i]!));
  }
  const bound = options.tolerance * Math.max(scale, 1e-30);
  let worst = -1, worstError = -1;
  for (let i = 0; i < want.length; i++) {
    const error = Math.abs(got[i]! - want[i]!);
    if (!(error <= worstError)) {
      worst = i;
      worstError = error;
      if (Number.isNaN(error)) break;
    }
  }
  if (worst >= 0 && !(worstError <= bound)) {
    throw new assert.AssertionError({
      message: `${options.name}[${worst}]: got ${got[worst]}, want ${want[worst]}, ` +
        `error ${worstError.toExponential(2)}, bound ${bound.toExponential(2)}`,
    });
  }
}

type Named<T> = Readonly<Record<string, T>>;

/** One case of {@linkcode checkOp}. */
export interface OpCase {
  /** Shape of every differentiable input. */
  readonly inputs: Named<Shape>;
  /** Values of an input instead of random ones in [-1, 1). */
  readonly values?: Named<Float64Array>;
  /** The op under test, given tensors of those shapes. */
  readonly op: (inputs: Named<Tensor>) => Tensor;
  /** The float64 reference on the same values. */
  readonly reference: (values: Named<Float64Array>) => Float64Array;
  /** Inputs whose gradient is checked; default all. */
  readonly gradients?: readonly string[];
  /** Relative to the largest magnitude of the result. */
  readonly tolerance: { forward: number; backward?: number };
  readonly name: string;
}

const STEP = 1e-5;
const SAMPLED = 48;

/**
 * Runs one case. Gradients of `sum(cotangent * op(inputs))` are compared with central differences
 * of the float64 reference (their own error, about 1e-10, does not count): every element of small
 * inputs, of large ones a sample and the slope along a direction to which all contribute. The backward
 * pass runs twice to see that gradients accumulate, the first time when nobody holds the inputs but what
 * the op saved of them; the forward pass twice to see that results are bit-equal; either the first time
 * with workgroups in rows. What results are written to held NaN, and so does what lies behind the inputs.
 */
export async function checkOp(device: Device, opCase: OpCase): Promise<void> {
  const { inputs, op, reference, tolerance, name } = opCase;
  const names = Object.keys(inputs);
  const values = Object.fromEntries(
    names.map((key, i) => [key, opCase.values?.[key] ?? randomValues(inputs[key]!, 17 + i)]),
  );
  const checked = opCase.gradients ?? names;
  const live = device.pool.liveBytes;
  spoilPool(device, Object.values(inputs));
  const tensors = Object.fromEntries(
    names.map((key) => [key, device.tensor(new Float32Array(values[key]!), inputs[key]!)]),
  );

  const first = inRowsOfTwo(device, () => device.scope(() => op(tensors)));
  spoilPool(device, [first.shape]);
  const second = device.scope(() => op(tensors));
  const got = await first.read(), again = await second.read();
  assert.deepEqual(got, again, `${name}: two runs differ`);
  const want = reference(values);
  assertClose(got, want, { tolerance: tolerance.forward, name: `${name} forward` });
  first.dispose();
  second.dispose();

  if (checked.length > 0) {
    const cotangent = randomValues([want.length], 99);
    const dy = device.tensor(new Float32Array(cotangent), [want.length]);
    const tape = new Tape(device);
    for (const key of checked) tape.watch(tensors[key]!);
    const single: Record<string, Float32Array> = {}, double: Record<string, Float32Array> = {};
    for (const into of [single, double]) {
      const passing = into === single;
      const out = device.scope(() =>
        tape.record(() => op(passing ? copiesOf(device, tensors) : tensors))
      );
      spoilPool(device, Object.values(inputs));
      // In rows first: what they leave out would be right in buffers that were used before.
      if (passing) inRowsOfTwo(device, () => tape.backwardFrom(out, dy));
      else tape.backwardFrom(out, dy);
      for (const key of checked) into[key] = await tape.gradient(tensors[key]!).read();
      out.dispose();
    }
    for (const key of checked) tape.gradient(tensors[key]!).dispose();
    dy.dispose();
    for (const key of checked) {
      checkGradient({ key, gradient: single[key]!, values, reference, cotangent, opCase });
      const twice = single[key]!.map((value) => 2 * value);
      assertClose(double[key]!, twice, {
        tolerance: 4 * ROUNDING,
        name: `${name} accumulated d${key} ${formatShape(inputs[key]!)}`,
      });
    }
  }
  for (const tensor of Object.values(tensors)) tensor.dispose();
  assert.equal(device.pool.liveBytes, live, `${name}: tensors were not released`);
}

/**
 * Leaves free buffers full of NaN, to the ends of their blocks, which the next tensors as large as those of
 * `shapes` get.
 */
export function spoilPool(device: Device, shapes: readonly Shape[]): void {
  const spoil = () =>
    shapes.flatMap((shape) =>
      Array.from({ length: 4 }, () => {
        const spoilt = device.empty([blockBytes(4 * elementsOf(shape)) / 4]);
        fill(spoilt, NaN);
        return spoilt;
      })
    );
  // What a scope releases never gets the buffer of what it does not.
  for (const lasting of spoil()) lasting.dispose();
  device.scope(() => void spoil());
}

/** Tensors of the same values, made by an op, that the current scope releases. */
function copiesOf(device: Device, tensors: Named<Tensor>): Named<Tensor> {
  return Object.fromEntries(
    Object.entries(tensors).map(([key, x]) => {
      const zeros = device.empty(x.shape);
      fill(zeros, 0);
      return [key, add(x, zeros)];
    }),
  );
}

function checkGradient(check: {
  key: string;
  gradient: Float32Array;
  values: Named<Float64Array>;
  reference: (values: Named<Float64Array>) => Float64Array;
  cotangent: Float64Array;
  opCase: OpCase;
}): void {
  const { key, gradient, values, reference, cotangent, opCase } = check;
  function objective(changed: Float64Array): number {
    const out = reference({ ...values, [key]: changed });
    let sum = 0;
    for (let i = 0; i < out.length; i++) sum += out[i]! * cotangent[i]!;
    return sum;
  }
  const base = values[key]!;
  const indices = base.length <= SAMPLED
    ? [...base.keys()]
    : Array.from({ length: SAMPLED }, (_, i) => Math.floor((i + 0.5) * base.length / SAMPLED));
  const got: number[] = [], want: number[] = [];
  for (const index of indices) {
    const up = base.slice(), down = base.slice();
    up[index]! += STEP;
    down[index]! -= STEP;
    want.push((objective(up) - objective(down)) / (2 * STEP));
    got.push(gradient[index]!);
  }
  const scale = gradient.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0);
  // 1e-8 is what central differences with a step of 1e-5 leave in float64.
  const tolerance = (opCase.tolerance.backward ?? opCase.tolerance.forward) + 1e-8;
  assertClose(got, want, { tolerance, scale, name: `${opCase.name} d${key}` });
  if (base.length <= SAMPLED) return;
  const signs = randomValues([base.length], 7).map((value) => value < 0 ? -1 : 1);
  const slope = gradient.reduce((sum, value, i) => sum + value * signs[i]!, 0);
  const [up, down] = [STEP, -STEP].map((step) => base.map((value, i) => value + step * signs[i]!));
  assertClose([slope], [(objective(up!) - objective(down!)) / (2 * STEP)], {
    tolerance,
    // Errors of random sign add up as a random walk.
    scale: scale * Math.sqrt(base.length),
    name: `${opCase.name} d${key} in all elements`,
  });
}

/** Half a unit in the last place of an f16 significand, the largest error of one that is rounded. */
export const HALF_ROUNDING = 2 ** -11;

/**
 * Checks that in f16 an op writes the gradient of what `linear` made as halves, where that alone reads it, without
 * a pass that rounds them, or that it does not. `linear` rounds an f32 gradient in the same way: its own gradients are
 * compared with those where the gradient is watched, which keeps it f32.
 */
export async function checkHalvedGradient(
  device: Device,
  { name, shape, op, halves }: {
    name: string;
    shape: Shape;
    op: (h: Tensor) => Tensor;
    /** Whether it can. */
    halves: boolean;
  },
): Promise<void> {
  const inputs = 8, outputs = shape.at(-1)!;
  const shapes = [[...shape.slice(0, -1), inputs], [outputs, inputs], [outputs]];
  const [x, weight, bias] = shapes.map((each, i) =>
    device.tensor(new Float32Array(randomValues(each, i)), each)
  );
  const results: Float32Array[][] = [], casts: number[] = [];
  for (const isWatched of [true, false]) {
    const gradients = device.scope(() => {
      using tape = new Tape(device);
      for (const tensor of [x!, weight!, bias!]) tape.watch(tensor);
      const out = tape.record(() =>
        device.withPrecision("f16", () => {
          const h = linear(x!, weight!, { bias });
          if (isWatched) tape.watch(h);
          return op(h);
        })
      );
      const dy = device.tensor(new Float32Array(randomValues(out.shape, 9)), out.shape);
      const names = dispatchesOf(device, () => tape.backwardFrom(out, dy));
      casts.push(names.filter((kernel) => kernel.startsWith("cast_to_f16")).length);
      return [x!, weight!, bias!].map((tensor) => tape.gradient(tensor));
    });
    results.push(await Promise.all(gradients.map((gradient) => gradient.read())));
    for (const gradient of gradients) gradient.dispose();
  }
  assert.deepEqual(casts, [1, halves ? 0 : 1], `${name}: casts where it is watched, and not`);
  const [want, got] = results;
  for (const [i, key] of ["x", "weight"].entries()) {
    // Another kernel may contract its sums otherwise, so that a half falls to the other side.
    assertClose(got![i]!, want![i]!, { tolerance: HALF_ROUNDING / 8, name: `${name} d${key}` });
  }
  // Sums of what was rounded, and of what was not.
  assertClose(got![2]!, want![2]!, { tolerance: HALF_ROUNDING, name: `${name} dbias` });
  for (const tensor of [x!, weight!, bias!]) tensor.dispose();
}

/** The gradients of an elementwise op at `values`, one each. */
export async function slopesOf(
  device: Device,
  { op, values }: { op: (x: Tensor) => Tensor; values: readonly number[] },
): Promise<Float32Array> {
  using x = device.tensor(Float32Array.from(values), [values.length]);
  using dy = device.tensor(new Float32Array(values.length).fill(1), [values.length]);
  const tape = new Tape(device);
  tape.watch(x);
  using out = tape.record(() => op(x));
  tape.backwardFrom(out, dy);
  using gradient = tape.gradient(x);
  return await gradient.read();
}

/**
 * Checks that the gradient of a parameter of five elements, to which `op` is applied element by element,
 * is not zero, and that what the pool hands out full of NaN does not get into the padding behind it, which
 * the norm of all gradients reads.
 */
export async function checkSlabPadding(device: Device, op: (x: Tensor) => Tensor): Promise<void> {
  using store = new ParameterStore(device);
  const weight = store.parameter("weight", [1, 5], (values) => values.fill(1));
  device.scope(() => {
    using tape = new Tape(device);
    const ones = device.tensor(new Float32Array(5).fill(1), [5, 1]);
    const loss = tape.record(() => matmul(op(weight), ones).reshape([1]));
    spoilPool(device, [[64]]);
    tape.backward(loss);
  });
  const slab = await store.gradients[0]!.read();
  assert.ok(slab.subarray(0, 5).every((value) => value !== 0 && Number.isFinite(value)), `${slab}`);
  assert.deepEqual([...slab.subarray(5)], Array(59).fill(0));
}
