import assert from "node:assert/strict";
import { DeviceMoments } from "../../bank/moments.ts";
import { normalizeSnippets } from "../../bank/normalize.ts";
import type { SnippetSource } from "../../bank/snippet_source.ts";
import {
  externalCoefficients,
  factorize,
  fitFactors,
  mixRows,
  reconstructRows,
} from "../../bank/svd.ts";
import { Device } from "../../kernels/core/device.ts";
import { assertClose, randomValues } from "../_check_op.ts";
import { gpuTest } from "../_gpu.ts";
import { goldenTest } from "../_goldens.ts";

/** Snippets in memory as a source. */
function sourceOf(snippets: Float32Array, dim: number): SnippetSource {
  return {
    size: snippets.length / dim,
    dim,
    rows: (first, count) => snippets.slice(first * dim, (first + count) * dim),
  };
}

/** 50 snippets of length 9 that spread unevenly. */
function unevenSnippets(): Float32Array {
  const values = randomValues([50, 9], 4).map((value, i) => value * 2 ** -(i % 9) + 0.3);
  return normalizeSnippets(values, { dim: 9 });
}

goldenTest("factorize() and equations 8 to 11 match the official low-rank bank", {
  golden: "memory_bank_svd",
  async fn(golden) {
    const [size, dim] = golden.entry("input.bank").shape as [number, number];
    const [rank] = golden.entry("S").shape as [number];
    const bank = golden.readFloat32("input.bank");
    const factors = await factorize(sourceOf(bank, dim), { rank });
    // The official code computes in float32 with a float32 SVD: its roundings, 2^-24 each, add up in
    // sums over N and d and are carried by vectors of singular values near each other.
    const tolerance = 4e-6;
    const check = (name: string, got: ArrayLike<number>, key: string) =>
      assertClose(got, golden.readFloat32(key), { tolerance, name });
    check("mean", factors.mean, "mean");
    check("singular values", factors.singularValues, "S");
    const reconstructed = reconstructRows(factors.coefficients, factors);
    assert.equal(reconstructed.length, size * dim);
    check("eq. 9", reconstructed, "output.reconstructed");
    check("eq. 9 for one", reconstructed.subarray(5 * dim, 6 * dim), "output.get5");

    const external = externalCoefficients(golden.readFloat32("input.new"), factors);
    check("eq. 10", reconstructRows(external, factors), "output.add_exact");
    const row = (i: number) => factors.coefficients.subarray(i * rank, (i + 1) * rank);
    const internal = mixRows(row(3), row(8), { firstShare: 0.3 });
    check("eq. 11", reconstructRows(internal, factors), "output.add_interpolated_3_8_0.3");

    // Singular vectors are defined up to their sign: each column is compared under its own. Float32
    // turns a vector by its rounding over the gap to the next singular value, here a few percent.
    const [goldC, goldM] = [golden.readFloat32("C"), golden.readFloat32("M")];
    const signs = Array.from({ length: rank }, (_, k) => Math.sign(factors.basis[k]! * goldM[k]!));
    const signed = (values: Float32Array) => values.map((value, i) => value * signs[i % rank]!);
    const columns = { tolerance: 2e-5, name: "" };
    assertClose(signed(factors.coefficients), goldC, { ...columns, name: "C" });
    assertClose(signed(factors.basis), goldM, { ...columns, name: "B" });
    assertClose(signed(external), golden.readFloat32("output.coeff_exact"), {
      ...columns,
      name: "c_new",
    });
    assertClose(signed(internal), golden.readFloat32("output.coeff_interpolated"), {
      ...columns,
      name: "mixed",
    });
    assertClose(signed(internal), golden.readFloat32("output.get_interpolated_3_8_0.3"), {
      ...columns,
      name: "got",
    });
  },
});

Deno.test("factorize() with full rank reconstructs every snippet, and CᵀC = BᵀB = diag(S)", async () => {
  const snippets = unevenSnippets();
  const steps: number[][] = [];
  const { coefficients, basis, singularValues, mean, energy } = await factorize(
    sourceOf(snippets, 9),
    { rank: 9, onProgress: (...each) => steps.push(each) },
  );
  assert.equal(energy, 1);
  assert.deepEqual(steps, [[50, 100], [100, 100]]);
  // Factors are float32 numbers: their roundings in a sum of 9 products.
  assertClose(
    reconstructRows(coefficients, { basis, singularValues, mean }),
    snippets,
    { tolerance: 1e-6, name: "reconstructed" },
  );
  for (const factor of [coefficients, basis]) {
    const gram = new Float64Array(81), expected = new Float64Array(81);
    for (let i = 0; i < 9; i++) {
      expected[i * 10] = singularValues[i]!;
      for (let j = 0; j < 9; j++) {
        for (let row = 0; row < factor.length / 9; row++) {
          gram[i * 9 + j]! += factor[row * 9 + i]! * factor[row * 9 + j]!;
        }
      }
    }
    assertClose(gram, expected, { tolerance: 1e-6, name: "gram" });
  }
});

Deno.test("factorize() loses what is left out: the squared error is the energy not kept", async () => {
  const snippets = unevenSnippets();
  const whole = await factorize(sourceOf(snippets, 9), { rank: 9 });
  const part = await factorize(sourceOf(snippets, 9), { rank: 4 });
  const rebuilt = reconstructRows(part.coefficients, part);
  let error = 0;
  for (let i = 0; i < snippets.length; i++) error += (rebuilt[i]! - snippets[i]!) ** 2;
  const lost = whole.singularValues.subarray(4).reduce((sum, value) => sum + value ** 2, 0);
  assertClose([error], [lost], { tolerance: 1e-5, name: "Eckart and Young" });
  const total = whole.singularValues.reduce((sum, value) => sum + value ** 2, 0);
  assertClose([part.energy], [1 - lost / total], { tolerance: 1e-6, name: "energy" });
});

Deno.test("factorize() chooses the least rank that keeps the energy", async () => {
  const source = sourceOf(unevenSnippets(), 9);
  const { energy: ofThree } = await factorize(source, { rank: 3 });
  const { energy: ofFour } = await factorize(source, { rank: 4 });
  const chosen = await factorize(source, { energy: (ofThree + ofFour) / 2 });
  assert.equal(chosen.singularValues.length, 4);
  assert.equal((await factorize(source, { energy: 1 })).singularValues.length, 9);
});

Deno.test("factorize() refuses ranks and energies that the snippets do not have", async () => {
  // Three snippets differ in two dimensions only.
  const differing = Float32Array.of(1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0);
  await assert.rejects(
    factorize(sourceOf(Float32Array.of(...differing, ...differing), 4), { rank: 3 }),
    {
      name: "RangeError",
      message:
        "Cannot keep rank 3: expected an integer from 1 to 2, the dimensions in which the snippets differ",
    },
  );
  const unread = { size: 3, dim: 4, rows: () => assert.fail("It was read first") };
  for (const rank of [0, 3, 1.5]) {
    await assert.rejects(factorize(unread, { rank }), {
      name: "RangeError",
      message:
        `Cannot keep rank ${rank}: expected an integer from 1 to 2, as many as 3 snippets [4] can ` +
        "differ in",
    });
  }
  await assert.rejects(factorize({ ...unread, size: 9 }, { rank: 5 }), {
    name: "RangeError",
    message:
      "Cannot keep rank 5: expected an integer from 1 to 4, as many as 9 snippets [4] can differ in",
  });
  for (const energy of [0, 1.1, NaN]) {
    // Where both are given, the energy is what is kept.
    for (const kept of [{ energy }, { energy, rank: 1 }]) {
      await assert.rejects(factorize(unread, kept), {
        name: "RangeError",
        message: `Cannot keep energy ${energy}: expected a number above 0 and at most 1`,
      });
    }
  }
});

Deno.test("factorize() refuses rows that are missing", async () => {
  const source = sourceOf(Float32Array.of(1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0), 4);
  const short = { ...source, size: 3, dim: 4, rows: () => Float32Array.of(1, 0, 0, 0) };
  await assert.rejects(factorize(short, { rank: 1 }), {
    name: "TypeError",
    message: "Cannot read snippets 0 to 2: their source gave 4 numbers, expected 3 rows of 4",
  });
});

Deno.test("factorize() refuses snippets that are all equal, by rank and by energy", async () => {
  const row = normalizeSnippets(randomValues([1, 4], 5), { dim: 4 });
  for (const size of [1, 6]) {
    const source = sourceOf(Float32Array.from({ length: 4 * size }, (_, i) => row[i % 4]!), 4);
    for (const kept of [{ energy: 0.9 }, { rank: 1 }]) {
      await assert.rejects(factorize(source, kept), {
        name: "RangeError",
        message: "Cannot factor the snippets: all of them are equal, expected some that differ",
      });
    }
  }
});

Deno.test("factorize() takes a millionth of the first singular value for none", async () => {
  const cross = (width: number) => sourceOf(Float32Array.of(1, 0, -1, 0, 0, width, 0, -width), 2);
  const { singularValues } = await factorize(cross(2 ** -19), { rank: 2 });
  assertClose(singularValues, [Math.SQRT2, 2 ** -18.5], { tolerance: 1e-7, name: "two" });
  await assert.rejects(factorize(cross(2 ** -20), { rank: 2 }), /an integer from 1 to 1/);
});

Deno.test("externalCoefficients() of a snippet of the bank are its coefficients", async () => {
  const snippets = unevenSnippets();
  const factors = await factorize(sourceOf(snippets, 9), { rank: 5 });
  const got = externalCoefficients(snippets, factors);
  // Division by the smallest singular value kept, a hundredth of the largest, widens roundings.
  assertClose(got, factors.coefficients, { tolerance: 1e-5, name: "coefficients" });
});

Deno.test("fitFactors() never asks for more than 4,096 snippets at a time", async () => {
  const size = 10_000, dim = 2, counts: number[] = [];
  const rows = (first: number, count: number) => {
    counts.push(count);
    return Float32Array.from({ length: count * dim }, (_, i) => Math.sin(first * dim + i));
  };
  await fitFactors({ size, dim, rows }, { rank: 1 });
  assert.deepEqual(counts, [4096, 4096, 1808]);
});

gpuTest("factorize() by a device keeps the energy and the snippets of the CPU", async (device) => {
  // Sizes of one and of several pieces, and widths and ranks that are padded.
  for (const [size, dim, rank] of [[50, 9, 4], [1500, 8, 8], [9000, 6, 5]] as const) {
    const values = randomValues([size, dim], dim).map((value, i) => value * 0.7 ** (i % dim) + 0.2);
    const snippets = normalizeSnippets(values, { dim });
    const steps: number[] = [];
    const source = sourceOf(snippets, dim);
    const want = await factorize(source, { rank });
    const got = await factorize(source, { rank, device, onProgress: (done) => steps.push(done) });
    assert.equal(steps.at(-1), 2 * size);
    assert.ok(steps.every((done, i) => i === 0 || done > steps[i - 1]!), steps.join());
    assert.ok(Math.abs(got.energy - want.energy) < 1e-7, `${got.energy}, ${want.energy}`);
    // f32 roundings of sums of at most 1,024 products, see DeviceMoments.
    const tolerance = 1e-6, name = `${size}x${dim}`;
    assertClose(got.mean, want.mean, { tolerance, name: `${name} mean` });
    assertClose(got.singularValues, want.singularValues, { tolerance, name: `${name} S` });
    assertClose(
      reconstructRows(got.coefficients, got),
      reconstructRows(want.coefficients, want),
      { tolerance, name: `${name} snippets` },
    );
  }
});

gpuTest("fitFactors() by a device reads what it multiplies at once", async (device) => {
  const size = 9000, dim = 2, counts: number[] = [];
  const rows = (first: number, count: number) => {
    counts.push(count);
    return Float32Array.from({ length: count * dim }, (_, i) => Math.sin(first * dim + i));
  };
  await fitFactors({ size, dim, rows }, { rank: 1, device });
  // Eight sums of 1,024 rows each.
  assert.deepEqual(counts, [8192, 808]);
});

gpuTest(
  "factorize() by a device keeps the digits of a small spread around a large mean",
  async (device) => {
    const dim = 5, size = 3000;
    const rows = new Float32Array(randomValues([size, dim], 7)).map((value) => 1000 + value);
    const want = await factorize(sourceOf(rows, dim), { rank: 3 });
    const got = await factorize(sourceOf(rows, dim), { rank: 3, device });
    assertClose(got.singularValues, want.singularValues, { tolerance: 1e-6, name: "far" });
  },
);

gpuTest("factorize() by a device takes no rounding for a dimension", async (device) => {
  const equal = sourceOf(Float32Array.from({ length: 400 }, (_, i) => [0.6, 0.8][i % 2]!), 2);
  await assert.rejects(factorize(equal, { energy: 0.5, device }), /all of them are equal/);
  const source = sourceOf(Float32Array.of(1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0), 4);
  await assert.rejects(factorize(source, { rank: 3, device }), {
    message: /an integer from 1 to 2/,
  });
  const dim = 12,
    size = 4000,
    inner = randomValues([size, 4], 1),
    outer = randomValues([4, dim], 2);
  const values = Float64Array.from({ length: size * dim }, (_, i) => {
    let sum = 0;
    for (let k = 0; k < 4; k++) {
      sum += inner[Math.floor(i / dim) * 4 + k]! * outer[k * dim + i % dim]!;
    }
    return sum;
  });
  const flat = sourceOf(new Float32Array(values), dim);
  assert.equal((await factorize(flat, { energy: 1, device })).singularValues.length, 4);
});

gpuTest(
  "fitFactors() goes to the CPU where the device cannot bind the products",
  async (device) => {
    const binding = (maxBindingBytes: number) =>
      new Device(device.gpu, { profile: { ...device.profile, maxBindingBytes } });
    // Both lengths are padded to 12: 144 products of 4 bytes.
    for (const dim of [9, 12]) {
      assert.ok(DeviceMoments.supports(binding(576), dim));
      assert.ok(!DeviceMoments.supports(binding(575), dim));
    }
    const source = sourceOf(unevenSnippets(), 9);
    const { shared } = await fitFactors(source, { rank: 4 });
    const fitted = await fitFactors(source, { rank: 4, device: binding(575) });
    assert.deepEqual(fitted.shared, shared);
  },
);

gpuTest(
  "DeviceMoments bounds a piece by eight sums and by the bytes of rows and of sums",
  (device) => {
    const sums = [[64, 8], [1500, 5], [2400, 2], [4100, 1]] as const;
    for (const [dim, count] of sums) {
      using moments = new DeviceMoments(device, { size: 100_000, dim });
      assert.equal(moments.pieceRows, count * 1024, `length ${dim}`);
    }
    using few = new DeviceMoments(device, { size: 20, dim: 64 });
    assert.equal(few.pieceRows, 20);
  },
);
