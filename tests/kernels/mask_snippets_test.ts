import assert from "node:assert/strict";
import { maskSnippets } from "../../kernels/mask_snippets/mod.ts";
import { maskSnippetsReference } from "../../kernels/mask_snippets/reference.ts";
import { assertClose, checkOp, randomValues, ROUNDING } from "../_check_op.ts";
import { gpuTest } from "../_gpu.ts";

const DRAW = { seed: 12, step: 345, firstSample: 6_000_000 };

gpuTest("maskSnippets() and its gradient match the reference for every kind", async (device) => {
  for (const kind of ["zero", "zero-plain", "random", "noise", "whole"] as const) {
    for (const shape of [[1, 3], [3, 7], [5, 130]] as const) {
      const [, width] = shape;
      await checkOp(device, {
        name: `maskSnippets ${kind} ${shape}`,
        inputs: { snippets: shape },
        op: ({ snippets }) => maskSnippets(snippets!, { ...DRAW, kind, ratio: 0.4 }),
        reference: ({ snippets }) =>
          maskSnippetsReference(snippets!, { ...DRAW, kind, ratio: 0.4, width }),
        // Two roundings; or the error of a normal number, 2^-20 (r + 1 / r), for radii r from 1/8 to
        // 8.
        tolerance: {
          forward: kind === "random" || kind === "noise" ? 2 ** -17 : 2 * ROUNDING,
          backward: 2 * ROUNDING,
        },
      });
    }
  }
});

gpuTest(
  "maskSnippets() zeroes exactly the numbers whose draw is below the ratio",
  async (device) => {
    const width = 768, batch = 64;
    const values = randomValues([batch, width], 3).map((value) => value + 2);
    using snippets = device.tensor(new Float32Array(values), [batch, width]);
    for (const ratio of [0, 0.4, 0.999, 1 - 2 ** -53]) {
      using out = maskSnippets(snippets, { ...DRAW, kind: "zero-plain", ratio });
      const got = await out.read();
      const want = maskSnippetsReference(values, { ...DRAW, kind: "zero-plain", ratio, width });
      assert.deepEqual(got, new Float32Array(want));
      const zeros = got.filter((value) => value === 0).length / got.length;
      // Five standard deviations of a binomial.
      assert.ok(Math.abs(zeros - ratio) <= 5 * Math.sqrt(ratio * (1 - ratio) / got.length));
    }
  },
);

gpuTest(
  "maskSnippets() zeroes whole snippets, as often as the ratio says, or none of one",
  async (device) => {
    const width = 6, batch = 4096;
    using snippets = device.tensor(new Float32Array(batch * width).fill(0.5), [batch, width]);
    for (const ratio of [0, 0.1, 0.999]) {
      using out = maskSnippets(snippets, { ...DRAW, kind: "whole", ratio });
      const got = await out.read();
      let zeros = 0;
      for (let b = 0; b < batch; b++) {
        const row = got.subarray(b * width, (b + 1) * width);
        assert.ok(row.every((value) => value === row[0]) && (row[0] === 0 || row[0] === 0.5));
        if (row[0] === 0) zeros++;
      }
      // Five standard deviations of a binomial.
      assert.ok(Math.abs(zeros / batch - ratio) <= 5 * Math.sqrt(ratio * (1 - ratio) / batch));
    }
  },
);

gpuTest("maskSnippets() noise has the variance of a unit vector's numbers", async (device) => {
  const width = 1024, batch = 64;
  using snippets = device.tensor(new Float32Array(batch * width), [batch, width]);
  using out = maskSnippets(snippets, { ...DRAW, kind: "noise", ratio: 0.5 });
  const got = await out.read();
  const variance = got.reduce((sum, value) => sum + value * value, 0) / got.length;
  // Five standard errors: the variance of a squared normal number is 2.
  assertClose([variance * width], [0.25], {
    tolerance: 5 * Math.sqrt(2 / got.length),
    name: "variance",
  });
});

gpuTest("maskSnippets() refuses ratios and shapes that make no sense", (device) => {
  device.scope(() => {
    const snippets = device.empty([2, 3]);
    assert.throws(
      () => maskSnippets(snippets, { ...DRAW, kind: "zero", ratio: 1 }),
      /the ratio is 1, expected 0 <= ratio < 1/,
    );
    assert.throws(() => maskSnippets(snippets, { ...DRAW, kind: "noise", ratio: NaN }), RangeError);
    maskSnippets(snippets, { ...DRAW, kind: "noise", ratio: 1 });
    const kind = "zeros" as "zero";
    assert.throws(() => maskSnippets(snippets, { ...DRAW, kind, ratio: 0.4 }), {
      name: "RangeError",
      message: /^Cannot mask snippets: kind is zeros, did you mean zero\? Expected one of zero, /,
    });
    assert.throws(
      () => maskSnippets(device.empty([6]), { ...DRAW, kind: "zero", ratio: 0.4 }),
      /snippets \[6\]: expected shape/,
    );
  });
});
