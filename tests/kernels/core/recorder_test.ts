import assert from "node:assert/strict";
import texelOf from "../../../kernels/common/texel_of.wgsl.ts";
import { Device } from "../../../kernels/core/device.ts";
import { fill } from "../../../kernels/core/in_place.ts";
import { Kernel } from "../../../kernels/core/kernel.ts";
import { dispatchesAllowed } from "../../../kernels/core/recorder.ts";
import { ParameterStore } from "../../../kernels/core/parameter_store.ts";
import type { Tensor } from "../../../kernels/core/tensor.ts";
import { gpuTest } from "../../_gpu.ts";

const READ_TEXTURE = new Kernel({
  source: /* wgsl */ `
    struct Params { vectors: u32 }
    @group(0) @binding(0) var<uniform> params: Params;
    @group(0) @binding(1) var x: texture_storage_2d<rgba32float, read>;
    @group(0) @binding(2) var<storage, read_write> out: array<vec4f>;
    @compute @workgroup_size(64)
    fn read_texture(@builtin(global_invocation_id) id: vec3u) {
      let i = id.x;
      if (i < params.vectors) { out[i] = textureLoad(x, texel_of(i)); }
    }`,
  includes: [texelOf],
});

function readThroughTexture(x: Tensor): Tensor {
  const out = x.device.empty(x.shape), vectors = Math.ceil(x.elements / 4);
  x.device.dispatch(READ_TEXTURE, {
    tensors: { x, out },
    params: { vectors },
    workgroups: [Math.ceil(vectors / 64)],
  });
  return out;
}

function countFrom(first: number, length: number): Float32Array {
  return Float32Array.from({ length }, (_, i) => first + i);
}

gpuTest(
  "Recorder stages a tensor of whole rows, a part of a row, and a part of a texel",
  async (device) => {
    const row = 4 * 1024;
    for (const length of [1, 4, 7, row - 4, row, row + 1, 2 * row, 2 * row + 4 * 5 + 2]) {
      using x = device.tensor(countFrom(0.25, length), [length]);
      using out = readThroughTexture(x);
      assert.deepEqual(await out.read(), countFrom(0.25, length), `${length} elements`);
    }
  },
);

gpuTest("Recorder stages a tensor anew after every kind of change, in order", async (device) => {
  const length = 4 * 1024 + 8;
  using x = device.tensor(countFrom(1, length), [length]);
  using other = device.tensor(countFrom(3, length), [length]);
  using first = readThroughTexture(x);
  x.write(countFrom(2, length));
  using written = readThroughTexture(x);
  device.copy(other, x);
  using copied = readThroughTexture(x);
  fill(x, 4);
  using dispatched = readThroughTexture(x);
  assert.deepEqual(await first.read(), countFrom(1, length));
  assert.deepEqual(await written.read(), countFrom(2, length));
  assert.deepEqual(await copied.read(), countFrom(3, length));
  assert.deepEqual(await dispatched.read(), new Float32Array(length).fill(4));
});

gpuTest("Recorder stages an unchanged tensor once, and views of it apart", async (device) => {
  using x = device.tensor(countFrom(0, 64), [64]);
  let copies = 0;
  const range = { offset: 0, bytes: x.bytes };
  const texture = x.storage.staged(range, () => copies++);
  assert.equal(x.storage.staged(range, () => copies++), texture);
  assert.equal(copies, 1);
  fill(x, 1);
  assert.equal(x.storage.staged(range, () => copies++), texture);
  assert.equal(copies, 2);
  assert.notEqual(x.storage.staged({ offset: 0, bytes: 16 }, () => copies++), texture);
  assert.equal(copies, 3);
  await device.settle();
});

gpuTest("Recorder stages a parameter from its place in the slab", async (device) => {
  using store = new ParameterStore(device);
  store.parameter("before", [100], (values) => values.fill(-1));
  const parameter = store.parameter("here", [9], (values) => values.set(countFrom(5, 9)));
  store.parameter("behind", [100], (values) => values.fill(-2));
  assert.ok(parameter.offset > 0);
  using out = readThroughTexture(parameter);
  assert.deepEqual(await out.read(), countFrom(5, 9));
});

Deno.test("dispatchesAllowed() lets a submission take half a second, and doubts short waits", () => {
  assert.equal(dispatchesAllowed(256, { dispatches: 2000, milliseconds: 20_000 }), 50);
  assert.equal(dispatchesAllowed(50, { dispatches: 2000, milliseconds: 100 }), 10_000);
  assert.equal(dispatchesAllowed(256, { dispatches: 1, milliseconds: 12 }), 256);
  assert.equal(dispatchesAllowed(256, { dispatches: 300, milliseconds: 15 }), 10_000);
  assert.equal(dispatchesAllowed(256, { dispatches: 1, milliseconds: 9000 }), 1);
  // A wait of 50 ms is the first that counts.
  assert.equal(dispatchesAllowed(256, { dispatches: 1, milliseconds: 49 }), 256);
  assert.equal(dispatchesAllowed(256, { dispatches: 1, milliseconds: 50 }), 10);
});

gpuTest("Recorder submits long work in parts, in order, and times what it sent", async (shared) => {
  const device = new Device(shared.gpu, { profile: { ...shared.profile, driver: "gpu" } });
  const { recorder } = device;
  using x = device.tensor(countFrom(0, 64), [64]);
  await device.settle();
  recorder.mostDispatches = 8;
  const { submits } = recorder;
  for (let i = 1; i <= 20; i++) fill(x, i);
  assert.equal(recorder.submits - submits, 2);
  assert.deepEqual(await x.read(), new Float32Array(64).fill(20));
  // Twenty dispatches in no time at all: the GPU is trusted with more.
  assert.ok(recorder.mostDispatches > 8, `${recorder.mostDispatches}`);
});
