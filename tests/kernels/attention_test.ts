import assert from "node:assert/strict";
import { attention, FORWARD } from "../../kernels/attention/mod.ts";
import { attentionReference } from "../../kernels/attention/reference.ts";
import {
  attentionCandidates,
  pickAttention,
  supportsAttention,
} from "../../kernels/attention/variants.ts";
import { Device } from "../../kernels/core/device.ts";
import { Tape } from "../../kernels/core/tape.ts";
import {
  assertClose,
  checkHalvedGradient,
  checkOp,
  HALF_ROUNDING,
  randomValues,
  ROUNDING,
  sumTolerance,
} from "../_check_op.ts";
import {
  dispatchesOf,
  forcedTest,
  gpuTest,
  lacksHalves,
  testProfile,
  variantTest,
} from "../_gpu.ts";

interface Size {
  readonly batch: number;
  readonly tokens: number;
  readonly heads: number;
  readonly headWidth: number;
}

// 1, odd ones, one real size, one past a tile of 32 rows, columns for three and for all four of a slice's
// slots, and more, and columns well into a second slice of 16 lanes.
const SIZES: readonly Size[] = [
  { batch: 1, tokens: 1, heads: 1, headWidth: 4 },
  { batch: 2, tokens: 5, heads: 3, headWidth: 8 },
  { batch: 3, tokens: 16, heads: 4, headWidth: 48 },
  { batch: 1, tokens: 33, heads: 2, headWidth: 64 },
  { batch: 1, tokens: 70, heads: 1, headWidth: 72 },
  { batch: 1, tokens: 3, heads: 1, headWidth: 96 },
  { batch: 1, tokens: 3, heads: 1, headWidth: 128 },
  { batch: 1, tokens: 3, heads: 1, headWidth: 132 },
  { batch: 1, tokens: 3, heads: 1, headWidth: 196 },
  { batch: 3, tokens: 23, heads: 2, headWidth: 5 },
];

gpuTest("attention() keeps its result alone, in no scope either", (device) => {
  using qkv = device.tensor(new Float32Array(2 * 5 * 24), [2, 5, 24]);
  attention(qkv, { heads: 2 }).dispose();
});

/**
 * Error relative to the largest result. Scores of magnitude at most `largest` lose the roundings of
 * a sum over the head, and their exponentials 3 + 2·|x| units in the last place, which is what WGSL
 * grants exp(); both are relative errors of the weights, of which `tokens` are summed. The gradient
 * runs through the weights and, as a difference, through products over the head.
 */
function toleranceOf(size: Size, largest: number): { forward: number; backward: number } {
  const scores = largest * sumTolerance(size.headWidth);
  const exponentials = 2 * ROUNDING * (3 + 2 * largest);
  const forward = scores + exponentials + sumTolerance(size.tokens);
  return { forward, backward: 2 * (forward + sumTolerance(size.headWidth)) };
}

/** Values of even tokens are uniform in [-even, even), of odd ones in [-odd, odd). */
async function checkSize(
  device: Device,
  size: Size,
  options: {
    even?: number;
    odd?: number;
    gradients?: readonly string[];
    dtype?: "f32" | "f16";
  } = {},
): Promise<void> {
  const { batch, tokens, heads, headWidth } = size;
  const { even = 1, odd = 1, gradients = ["qkv"], dtype = "f32" } = options;
  // A score is a random walk over the head of products of variance 1/9: 4 standard deviations.
  const { forward, backward } = toleranceOf(size, 4 / 3 * Math.max(even, odd) ** 2);
  const half = dtype === "f16" ? HALF_ROUNDING : 0;
  const width = 3 * heads * headWidth, shape = [batch, tokens, width];
  const factors = [even, odd];
  await checkOp(device, {
    name: `attention ${batch}x${tokens}x${heads}x${headWidth} times ${factors}`,
    inputs: { qkv: shape },
    values: {
      qkv: randomValues(shape, 17).map((value, i) =>
        Math.fround(factors[Math.floor(i / width) % tokens % 2]! * value)
      ),
    },
    gradients,
    op: ({ qkv }) => attention(qkv!, { heads, dtype }),
    reference: ({ qkv }) => attentionReference(qkv!, size),
    // The gradient has the products of dy and the result, rounded, beside those of dy and values, which are larger.
    tolerance: { forward: forward + half, backward: backward + 2 * half },
  });
}

variantTest("attention() and its gradient match the reference", {
  op: "attention",
  among: FORWARD,
  async run(device, variant) {
    const supported = SIZES.filter((size) =>
      supportsAttention(variant, { profile: device.profile, size }) &&
      // Kernels that compile slowly on a CPU driver take fewer widths.
      (variant !== "tiled" || ![8, 196].includes(size.headWidth))
    );
    for (const size of supported) await checkSize(device, size);
    // Scores of magnitude 100 in every second row, whose exponentials overflow unless the maximum of the
    // row itself is taken off.
    const large = supported.find(({ tokens }) => tokens === 33);
    if (large) await checkSize(device, large, { even: 0.1, odd: 12 });
  },
});

variantTest("attention() rounds its result to f16", {
  op: "attention",
  among: FORWARD,
  async run(device, variant) {
    for (const size of SIZES) {
      const { tokens, headWidth } = size, { profile } = device;
      // A head alone, and three of them with tokens left over.
      if (!supportsAttention(variant, { profile, size }) || ![4, 48, 64].includes(headWidth)) {
        continue;
      }
      await checkSize(device, size, { dtype: "f16" });
      using qkv = device.empty([1, tokens, 3 * headWidth]);
      const names = dispatchesOf(
        device,
        () => attention(qkv, { heads: 1, dtype: "f16" }).dispose(),
      );
      assert.equal(names.some((name) => name.startsWith("cast")), variant !== "tiled", `${names}`);
    }
  },
});

variantTest("attention() writes its gradient as halves where it can", {
  op: "attention",
  among: FORWARD,
  async run(device, variant) {
    if (lacksHalves(device)) return;
    for (const size of SIZES.slice(2, 4)) {
      const { batch, tokens, heads, headWidth } = size;
      if (!supportsAttention(variant, { profile: device.profile, size })) continue;
      await checkHalvedGradient(device, {
        name: `attention ${variant} ${batch}x${tokens}x${heads}x${headWidth}`,
        shape: [batch, tokens, 3 * heads * headWidth],
        op: (qkv) => attention(qkv, { heads }),
        halves: variant === "tiled",
      });
    }
  },
});

forcedTest("attention() with the naive kernels goes on where a dispatch must end", {
  variants: { attention: "naive" },
  async run(device) {
    await checkSize(device, { batch: 1, tokens: 40, heads: 1, headWidth: 130 });
    // Some drivers drop what one invocation loops over beyond 65,535 steps: 3 x 190 x 130 are more.
    await checkSize(device, { batch: 1, tokens: 190, heads: 1, headWidth: 130 }, { gradients: [] });
  },
});

gpuTest("attention() goes over a thousand tokens and one", async (device) => {
  const size = { batch: 1, tokens: 1025, heads: 1, headWidth: 16 };
  await checkSize(device, size, { gradients: [] });
});

forcedTest("attention()'s gradient holds the scores of a few heads at a time on a CPU driver", {
  variants: { attention: "rows" },
  async run(rows) {
    if (!supportsAttention("rows", { profile: rows.profile, size: { tokens: 1, headWidth: 4 } })) {
      return console.log("skipped: needs a CPU driver with subgroups of 8 or 16");
    }
    const naive = new Device(rows.gpu, {
      profile: rows.profile,
      variants: { attention: "naive" },
    });
    // Scores of 4.2 MB a head, of 1 MB (five heads in one part and a rest), and of both in one.
    for (const [tokens, heads, parts] of [[1025, 2, 2], [511, 6, 2], [40, 6, 1]] as const) {
      const size = { batch: 1, tokens, heads, headWidth: 4 };
      const shape = [1, tokens, 3 * heads * 4];
      const values = new Float32Array(randomValues(shape, 5));
      const gradients: Float32Array[] = [];
      for (const device of [rows, naive]) {
        using qkv = device.tensor(values, shape);
        using dy = device.tensor(values.subarray(0, values.length / 3), [1, tokens, heads * 4]);
        const tape = new Tape(device);
        tape.watch(qkv);
        using out = tape.record(() => device.scope(() => attention(qkv, { heads })));
        const names = dispatchesOf(device, () => tape.backwardFrom(out, dy));
        if (device === rows) {
          const queries = names.filter((name) => name === "attention_backward_queries");
          assert.equal(queries.length, parts, `parts of ${tokens} tokens`);
        }
        using gradient = tape.gradient(qkv);
        gradients.push(await gradient.read());
      }
      assertClose(gradients[0]!, gradients[1]!, {
        tolerance: 2 * toleranceOf(size, 4 / 3).backward,
        name: `gradient over ${tokens} tokens`,
      });
    }
  },
});

gpuTest("attention() runs over parts of a batch that one binding cannot hold", async (shared) => {
  // Entries whose rows are whole blocks of 256 bytes, and others of which only 64 together are, 16 of
  // them but for one tensor; also with a result of f16, as GPUs store it.
  for (const [batch, tokens, heads, fit] of [[5, 16, 4, 2], [130, 5, 1, 127]] as const) {
    const shape = [batch, tokens, 3 * heads * 4];
    const values = new Float32Array(randomValues(shape, 3));
    for (const [driver, dtype] of [[shared.profile.driver, "f32"], ["gpu", "f16"]] as const) {
      const profile = { ...shared.profile, driver };
      const whole = new Device(shared.gpu, { profile });
      const apart = new Device(shared.gpu, {
        profile: { ...profile, maxBindingBytes: fit * tokens * 12 * heads * 4 },
      });
      const results: [Float32Array, Float32Array][] = [], counts: number[] = [];
      for (const each of [whole, apart]) {
        using qkv = each.tensor(values, shape);
        using dy = each.tensor(values.subarray(0, values.length / 3), [batch, tokens, heads * 4]);
        const tape = new Tape(each);
        tape.watch(qkv);
        using out = tape.record(() => each.scope(() => attention(qkv, { heads, dtype })));
        const names = dispatchesOf(each, () => tape.backwardFrom(out, dy));
        counts.push(names.filter((name) => name.startsWith("attention_backward")).length);
        using gradient = tape.gradient(qkv);
        results.push([await out.read(), await gradient.read()]);
      }
      assert.deepEqual(results[1], results[0]);
      assert.equal(counts[1], 3 * counts[0]!, `three parts of ${dtype}`);
      for (const each of [whole, apart]) await each.settle();
    }
  }
});

gpuTest(
  "attention() takes as many small heads as one dispatch has not workgroups for",
  async (device) => {
    const batch = 16_385, heads = 4, shape = [batch, 1, 3 * heads * 4];
    const values = new Float32Array(randomValues(shape, 3));
    using qkv = device.tensor(values, shape);
    using dy = device.tensor(values.subarray(0, values.length / 3), [batch, 1, heads * 4]);
    using tape = new Tape(device);
    tape.watch(qkv);
    using out = tape.record(() => device.scope(() => attention(qkv, { heads })));
    tape.backwardFrom(out, dy);
    using gradient = tape.gradient(qkv);
    // One token attends to itself alone: v comes out, and only v has a gradient, dy.
    const [found, cotangent] = [await gradient.read(), await dy.read()];
    for (let image = 0; image < batch; image++) {
      const row = found.subarray(image * 48, (image + 1) * 48);
      assert.ok(row.subarray(0, 32).every((value) => Math.abs(value) < 1e-5), `image ${image}`);
      assertClose(row.subarray(32), cotangent.subarray(image * 16, (image + 1) * 16), {
        tolerance: 1e-6,
        name: `dv of image ${image}`,
      });
    }
  },
);

gpuTest("attention() names the shape that does not fit", (device) => {
  device.scope(() => {
    assert.throws(
      () => attention(device.empty([2, 4, 30]), { heads: 4 }),
      /4 heads to \[2, 4, 30\]: expected \[B, T, 3 D\] with D a multiple of the heads/,
    );
    assert.throws(() => attention(device.empty([4, 48]), { heads: 4 }), TypeError);
    assert.throws(() => attention(device.empty([1, 4, 9]), { heads: 1.5 }), TypeError);
    assert.throws(() => attention(device.empty([1, 4, 12]), { heads: 0 }), TypeError);
    assert.deepEqual(attention(device.empty([2, 4, 48]), { heads: 4 }).shape, [2, 4, 16]);
  });
});

Deno.test("pickAttention() hands rows round a subgroup on CPU drivers and shares tiles on GPUs", () => {
  const profile = testProfile();
  const size = { tokens: 256, headWidth: 64 };
  assert.equal(pickAttention(profile, size), "rows");
  assert.equal(pickAttention({ ...profile, subgroupSize: 16 }, size), "rows");
  for (const subgroupSize of [4, 32]) {
    assert.equal(pickAttention({ ...profile, subgroupSize }, size), "tiled");
  }
  assert.equal(pickAttention(profile, { ...size, headWidth: 5 }), "naive");
  assert.equal(pickAttention({ ...profile, subgroupSize: 4 }, { ...size, tokens: 16 }), "naive");
  // More steps than the driver makes in one invocation.
  assert.equal(pickAttention(profile, { tokens: 100_000, headWidth: 192 }), "naive");
  // As many steps as its tiles may take, 65,000, and a tile of 32 tokens more.
  assert.equal(pickAttention(profile, { tokens: 39_232, headWidth: 64 }), "rows");
  assert.notEqual(pickAttention(profile, { tokens: 39_233, headWidth: 64 }), "rows");
  const without = { ...profile, subgroups: false };
  assert.equal(pickAttention(without, { tokens: 24_736, headWidth: 64 }), "tiled");
  assert.equal(pickAttention(without, { tokens: 24_737, headWidth: 64 }), "naive");
  // The scores of a head fill a binding, and more.
  const gradient = true;
  assert.equal(pickAttention(profile, { tokens: 5792, headWidth: 64, gradient }), "rows");
  assert.notEqual(pickAttention(profile, { tokens: 5793, headWidth: 64, gradient }), "rows");
  assert.equal(pickAttention(profile, { tokens: 5793, headWidth: 64 }), "rows");
  const gpu = testProfile({ driver: "gpu" });
  assert.deepEqual(attentionCandidates({ ...gpu, subgroupSize: 16 }, size), ["tiled", "naive"]);
  assert.equal(pickAttention(gpu, size), "tiled");
  assert.equal(pickAttention(gpu, { ...size, headWidth: 128 }), "tiled");
  assert.equal(pickAttention(gpu, { ...size, headWidth: 132 }), "tiled");
  assert.equal(pickAttention(gpu, { tokens: 100_000, headWidth: 192 }), "tiled");
  assert.equal(pickAttention({ ...gpu, workgroupBytes: 16384 }, size), "naive");
  assert.equal(
    pickAttention({ ...gpu, workgroupBytes: 16384 }, { ...size, headWidth: 48 }),
    "tiled",
  );
});
