import assert from "node:assert/strict";
import type { Device } from "../../kernels/core/device.ts";
import { rope, ROTATE } from "../../kernels/rope/mod.ts";
import { ropeReference } from "../../kernels/rope/reference.ts";
import { rotaryAngles } from "../../model/positions.ts";
import { assertClose, checkOp, randomValues, ROUNDING } from "../_check_op.ts";
import { goldenTest } from "../_goldens.ts";
import { gpuTest, NO_ADAPTER, openDevice, variantTest } from "../_gpu.ts";

// Two products and a sum, each rounded, of values that may cancel; then a sum with what was there.
const TOLERANCE = 4 * ROUNDING;

const SIZES = [
  { batch: 1, tokens: 1, heads: 1, headWidth: 2 },
  { batch: 2, tokens: 7, heads: 3, headWidth: 6 },
  { batch: 1, tokens: 11, heads: 1, headWidth: 10 },
  { batch: 1, tokens: 1, heads: 1, headWidth: 4 },
  { batch: 2, tokens: 64, heads: 6, headWidth: 64 },
  { batch: 2, tokens: 5, heads: 2, headWidth: 72 },
];

variantTest("rope() and its gradient match the reference", {
  op: "rope",
  among: ROTATE,
  async run(device, variant) {
    for (const { batch, tokens, heads, headWidth } of SIZES) {
      // A head width that is no multiple of 4 has the kernel of pairs alone, whichever is asked for.
      await checkOp(device, {
        name: `rope ${variant} ${batch}x${tokens}x${heads}x${headWidth}`,
        // Tables of unrelated numbers: not even the two of a pair agree.
        inputs: {
          qkv: [batch, tokens, 3 * heads * headWidth],
          cos: [tokens, headWidth],
          sin: [tokens, headWidth],
        },
        gradients: ["qkv"],
        op: ({ qkv, cos, sin }) => rope(qkv!, { heads, cos: cos!, sin: sin! }),
        reference: ({ qkv, cos, sin }) =>
          ropeReference({ qkv: qkv!, cos: cos!, sin: sin! }, { heads, headWidth }),
        tolerance: { forward: TOLERANCE },
      });
    }
  },
});

gpuTest("rope() makes products depend on the distance alone", async (device) => {
  const gridSize = 3, headWidth = 8, tokens = gridSize ** 2;
  const angles = rotaryAngles(gridSize, headWidth);
  const query = randomValues([headWidth], 1), key = randomValues([headWidth], 2);
  const values = new Float32Array(tokens * 3 * headWidth);
  for (let token = 0; token < tokens; token++) {
    values.set(query, token * 3 * headWidth);
    values.set(key, (token * 3 + 1) * headWidth);
  }
  using out = device.scope(() =>
    rope(device.tensor(values, [1, tokens, 3 * headWidth]), {
      heads: 1,
      cos: device.tensor(new Float32Array(angles.cos), [tokens, headWidth]),
      sin: device.tensor(new Float32Array(angles.sin), [tokens, headWidth]),
    })
  );
  const turned = await out.read();
  function product(queryToken: number, keyToken: number): number {
    let sum = 0;
    for (let i = 0; i < headWidth; i++) {
      sum += turned[queryToken * 3 * headWidth + i]! *
        turned[(keyToken * 3 + 1) * headWidth + i]!;
    }
    return sum;
  }
  // One row down and one column right, from three places.
  const products = [product(0, 4), product(1, 5), product(4, 8)];
  assertClose(products, Array(3).fill(products[0]), {
    tolerance: headWidth * 16 * ROUNDING,
    scale: 1,
    name: "products",
  });
  assert.ok(Math.abs(product(0, 1) - products[0]!) > 0.01, "another distance, another product");
});

for (const name of ["rope.hd16.grid4", "rope.hd24.grid5", "rope.hd8.grid3"]) {
  goldenTest(`rope() and rotaryAngles() reproduce the recorded ${name}`, {
    golden: "transport_losses",
    ignore: NO_ADAPTER,
    async fn(golden) {
      const cos = golden.readFloat32(`${name}.cos`), sin = golden.readFloat32(`${name}.sin`);
      const [batch, heads, tokens, headWidth] = golden.entry(`${name}.in`).shape as [
        number,
        number,
        number,
        number,
      ];
      const gridSize = Math.sqrt(tokens);
      const angles = rotaryAngles(gridSize, headWidth);
      // A frequency is computed in float32 by a power, off by up to 30 roundings.
      const bound = { tolerance: (gridSize * 30 + 2) * ROUNDING, scale: 1 };
      assertClose(angles.cos, cos, { ...bound, name: "cosines" });
      assertClose(angles.sin, sin, { ...bound, name: "sines" });

      using device = await openDevice();
      const layout = { batch, heads, tokens, headWidth };
      const input = golden.readFloat32(`${name}.in`), output = golden.readFloat32(`${name}.out`);
      const got = await rotatePacked(device, { ...layout, input, cos, sin });
      const parts = [output, output, input].map((values) => pack(values, layout));
      const want = parts[0]!.map((_, i) => parts[Math.floor(i / (heads * headWidth)) % 3]![i]!);
      assertClose(got, want, { tolerance: TOLERANCE, name });
    },
  });
}

interface Layout {
  readonly batch: number;
  readonly heads: number;
  readonly tokens: number;
  readonly headWidth: number;
}

/** [B, H, T, headWidth] three times over as [B, T, 3, H, headWidth]. */
function pack(values: Float32Array, { batch, heads, tokens, headWidth }: Layout): Float32Array {
  const out = new Float32Array(3 * values.length);
  let i = 0;
  for (let image = 0; image < batch; image++) {
    for (let token = 0; token < tokens; token++) {
      for (let part = 0; part < 3; part++) {
        for (let head = 0; head < heads; head++) {
          const first = ((image * heads + head) * tokens + token) * headWidth;
          out.set(values.subarray(first, first + headWidth), i);
          i += headWidth;
        }
      }
    }
  }
  return out;
}

async function rotatePacked(
  device: Device,
  options: Layout & { input: Float32Array; cos: Float32Array; sin: Float32Array },
): Promise<Float32Array> {
  const { batch, heads, tokens, headWidth, input, cos, sin } = options;
  const out = device.scope(() =>
    rope(device.tensor(pack(input, options), [batch, tokens, 3 * heads * headWidth]), {
      heads,
      cos: device.tensor(cos, [tokens, headWidth]),
      sin: device.tensor(sin, [tokens, headWidth]),
    })
  );
  const values = await out.read();
  out.dispose();
  return values;
}

gpuTest("rope() names what does not fit", (device) => {
  device.scope(() => {
    const table = device.empty([4, 6]), qkv = device.empty([2, 4, 36]);
    rope(qkv, { heads: 2, cos: table, sin: table });
    assert.throws(() => rope(device.empty([2, 4, 18]), { heads: 2, cos: table, sin: table }), {
      name: "TypeError",
      message:
        "Cannot rotate [2, 4, 18] with 2 heads: expected [B, T, 3 x heads x an even head width]",
    });
    assert.throws(() => rope(qkv, { heads: 2, cos: table, sin: device.empty([3, 6]) }), {
      name: "TypeError",
      message: "Cannot rotate [2, 4, 36] with 2 heads by cosines [4, 6] and sines [3, 6]: " +
        "expected [4, 6] each",
    });
  });
});
