import assert from "node:assert/strict";
import {
  concatenateSnippets,
  interpolateSnippets,
  lerpSnippets,
  mixSnippets,
  slerpSnippets,
} from "../../bank/interpolate.ts";
import { normalizeSnippets, snippetNorms } from "../../bank/normalize.ts";
import { assertClose, randomValues } from "../_check_op.ts";
import { goldenTest } from "../_goldens.ts";

/** The official code computes in float32: a few roundings of 2^-24 in sums over 32 dimensions. */
const GOLDEN_TOLERANCE = 1e-6;

function pair(): [Float32Array, Float32Array] {
  const rows = normalizeSnippets(randomValues([2, 11], 3), { dim: 11 });
  return [rows.subarray(0, 11), rows.subarray(11)];
}

goldenTest("lerpSnippets(), slerpSnippets() and concatenateSnippets() match the official code", {
  golden: "memory_bank_svd",
  fn(golden) {
    const [, dim] = golden.entry("input.bank").shape as [number, number];
    const bank = golden.readFloat32("input.bank");
    const first = bank.subarray(0, dim), second = bank.subarray(dim, 2 * dim);
    let checked = 0;
    for (const key of golden.keys()) {
      const [, name, alpha] = key.match(/^output\.(lerp|slerp|concat)(?:\.(.+))?$/) ?? [];
      if (name === undefined) continue;
      const got = name === "concat"
        ? concatenateSnippets(first, second)
        : (name === "lerp" ? lerpSnippets : slerpSnippets)(first, second, { alpha: Number(alpha) });
      assertClose(got, golden.readFloat32(key), { tolerance: GOLDEN_TOLERANCE, name: key });
      checked++;
    }
    assert.equal(checked, 9);
  },
});

Deno.test("slerpSnippets() turns at even speed, lerpSnippets() does not", () => {
  const first = Float32Array.of(1, 0), second = Float32Array.of(0, 1);
  const [x, y] = slerpSnippets(first, second, { alpha: 1 / 3 });
  assertClose([x!, y!], [Math.cos(Math.PI / 6), 0.5], { tolerance: 1e-7, name: "slerp" });
  // Half of a right angle, of which a third is a twelfth of pi.
  const half = Float32Array.of(Math.SQRT1_2, Math.SQRT1_2);
  const turned = slerpSnippets(first, half, { alpha: 1 / 3 });
  assertClose(turned, [Math.cos(Math.PI / 12), Math.sin(Math.PI / 12)], {
    tolerance: 1e-7,
    name: "slerp of half an angle",
  });
  const [u, v] = lerpSnippets(first, second, { alpha: 1 / 3 });
  assertClose([u!, v!], [2 / Math.sqrt(5), 1 / Math.sqrt(5)], { tolerance: 1e-7, name: "lerp" });
});

Deno.test("slerpSnippets() keeps a snippet whose product with itself rounds to more than 1", () => {
  const rows = normalizeSnippets(randomValues([20, 11], 4), { dim: 11 });
  let above = 0;
  for (let start = 0; start < rows.length; start += 11) {
    const row = rows.subarray(start, start + 11);
    if (row.reduce((sum, value) => sum + value * value, 0) > 1) above++;
    // One rounding of the mix and one of its norm.
    assertClose(slerpSnippets(row, row, { alpha: 0.3 }), row, { tolerance: 2 ** -22, name: "row" });
  }
  assert.ok(above > 0);
});

Deno.test("slerpSnippets() goes on the straight line between parallel snippets", () => {
  const [first] = pair();
  const got = slerpSnippets(first, first, { alpha: 0.3 });
  assertClose(got, first, { tolerance: 1e-7, name: "parallel" });
});

Deno.test("mixSnippets() takes the asked share from the second, the same for the same seed", () => {
  // Signs tell which snippet a dimension comes from.
  const first = new Float32Array(11).fill(Math.sqrt(1 / 11)), second = first.map((value) => -value);
  const fromSecond = (options: { seed: number; ratio?: number }) =>
    mixSnippets(first, second, options).filter((value) => value < 0).length;
  assert.equal(fromSecond({ seed: 5 }), 5);
  assert.equal(fromSecond({ seed: 5, ratio: 0 }), 0);
  assert.equal(fromSecond({ seed: 5, ratio: 0.2 }), 2);
  assert.equal(fromSecond({ seed: 5, ratio: 1 }), 11);
  const got = mixSnippets(first, second, { seed: 5 });
  assert.deepEqual(got, mixSnippets(first, second, { seed: 5 }));
  assert.notDeepEqual(got, mixSnippets(first, second, { seed: 6 }));
  assert.deepEqual(mixSnippets(first, second), mixSnippets(first, second, { seed: 0 }));
});

Deno.test("concatenateSnippets() takes the first dimensions from the first, fewer if they are odd", () => {
  const first = new Float32Array(5).fill(1), second = first.map(() => -1);
  assert.deepEqual([...concatenateSnippets(first, second)].map(Math.sign), [1, 1, -1, -1, -1]);
});

Deno.test("interpolateSnippets() goes from the first to the second, or makes one of both", () => {
  const [first, second] = pair(), options = { steps: 4, seed: 4 };
  const between = { lerp: lerpSnippets, slerp: slerpSnippets };
  for (const mode of ["lerp", "slerp"] as const) {
    assert.deepEqual(
      interpolateSnippets(first, second, { ...options, mode }),
      ["0", "0.333", "0.667", "1"].map((share, step) => ({
        name: `${mode} ${share}`,
        snippet: between[mode](first, second, { alpha: step / 3 }),
      })),
    );
  }
  assert.deepEqual(interpolateSnippets(first, second, { ...options, mode: "concat" }), [
    { name: "concat", snippet: concatenateSnippets(first, second) },
  ]);
  assert.deepEqual(interpolateSnippets(first, second, { ...options, mode: "mask" }), [
    { name: "mask", snippet: mixSnippets(first, second, { seed: 4 }) },
  ]);
});

Deno.test("interpolated snippets have norm 1", () => {
  const [first, second] = pair();
  const results = [
    lerpSnippets(first, second, { alpha: 0.4 }),
    slerpSnippets(first, second, { alpha: 0.4 }),
    concatenateSnippets(first, second),
    mixSnippets(first, second, { seed: 1 }),
  ];
  for (const result of results) {
    const [norm] = snippetNorms(result, 11);
    assert.ok(Math.abs(norm! - 1) <= 2 ** -24);
  }
});

Deno.test("interpolation throws on wrong lengths, wrong shares and results without direction", () => {
  const [first] = pair(), opposite = first.map((value) => -value);
  const short = first.subarray(1);
  for (
    const interpolate of [
      () => lerpSnippets(first, short, { alpha: 0 }),
      () => slerpSnippets(first, short, { alpha: 0 }),
      () => concatenateSnippets(first, short),
      () => mixSnippets(first, short, { seed: 0 }),
    ]
  ) {
    assert.throws(interpolate, {
      name: "TypeError",
      message: "Cannot interpolate snippets of length 11 and 10: expected equal lengths",
    });
  }
  for (const alpha of [-0.1, 1.1, NaN]) {
    assert.throws(() => lerpSnippets(first, first, { alpha }), RangeError);
    assert.throws(() => slerpSnippets(first, first, { alpha }), RangeError);
    assert.throws(() => mixSnippets(first, first, { seed: 0, ratio: alpha }), RangeError);
  }
  assert.throws(() => lerpSnippets(first, opposite, { alpha: 0.5 }), {
    name: "RangeError",
    message: /norm is 0/,
  });
});
