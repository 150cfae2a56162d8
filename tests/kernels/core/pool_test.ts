import assert from "node:assert/strict";
import { BufferPool, largestOf } from "../../../kernels/core/buffer_pool.ts";
import type { Device } from "../../../kernels/core/device.ts";
import { OutOfMemoryError } from "../../../kernels/core/errors.ts";
import { ParameterStore } from "../../../kernels/core/parameter_store.ts";
import { Tape } from "../../../kernels/core/tape.ts";
import { linear } from "../../../kernels/linear/mod.ts";
import { matmul } from "../../../kernels/matmul/mod.ts";
import { AdamW } from "../../../train/optimizers/adamw.ts";
import { randomValues } from "../../_check_op.ts";
import { gpuTest } from "../../_gpu.ts";

const lasting = { life: "lasting", shape: [8, 8] } as const;
const passing = { life: "passing", shape: [64] } as const;

function onPool(device: Device, run: (pool: BufferPool) => void): void {
  const pool = new BufferPool(device.gpu, (_, make) => make());
  run(pool);
  pool.trim();
}

gpuTest(
  "BufferPool hands out the lowest free id of a size first",
  (device) =>
    onPool(device, (pool) => {
      const [a, b, c, other] = [1000, 1000, 1000, 2000].map((bytes) =>
        pool.takeBuffer(bytes, lasting)
      );
      assert.equal(a!.bytes, 1024);
      for (const item of [b!, other!, c!, a!]) pool.putBuffer(item);
      assert.deepEqual(
        [1024, 1024, 1024].map((bytes) => pool.takeBuffer(bytes, lasting).id),
        [a!.id, b!.id, c!.id],
      );
      // No buffer of another size takes the place of a missing one.
      assert.equal(pool.created, 4);
      assert.ok(pool.takeBuffer(1024, lasting).id > other!.id);
      assert.equal(pool.created, 5);
    }),
);

gpuTest(
  "BufferPool counts what is live, held and at its peak",
  (device) =>
    onPool(device, (pool) => {
      const first = pool.takeBuffer(1, lasting), second = pool.takeBuffer(257, lasting);
      assert.deepEqual([pool.liveBytes, pool.heldBytes, pool.peakBytes], [768, 768, 768]);
      pool.putBuffer(first);
      assert.deepEqual([pool.liveBytes, pool.heldBytes, pool.peakBytes], [512, 768, 768]);
      pool.trim();
      assert.deepEqual([pool.liveBytes, pool.heldBytes, pool.peakBytes], [512, 512, 768]);
      // A trimmed buffer is gone for good, and its id with it.
      assert.ok(pool.takeBuffer(1, lasting).id > second.id);
      assert.equal(pool.created, 3);
    }),
);

gpuTest(
  "BufferPool is idle once it holds far more than was in use at once",
  (device) =>
    onPool(device, (pool) => {
      const part = 2 ** 24, kept = pool.takeBuffer(part, lasting);
      const hold = (count: number) => {
        for (let i = 1; i <= count; i++) {
          pool.putBuffer(pool.takeBuffer(part + 256 * i, passing));
        }
      };
      // 16 parts are 256 MiB, and two parts are in use at once.
      hold(14);
      assert.equal(pool.idle, false);
      hold(15);
      assert.equal(pool.idle, true);
      pool.trim();
      assert.deepEqual([pool.idle, pool.heldBytes], [false, part]);
      // With five parts in use at once it takes 20.
      const more = [1, 2, 3, 4].map(() => pool.takeBuffer(part, lasting));
      for (const item of [kept, ...more]) pool.putBuffer(item);
      hold(14);
      assert.equal(pool.idle, false);
      hold(16);
      assert.equal(pool.idle, true);
    }),
);

gpuTest(
  "BufferPool makes staging textures of whole rows and recycles them",
  (device) =>
    onPool(device, (pool) => {
      const row = 1024 * 16;
      const texture = pool.takeTexture(row + 16, "lasting");
      assert.deepEqual([texture.resource.width, texture.resource.height], [1024 + 4, 2]);
      assert.equal(texture.bytes, 2 * (row + 64));
      pool.putTexture(texture);
      assert.equal(pool.takeTexture(2 * row, "lasting").id, texture.id);
      assert.notEqual(pool.takeTexture(row, "lasting").id, texture.id);
    }),
);

gpuTest(
  "BufferPool keeps what passes and what lasts apart",
  (device) =>
    onPool(device, (pool) => {
      const texture = pool.takeTexture(64, "passing"), buffer = pool.takeBuffer(64, passing);
      pool.putTexture(texture);
      pool.putBuffer(buffer);
      assert.notEqual(pool.takeTexture(64, "lasting").id, texture.id);
      assert.notEqual(pool.takeBuffer(64, lasting).id, buffer.id);
      assert.equal(pool.takeTexture(64, "passing").id, texture.id);
      assert.equal(pool.takeBuffer(64, passing).id, buffer.id);
    }),
);

gpuTest(
  "BufferPool knows what its buffers in use were taken for",
  (device) =>
    onPool(device, (pool) => {
      const first = pool.takeBuffer(256, lasting);
      pool.takeBuffer(512, passing);
      assert.deepEqual(pool.inUse(), [{ shape: [8, 8], bytes: 256 }, { shape: [64], bytes: 512 }]);
      pool.putBuffer(first);
      pool.takeBuffer(256, { life: "lasting", shape: [2, 32] });
      assert.deepEqual(pool.inUse(), [{ shape: [2, 32], bytes: 256 }, { shape: [64], bytes: 512 }]);
    }),
);

Deno.test("largestOf() puts buffers of one shape together and lists ten shapes, the largest first", () => {
  const buffers = [
    ...Array.from({ length: 12 }, (_, i) => ({ shape: [i, 3], bytes: 256 * (i + 1) })),
    ...Array.from({ length: 9 }, () => ({ shape: [64], bytes: 512 })),
    { shape: [6, 4], bytes: 256 },
  ];
  const largest = largestOf(buffers);
  assert.equal(largest.length, 10);
  assert.deepEqual(largest.slice(0, 2), [
    { shape: [64], count: 9, bytes: 9 * 512 },
    { shape: [11, 3], count: 1, bytes: 12 * 256 },
  ]);
  assert.deepEqual(largest.at(-1), { shape: [3, 3], count: 1, bytes: 4 * 256 });
});

gpuTest(
  "BufferPool refuses a buffer that the adapter cannot hold, with its size",
  (device) =>
    onPool(device, (pool) => {
      assert.throws(
        () => pool.takeBuffer(device.gpu.limits.maxBufferSize + 1, lasting),
        (error) =>
          error instanceof OutOfMemoryError &&
          error.requestedBytes > device.gpu.limits.maxBufferSize && error.heldBytes === 0 &&
          error.largest.length === 0,
      );
    }),
);

gpuTest("Device allocates nothing once training has settled", async (device) => {
  using store = new ParameterStore(device);
  const hidden = store.parameter("hidden", [24, 16], (v) => v.set(randomValues([v.length], 1)));
  const bias = store.parameter("bias", [24], (v) => v.fill(0.1));
  const last = store.parameter("last", [8, 24], (v) => v.set(randomValues([v.length], 2)));
  using optimizer = new AdamW(store, { clip: 1, emaDecay: 0.99 });
  using input = device.tensor(new Float32Array(randomValues([32, 16], 3)), [32, 16]);
  hidden.gradient.dispose(); // the first to ask makes the slab
  const before = device.pool.liveBytes;
  const created: number[] = [], live: number[] = [];
  for (let step = 0; step < 5; step++) {
    device.scope(() => {
      const tape = new Tape(device);
      const output = tape.record(() => {
        const h = device.scope(() => linear(linear(input, hidden, { bias }), last));
        return matmul(h, h, { transposeB: true });
      });
      tape.backwardFrom(output, output);
      optimizer.step({ learningRate: 0.01 });
    });
    device.flush();
    created.push(device.pool.created);
    live.push(device.pool.liveBytes);
  }
  // On a CPU driver slabs keep the staging textures of step 1, and step 2 makes others for activations.
  const settled = device.profile.driver === "cpu" ? created.slice(1) : created;
  assert.deepEqual(settled, Array(settled.length).fill(settled[0]));
  // What stays live are the staged copies of slabs and input that a CPU driver reads.
  assert.deepEqual(live, Array(5).fill(live[0]));
  if (device.profile.driver === "gpu") assert.equal(live[0], before);
  await device.settle();
});
