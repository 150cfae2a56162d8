import assert from "node:assert/strict";
import texelOf from "../../../kernels/common/texel_of.wgsl.ts";
import { Device } from "../../../kernels/core/device.ts";
import { fill } from "../../../kernels/core/in_place.ts";
import { Kernel } from "../../../kernels/core/kernel.ts";
import { dispatchesAllowed, Recorder } from "../../../kernels/core/recorder.ts";
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
  device.copyInto(x, other);
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

Deno.test("dispatchesAllowed() lets a submission take a quarter of a second", () => {
  assert.equal(dispatchesAllowed(256, { dispatches: 2000, milliseconds: 20_000 }), 25);
  assert.equal(dispatchesAllowed(256, { dispatches: 1, milliseconds: 9000 }), 1);
  // Fewer at once, more by halves, up to what fits.
  assert.equal(dispatchesAllowed(32, { dispatches: 2000, milliseconds: 100 }), 48);
  assert.equal(dispatchesAllowed(4000, { dispatches: 2000, milliseconds: 100 }), 5000);
  assert.equal(dispatchesAllowed(1, { dispatches: 2000, milliseconds: 100 }), 2);
  // A short wait says little of the work; one of 50 ms is the first that counts.
  assert.equal(dispatchesAllowed(256, { dispatches: 1, milliseconds: 49 }), 256);
  assert.equal(dispatchesAllowed(256, { dispatches: 1, milliseconds: 50 }), 5);
  assert.equal(dispatchesAllowed(32, { dispatches: 122, milliseconds: 12 }), 48);
});

/** Dispatches of one kind of work: how many until a wait, of which kernels, and how long each takes. */
interface Work {
  readonly kernels: readonly string[];
  readonly dispatches: number;
  readonly milliseconds: number;
}

/** A GPU with a clock of its own, on which a recorder works; its waits cost 12 ms. */
class ClockedGpu {
  readonly recorder: Recorder;
  /** What each submission since {@linkcode ClockedGpu.longest} was asked kept the GPU busy for. */
  submissions: number[] = [];
  readonly #pipelines = new Map<string, GPUComputePipeline>();
  #clock = 0;
  #each = 0;

  constructor(options: { paced: boolean }) {
    const gpu = {
      createBuffer: () => ({}),
      createCommandEncoder: () => {
        let busy = 0;
        const pass = { setPipeline() {}, setBindGroup() {}, end() {} };
        const dispatchWorkgroups = () => void (busy += this.#each);
        return {
          beginComputePass: () => ({ ...pass, dispatchWorkgroups }),
          finish: () => busy,
        };
      },
      queue: {
        writeBuffer() {},
        submit: ([busy]: [number]) => {
          this.submissions.push(busy);
          this.#clock += busy;
        },
      },
    };
    this.recorder = new Recorder(gpu as unknown as GPUDevice, {
      ...options,
      guarded: (submit) => submit(),
    });
  }

  /** Records the work, submits and waits. */
  run({ kernels, dispatches, milliseconds }: Work): void {
    const { now } = performance;
    performance.now = () => this.#clock;
    try {
      this.#each = milliseconds;
      for (let i = 0; i < dispatches; i++) {
        const name = kernels[i % kernels.length]!;
        let pipeline = this.#pipelines.get(name);
        if (!pipeline) this.#pipelines.set(name, pipeline = {} as GPUComputePipeline);
        const group = {} as GPUBindGroup;
        this.recorder.dispatch({ name, pipeline, group, params: undefined, workgroups: [1, 1, 1] });
      }
      this.recorder.submit();
      this.#clock += 12;
      this.recorder.waited();
    } finally {
      performance.now = now;
    }
  }

  /** The longest submission since it was last asked. */
  longest(): number {
    const longest = Math.max(...this.submissions);
    this.submissions = [];
    return longest;
  }
}

/** A bank's batch, a step of training and a batch of samples, in times of a GPU of 1 TFLOP/s. */
const BANK: Work = { kernels: ["encode"], dispatches: 122, milliseconds: 0.2 };
const STEP: Work = { kernels: ["encode", "forward", "back"], dispatches: 752, milliseconds: 6.5 };
const SAMPLES: Work = { kernels: ["forward", "draw"], dispatches: 400, milliseconds: 1.3 };

function times(factor: number, work: Work): Work {
  return { ...work, milliseconds: work.milliseconds * factor };
}

Deno.test("Recorder never lets a slow GPU work for two seconds at a time", () => {
  // Systems reset a GPU after two seconds and more. What is faster than this has less to fear.
  for (const speed of [1, 2, 8]) {
    const gpu = new ClockedGpu({ paced: true }),
      run = (work: Work) => gpu.run(times(1 / speed, work));
    // However many short waits there are, the first step is one of kernels that were never timed.
    for (let batch = 0; batch < 100; batch++) run(BANK);
    run(STEP);
    assert.ok(gpu.longest() < 500, `${speed}: first step`);
    for (let evaluation = 1; evaluation <= 5; evaluation++) {
      for (let step = 0; step < 5; step++) run(STEP);
      for (let batch = 0; batch < 3 ** evaluation; batch++) run(SAMPLES);
    }
    run(STEP);
    // Samples take a fifth of the time for a dispatch, and were allowed a quarter of a second.
    assert.ok(gpu.longest() <= 5 * 250, `${speed}: step after samples`);
  }
});

Deno.test("Recorder submits once for a step that a GPU was seen to be fast at", () => {
  const gpu = new ClockedGpu({ paced: true }), fast = times(1 / 50, STEP);
  gpu.run(fast);
  assert.equal(gpu.submissions.length, Math.ceil(752 / 32));
  // From 32 on by halves: eight waits to 752.
  for (let wait = 0; wait < 8; wait++) gpu.run(fast);
  gpu.longest();
  gpu.run(fast);
  assert.equal(gpu.submissions.length, 1);
});

Deno.test("Recorder without pace submits when it is told to alone", () => {
  const gpu = new ClockedGpu({ paced: false });
  for (const work of [STEP, SAMPLES, STEP]) gpu.run(work);
  assert.equal(gpu.submissions.length, 3);
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
