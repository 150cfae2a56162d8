import assert from "node:assert/strict";
import { guide } from "../../kernels/guide/mod.ts";
import { guideReference } from "../../kernels/guide/reference.ts";
import { checkOp, ROUNDING } from "../_check_op.ts";
import { gpuTest } from "../_gpu.ts";

gpuTest("guide() matches the reference for all channels and for the first ones", async (device) => {
  for (
    const { shape, channels } of [
      { shape: [1, 1, 1, 1], channels: "all" },
      { shape: [3, 4, 5, 7], channels: "all" },
      { shape: [3, 4, 5, 7], channels: 3 },
      { shape: [2, 5, 8, 8], channels: 0 },
    ] as const
  ) {
    const [batch, total, height, width] = shape;
    const guided = channels === "all" ? total : channels;
    await checkOp(device, {
      name: `guide [${shape}] ${channels}`,
      inputs: { predictions: [2 * batch, total, height, width] },
      op: ({ predictions }) => guide(predictions!, { scale: 7.75, channels }),
      reference: ({ predictions }) =>
        guideReference(predictions!, {
          plane: height * width,
          channels: total,
          guided,
          scale: 7.75,
        }),
      gradients: [],
      // Three roundings of numbers up to 1 + 2 scale = 16.5; the largest results are above 3.3.
      tolerance: { forward: 3 * 5 * ROUNDING },
    });
  }
});

gpuTest("guide() refuses an odd batch and channels that are not there", (device) => {
  device.scope(() => {
    const x = device.empty([2, 3, 4, 4]);
    assert.throws(() => guide(device.empty([3, 3, 4, 4]), { scale: 2 }), {
      name: "TypeError",
      message: "Cannot guide [3, 3, 4, 4]: expected [2 B, C, H, W]",
    });
    assert.throws(() => guide(x.reshape([2, 48]), { scale: 2 }), TypeError);
    for (const channels of [4, -1, 1.5]) {
      assert.throws(() => guide(x, { scale: 2, channels }), {
        name: "RangeError",
        message: `Cannot guide ${channels} channels of [2, 3, 4, 4]: expected 0 to 3`,
      });
    }
  });
});
