import assert from "node:assert/strict";
import { geluReference, geluSlopeReference } from "../../kernels/gelu/reference.ts";
import {
  type Epilogue,
  matmul,
  matmulInto,
  matmulWithRowSumsInto,
} from "../../kernels/matmul/mod.ts";
import { columnSumInto } from "../../kernels/linear/mod.ts";
import { matmulReference } from "../../kernels/matmul/reference.ts";
import {
  matmulCandidates,
  type MatmulSize,
  type MatmulVariant,
  pickMatmul,
  splitSum,
  supportsMatmul,
  TILES,
} from "../../kernels/matmul/variants.ts";
import type { Device } from "../../kernels/core/device.ts";
import { fill } from "../../kernels/core/in_place.ts";
import { ParameterStore } from "../../kernels/core/parameter_store.ts";
import { Tape } from "../../kernels/core/tape.ts";
import type { Tensor } from "../../kernels/core/tensor.ts";
import {
  assertClose,
  checkOp,
  HALF_ROUNDING,
  randomValues,
  ROUNDING,
  runsOfEightTolerance,
  spoilPool,
  sumTolerance,
} from "../_check_op.ts";
import {
  dispatchesOf,
  forcedTest,
  gpuTest,
  inRowsOfTwo,
  lacksHalves,
  testProfile,
  variantTest,
} from "../_gpu.ts";

interface Case {
  readonly size: MatmulSize;
  /** Which operands are transposed. */
  readonly transposed: "" | "a" | "b" | "ab";
  /** One matrix that all products of the batch have. */
  readonly shared?: "a" | "b";
  readonly bias?: boolean;
  readonly accumulate?: 0 | 1;
  /** `kept` is gelu that keeps the sums. */
  readonly epilogue?: "gelu" | "kept" | "slope";
}

// 1, primes, around the tiles of 4, 16, 32, 64 and 128, a weight's gradient. Every transposition
// with rows of whole vec4 and without, with ends of K within a vec4, a step and a tile.
const CASES: readonly Case[] = [
  { size: { M: 1, N: 1, K: 1 }, transposed: "", bias: true },
  { size: { M: 7, N: 13, K: 5, batch: 2 }, transposed: "b", bias: true, accumulate: 1 },
  { size: { M: 31, N: 129, K: 33 }, transposed: "a", accumulate: 1 },
  { size: { M: 65, N: 63, K: 17, batch: 2 }, transposed: "ab" },
  { size: { M: 4, N: 4, K: 4, batch: 2 }, transposed: "", bias: true, accumulate: 1 },
  { size: { M: 36, N: 68, K: 13 }, transposed: "a", bias: true },
  { size: { M: 36, N: 68, K: 12 }, transposed: "a", bias: true, accumulate: 1 },
  { size: { M: 65, N: 192, K: 96, batch: 2 }, transposed: "b", accumulate: 1 },
  { size: { M: 64, N: 192, K: 96 }, transposed: "b" },
  { size: { M: 132, N: 124, K: 20 }, transposed: "ab" },
  { size: { M: 192, N: 256, K: 128 }, transposed: "a", bias: true },
  { size: { M: 12, N: 20, K: 8, batch: 3 }, transposed: "a", shared: "b" },
  { size: { M: 12, N: 20, K: 8, batch: 3 }, transposed: "b", shared: "a", bias: true },
  // Rows of whole vec4 in both operands, as they lie, but not in the result.
  { size: { M: 9, N: 7, K: 8 }, transposed: "b", bias: true, accumulate: 1 },
  { size: { M: 9, N: 7, K: 8 }, transposed: "b", bias: true, epilogue: "gelu" },
  { size: { M: 7, N: 13, K: 5, batch: 2 }, transposed: "b", accumulate: 1, epilogue: "kept" },
  { size: { M: 9, N: 7, K: 8 }, transposed: "", epilogue: "slope" },
  { size: { M: 68, N: 132, K: 36 }, transposed: "b", bias: true, epilogue: "gelu" },
  { size: { M: 68, N: 132, K: 36, batch: 2 }, transposed: "b", bias: true, epilogue: "kept" },
  { size: { M: 68, N: 132, K: 36 }, transposed: "", accumulate: 1, epilogue: "slope" },
];

// Two parts at least, of which the last is shorter.
const SPLIT_CASES: readonly Case[] = [
  { size: { M: 7, N: 13, K: 519 }, transposed: "", bias: true, accumulate: 1 },
  { size: { M: 66, N: 36, K: 1030 }, transposed: "a" },
  { size: { M: 20, N: 64, K: 772 }, transposed: "b", bias: true },
  { size: { M: 20, N: 64, K: 772 }, transposed: "b", bias: true, epilogue: "gelu" },
  { size: { M: 7, N: 13, K: 519 }, transposed: "b", bias: true, accumulate: 1, epilogue: "kept" },
  { size: { M: 7, N: 13, K: 519 }, transposed: "", epilogue: "slope" },
];

// A second matrix that `subgroup` reads in bands: a whole one of 4 rows of tiles and half of one.
const BAND_CASE: Case = {
  size: { M: 164, N: 516, K: 512, batch: 2 },
  transposed: "",
  accumulate: 1,
};

/** The larger tiles, slow to compile, run fewer cases. */
function casesOf(variant: MatmulVariant): readonly Case[] {
  if (variant === "split") return SPLIT_CASES;
  if (variant === "subgroup") return [...CASES, BAND_CASE];
  if (variant === "tiled_128") return [0, 2, 7, 9, 18, 19].map((i) => CASES[i]!);
  return CASES;
}

/** Elements in pairs and in fours, transposed on their way and not. */
const F16_CASES = {
  split: [SPLIT_CASES[1]!, SPLIT_CASES[3]!],
  tiled: [CASES[1]!, CASES[8]!, CASES[5]!, CASES[14]!, CASES[18]!],
  tiled_128: [CASES[9]!],
};

/** Runs one case on the device's forced variant against float64 sums of the same operands. */
async function checkCase(
  device: Device,
  options: Case & { dtype?: "f32" | "f16"; stored?: "f32" | "f16" },
): Promise<void> {
  const { size, transposed, shared, epilogue, dtype = "f32", stored = "f32" } = options;
  const { bias: hasBias = false, accumulate = 0 } = options;
  const { M, N, K, batch = 1 } = size;
  const transposeA = transposed.includes("a"), transposeB = transposed.includes("b");
  const countOf = (operand: "a" | "b") => shared === operand ? 1 : batch;
  const round = dtype === "f16" ? Math.f16round : Math.fround;
  const roundStored = stored === "f16" ? Math.f16round : Math.fround;
  const storing = stored === "f16" ? HALF_ROUNDING : 0;
  const values = {
    a: randomValues([countOf("a"), M, K], 1).map(round),
    b: randomValues([countOf("b"), K, N], 2).map(round),
    bias: randomValues([N], 3),
    out: randomValues([batch, M, N], 4),
    sums: randomValues([batch, M, N], 5).map((value) => roundStored(4 * value)),
  };
  using a = device.tensor(new Float32Array(values.a), [countOf("a"), M, K], { dtype });
  using b = device.tensor(new Float32Array(values.b), [countOf("b"), K, N], { dtype });
  using bias = device.tensor(new Float32Array(values.bias), [N]);
  using out = device.tensor(new Float32Array(values.out), [batch, M, N], { dtype: stored });
  using sums = device.tensor(new Float32Array(values.sums), [batch, M, N], { dtype: stored });
  inRowsOfTwo(
    device,
    () =>
      matmulInto(out, a, b, {
        bias: hasBias ? bias : undefined,
        size,
        batch,
        accumulate,
        transposeA,
        transposeB,
        epilogue: epilogueOf(epilogue, sums),
      }),
  );
  const wantSums = values.out.map((_, i) => hasBias ? values.bias[i % N]! : 0);
  for (let z = 0; z < batch; z++) {
    const firstA = z % countOf("a") * M * K, firstB = z % countOf("b") * K * N;
    matmulReference({
      a: values.a.subarray(firstA, firstA + M * K),
      b: values.b.subarray(firstB, firstB + K * N),
    }, { size, transposeA, transposeB }).forEach((value, i) => {
      wantSums[z * M * N + i]! += value;
    });
  }
  const raised = geluReference(wantSums), slopes = geluSlopeReference(values.sums);
  const want = values.out.map((value, i) =>
    (accumulate === 1 ? value : 0) +
    (epilogue === undefined
      ? wantSums[i]!
      : epilogue === "slope"
      ? wantSums[i]! * slopes[i]!
      : raised[i]!)
  );
  const name = `${dtype} ${M}x${N}x${K}, transposed "${transposed}", ${epilogue ?? "sums"}`;
  const sumBound = dtype === "f16" ? runsOfEightTolerance(K) : sumTolerance(K);
  if (epilogue === "kept") {
    assertClose(await sums.read(), wantSums, {
      // Devices may cut them off where they store halves.
      tolerance: sumBound + 2 * storing,
      name: `${name}, kept`,
    });
  }
  assertClose(await out.read(), want, {
    tolerance: (epilogue ? STEEPEST * sumBound + GELU_ERROR : sumBound) + storing,
    // What the sums' own errors are measured by: what an epilogue makes of them may be smaller.
    scale: largestOf(epilogue === undefined || accumulate === 1 ? want : wantSums),
    name,
  });
}

function largestOf(values: Float64Array): number {
  return values.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0);
}

/** The largest slope of gelu, where √2 is. */
const STEEPEST = 1.13;
/** What gelu and its slope add, relative to the sum: see their tests. */
const GELU_ERROR = 16 * ROUNDING;

function epilogueOf(name: Case["epilogue"], sums: Tensor): Epilogue | undefined {
  if (name === undefined) return undefined;
  if (name === "slope") return { of: "gelu_slope", sums };
  return { of: "gelu", sums: name === "kept" ? sums : undefined };
}

variantTest("matmulInto() matches the reference", {
  op: "matmul",
  among: TILES,
  async run(device, variant) {
    for (const each of casesOf(variant)) {
      if (!supportsMatmul(variant, { profile: device.profile, size: each.size })) continue;
      await checkCase(device, each);
    }
  },
});

// Rows of whole vec4, which tiles store as halves, and others.
const STORED_CASES: readonly Case[] = [
  { size: { M: 68, N: 132, K: 36 }, transposed: "b", bias: true, epilogue: "kept" },
  { size: { M: 68, N: 132, K: 36 }, transposed: "" },
  { size: { M: 68, N: 132, K: 36 }, transposed: "", epilogue: "slope" },
  { size: { M: 9, N: 7, K: 5 }, transposed: "", epilogue: "slope" },
  { size: { M: 20, N: 64, K: 772 }, transposed: "b", bias: true, epilogue: "gelu" },
  { size: { M: 20, N: 64, K: 772 }, transposed: "b", bias: true, epilogue: "kept" },
  { size: { M: 20, N: 64, K: 772 }, transposed: "", epilogue: "slope" },
];

variantTest("matmulInto() rounds results to f16 where they are stored so", {
  op: "matmul",
  among: TILES,
  async run(device, variant) {
    if (lacksHalves(device)) return;
    for (const each of STORED_CASES) {
      if (!supportsMatmul(variant, { profile: device.profile, size: each.size })) continue;
      await checkCase(device, { ...each, stored: "f16" });
      if (/^tiled|^split/.test(variant)) {
        await checkCase(device, { ...each, stored: "f16", dtype: "f16" });
      }
    }
  },
});

variantTest("matmulInto() sums products of f16 operands by eights", {
  op: "matmul",
  among: F16_CASES,
  async run(device, variant) {
    if (lacksHalves(device)) return;
    const supports = (size: MatmulSize) =>
      supportsMatmul(variant, { profile: device.profile, size });
    for (const each of F16_CASES[variant]) {
      if (supports(each.size)) await checkCase(device, { ...each, dtype: "f16" });
    }
    if (!supports({ M: 8, N: 8, K: 1024 })) return;
    using x = device.empty([1024, 8], { dtype: "f16" }), out = device.empty([8, 8]);
    assert.deepEqual(
      dispatchesOf(device, () => matmulInto(out, x, x, { transposeA: true })),
      variant === "split" ? ["matmul_tiled_f16", "matmul_sum_parts"] : ["matmul_tiled_f16"],
    );
  },
});

forcedTest("matmulInto() keeps sums within the range of halves", {
  variants: {},
  profile: { driver: "gpu" },
  async run(device) {
    if (lacksHalves(device)) return;
    using a = device.tensor(Float32Array.of(300, 0, 0, 0), [1, 4]);
    using b = device.tensor(Float32Array.of(300, -300, 1, -1, ...Array(12).fill(0)), [4, 4]);
    using out = device.empty([1, 4], { dtype: "f16" });
    using sums = device.empty([1, 4], { dtype: "f16" });
    matmulInto(out, a, b, { epilogue: { of: "gelu", sums } });
    assert.deepEqual([...await sums.read()], [65504, -65504, 300, -300]);
    // The loss scale sees an overflow in what goes on.
    assert.deepEqual([...await out.read()].map(Math.abs), [Infinity, 0, 300, 0]);
  },
});

gpuTest("matmulInto() adds nothing to halves, and keeps sums of the type of results", (device) => {
  device.scope(() => {
    const epilogue = { of: "gelu", sums: device.empty([4, 4]) } as const;
    const a = device.empty([4, 4]), out = device.empty([4, 4], { dtype: "f16" });
    assert.throws(
      () => matmulInto(out, a, a, { accumulate: 1 }),
      { name: "TypeError", message: "Cannot add a product to [4, 4] of f16: expected f32" },
    );
    assert.throws(() => matmulInto(out, a, a, { epilogue }), {
      name: "TypeError",
      message: "Cannot end a product into [4, 4] of f16 with sums of f32: expected one type",
    });
  });
});

gpuTest("matmulInto() says which operand to cast when their types differ", (device) => {
  device.scope(() => {
    const a = device.empty([4, 4], { dtype: "f16" }), b = device.empty([4, 4]);
    const out = device.empty([4, 4]);
    assert.throws(
      () => matmulInto(out, a, b),
      { name: "TypeError", message: /a \[4, 4\] of f16 by b \[4, 4\] of f32: .*cast b/ },
    );
    assert.throws(() => matmulInto(out, b, a), /of f32 by b .* of f16: .*cast a/);
  });
});

variantTest("matmulWithRowSumsInto() sums the rows of a besides, where tiles of whole vec4 can", {
  op: "matmul",
  among: TILES,
  async run(device, variant) {
    // Rows within a tile, past one of either side and of several; K that ends within a step and within a part; rows
    // that are no whole vec4 of sums, and of none.
    for (
      const [M, N, K, transposeA] of [
        [4, 4, 1, true],
        [68, 8, 37, true],
        [132, 260, 9, true],
        [8, 132, 1030, true],
        [6, 8, 600, true],
        [12, 8, 600, false],
        [5, 8, 8, false],
      ] as const
    ) {
      const size = { M: M, N: N, K: K };
      if (!supportsMatmul(variant, { profile: device.profile, size })) continue;
      for (const dtype of ["f32", "f16"] as const) {
        if (dtype === "f16" && lacksHalves(device)) continue;
        const name = `${variant} ${dtype} ${M}x${N}x${K}`;
        using a = device.tensor(
          new Float32Array(randomValues([K, M], 3)),
          transposeA ? [K, M] : [M, K],
          {
            dtype,
          },
        );
        using b = device.tensor(new Float32Array(randomValues([K, N], 4)), [K, N], { dtype });
        using out = device.tensor(new Float32Array(M * N).fill(NaN), [M, N]);
        using alone = device.empty([M, N]);
        spoilPool(device, [[64, M]]);
        const options = { transposeA };
        using sums = matmulWithRowSumsInto(out, a, b, options);
        matmulInto(alone, a, b, options);
        assert.deepEqual(await out.read(), await alone.read(), `${name}: the product`);
        assert.equal(sums !== undefined, /^tiled|^split/.test(variant) && M % 4 === 0, name);
        if (!sums) continue;
        using db = device.empty([M]);
        columnSumInto(db, sums);
        const values = await a.read(), want = new Float64Array(M);
        for (const [i, value] of values.entries()) {
          want[transposeA ? i % M : Math.floor(i / K)]! += value;
        }
        assertClose(await db.read(), want, { tolerance: sumTolerance(K), name });
      }
    }
  },
});

forcedTest("matmulWithRowSumsInto() sums no rows of what it cannot store beside", {
  variants: {},
  profile: { driver: "gpu" },
  run(device) {
    device.scope(() => {
      const a = device.empty([2, 4, 4]), outs = device.empty([2, 4, 4]), out = device.empty([4, 4]);
      assert.equal(matmulWithRowSumsInto(outs, a, a, { batch: 2 }), undefined);
      const halves = device.empty([4, 4], { dtype: "f16" });
      assert.equal(matmulWithRowSumsInto(halves, out, out), undefined);
      const epilogue = { of: "gelu" } as const;
      assert.equal(matmulWithRowSumsInto(out, halves, halves, { epilogue }), undefined);
    });
  },
});

forcedTest("matmulInto() with parts of the sum gives the same bits twice", {
  variants: { matmul: "split" },
  async run(device) {
    // 196 vec4 of a result, which the kernel that adds the parts takes by 64.
    using x = device.tensor(new Float32Array(randomValues([1024, 28], 5)), [1024, 28]);
    using first = device.empty([28, 28]), second = device.empty([28, 28]);
    matmulInto(first, x, x, { transposeA: true });
    inRowsOfTwo(device, () => matmulInto(second, x, x, { transposeA: true }));
    assert.deepEqual(await first.read(), await second.read());
  },
});

forcedTest("matmul() with parts of the sum leaves the padding of a parameter's slab zero", {
  variants: { matmul: "split" },
  async run(device) {
    using store = new ParameterStore(device);
    const weight = store.parameter("weight", [3, 3], (values) => values.fill(1));
    device.scope(() => {
      const ones = (...shape: number[]) => {
        const out = device.empty(shape);
        fill(out, 1);
        return out;
      };
      const x = ones(1024, 3), rows = ones(1, 1024), columns = ones(3, 1);
      const tape = new Tape(device);
      const loss = tape.record(() => matmul(matmul(rows, matmul(x, weight)), columns).reshape([1]));
      spoilPool(device, [[64]]);
      tape.backward(loss);
    });
    const slab = [...await store.gradients[0]!.read()];
    assert.deepEqual(slab, [...Array(9).fill(1024), ...Array(55).fill(0)]);
  },
});

gpuTest("matmul() and its gradients match the reference for every transpose", async (device) => {
  for (const size of [{ M: 5, N: 3, K: 7 }, { M: 8, N: 12, K: 20 }]) {
    const { M, N, K } = size;
    for (const transposeA of [false, true]) {
      for (const transposeB of [false, true]) {
        await checkOp(device, {
          name: `matmul ${transposeA}/${transposeB}`,
          inputs: {
            a: transposeA ? [2, K, M] : [2, M, K],
            b: transposeB ? [2, N, K] : [2, K, N],
          },
          op: ({ a, b }) => matmul(a!, b!, { transposeA, transposeB }),
          reference: ({ a, b }) =>
            Float64Array.from([0, 1].flatMap((z) => [...matmulReference({
              a: a!.subarray(z * M * K, (z + 1) * M * K),
              b: b!.subarray(z * K * N, (z + 1) * K * N),
            }, { size, transposeA, transposeB })])),
          tolerance: { forward: sumTolerance(K), backward: sumTolerance(Math.max(M, N)) },
        });
      }
    }
  }
});

gpuTest("matmul() and its gradients match the reference where a batch shares b", async (device) => {
  const size = { M: 10, N: 3, K: 7 }, { N, K } = size;
  for (const transposeB of [false, true]) {
    await checkOp(device, {
      name: `matmul of a shared matrix ${transposeB}`,
      inputs: { a: [2, 5, K], b: transposeB ? [N, K] : [K, N] },
      op: ({ a, b }) => matmul(a!, b!, { transposeB }),
      reference: ({ a, b }) => matmulReference({ a: a!, b: b! }, { size, transposeB }),
      tolerance: { forward: sumTolerance(K), backward: sumTolerance(10) },
    });
  }
});

gpuTest(
  "matmul() refuses to record a shared matrix that it cannot differentiate",
  async (device) => {
    const values = (count: number) => Float32Array.from({ length: count }, (_, i) => i % 7 - 3);
    using a = device.tensor(values(32), [2, 4, 4]);
    using b = device.tensor(values(16), [4, 4]);
    using tape = new Tape(device);
    tape.watch(b);
    device.scope(() => {
      assert.deepEqual(matmul(b, a).shape, [2, 4, 4]);
      assert.throws(() => tape.record(() => matmul(b, a)), {
        name: "TypeError",
        message: "Cannot differentiate matmul of [4, 4] and [2, 4, 4]: one matrix is shared by a " +
          "batch, expected a batch of it",
      });
      assert.throws(() => tape.record(() => matmul(a, b, { transposeA: true })), TypeError);
    });
    // One that needs no gradient is no hindrance to that of the batch.
    using other = new Tape(device);
    other.watch(a);
    using out = device.scope(() => other.record(() => matmul(b, a)));
    other.backwardFrom(out, a);
    using gradient = other.gradient(a);
    using expected = matmul(b, a, { transposeA: true });
    assert.deepEqual(await gradient.read(), await expected.read());
  },
);

gpuTest("matmul() takes more columns than small tiles have workgroups", async (device) => {
  const columns = 8 * 65_535 + 1;
  const values = Float32Array.from({ length: columns }, (_, i) => i % 1000);
  using a = device.tensor(Float32Array.of(1, 2), [2, 1]);
  using b = device.tensor(values, [columns, 1]);
  using out = matmul(a, b, { transposeB: true });
  const got = await out.read();
  assert.equal(
    got.findIndex((value, i) => value !== (i < columns ? 1 : 2) * values[i % columns]!),
    -1,
  );
});

gpuTest("matmul() names both shapes when the inner sizes differ", (device) => {
  device.scope(() => {
    const a = device.empty([2, 3]), b = device.empty([4, 5]);
    assert.throws(() => matmul(a, b), /\[2, 3\] by \[4, 5\]: expected two axes each with the same/);
    assert.throws(() => matmul(device.empty([4]), b), /\[4\] by \[4, 5\]: expected two axes each/);
    assert.throws(() => matmul(device.empty([2, 0]), device.empty([0, 5])), /the inner size is 0$/);
    assert.deepEqual(matmul(a, device.empty([3, 5])).shape, [2, 5]);
  });
});

gpuTest("matmulInto() names the shapes of tensors that are none of its matrices", (device) => {
  device.scope(() => {
    const a = device.empty([2, 3, 4]), b = device.empty([2, 4, 5]), out = device.empty([2, 3, 5]);
    matmulInto(out, a, b, { batch: 2, bias: device.empty([5]) });
    matmulInto(out, a, device.empty([4, 5]), { batch: 2 });
    assert.throws(() => matmulInto(out, a, b), {
      name: "TypeError",
      message: "Cannot multiply [2, 3, 4] by [2, 4, 5] into [2, 3, 5]: expected what 1 times " +
        "[3, 4] by [4, 5] takes",
    });
    for (const wrong of [{ bias: device.empty([3]) }, { batch: 4 }]) {
      assert.throws(() => matmulInto(out, a, b, { batch: 2, ...wrong }), TypeError);
    }
    const epilogue = { of: "gelu", sums: device.empty([2, 3, 4]) } as const;
    assert.throws(() => matmulInto(out, a, b, { batch: 2, epilogue }), {
      message: /into \[2, 3, 5\] with sums \[2, 3, 4\]: expected what 2 times/,
    });
    const longer = device.empty([3, 3, 4]);
    assert.throws(() => matmulInto(out, longer, b, { batch: 2 }), TypeError);
    assert.throws(() => matmulInto(device.empty([2, 3, 4]), a, b, { batch: 2 }), TypeError);
  });
});

const PROFILE = testProfile();

Deno.test("pickMatmul() uses registers on CPU drivers", () => {
  const size = { M: 64, N: 64, K: 64 };
  assert.equal(pickMatmul(PROFILE, size), "subgroup");
  assert.equal(pickMatmul({ ...PROFILE, subgroupSize: 16 }, size), "subgroup");
  assert.equal(pickMatmul({ ...PROFILE, subgroupSize: 4 }, size), "register");
  assert.equal(pickMatmul(PROFILE, { ...size, K: 63 }), "naive");
});

Deno.test("pickMatmul() compiles nothing long for small products on CPU drivers", () => {
  const size = { M: 16, N: 32, K: 16 };
  assert.equal(pickMatmul(PROFILE, size), "naive");
  assert.equal(pickMatmul({ ...PROFILE, subgroupSize: 4 }, size), "naive");
  assert.equal(pickMatmul(PROFILE, { ...size, K: 20 }), "subgroup");
  assert.equal(pickMatmul(PROFILE, { ...size, batch: 2 }), "subgroup");
  const gpu = testProfile({ driver: "gpu" });
  assert.equal(pickMatmul(gpu, size), "tiled");
});

Deno.test("pickMatmul() keeps sums within the loops of a CPU driver", () => {
  const pick = (K: number, M = 64) => pickMatmul(PROFILE, { M, N: 64, K });
  assert.equal(pick(262_140), "subgroup");
  assert.equal(pick(262_144), "split");
  assert.equal(pick(65_535), "naive");
  assert.equal(pick(65_537), "split");
  assert.throws(() => pick(2 ** 25, 2 ** 14), {
    name: "RangeError",
    message: /\[16384, 33554432\] by \[33554432, 64\] on test: more rows, columns or terms/,
  });
});

Deno.test("pickMatmul() keeps results within the workgroups of a dispatch", () => {
  const pick = (M: number, N: number) => pickMatmul(PROFILE, { M, N, K: 15 });
  assert.equal(pick(8 * 65_535, 4), "naive");
  assert.equal(pick(8 * 65_535 + 1, 4), "tiled");
  assert.equal(pick(4, 8 * 65_535 + 1), "tiled");
  assert.throws(() => pick(4, 64 * 65_535 + 1), {
    name: "RangeError",
    message:
      "Cannot multiply [4, 15] by [15, 4194241] on test: more rows, columns or terms of a sum " +
      "than this driver takes in one product, expected parts of it",
  });
  assert.throws(() => pickMatmul(PROFILE, { M: 1, N: 1, K: 1, batch: 65_536 }), {
    name: "RangeError",
    message: "Cannot multiply 65536 matrices at once: expected at most 65535",
  });
});

Deno.test("pickMatmul() keeps a GPU busy with the largest tiles that do", () => {
  const gpu = testProfile({ driver: "gpu" });
  assert.equal(pickMatmul(gpu, { M: 2048, N: 2048, K: 512 }), "tiled_128");
  assert.equal(pickMatmul(gpu, { M: 2047, N: 1920, K: 512 }), "tiled");
  assert.equal(pickMatmul(gpu, { M: 64, N: 64, K: 64, batch: 1024 }), "tiled_128");
  assert.equal(pickMatmul(gpu, { M: 768, N: 256, K: 2048 }), "split");
  assert.equal(pickMatmul(gpu, { M: 768, N: 256, K: 511 }), "tiled");
  assert.equal(pickMatmul(gpu, { M: 768, N: 256, K: 2048, batch: 2 }), "tiled");
  const small = { ...gpu, workgroupBytes: 16384 };
  assert.equal(pickMatmul(small, { M: 2048, N: 2048, K: 512 }), "tiled");
  assert.equal(pickMatmul({ ...gpu, workgroupBytes: 4096 }, { M: 8, N: 8, K: 8 }), "naive");
});

Deno.test("splitSum() covers K with parts of whole steps, enough for a GPU and 256 terms each", () => {
  assert.deepEqual(splitSum({ M: 768, N: 256, K: 2048 }), { parts: 8, terms: 256 });
  assert.deepEqual(splitSum({ M: 768, N: 768, K: 16384 }), { parts: 4, terms: 4096 });
  assert.deepEqual(splitSum({ M: 8, N: 8, K: 1030 }), { parts: 4, terms: 264 });
  assert.deepEqual(splitSum({ M: 8, N: 8, K: 511 }), { parts: 1, terms: 511 });
  for (let K = 512; K < 200_000; K = Math.ceil(K * 1.37)) {
    const { parts, terms } = splitSum({ M: 128, N: 100, K });
    assert.ok(terms % 8 === 0 && terms >= 256 && parts > 1, `${parts} of ${terms}`);
    assert.ok((parts - 1) * terms < K && parts * terms >= K, `${parts} of ${terms} for ${K}`);
  }
});

Deno.test("matmulCandidates() lists what supports a size", () => {
  const gpu = testProfile({ driver: "gpu", subgroupSize: 32 });
  assert.deepEqual(matmulCandidates(gpu, { M: 63, N: 64, K: 64 }), ["naive", "tiled", "tiled_128"]);
  assert.deepEqual(
    matmulCandidates(PROFILE, { M: 64, N: 64, K: 512 }),
    ["naive", "register", "subgroup", "split", "tiled", "tiled_128"],
  );
});
