import assert from "node:assert/strict";
import { matmul, matmulInto } from "../../kernels/matmul/mod.ts";
import { matmulReference } from "../../kernels/matmul/reference.ts";
import { type MatmulVariant, pickMatmul, supportsMatmul } from "../../kernels/matmul/variants.ts";
import type { Profile } from "../../kernels/core/profile.ts";
import { assertClose, checkOp, randomValues, sumTolerance } from "../_check_op.ts";
import { gpuTest, openDevice } from "../_gpu.ts";

const VARIANTS: readonly MatmulVariant[] = ["naive", "register", "subgroup", "tiled"];
// 1, a prime, around the tiles of 4, 16, 32 and 64, and a real size.
const SIZES = [
  { M: 1, N: 1, K: 1 },
  { M: 7, N: 13, K: 5 },
  { M: 4, N: 4, K: 4 },
  { M: 36, N: 68, K: 12 },
  { M: 31, N: 63, K: 33 },
  { M: 64, N: 192, K: 96 },
] as const;

for (const variant of VARIANTS) {
  Deno.test({
    name: `matmulInto() with the ${variant} kernel matches the reference`,
    sanitizeOps: false,
    sanitizeResources: false,
    async fn() {
      using device = await openDevice({ variants: { matmul: variant } });
      if (!device) return;
      for (const size of SIZES) {
        if (!supportsMatmul(variant, { profile: device.profile, size })) continue;
        const { M, N, K } = size;
        for (const [transposeA, transposeB] of [[false, false], [false, true], [true, false]]) {
          const batch = 2;
          const values = {
            a: randomValues([batch, M, K], 1),
            b: randomValues([batch, K, N], 2),
            bias: randomValues([N], 3),
            out: randomValues([batch, M, N], 4),
          };
          const a = device.tensor(new Float32Array(values.a), [batch, M, K]);
          const b = device.tensor(new Float32Array(values.b), [batch, K, N]);
          const bias = device.tensor(new Float32Array(values.bias), [N]);
          const out = device.tensor(new Float32Array(values.out), [batch, M, N]);
          matmulInto(out, {
            a,
            b,
            bias,
            size,
            batch,
            accumulate: 1,
            transposeA: transposeA!,
            transposeB: transposeB!,
          });
          const want = values.out.map((value, i) => value + values.bias[i % N]!);
          for (let z = 0; z < batch; z++) {
            matmulReference({
              a: values.a.subarray(z * M * K, (z + 1) * M * K),
              b: values.b.subarray(z * K * N, (z + 1) * K * N),
            }, { size, transposeA: transposeA!, transposeB: transposeB! }).forEach((value, i) => {
              want[z * M * N + i]! += value;
            });
          }
          assertClose(await out.read(), want, {
            tolerance: sumTolerance(K),
            name: `${variant} ${M}x${N}x${K} ${transposeA}/${transposeB}`,
          });
          for (const tensor of [a, b, bias, out]) tensor.dispose();
        }
      }
    },
  });
}

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

gpuTest("matmul() names both shapes when the inner sizes differ", (device) => {
  device.scope(() => {
    const a = device.empty([2, 3]), b = device.empty([4, 5]);
    assert.throws(() => matmul(a, b), /\[2, 3\] by \[4, 5\]/);
    assert.deepEqual(matmul(a, device.empty([3, 5])).shape, [2, 5]);
  });
});

Deno.test("pickMatmul() shares tiles on GPUs and uses registers on CPU drivers", () => {
  const profile: Profile = {
    driver: "cpu",
    subgroups: true,
    subgroupSize: 8,
    subgroupEnable: "",
    f16: false,
    maxBindingBytes: 2 ** 27,
    workgroupBytes: 32768,
    workgroupInvocations: 1024,
    label: "test",
  };
  const size = { M: 64, N: 64, K: 64 };
  assert.equal(pickMatmul(profile, size), "subgroup");
  assert.equal(pickMatmul({ ...profile, subgroupSize: 4 }, size), "register");
  assert.equal(pickMatmul(profile, { ...size, K: 63 }), "naive");
  assert.equal(pickMatmul({ ...profile, driver: "gpu" }, size), "tiled");
});
