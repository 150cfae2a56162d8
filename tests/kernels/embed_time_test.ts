import assert from "node:assert/strict";
import type { Device } from "../../kernels/core/device.ts";
import { embedTime } from "../../kernels/embed_time/mod.ts";
import { embedTimeReference } from "../../kernels/embed_time/reference.ts";
import { goldenTest } from "../_goldens.ts";
import { gpuTest, inRowsOfTwo, NO_ADAPTER, sharedDevice } from "../_gpu.ts";

const UNIT = 2 ** -22;
const TIMES = Float32Array.of(
  0,
  1e-3,
  0.25,
  1 / 3,
  0.5,
  0.999,
  1,
  -0.7,
  37.5,
  354.9,
  -805,
  999,
  1000,
);

/** Fails where an element is off by more than `units` (1 + |t f|) 2^-22. */
function assertWaves(
  got: Float32Array,
  want: ArrayLike<number>,
  options: { times: Float32Array; width: number; maxPeriod: number; units: number },
): void {
  const { times, width, maxPeriod, units } = options;
  const half = Math.floor(width / 2);
  assert.equal(got.length, want.length);
  got.forEach((value, i) => {
    const time = times[Math.floor(i / width)]!, k = i % width % half;
    const bound = units * UNIT * (1 + Math.abs(time) * maxPeriod ** (-k / half));
    const error = Math.abs(value - want[i]!);
    assert.ok(
      error <= bound,
      `width ${width}, time ${time}, wave ${k}: got ${value}, want ${want[i]}, bound ${bound}`,
    );
  });
}

async function embed(
  device: Device,
  options: { times: Float32Array; width: number; maxPeriod: number },
): Promise<Float32Array> {
  const { times, ...rest } = options;
  using t = device.tensor(times, [times.length]);
  using out = inRowsOfTwo(device, () => embedTime(t, rest)), again = embedTime(t, rest);
  assert.deepEqual(out.shape, [times.length, options.width]);
  const waves = await out.read();
  assert.deepEqual(await again.read(), waves);
  return waves;
}

gpuTest("embedTime() matches the reference up to angles of a thousand", async (device) => {
  for (const width of [2, 3, 33, 256, 1000]) {
    for (const maxPeriod of [1, 3.5, 10000]) {
      const options = { times: TIMES, width, maxPeriod };
      const got = await embed(device, options);
      const want = embedTimeReference(new Float64Array(TIMES), options);
      assertWaves(got, want, { ...options, units: 1 });
      if (width % 2 === 1) assert.equal(got[width - 1], 0);
    }
  }
});

gpuTest("embedTime() gives cosines before sines, 256 of both unless told", async (device) => {
  using t = device.tensor(Float32Array.of(0), [1]);
  using out = embedTime(t);
  const ones = new Float32Array(256).fill(1, 0, 128);
  assert.deepEqual(await out.read(), ones);
});

goldenTest("embedTime() gives the official embedding", {
  golden: "transport_losses",
  ignore: NO_ADAPTER,
  async fn(golden) {
    const device = await sharedDevice();
    const times = golden.readFloat32("timestep.t");
    for (const width of [32, 33, 256]) {
      const options = { times, width, maxPeriod: 10000 };
      // Two units: the official numbers were computed in f32 as well.
      const want = golden.readFloat32(`timestep.D${width}`);
      assertWaves(await embed(device, options), want, { ...options, units: 2 });
    }
  },
});

gpuTest("embedTime() refuses widths, periods and shapes that make no sense", (device) => {
  device.scope(() => {
    const t = device.empty([3]);
    assert.throws(() => embedTime(t, { width: 1 }), /the width is 1, expected/);
    assert.throws(() => embedTime(t, { maxPeriod: 0.5 }), /maxPeriod is 0.5, expected/);
    assert.throws(() => embedTime(device.empty([3, 1])), /times \[3, 1\]: expected shape \[B\]/);
  });
});
