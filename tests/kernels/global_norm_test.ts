import assert from "node:assert/strict";
import type { Device } from "../../kernels/core/device.ts";
import { globalNorm, type GlobalNormOptions, SQUARE_SUM } from "../../kernels/global_norm/mod.ts";
import { globalNormReference } from "../../kernels/global_norm/reference.ts";
import { assertClose, randomValues, ROUNDING } from "../_check_op.ts";
import { gpuTest, inRowsOfTwo, variantTest } from "../_gpu.ts";

async function normOf(
  device: Device,
  slabs: readonly Float32Array[],
  options: GlobalNormOptions = {},
): Promise<[norm: number, factor: number]> {
  const out = device.scope(() =>
    globalNorm(slabs.map((slab) => device.tensor(slab, [slab.length])), options)
  );
  const [norm, factor] = await out.read();
  out.dispose();
  return [norm!, factor!];
}

variantTest("globalNorm() matches the reference", {
  op: "globalNorm",
  among: SQUARE_SUM,
  async run(device) {
    // 4 is one vector, 16,384 one chunk; the others end just before, behind and far behind one. Of 300 slabs
    // there are more partial sums than the kernel that adds them has invocations.
    const many = Array<number>(300).fill(4);
    for (const sizes of [[4], [64, 16380], [16384, 4, 16388], [100_000, 40_004], many]) {
      const slabs = sizes.map((size, i) => randomValues([size], i + 1));
      const values = slabs.map((slab) => new Float32Array(slab));
      for (const options of [{}, { maxNorm: 1 }, { maxNorm: 1e6 }]) {
        const want = globalNormReference(slabs, options);
        const got: [number, number] = await inRowsOfTwo(
          device,
          () => normOf(device, values, options),
        );
        // A sum of 4,096 vectors has at most 512 + 3 + count / 256 + 8 rounded additions in a row,
        // half of whose relative error the root keeps; the random walk of roundings is far below.
        got.forEach((value, i) =>
          assertClose([value], [want[i]!], {
            tolerance: 24 * ROUNDING,
            name: `${["norm", "factor"][i]} of ${sizes} with ${JSON.stringify(options)}`,
          })
        );
        assert.deepEqual(await normOf(device, values, options), got, "two runs differ");
      }
    }
  },
});

variantTest("globalNorm() is not finite, and its factor 0, where a value is", {
  op: "globalNorm",
  among: SQUARE_SUM,
  async run(device) {
    // The last one is finite while its square is not.
    for (const bad of [NaN, Infinity, -Infinity, 1e20]) {
      for (const [slab, index] of [[0, 0], [0, 20_479], [1, 63]] as const) {
        const slabs = [new Float32Array(20_480).fill(0.5), new Float32Array(64)];
        slabs[slab]![index] = bad;
        const [norm, factor] = await normOf(device, slabs, { maxNorm: 1 });
        assert.ok(!Number.isFinite(norm), `norm ${norm} with ${bad} in slab ${slab}`);
        assert.equal(factor, 0);
      }
    }
    // 2^60 squared 64 times is below the largest float32.
    assert.deepEqual(
      await normOf(device, [new Float32Array(64).fill(2 ** 60)], { maxNorm: 2 ** 62 }),
      [2 ** 63, 0.5],
    );
  },
});

gpuTest("globalNorm() without maxNorm gives the factor 1", async (device) => {
  // 2^20 ones: sums of whole numbers below 2^24 are exact.
  assert.deepEqual(await normOf(device, [new Float32Array(2 ** 20).fill(1)]), [1024, 1]);
});

gpuTest("globalNorm() of zeros is zero and clips nothing", async (device) => {
  assert.deepEqual(await normOf(device, [new Float32Array(64)], { maxNorm: 2 }), [0, 1]);
});

gpuTest(
  "globalNorm() refuses no slabs, broken vectors and limits that are not positive",
  (device) => {
    device.scope(() => {
      const slab = device.empty([64]);
      globalNorm([slab], { maxNorm: 1 });
      assert.throws(() => globalNorm([]), TypeError);
      assert.throws(() => globalNorm([slab, device.empty([6])]), /norm of \[6\]: .*multiple of 4/);
      for (const bad of [0, -1, NaN, Infinity]) {
        assert.throws(() => globalNorm([slab], { maxNorm: bad }), RangeError);
      }
    });
  },
);
