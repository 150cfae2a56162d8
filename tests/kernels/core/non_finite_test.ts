import assert from "node:assert/strict";
import { cast } from "../../../kernels/cast/mod.ts";
import { Device } from "../../../kernels/core/device.ts";
import { GpuValidationError, NonFiniteResultError } from "../../../kernels/core/errors.ts";
import { addTo, fill } from "../../../kernels/core/in_place.ts";
import { Kernel } from "../../../kernels/core/kernel.ts";
import { NonFiniteSearch } from "../../../kernels/core/non_finite.ts";
import { Tape } from "../../../kernels/core/tape.ts";
import { type Tensor, viewOf } from "../../../kernels/core/tensor.ts";
import { multiply } from "../../../kernels/multiply/mod.ts";
import { topK } from "../../../kernels/top_k/mod.ts";
import { gpuTest, inRowsOfTwo } from "../../_gpu.ts";

const COPY = new Kernel({
  source: /* wgsl */ `
    struct Params { elements: u32 }
    @group(0) @binding(0) var<uniform> params: Params;
    @group(0) @binding(1) var<storage, read> x: array<u32>;
    @group(0) @binding(2) var<storage, read_write> out: array<f32>;
    @compute @workgroup_size(64) fn copy_bits(@builtin(global_invocation_id) id: vec3u) {
      if (id.x < params.elements) { out[id.x] = bitcast<f32>(x[id.x]); }
    }`,
});

/** A test on a device to debug, on the GPU that the tests of this file share. */
function debugTest(name: string, run: (device: Device) => Promise<void>): void {
  gpuTest(name, async ({ gpu, profile }) => {
    const device = new Device(gpu, { profile, debug: true });
    const before = device.pool.liveBytes;
    await run(device);
    await device.settle();
    assert.equal(device.pool.liveBytes, before);
  });
}

/** Asserts that a wait throws the error for a path, and the next one none. */
async function assertFound(device: Device, path: string): Promise<void> {
  await assert.rejects(device.settle(), (error) => {
    assert.ok(error instanceof NonFiniteResultError, `${error}`);
    assert.equal(error.path, path);
    assert.ok(error.message.startsWith(`Cannot go on: ${path} holds a number`));
    return true;
  });
  await device.settle();
}

debugTest("Device to debug names the first kernel whose result is not finite", async (device) => {
  using small = device.tensor(Float32Array.of(1, 2), [2]);
  using large = device.tensor(Float32Array.of(1, 1e30), [2]);
  using fine = multiply(small, large);
  await device.settle();
  using square = device.named("blocks.3", () => multiply(large, large));
  using more = multiply(square, large);
  await assertFound(device, "blocks.3 > multiply > out");
  // What was computed before is searched no more.
  using again = multiply(fine, small);
  assert.deepEqual([...await again.read()], [1, Math.fround(1e30) * 4]);
  using still = device.named("blocks.4", () => multiply(more, large));
  await assert.rejects(still.read(), { path: "blocks.4 > multiply > out" });
});

debugTest("Device to debug names the block whose gradient is not finite", async (device) => {
  for (const recomputed of [false, true]) {
    using x = device.tensor(Float32Array.of(2), [1]);
    using tape = new Tape(device);
    tape.watch(x);
    using loss = tape.record(() =>
      device.named("blocks.3", () => {
        const cube = (x: Tensor) => multiply(multiply(x, x), x);
        return device.scope(() => recomputed ? tape.checkpoint([x], cube) : cube(x));
      })
    );
    await device.settle();
    device.scope(() => tape.backward(loss, { scale: 3e38 }));
    const path = recomputed ? "blocks.3 > checkpoint backward > " : "blocks.3 > ";
    await assertFound(device, `${path}multiply backward > multiply > out`);
  }
});

debugTest("Device to debug finds every kind of such a number, wherever it is", async (device) => {
  const bits = { "+∞": 0x7f800000, "−∞": 0xff800000, NaN: 0x7fc00000, "another NaN": 0xff800001 };
  for (const [name, wrong] of Object.entries(bits)) {
    for (const place of [0, 1, 63, 64, 130, 256]) {
      const words = new Uint32Array(257).fill(0x7f7fffff); // The largest finite number.
      words[place] = wrong;
      using x = device.tensor(words, [257]), out = device.empty([257]);
      const params = { elements: 257 }, workgroups = [5] as const;
      inRowsOfTwo(device, () => device.dispatch(COPY, { tensors: { x, out }, params, workgroups }));
      await assert.rejects(device.settle(), { path: "copy_bits > out" }, `${name} at ${place}`);
    }
  }
});

debugTest("Device to debug finds halves that are not finite", async (device) => {
  for (const place of [0, 1, 2, 3, 66]) {
    const values = new Float32Array(67).fill(-65504);
    using finite = device.tensor(values, [67]), halves = cast(finite, { dtype: "f16" });
    await device.settle();
    assert.equal((await halves.read())[66], -65504);
    values[place] = -65520;
    using x = device.tensor(values, [67]), rounded = cast(x, { dtype: "f16" });
    assert.equal(rounded.dtype, "f16");
    await assert.rejects(device.settle(), { path: /^cast_to_f16\w* > out$/ }, `at ${place}`);
  }
});

debugTest(
  "Device to debug passes over whole numbers and tensors of no elements",
  async (device) => {
    using x = device.tensor(Float32Array.of(3, 1, 2), [1, 3]), none = device.empty([0]);
    const { values, indices } = topK(x, 2);
    fill(none, Infinity);
    assert.deepEqual([...await values.read(), ...await indices.readUint32()], [3, 2, 0, 2]);
    values.dispose();
    indices.dispose();
  },
);

debugTest(
  "Device to debug does not take a kernel that writes a part for the one that left the rest",
  async (device) => {
    const bits = (values: Float32Array) => device.tensor(new Uint32Array(values.buffer), [64]);
    {
      using wrong = bits(new Float32Array(64).fill(NaN)), out = device.empty([64]);
      device.dispatch(COPY, {
        tensors: { x: wrong, out },
        params: { elements: 64 },
        workgroups: [1],
      });
      await assertFound(device, "copy_bits > out");
    }
    using right = bits(new Float32Array(64)), recycled = device.empty([64]);
    device.dispatch(COPY, {
      tensors: { x: right, out: recycled },
      params: { elements: 3 },
      workgroups: [1],
    });
    await device.settle();
  },
);

debugTest("Device to debug searches tensors alone, not what lies behind them", async (device) => {
  const words = new Uint32Array(64).fill(0x7fc00000, 3);
  using x = device.tensor(words, [64]), out = device.empty([64]);
  const params = { elements: 64 }, workgroups = [1] as const;
  device.dispatch(COPY, { tensors: { x, out }, params, workgroups });
  await assert.rejects(device.settle(), { name: "NonFiniteResultError" });
  using head = viewOf(out, { shape: [3] });
  device.dispatch(COPY, { tensors: { x, out: head }, params: { elements: 3 }, workgroups });
  await device.settle();
});

gpuTest(
  "A wait that ends after one that began later leaves the search its numbers",
  async ({ gpu, profile }) => {
    const device = new Device(gpu, { profile }), search = new NonFiniteSearch(device);
    using fine = device.tensor(Float32Array.of(1), [1]);
    const begun: PromiseWithResolvers<ArrayBuffer>[] = [];
    const wait = () =>
      search.throwFound(() => {
        const read = Promise.withResolvers<ArrayBuffer>();
        begun.push(read);
        return read.promise;
      });
    const found = (number: number) => Uint32Array.of(number).buffer;
    search.record(fine, "first");
    const early = wait();
    search.record(fine, "second");
    const late = wait();
    begun[1]!.resolve(found(2 ** 32 - 1));
    await late;
    search.record(fine, "third");
    begun[0]!.resolve(found(2 ** 32 - 1));
    await early;
    search.record(fine, "fourth");
    const last = wait();
    begun[2]!.resolve(found(2));
    await assert.rejects(last, { path: "third" });
  },
);

debugTest("Device to debug names the kernel that the GPU refuses", async (device) => {
  using whole = device.empty([128]), out = device.empty([64]);
  using view = viewOf(whole, { first: 1, shape: [64] });
  device.named("blocks.3", () => addTo(out, view));
  await assert.rejects(device.settle(), (error) => {
    assert.ok(error instanceof GpuValidationError, `${error}`);
    assert.equal(error.path, "blocks.3 > add");
    return true;
  });
});

gpuTest("Device takes numbers that are not finite without debug", async (device) => {
  using x = device.tensor(Float32Array.of(1e30), [1]), square = multiply(x, x);
  assert.deepEqual([...await square.read()], [Infinity]);
});
