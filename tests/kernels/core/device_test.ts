import assert from "node:assert/strict";
import { Device, type DispatchOptions, spreadWorkgroups } from "../../../kernels/core/device.ts";
import {
  DeviceLostError,
  GpuValidationError,
  ShaderCompilationError,
} from "../../../kernels/core/errors.ts";
import { addTo, fill, storeAt } from "../../../kernels/core/in_place.ts";
import { Kernel } from "../../../kernels/core/kernel.ts";
import { ParameterStore } from "../../../kernels/core/parameter_store.ts";
import { Tape } from "../../../kernels/core/tape.ts";
import { type Tensor, viewOf } from "../../../kernels/core/tensor.ts";
import type { ForcedVariants } from "../../../kernels/core/tuning.ts";
import { gelu } from "../../../kernels/gelu/mod.ts";
import { gpuTest, NO_ADAPTER, openDevice, testProfile } from "../../_gpu.ts";

const SCALE = new Kernel({
  source: /* wgsl */ `
    override BIAS: f32 = 0.0;
    struct Params { elements: u32, factor: f32 }
    @group(0) @binding(0) var<uniform> params: Params;
    @group(0) @binding(1) var<storage, read> x: array<f32>;
    @group(0) @binding(2) var<storage, read_write> out: array<f32>;
    @compute @workgroup_size(64)
    fn scale(@builtin(global_invocation_id) id: vec3u) {
      if (id.x < params.elements) { out[id.x] = params.factor * x[id.x] + BIAS; }
    }`,
});

const STORE = new Kernel({
  source: /* wgsl */ `
    struct Params { index: u32, value: f32 }
    @group(0) @binding(0) var<uniform> params: Params;
    @group(0) @binding(1) var<storage, read_write> out: array<f32>;
    @compute @workgroup_size(1)
    fn store() { out[params.index] += params.value; }`,
});

const ADD_ONE = new Kernel({
  source: /* wgsl */ `
    @group(0) @binding(1) var<storage, read_write> out: array<f32>;
    @compute @workgroup_size(1)
    fn add_one() { out[0] += 1.0; }`,
});

function scale(x: Tensor, factor: number): Tensor {
  const out = x.device.empty(x.shape);
  x.device.dispatch(SCALE, {
    tensors: { x, out },
    params: { elements: x.elements, factor },
    workgroups: [Math.ceil(x.elements / 64)],
  });
  return out;
}

/** A test on a device of its own, which may be broken by it. */
function ownDeviceTest(name: string, run: (device: Device) => void | Promise<void>): void {
  Deno.test({
    name,
    sanitizeOps: false,
    sanitizeResources: false,
    ignore: NO_ADAPTER,
    async fn() {
      using device = await openDevice();
      await run(device);
    },
  });
}

gpuTest("Device.tensor() gives back what was put in, in both element types", async (device) => {
  using floats = device.tensor(Float32Array.of(1, -2.5, 3e38), [3, 1]);
  using words = device.tensor(Uint32Array.of(0, 7, 0xffffffff), [3]);
  assert.deepEqual(await floats.read(), Float32Array.of(1, -2.5, 3e38));
  assert.deepEqual(await words.readUint32(), Uint32Array.of(0, 7, 0xffffffff));
  assert.deepEqual([floats.dtype, words.dtype], ["f32", "u32"]);
  // A tensor without elements has a buffer but nothing to read.
  using none = device.empty([0, 4]);
  assert.deepEqual(await none.read(), new Float32Array(0));
});

gpuTest("Device.tensor() and empty() refuse counts and sizes that do not fit", (device) => {
  const { liveBytes } = device.pool;
  assert.throws(() => device.tensor(new Float32Array(5), [2, 3]), TypeError);
  assert.throws(() => device.tensor(new Uint32Array(6), [2, 3], { dtype: "f32" }), TypeError);
  assert.equal(device.pool.liveBytes, liveBytes);
  device.scope(() => {
    assert.throws(() => device.tensor(new Float32Array(5), [2, 3]), {
      name: "TypeError",
      message: "Cannot write 5 values to tensor [2, 3]: expected 6",
    });
    for (const size of [-1, 1.5, NaN]) {
      assert.throws(() => device.empty([2, size]), RangeError);
    }
    assert.throws(() => device.empty([2], { dtype: "i32" as "u32" }), {
      name: "TypeError",
      message: "Cannot make tensor [2] of i32: expected f32, f16 or u32",
    });
    const x = device.tensor(new Float32Array(6), [2, 3]);
    for (const shape of [[-2, -3], [1.5, 4]]) assert.throws(() => x.reshape(shape), RangeError);
    assert.throws(() => device.copyInto(x, device.empty([1]), { first: -1 }), RangeError);
    for (const first of [-1, 0.5, 6]) {
      assert.throws(() => storeAt(x, device.empty([1]), { first }), RangeError);
    }
  });
});

gpuTest("Device.scope() releases what it made and keeps what it returns", async (device) => {
  const before = device.pool.liveBytes;
  let inner: Tensor | undefined;
  const { kept, list } = device.scope(() => {
    inner = device.tensor(new Float32Array(64).fill(2), [64]);
    return { kept: scale(inner, 3), list: [scale(inner, 4)] };
  });
  assert.equal(device.pool.liveBytes - before, 2 * 256);
  assert.equal((await kept.read())[63], 6);
  assert.equal((await list[0]!.read())[63], 8);
  assert.throws(() => inner!.storage, {
    name: "ReferenceError",
    message: "Cannot use tensor [64]: it was released, " +
      "return it from its scope or keep it outside of one",
  });
  assert.throws(() => scale(inner!, 1), ReferenceError);
  await assert.rejects(inner!.read(), ReferenceError);
  kept.dispose();
  kept.dispose();
  list[0]!.dispose();
  assert.equal(device.pool.liveBytes, before);
});

gpuTest(
  "Device.scope() passes returned tensors to the outer scope, which releases them",
  (device) => {
    const before = device.pool.liveBytes;
    device.scope(() => {
      const middle = device.scope(() => {
        const deepest = device.scope(() => device.empty([64]));
        device.empty([128]);
        return deepest;
      });
      assert.equal(device.pool.liveBytes - before, 256);
      fill(middle, 1);
    });
    assert.equal(device.pool.liveBytes, before);
  },
);

gpuTest("Device.scope() releases everything when its function throws or is async", (device) => {
  const before = device.pool.liveBytes;
  assert.throws(() =>
    device.scope(() => {
      device.empty([64]);
      throw new Error("broken");
    }), /broken/);
  assert.throws(() =>
    device.scope(() => {
      device.empty([64]);
      return Promise.resolve();
    }), { name: "TypeError", message: /^Cannot record an async function/ });
  assert.equal(device.pool.liveBytes, before);
  // The failed scopes are gone: this one is the caller's.
  device.empty([64]).dispose();
  assert.equal(device.pool.liveBytes, before);
});

gpuTest(
  "Device runs nothing async under a tape, a precision, a name or without scopes",
  (device) => {
    const refused = { name: "TypeError", message: /^Cannot record an async function/ };
    const wait = () => Promise.reject(new Error("of no interest"));
    assert.throws(() => device.withTape(undefined, wait), refused);
    assert.throws(() => device.withPrecision("f32", wait), refused);
    assert.throws(() => device.named("module", wait), refused);
    assert.throws(() => device.unscoped(wait), refused);
    using store = new ParameterStore(device);
    assert.throws(() => store.withValues(store.values, wait), refused);
  },
);

gpuTest("Device.unscoped() makes tensors that no scope releases", async (device) => {
  const kept: Tensor[] = [];
  device.scope(() => {
    kept.push(device.unscoped(() => device.tensor(Float32Array.of(5), [1])));
  });
  assert.deepEqual(await kept[0]!.read(), Float32Array.of(5));
  kept[0]!.dispose();
});

gpuTest("Tensor.reshape() shares the buffer until the last view goes", async (device) => {
  const before = device.pool.liveBytes;
  const x = device.tensor(Float32Array.of(1, 2, 3, 4, 5, 6), [2, 3]);
  const view = x.reshape([6]);
  x.dispose();
  assert.deepEqual(await view.read(), Float32Array.of(1, 2, 3, 4, 5, 6));
  const { storage } = view;
  assert.throws(() => view.reshape([4]), {
    name: "TypeError",
    message: "Cannot reshape [6] to [4]: 6 elements, expected 4",
  });
  view.dispose();
  assert.equal(device.pool.liveBytes, before);
  // One hold too few would hand the buffer out twice.
  assert.throws(() => storage.release(), /^ReferenceError: Cannot release a buffer: nobody holds/);
  assert.equal(device.pool.liveBytes, before);
});

gpuTest("Tensor.write() between two dispatches changes only the second", async (device) => {
  using x = device.tensor(new Float32Array(64).fill(1), [64]);
  using first = scale(x, 10);
  x.write(new Float32Array(64).fill(2));
  using second = scale(x, 10);
  // A pooled buffer: the tensor that used it before is released, its kernel still recorded.
  device.scope(() => {
    scale(second, 1);
  });
  using third = device.tensor(new Float32Array(64).fill(3), [64]);
  assert.equal((await first.read())[0], 10);
  assert.equal((await second.read())[0], 20);
  assert.equal((await third.read())[0], 3);
});

gpuTest("Device.copyInto() takes elements from their place in a buffer", async (device) => {
  using store = new ParameterStore(device);
  store.parameter("before", [3], (values) => values.fill(-1));
  const parameter = store.parameter("here", [2], (values) => values.set([5, 6]));
  assert.ok(parameter.offset > 0);
  using copy = device.empty([2]);
  device.copyInto(copy, parameter);
  assert.deepEqual([...await copy.read()], [5, 6]);
});

gpuTest("Device.copyInto() is ordered with dispatches and refuses other sizes", async (device) => {
  using x = device.tensor(new Float32Array(64).fill(1), [64]);
  using copy = device.empty([8, 8]);
  device.copyInto(copy, x);
  fill(x, 2);
  assert.equal((await copy.read())[9], 1);
  assert.equal((await x.read())[9], 2);
  using other = device.empty([65]);
  assert.throws(() => device.copyInto(other, x), TypeError);
});

gpuTest(
  "Device.dispatch() binds views that begin at one place by their lengths",
  async (device) => {
    using x = device.tensor(new Float32Array(128).fill(3), [128]), out = device.empty([128]);
    using start = viewOf(x, { shape: [64] });
    for (const view of [start, x]) {
      device.dispatch(SCALE, {
        tensors: { x: view, out },
        params: { elements: view.elements, factor: 2 },
        workgroups: [view.elements / 64],
      });
    }
    assert.deepEqual(await out.read(), new Float32Array(128).fill(6));
  },
);

gpuTest("Device.dispatch() takes exactly the kernel's tensors, params and constants", (device) => {
  device.scope(() => {
    const x = device.empty([64]), out = device.empty([64]);
    const right: DispatchOptions = {
      tensors: { x, out },
      params: { elements: 64, factor: 1 },
      workgroups: [1],
    };
    device.dispatch(SCALE, right);
    for (
      const [wrong, message] of [
        [{ tensors: { x } }, /dispatch scale: tensors x, expected x, out/],
        [{ tensors: { x, y: out } }, /tensors x, y, expected x, out/],
        [{ tensors: { x, out, y: out } }, /tensors x, out, y, expected x, out/],
        [
          { params: { elements: 64 } },
          /dispatch scale: params elements, expected elements, factor/,
        ],
        [{ params: { elements: 64, faktor: 1 } }, /params elements, faktor, expected/],
        [
          { params: { elements: 64, factor: undefined } },
          /params elements, expected elements, factor/,
        ],
        [{ tensors: { x, out: undefined } }, /tensors x, expected x, out/],
        [{ params: { elements: 64, factor: 1, more: 1 } }, /params elements, factor, more/],
        [{ params: undefined }, /params none, expected elements, factor/],
        [{ constants: { TILE: 8 } }, /compile scale: override TILE, expected BIAS/],
      ] as const
    ) {
      assert.throws(() => device.dispatch(SCALE, { ...right, ...wrong } as never), {
        name: "TypeError",
        message,
      });
    }
    for (const count of [65536, 1.5, -1, NaN]) {
      assert.throws(() => device.dispatch(SCALE, { ...right, workgroups: [1, count] }), {
        name: "RangeError",
        message:
          `Cannot dispatch scale over [1, ${count}, 1] workgroups: expected whole numbers, at most ` +
          "65535 each",
      });
    }
    for (const elements of [-1, 0.5, NaN, 2 ** 32]) {
      const params = { elements, factor: NaN };
      assert.throws(() => device.dispatch(SCALE, { ...right, params }), {
        name: "RangeError",
        message: `Cannot dispatch scale: elements is ${elements}, expected a u32`,
      });
    }
  });
});

gpuTest(
  "Device.dispatch() refuses what is too large for a binding, and for a staging texture",
  (device) => {
    const source = (type: string) => /* wgsl */ `
    @group(0) @binding(1) var${type};
    @group(0) @binding(2) var<storage, read_write> out: array<f32>;
    @compute @workgroup_size(1) fn too_large() { out[0] = 0.0; }`;
    const { maxStorageBufferBindingSize, maxTextureDimension2D, maxBufferSize } = device.gpu.limits;
    for (
      const [type, most] of [
        ["<storage, read> x: array<f32>", maxStorageBufferBindingSize],
        [" x: texture_storage_2d<rgba32float, read>", maxTextureDimension2D * 16 * 1024],
      ] as const
    ) {
      // Where no buffer is that large there is nothing to refuse.
      if (most + 4 > maxBufferSize) continue;
      using x = device.empty([most / 4 + 1]), out = device.empty([1]);
      assert.throws(
        () =>
          device.dispatch(new Kernel({ source: source(type) }), {
            tensors: { x, out },
            workgroups: [1],
          }),
        {
          name: "RangeError",
          message: new RegExp(`Cannot bind x .* of too_large: .* ${most} at most`),
        },
      );
    }
    device.trim();
  },
);

gpuTest("Device.dispatch() runs a kernel without Params among others", async (device) => {
  using out = device.tensor(Float32Array.of(2), [1]);
  const tensors = { out }, workgroups = [1] as const;
  device.dispatch(ADD_ONE, { tensors, workgroups });
  device.dispatch(STORE, { tensors, params: { index: 0, value: 10 }, workgroups });
  device.dispatch(ADD_ONE, { tensors, workgroups });
  assert.deepEqual(await out.read(), Float32Array.of(14));
  assert.throws(
    () => device.dispatch(ADD_ONE, { tensors, params: { value: 1 }, workgroups }),
    TypeError,
  );
});

gpuTest("Device.dispatch() takes every i32 and no other number for one", async (device) => {
  const kernel = new Kernel({
    source: /* wgsl */ `
      struct Params { shift: i32 }
      @group(0) @binding(0) var<uniform> params: Params;
      @group(0) @binding(1) var<storage, read_write> out: array<f32>;
      @compute @workgroup_size(1)
      fn shift() { out[0] = f32(params.shift); }`,
  });
  using out = device.empty([1]);
  const tensors = { out }, workgroups = [1] as const;
  for (const shift of [-(2 ** 31), -7, 2 ** 31 - 1]) {
    device.dispatch(kernel, { tensors, params: { shift }, workgroups });
    assert.deepEqual(await out.read(), Float32Array.of(shift));
  }
  for (const shift of [-(2 ** 31) - 1, 2 ** 31, 0.5]) {
    assert.throws(() => device.dispatch(kernel, { tensors, params: { shift }, workgroups }), {
      name: "RangeError",
      message: new RegExp(`^Cannot dispatch shift: shift is ${shift}, expected`),
    });
  }
});

gpuTest("Device.dispatch() compiles a pipeline for each set of constants", async (device) => {
  const results: number[] = [];
  for (const BIAS of [1, 2, 1]) {
    const out = device.scope(() => {
      const x = device.tensor(Float32Array.of(10), [1]), out = device.empty([1]);
      const params = { elements: 1, factor: 1 };
      device.dispatch(SCALE, {
        tensors: { x, out },
        params,
        workgroups: [1],
        constants: { BIAS },
      });
      return out;
    });
    results.push((await out.read())[0]!);
    out.dispose();
  }
  assert.deepEqual(results, [11, 12, 11]);
});

gpuTest(
  "Device.dispatch() submits early when its 4,096 parameter slots are full",
  async (shared) => {
    // CPU drivers are not paced.
    const device = new Device(shared.gpu, { profile: { ...shared.profile, driver: "cpu" } });
    const count = 2 * 4096 + 10;
    using out = device.tensor(new Float32Array(count), [count]);
    await device.settle();
    const { submits } = device.recorder;
    for (let index = 0; index < count; index++) {
      device.dispatch(STORE, {
        tensors: { out },
        params: { index, value: index + 1 },
        workgroups: [1],
      });
    }
    assert.equal(device.recorder.submits - submits, 2);
    const got = await out.read();
    assert.deepEqual(got, Float32Array.from({ length: count }, (_, index) => index + 1));
  },
);

gpuTest(
  "Device.flush() submits once for any number of dispatches, and nothing when idle",
  async (device) => {
    await device.settle();
    const { submits } = device.recorder;
    using x = device.empty([64]);
    fill(x, 1);
    fill(x, 2);
    assert.equal(device.recorder.submits, submits);
    device.flush();
    device.flush();
    assert.equal(device.recorder.submits, submits + 1);
  },
);

Deno.test("spreadWorkgroups() covers any count within the limit of an axis", () => {
  for (const count of [0, 1, 65535, 65536, 65537, 1_000_003, 4_000_000_000]) {
    const [x, y] = spreadWorkgroups(count);
    assert.ok(x >= 1 && y >= 1 && x <= 65535 && y <= 65535, `${count}: ${x}, ${y}`);
    assert.ok(x * y >= count && x * (y - 1) < Math.max(count, 1), `${count}: ${x} times ${y}`);
  }
});

Deno.test({
  name: "Device.open() without allowCpuDriver refuses a CPU driver and says what to do",
  sanitizeOps: false,
  sanitizeResources: false,
  ignore: NO_ADAPTER,
  async fn() {
    using device = await openDevice();
    if (device.profile.driver !== "cpu") return;
    await assert.rejects(Device.open(), {
      name: "UnsupportedDeviceError",
      message: /computes on the CPU, expected a GPU or allowCpuDriver: true/,
      missing: ["a hardware adapter"],
    });
  },
});

Deno.test({
  name: "Device.variant() prefers the variant forced at open()",
  sanitizeOps: false,
  sanitizeResources: false,
  ignore: NO_ADAPTER,
  async fn() {
    using device = await openDevice({ variants: { matmul: "naive" } });
    const among = { naive: 1, tiled: 2 };
    assert.equal(device.variant("matmul", "tiled", { among }), "naive");
    assert.equal(device.variant("attention", "tiled", { among }), "tiled");
    const supports = (name: string) => name === "tiled";
    assert.equal(device.variant("matmul", "tiled", { among, supports }), "tiled");
    assert.equal(device.variant("matmul", "naive", { among, only: "tiled" }), "tiled");
    assert.equal(device.variant("attention", "naive", { among, only: "tiled" }), "tiled");
    const others = { tiled: 2, split: 3 };
    assert.throws(
      () => device.variant("matmul", "tiled", { among: others, only: "tiled" }),
      RangeError,
    );
    assert.throws(() => device.variant("matmul", "tiled", { among: others }), {
      name: "RangeError",
      message: 'Cannot compute matmul with variant "naive": expected one of tiled, split',
    });
    const variants: Record<string, string> = { matmull: "naive" };
    assert.throws(() => new Device(device.gpu, { profile: device.profile, variants }), {
      name: "RangeError",
      message: /^Cannot force a variant of matmull: expected one of /,
    });
  },
});

Deno.test({
  name: "Device.open() closes what it opened and then refuses",
  sanitizeOps: false,
  sanitizeResources: false,
  ignore: NO_ADAPTER,
  async fn() {
    const { requestDevice } = GPUAdapter.prototype, opened: GPUDevice[] = [];
    GPUAdapter.prototype.requestDevice = async function (descriptor) {
      const gpu = await requestDevice.call(this, descriptor);
      opened.push(gpu);
      return gpu;
    };
    try {
      const variants = { matmull: "naive" } as ForcedVariants;
      await assert.rejects(openDevice({ variants }), RangeError);
    } finally {
      GPUAdapter.prototype.requestDevice = requestDevice;
    }
    assert.equal(opened.length, 1);
    assert.equal((await opened[0]!.lost).reason, "destroyed");
  },
});

const BROKEN = new Kernel({
  source: /* wgsl */ `
    @group(0) @binding(1) var<storage, read_write> out: array<f32>;
    @compute @workgroup_size(1)
    fn broken() { out[0] = nonsense; }`,
});

/** Each element by way of a texture, as kernels for CPU drivers read. */
const MIRROR = new Kernel({
  source: /* wgsl */ `
    @group(0) @binding(1) var x: texture_storage_2d<rgba32float, read>;
    @group(0) @binding(2) var<storage, read_write> out: array<vec4f>;
    @compute @workgroup_size(1)
    fn mirror() { out[0] = textureLoad(x, vec2u()); }`,
});

gpuTest(
  "Device.settle() throws the compiler's error whenever a bad shader is used",
  async (device) => {
    using out = device.empty([1]);
    for (let use = 1; use <= 2; use++) {
      device.dispatch(BROKEN, { tensors: { out }, workgroups: [1] });
      await assert.rejects(device.settle(), (error) => {
        assert.ok(error instanceof ShaderCompilationError, `${error}`);
        assert.deepEqual([error.kernel, error.line, error.column], ["broken", 4, 28]);
        assert.match(error.message, /^Cannot compile kernel broken: [^]*nonsense/);
        assert.match(
          error.message,
          /what was computed and copied since the last wait is undefined/,
        );
        return true;
      });
    }
    await device.settle();
  },
);

gpuTest("Device tells of what it submitted early at the same wait", async (shared) => {
  const device = new Device(shared.gpu, { profile: { ...shared.profile, driver: "gpu" } });
  using out = device.empty([4]);
  device.dispatch(BROKEN, { tensors: { out }, workgroups: [1] });
  const { submits } = device.recorder;
  device.named("later", () => {
    for (let i = 0; i < 100; i++) fill(out, i);
  });
  assert.ok(device.recorder.submits > submits);
  await assert.rejects(device.settle(), ShaderCompilationError);
  await device.settle();
});

gpuTest(
  "Device works on after an error, and takes no copy that failed for made",
  async (device) => {
    using x = device.tensor(Float32Array.of(1, 2, 3, 4), [4]), out = device.empty([4]);
    const mirror = () => device.dispatch(MIRROR, { tensors: { x, out }, workgroups: [1] });
    mirror();
    await device.settle();
    x.write(Float32Array.of(5, 6, 7, 8));
    const { failures } = device;
    // Submitted together, none of them runs, and neither does the copy of x.
    mirror();
    device.dispatch(BROKEN, { tensors: { out }, workgroups: [1] });
    await assert.rejects(device.settle(), ShaderCompilationError);
    assert.ok(device.failures > failures);
    mirror();
    assert.deepEqual([...await out.read()], [5, 6, 7, 8]);
  },
);

gpuTest("Device.settle() throws to every wait that an error may bear on", async (device) => {
  using x = device.tensor(Float32Array.of(1), [1]), out = device.empty([1]);
  const params = { elements: 1, factor: 1 }, workgroups = [1] as const;
  const goOn = [
    () => device.dispatch(SCALE, { tensors: { x: out, out: x }, params, workgroups }),
    () => device.copyInto(x, out),
  ];
  for (const record of goOn) {
    device.dispatch(BROKEN, { tensors: { out }, workgroups });
    const reads = [out.read(), x.read()];
    // Recorded before anybody knows, from what may be undefined.
    record();
    for (const read of await Promise.allSettled(reads)) assert.equal(read.status, "rejected");
    await assert.rejects(x.read(), ShaderCompilationError);
    await device.settle();
  }
});

ownDeviceTest(
  "Device.settle() throws a validation error and names what was recorded",
  async (device) => {
    const whole = device.empty([128]), out = device.empty([4]);
    // No adapter binds a buffer from its second element on.
    const view = viewOf(whole, { first: 1, shape: [4] });
    device.named("blocks.3", () =>
      device.named("scale", () => {
        device.dispatch(SCALE, {
          tensors: { x: view, out },
          params: { elements: 4, factor: 1 },
          workgroups: [1],
        });
      }));
    await assert.rejects(device.settle(), (error) => {
      assert.ok(error instanceof GpuValidationError, `${error}`);
      assert.equal(error.path, "blocks.3 > scale");
      return true;
    });
    fill(out, 1);
    assert.deepEqual([...await out.read()], [1, 1, 1, 1]);
  },
);

gpuTest("Device refuses to write what it reads, by name", (device) => {
  using store = new ParameterStore(device);
  const a = store.parameter("a", [4], (v) => v.fill(1));
  const b = store.parameter("b", [4], (v) => v.fill(1));
  device.scope(() => {
    const x = device.empty([4]);
    assert.throws(() => addTo(x, x), {
      name: "TypeError",
      message: /^Cannot dispatch add: out is written and lies in one buffer with x, /,
    });
    assert.throws(() => addTo(a, b), /in one buffer with x, expected another tensor/);
    assert.throws(
      () => device.copyInto(b, a),
      /^TypeError: Cannot copy \[4\] to \[4\]: both lie in one/,
    );
  });
});

gpuTest("Device takes no elements of one type for another", async (device) => {
  using floats = device.tensor(Float32Array.of(1, 2), [2]);
  using words = device.tensor(Uint32Array.of(1, 2), [2]);
  using halves = device.empty([2], { dtype: "f16" });
  assert.throws(() => fill(words, 1), {
    name: "TypeError",
    message: "Cannot dispatch fill: out is u32, expected f32",
  });
  assert.throws(
    () => addTo(floats, words),
    /^TypeError: Cannot dispatch add: x is u32, expected f32$/,
  );
  assert.throws(() => fill(halves, 1), /out is f16, expected f32, use cast$/);
  await assert.rejects(words.read(), {
    name: "TypeError",
    message: "Cannot read tensor [2] of u32 so: expected readUint32()",
  });
  await assert.rejects(floats.readUint32(), /of f32 so: expected read\(\)$/);
  for (const data of [Float64Array.of(1, 2), Int32Array.of(1, 2), Uint8Array.of(1, 2)]) {
    assert.throws(() => floats.write(data as unknown as Float32Array), TypeError);
    assert.throws(() => words.write(data as unknown as Uint32Array), TypeError);
  }
});

ownDeviceTest("Device refuses tensors of another device, and lives on", async (device) => {
  using other = await openDevice();
  using x = device.tensor(Float32Array.of(1), [1]);
  using theirs = other.tensor(Float32Array.of(2), [1]);
  assert.throws(() => addTo(x, theirs), {
    name: "TypeError",
    message: "Cannot dispatch add: x lies on another device, expected tensors of one",
  });
  const refused = (verb: string) => ({
    name: "TypeError",
    message: `Cannot ${verb}: [1] lies on another device, expected tensors of one`,
  });
  assert.throws(() => device.copyInto(theirs, x), refused("copy"));
  assert.throws(() => device.copyInto(x, theirs), refused("copy"));
  assert.throws(() => device.upload(theirs, Float32Array.of(3)), refused("write"));
  await assert.rejects(device.download(theirs), refused("read"));
  assert.throws(() => new Tape(device).watch(theirs), refused("watch"));
  assert.deepEqual([...await x.read()], [1]);
});

gpuTest("Device takes arrays of the tensor's own type, and none of no elements", async (device) => {
  using none = device.tensor(new Float32Array(), [0, 3]);
  assert.deepEqual(await none.read(), new Float32Array());
  device.scope(() => {
    assert.throws(() => device.tensor(Uint32Array.of(1, 2), [2], { dtype: "f32" }), {
      name: "TypeError",
      message: "Cannot write a Uint32Array to tensor [2] of f32: expected a Float32Array",
    });
    assert.throws(() => device.tensor(new Float32Array(2), [2], { dtype: "u32" }), TypeError);
    const halves = device.empty([3], { dtype: "f16" }), all = device.empty([8], { dtype: "f16" });
    assert.throws(
      () => device.copyInto(all, halves, { first: 2 }),
      /expected even numbers of halves/,
    );
    assert.throws(
      () => device.copyInto(all, device.empty([2], { dtype: "f16" }), { first: 3 }),
      /Cannot copy \[2\] f16 to element 3 on/,
    );
  });
});

ownDeviceTest("Tensor.read() throws a validation error that raw WebGPU caused", async (device) => {
  const x = device.tensor(Float32Array.of(1), [1]);
  // Outside of every error scope: it reaches the listener for uncaptured errors.
  device.gpu.createBuffer({ size: 16, usage: 0 });
  await device.gpu.queue.onSubmittedWorkDone();
  await assert.rejects(x.read(), GpuValidationError);
});

const STAND_IN = testProfile({
  driver: "gpu",
  subgroups: false,
  subgroupSize: 0,
  f16: true,
  label: "a GPU that fails",
});

/** What a device takes before any tensor. */
const PARAMS_BYTES = 4096 * 256;

/** A stand-in for a GPU of `bytes` in all, whose waits end as `mapAsync` and `lost` say. */
function failingGpu(
  bytes: number,
  { mapAsync = () => Promise.resolve(), lost = new Promise(() => {}) }: {
    mapAsync?: () => Promise<void>;
    lost?: Promise<GPUDeviceLostInfo>;
  } = {},
): Device {
  const scopes: { filter: GPUErrorFilter; error: GPUError | null }[] = [];
  let taken = 0;
  const gpu = {
    limits: { maxBufferSize: Infinity },
    lost,
    destroy() {},
    queue: { writeBuffer() {}, submit() {}, onSubmittedWorkDone: () => Promise.resolve() },
    addEventListener() {},
    pushErrorScope: (filter: GPUErrorFilter) => scopes.push({ filter, error: null }),
    popErrorScope: () => Promise.resolve(scopes.pop()!.error),
    createCommandEncoder: () => ({ copyBufferToBuffer() {}, finish() {} }),
    createBuffer({ size }: GPUBufferDescriptor) {
      taken += size;
      if (taken > bytes) {
        scopes.findLast(({ filter }) => filter === "out-of-memory")!.error =
          new GPUOutOfMemoryError("full");
      }
      return { mapAsync, destroy() {} };
    },
  };
  return new Device(gpu as unknown as GPUDevice, { profile: STAND_IN });
}

Deno.test("Device.dispose() begins no work at the end of a program", () => {
  const device = failingGpu(Infinity), { queue } = device.gpu;
  let submitted = 0;
  queue.submit = () => void submitted++;
  const x = device.empty([4]), out = device.empty([4]);
  device.copyInto(out, x);
  device.dispose();
  device[Symbol.dispose]();
  assert.equal(submitted, 0);
  assert.throws(() => device.copyInto(out, x), /it was closed/);
});

Deno.test("Device says how much it asked for when the GPU is out of memory", async () => {
  const device = failingGpu(PARAMS_BYTES + 8192);
  const held = device.empty([8, 128]), passing = device.empty([4, 256]);
  await device.settle();
  const missing = device.empty([2000]);
  // A step is recorded to its end before anybody knows.
  passing.dispose();
  const later = device.empty([3000]);
  await assert.rejects(device.settle(), {
    name: "OutOfMemoryError",
    requestedBytes: 8192,
    heldBytes: 8192,
    largest: [
      { shape: [8, 128], count: 1, bytes: 4096 },
      { shape: [4, 256], count: 1, bytes: 4096 },
    ],
    message: new RegExp(
      "^Cannot take 8192 bytes more: .* with 8192 bytes held, 4096 by 1 of \\[8, 128\\], " +
        "4096 by 1 of \\[4, 256\\], expected .* smaller batch \\(",
    ),
  });
  assert.deepEqual(device.pool.inUse(), [{ shape: held.shape, bytes: 4096 }]);
  // What there was no memory for is nobody's again, and nothing that was asked for since fails.
  missing.dispose();
  later.dispose();
  await device.settle();
  assert.deepEqual([device.pool.heldBytes, device.pool.liveBytes], [8192, 4096]);
  const { created } = device.pool;
  device.empty([2000]);
  assert.equal(device.pool.created, created + 1);
  const narrow = failingGpu(PARAMS_BYTES + 4096).empty([1024]);
  await assert.rejects(narrow.read(), { name: "OutOfMemoryError", requestedBytes: 4096 });
});

Deno.test("Device.settle() submits uploads that no command follows, and no more than once", async () => {
  const device = failingGpu(Infinity), x = device.empty([4]);
  let submits = 0;
  device.gpu.queue.submit = () => void submits++;
  await device.settle();
  assert.equal(submits, 0);
  x.write(new Float32Array(4));
  for (let i = 0; i < 2; i++) await device.settle();
  assert.equal(submits, 1);
  x.write(new Float32Array(4));
  device.copyInto(device.empty([4]), x);
  await device.settle();
  assert.equal(submits, 2);
});

Deno.test("Tensor.read() throws that the GPU was lost while it waited, however late that is told", async () => {
  for (const tell of [(loss: () => void) => loss(), (loss: () => void) => setTimeout(loss, 20)]) {
    const lost = Promise.withResolvers<GPUDeviceLostInfo>();
    const x = failingGpu(Infinity, {
      lost: lost.promise,
      mapAsync() {
        tell(() => lost.resolve({ reason: "destroyed", message: "reset" }));
        return Promise.reject(new DOMException("aborted"));
      },
    }).empty([4]);
    await assert.rejects(x.read(), /^DeviceLostError: Cannot go on: the GPU was lost, reset/);
  }
  const x = failingGpu(Infinity, { mapAsync: () => Promise.reject(new DOMException("aborted")) });
  await assert.rejects(x.empty([4]).read(), /^Error: aborted/);
});

Deno.test("Device says that the GPU was lost for want of memory, where it was", async () => {
  const lost = Promise.withResolvers<GPUDeviceLostInfo>();
  const device = failingGpu(PARAMS_BYTES + 4096, { lost: lost.promise });
  device.empty([1024]);
  device.empty([2000]);
  lost.resolve({ reason: "destroyed", message: "device was lost" });
  await assert.rejects(device.settle(), {
    name: "DeviceLostError",
    message:
      "Cannot go on: the GPU was lost, device was lost, after it ran out of memory with 4096 bytes " +
      "held, expected smaller parts, such as a smaller batch",
  });
  assert.throws(() => device.empty([1]), /ran out of memory/);
});

gpuTest("Device.trim() gives back what is free, and work goes on as before", async (device) => {
  const sum = async () => {
    using x = device.tensor(Float32Array.of(1, 2), [2]);
    using out = device.scope(() => scale(scale(x, 2), 3));
    return [...await out.read()];
  };
  assert.deepEqual(await sum(), [6, 12]);
  const { created, liveBytes } = device.pool;
  device.trim();
  assert.deepEqual([device.pool.heldBytes, device.pool.liveBytes], [liveBytes, liveBytes]);
  assert.deepEqual(await sum(), [6, 12]);
  assert.ok(device.pool.created > created);
});

ownDeviceTest("Device gives back what work of ever other sizes leaves behind", async (device) => {
  const rounds = 50, most = 2 ** 28 + 2 ** 24;
  using results = device.empty([rounds]);
  for (let i = 0; i < rounds; i++) {
    device.scope(() => {
      // 12 MiB and more in each round: x, the texture that it is read from on a CPU driver, and y.
      const x = device.empty([2 ** 20 + 1024 * i]);
      fill(x, 10 + i);
      const y = gelu(x);
      using last = viewOf(y, { first: y.elements - 64, shape: [1] });
      storeAt(results, last, { first: i });
    });
    assert.ok(device.pool.heldBytes < most, `${device.pool.heldBytes} bytes held`);
  }
  // Far above zero gelu(x) is x.
  assert.deepEqual(await results.read(), Float32Array.from({ length: rounds }, (_, i) => 10 + i));
});

ownDeviceTest("Device.trim() lets go of what was bound, and binds it anew", (device) => {
  let made = 0;
  const create = device.gpu.createBindGroup;
  device.gpu.createBindGroup = (descriptor) => {
    made++;
    return create.call(device.gpu, descriptor);
  };
  using x = device.empty([1]);
  for (let i = 0; i < 2; i++) fill(x, i);
  assert.equal(made, 1);
  device.trim();
  fill(x, 2);
  assert.equal(made, 2);
});

ownDeviceTest("Device goes no further once the GPU was lost", async (device) => {
  const x = device.tensor(Float32Array.of(1), [1]);
  await device.settle();
  device.gpu.destroy();
  await device.gpu.lost;
  assert.throws(() => fill(x, 1), DeviceLostError);
  await assert.rejects(x.read(), /^DeviceLostError: Cannot go on: the GPU was lost, /);
});

ownDeviceTest("Device.dispose() makes every later use a ReferenceError", async (device) => {
  const x = device.tensor(Float32Array.of(1), [1]), y = device.tensor(Float32Array.of(1), [1]);
  fill(x, 2);
  device.dispose();
  device.dispose();
  const closed = { name: "ReferenceError", message: "Cannot use the device: it was closed" };
  assert.throws(() => fill(x, 1), closed);
  assert.throws(() => device.empty([1]), closed);
  assert.throws(() => x.write(Float32Array.of(1)), closed);
  assert.throws(() => device.copyInto(y, x), closed);
  await assert.rejects(x.read(), closed);
  await assert.rejects(device.settle(), closed);
  // Releasing what is left is no use of the device.
  x.dispose();
});
