import assert from "node:assert/strict";
import { Tape } from "../../kernels/core/tape.ts";
import { linear } from "../../kernels/linear/mod.ts";
import { patchify, unpatchify, type UnpatchifyOptions } from "../../kernels/patchify/mod.ts";
import { patchifyReference, unpatchifyReference } from "../../kernels/patchify/reference.ts";
import { assertClose, checkOp, sumTolerance } from "../_check_op.ts";
import { goldenTest } from "../_goldens.ts";
import { gpuTest, NO_ADAPTER, sharedDevice } from "../_gpu.ts";

const EXACT = { forward: 0 };

gpuTest("patchify() and its gradient match the reference exactly", async (device) => {
  for (
    const [batch, channels, height, width, patchSize] of [
      [1, 1, 1, 1, 1],
      [2, 3, 4, 6, 2],
      [3, 4, 9, 6, 3],
      [2, 5, 7, 3, 1],
      [1, 3, 32, 32, 4],
    ] as const
  ) {
    await checkOp(device, {
      name: `patchify ${batch}x${channels}x${height}x${width} by ${patchSize}`,
      inputs: { images: [batch, channels, height, width] },
      op: ({ images }) => patchify(images!, { patchSize }),
      reference: ({ images }) => patchifyReference(images!, { channels, height, width, patchSize }),
      tolerance: EXACT,
    });
  }
});

gpuTest("unpatchify() and its gradient match the reference exactly", async (device) => {
  for (
    const [batch, channels, tokenChannels, gridHeight, gridWidth, patchSize] of [
      [1, 1, 1, 1, 1, 1],
      [2, 3, 3, 2, 2, 2],
      [3, 2, 5, 3, 3, 3],
      [2, 4, 8, 2, 5, 2],
      [1, 4, 8, 8, 8, 4],
    ] as const
  ) {
    await checkOp(device, {
      name:
        `unpatchify ${gridHeight}x${gridWidth} of ${patchSize}, ${channels} of ${tokenChannels}`,
      inputs: { tokens: [batch, gridHeight * gridWidth, patchSize * patchSize * tokenChannels] },
      op: ({ tokens }) =>
        unpatchify(tokens!, {
          patchSize,
          ...(channels === tokenChannels ? {} : { channels }),
          ...(gridHeight === gridWidth ? {} : { gridWidth }),
        }),
      reference: ({ tokens }) =>
        unpatchifyReference(tokens!, { channels, tokenChannels, gridHeight, gridWidth, patchSize }),
      tolerance: EXACT,
    });
  }
});

gpuTest("unpatchify() gives dropped channels a gradient of exactly zero", async (device) => {
  const tokens = device.tensor(new Float32Array(2 * 4 * 24).fill(1), [2, 4, 24]);
  const dy = device.tensor(new Float32Array(2 * 3 * 16).fill(7), [2, 3, 4, 4]);
  const tape = new Tape(device);
  tape.watch(tokens);
  const images = tape.record(() => unpatchify(tokens, { patchSize: 2, channels: 3 }));
  tape.backwardFrom(images, dy);
  const gradient = tape.gradient(tokens);
  (await gradient.read()).forEach((value, i) => assert.equal(value, i % 6 < 3 ? 7 : 0));
  for (const tensor of [tokens, dy, images, gradient]) tensor.dispose();
});

goldenTest("patchify() and unpatchify() put tokens where the official model does", {
  golden: "sit_tiny",
  ignore: NO_ADAPTER,
  async fn(golden) {
    const device = await sharedDevice();
    const got = device.scope(() => {
      const [x, weight, bias, tokens] = [
        "input.x",
        "x_embedder.proj.weight",
        "x_embedder.proj.bias",
        "act.final_layer",
      ].map((key) => device.tensor(golden.readFloat32(key), golden.entry(key).shape));
      return {
        embedded: linear(patchify(x!, { patchSize: 2 }), weight!, { bias }),
        out: unpatchify(tokens!, { patchSize: 2, channels: 4 }),
      };
    });
    assertClose(await got.embedded.read(), golden.readFloat32("act.x_embedder"), {
      tolerance: 2 * sumTolerance(16),
      name: "x_embedder",
    });
    assert.deepEqual(await got.out.read(), golden.readFloat32("output.out"));
    got.embedded.dispose();
    got.out.dispose();
  },
});

gpuTest("patchify() and unpatchify() name the shapes that do not fit", (device) => {
  device.scope(() => {
    assert.throws(
      () => patchify(device.empty([1, 3, 6, 9]), { patchSize: 2 }),
      /images \[1, 3, 6, 9\] into patches of 2: expected/,
    );
    assert.throws(() => patchify(device.empty([3, 6, 6]), { patchSize: 2 }), TypeError);
    assert.throws(() => patchify(device.empty([1, 3, 6, 9]), { patchSize: 1.5 }), TypeError);
    const tokens = device.empty([1, 6, 12]);
    const refused = (
      options: Omit<UnpatchifyOptions, "patchSize">,
      expected: string,
      patchSize = 2,
    ) =>
      assert.throws(() => unpatchify(tokens, { ...options, patchSize }), {
        name: "TypeError",
        message:
          `Cannot put tokens [1, 6, 12] together as patches of ${patchSize}: expected ${expected}`,
      });
    refused({}, "a square number of tokens, or gridWidth");
    for (const gridWidth of [4, 0, -3, 1.5]) {
      refused({ gridWidth }, `tokens in whole rows of gridWidth ${gridWidth}`);
    }
    for (const patchSize of [5, -2, 0.5]) {
      refused({ gridWidth: 3 }, "[B, T, patchSize² · channels]", patchSize);
    }
    for (const channels of [4, 1.5, 0]) {
      refused({ gridWidth: 3, channels }, `channels from 1 to 3 in place of ${channels}`);
    }
    assert.deepEqual(unpatchify(tokens, { patchSize: 2, gridWidth: 3 }).shape, [1, 3, 4, 6]);
  });
});
