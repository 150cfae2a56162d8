import assert from "node:assert/strict";
import type { Device } from "../../kernels/core/device.ts";
import { KERNELS, padBasis, reconstruct } from "../../kernels/reconstruct/mod.ts";
import { reconstructReference } from "../../kernels/reconstruct/reference.ts";
import { pickReconstruct, supportsReconstruct } from "../../kernels/reconstruct/variants.ts";
import { assertClose, randomValues, sumTolerance } from "../_check_op.ts";
import { gpuTest, inRowsOfTwo, variantTest } from "../_gpu.ts";

const SIZES = [
  { rows: 1, rank: 1, width: 1, batch: 1 },
  { rows: 5, rank: 3, width: 7, batch: 4 },
  { rows: 9, rank: 4, width: 4, batch: 9 },
  { rows: 40, rank: 6, width: 60, batch: 33 },
  { rows: 33, rank: 8, width: 64, batch: 32 },
  { rows: 70, rank: 13, width: 132, batch: 67 },
  { rows: 300, rank: 768, width: 100, batch: 40 },
  { rows: 100, rank: 64, width: 768, batch: 70 },
];

const IDENTITY = Float32Array.from({ length: 16 }, (_, i) => Number(i % 5 === 0));

async function check(device: Device, size: (typeof SIZES)[number]): Promise<void> {
  const { rows, rank, width, batch } = size;
  const coefficients = randomValues([rows, rank], 1), mean = randomValues([width], 3);
  const basis = randomValues([width, rank], 2).map((value) => value / Math.sqrt(rank));
  const single = new Float32Array(basis);
  const indices = Uint32Array.from({ length: batch }, (_, b) => b * 7919 % rows);
  const name = Object.values(size).join();
  using table = device.tensor(new Float32Array(coefficients), [rows, rank]);
  using padded = device.tensor(padBasis(single, rank), [width, Math.ceil(rank / 4) * 4]);
  using centre = device.tensor(new Float32Array(mean), [width]);
  using picked = device.tensor(indices, [batch]);
  const factors = { basis: padded, mean: centre };
  // A sum over the rank, of terms that a few percent of the rows cancel to a third.
  const tolerance = 3 * sumTolerance(rank) + sumTolerance(width);
  {
    using out = reconstruct(table, { ...factors, indices: picked });
    using again = inRowsOfTwo(device, () => reconstruct(table, { ...factors, indices: picked }));
    const got = await out.read();
    assert.deepEqual(got, await again.read(), `${name}: two runs differ`);
    const want = reconstructReference(coefficients, { rank, basis: single, mean, indices });
    assertClose(got, want, { tolerance, name });
  }
  using all = reconstruct(table, factors);
  assert.deepEqual(all.shape, [rows, width]);
  const want = reconstructReference(coefficients, { rank, basis: single, mean });
  assertClose(await all.read(), want, { tolerance, name: `${name} in order` });
}

/** A test of every variant that the adapter has. */
function reconstructTest(name: string, run: (device: Device) => Promise<void>): void {
  const size = { rank: 4, width: 4 };
  variantTest(name, {
    op: "reconstruct",
    among: KERNELS,
    async run(device, variant) {
      if (supportsReconstruct(variant, { profile: device.profile, size })) await run(device);
      else console.log("skipped: no subgroups of 8 or 16");
    },
  });
}

reconstructTest("reconstruct() matches the reference", async (device) => {
  for (const size of SIZES) await check(device, size);
});

reconstructTest("reconstruct() leaves a row without direction zero", async (device) => {
  // Whole vec4, which the variant for CPU drivers asks for.
  using table = device.tensor(Float32Array.of(0, 0, 0, 0, 3, 4, 0, 0), [2, 4]);
  using basis = device.tensor(IDENTITY, [4, 4]);
  using mean = device.tensor(new Float32Array(4), [4]);
  using out = reconstruct(table, { basis, mean });
  // Two roundings of a quotient.
  assertClose(await out.read(), [0, 0, 0, 0, 0.6, 0.8, 0, 0], {
    tolerance: sumTolerance(2),
    name: "rows",
  });
});

gpuTest("reconstruct() takes the last row for an index past the end", async (device) => {
  using table = device.tensor(Float32Array.of(1, 2, 0, 3), [2, 2]);
  using basis = device.tensor(padBasis(Float32Array.of(1, 0, 0, 1), 2), [2, 4]);
  using mean = device.tensor(new Float32Array(2), [2]);
  using indices = device.tensor(Uint32Array.of(2, 2 ** 32 - 1, 1), [3]);
  using out = reconstruct(table, { basis, mean, indices });
  assert.deepEqual([...await out.read()], [0, 1, 0, 1, 0, 1]);
});

gpuTest("reconstruct() makes more rows than a loop has rounds", async (device) => {
  const batch = 65_536;
  using table = device.tensor(Float32Array.of(2, 0, 0, 0, 0, 0, 0, 3), [2, 4]);
  using basis = device.tensor(IDENTITY, [4, 4]);
  using mean = device.tensor(new Float32Array(4), [4]);
  using indices = device.tensor(new Uint32Array(batch).fill(1, batch - 1), [batch]);
  using out = reconstruct(table, { basis, mean, indices });
  assert.deepEqual([...(await out.read()).subarray(-8)], [1, 0, 0, 0, 0, 0, 0, 1]);
});

gpuTest("reconstruct() refuses sizes that do not fit and others than its own", (device) => {
  device.scope(() => {
    const table = device.empty([5, 3]), mean = device.empty([6]), basis = device.empty([6, 4]);
    assert.throws(() => reconstruct(table, { mean, basis: device.empty([6, 3]) }), {
      name: "TypeError",
      message: "Cannot reconstruct rows of coefficients [5, 3] with basis [6, 3] and mean [6]: " +
        "expected [N, R], [d, R rounded up to a multiple of 4] and [d]",
    });
    assert.throws(() => reconstruct(table, { mean, basis, indices: device.empty([2]) }), {
      name: "TypeError",
      message: "Cannot reconstruct rows [2] of type f32: expected u32 indices [B]",
    });
    const wide = device.empty([1, 772]);
    assert.throws(() => reconstruct(wide, { mean, basis: device.empty([6, 772]) }), RangeError);
  });
});

gpuTest("pickReconstruct() takes registers on a CPU driver and workgroup memory else", (device) => {
  const cpu = { ...device.profile, driver: "cpu", subgroups: true, subgroupSize: 8 } as const;
  const size = { rank: 64, width: 768 };
  assert.equal(pickReconstruct(cpu, { ...size, rank: 7 }), "workgroup");
  assert.equal(pickReconstruct(cpu, size), "subgroup");
  assert.equal(pickReconstruct(cpu, { ...size, width: 10 }), "workgroup");
  assert.equal(pickReconstruct({ ...cpu, subgroupSize: 16 }, size), "subgroup");
  assert.equal(pickReconstruct({ ...cpu, subgroupSize: 4 }, size), "workgroup");
  assert.equal(pickReconstruct({ ...cpu, driver: "gpu" }, size), "workgroup");
});
