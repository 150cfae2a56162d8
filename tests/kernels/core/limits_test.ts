import assert from "node:assert/strict";
import type { Device } from "../../../kernels/core/device.ts";
import { Kernel } from "../../../kernels/core/kernel.ts";
import { MAX_LOOP_ROUNDS } from "../../../kernels/core/limits.ts";
import { gpuTest } from "../../_gpu.ts";

/** A kernel that counts the rounds of two loops, of which it is asked for `first` and `second`. */
function loopKernel(name: string, loops: string): Kernel {
  return new Kernel({
    source: /* wgsl */ `
      struct Params { first: u32, second: u32 }
      @group(0) @binding(0) var<uniform> params: Params;
      @group(0) @binding(1) var<storage, read_write> rounds: array<f32>;
      @compute @workgroup_size(1)
      fn ${name}() { ${loops} }`,
  });
}

const FOLLOWING_LOOPS = loopKernel(
  "following_loops",
  /* wgsl */ `
    for (var i = 0u; i < params.first; i++) { rounds[0] += 1.0; }
    for (var i = 0u; i < params.second; i++) { rounds[1] += 1.0; }`,
);

const NESTED_LOOPS = loopKernel(
  "nested_loops",
  /* wgsl */ `
    for (var i = 0u; i < params.first; i++) {
      rounds[0] += 1.0;
      for (var j = 0u; j < params.second; j++) { rounds[1] += 1.0; }
    }`,
);

/** The rounds that two loops make of those that they are asked for. */
async function roundsOf(device: Device, kernel: Kernel, asked: readonly [number, number]) {
  const [first, second] = asked;
  using rounds = device.tensor(new Float32Array(2), [2]);
  device.dispatch(kernel, { tensors: { rounds }, params: { first, second }, workgroups: [1] });
  return [...await rounds.read()];
}

gpuTest(
  "loops make MAX_LOOP_ROUNDS rounds together, of which leaving one is one",
  async (device) => {
    for (const asked of [[MAX_LOOP_ROUNDS, 0], [30_000, MAX_LOOP_ROUNDS - 30_001]] as const) {
      assert.deepEqual(await roundsOf(device, FOLLOWING_LOOPS, asked), asked);
    }
    // A round around, three within and leaving them: 5 of 65,535.
    assert.deepEqual(await roundsOf(device, NESTED_LOOPS, [13_107, 3]), [13_107, 3 * 13_107]);
  },
);

gpuTest("drivers that end loops make no more rounds than MAX_LOOP_ROUNDS", async (device) => {
  const many = 2 * MAX_LOOP_ROUNDS;
  if ((await roundsOf(device, FOLLOWING_LOOPS, [many, 0]))[0] === many) {
    return console.log("skipped: this driver ends no loop");
  }
  const second = MAX_LOOP_ROUNDS - 30_001;
  assert.deepEqual(
    await roundsOf(device, FOLLOWING_LOOPS, [30_000, second + 1]),
    [30_000, second],
  );
  for (const first of [MAX_LOOP_ROUNDS + 1, many]) {
    assert.equal((await roundsOf(device, FOLLOWING_LOOPS, [first, 0]))[0], MAX_LOOP_ROUNDS);
  }
  const [, rounds] = await roundsOf(device, NESTED_LOOPS, [13_108, 3]);
  assert.equal(rounds, 3 * 13_107);
});
