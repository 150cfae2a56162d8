import assert from "node:assert/strict";
import { ParameterStore } from "../../kernels/core/parameter_store.ts";
import { SiT } from "../../model/sit.ts";
import { draw, stack } from "../../sample/draw.ts";
import { parseConfig } from "../../train/config.ts";
import { gpuTest } from "../_gpu.ts";

const SIZES = {
  inputSize: 8,
  channels: 3,
  patchSize: 4,
  width: 16,
  depth: 1,
  heads: 2,
  condition: { snippetDim: 4 },
  zeroInit: false,
} as const;

for (const scale of [1, 2]) {
  gpuTest(
    `draw() makes no buffer and no bind group after its first steps at scale ${scale}`,
    (device) => {
      using store = new ParameterStore(device, { seed: 0 });
      const model = new SiT(store, SIZES);
      const { sample: config } = parseConfig("", {
        overrides: ["sample.sampler=euler", "sample.steps=8", `sample.guidance.scale=${scale}`],
      });
      let groups = 0;
      const made: number[][] = [];
      const create = device.gpu.createBindGroup;
      device.gpu.createBindGroup = (descriptor) => {
        groups++;
        return create.call(device.gpu, descriptor);
      };
      try {
        using condition = device.tensor(new Float32Array(8).fill(0.5), [2, 4]);
        const onStep = () => void made.push([groups, device.pool.created]);
        const { images, evaluations } = draw({ model, condition, config, onStep });
        images.dispose();
        assert.equal(evaluations, 8 * scale);
      } finally {
        device.gpu.createBindGroup = create;
      }
      assert.equal(made.length, 8);
      assert.ok(made[0]![0]! > 0);
      // The state moves between two buffers, so a round of both comes first.
      for (const each of made.slice(4)) assert.deepEqual(each, made[3]);
    },
  );
}

gpuTest("draw() guides as two networks would", async (device) => {
  using store = new ParameterStore(device, { seed: 0 });
  const model = new SiT(store, SIZES);
  const overrides = ["sample.sampler=euler", "sample.steps=1"];
  using condition = device.tensor(new Float32Array(8).map((_, i) => Math.sin(i)), [2, 4]);
  using nothing = device.tensor(new Float32Array(8), [2, 4]);
  const read = async (given: typeof condition, scale: number) => {
    const { sample: config } = parseConfig("", {
      overrides: [...overrides, `sample.guidance.scale=${scale}`],
    });
    const { images } = draw({ model, condition: given, config });
    const values = await images.read();
    images.dispose();
    return values;
  };
  const towards = await read(condition, 1), away = await read(nothing, 1);
  const guided = await read(condition, 3);
  // One Euler step is affine in the prediction, so guidance of the prediction is that of the image.
  guided.forEach((value, i) => {
    const want = away[i]! + 3 * (towards[i]! - away[i]!);
    assert.ok(Math.abs(value - want) <= 1e-4 * (1 + Math.abs(want)), `${i}: ${value}, ${want}`);
  });
  assert.ok(towards.some((value, i) => Math.abs(value - away[i]!) > 1e-3));
});

gpuTest("stack() refuses tensors of other shapes", (device) => {
  device.scope(() => {
    assert.throws(() => stack(device.empty([2, 3]), device.empty([1, 3])), {
      name: "TypeError",
      message: "Cannot stack [2, 3] and [1, 3]: expected one shape",
    });
  });
});
