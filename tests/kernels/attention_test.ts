import assert from "node:assert/strict";
import { attention } from "../../kernels/attention/mod.ts";
import { attentionReference } from "../../kernels/attention/reference.ts";
import {
  type AttentionVariant,
  pickAttention,
  supportsAttention,
} from "../../kernels/attention/variants.ts";
import type { Device } from "../../kernels/core/device.ts";
import type { Profile } from "../../kernels/core/profile.ts";
import { checkOp, randomValues, ROUNDING, sumTolerance } from "../_check_op.ts";
import { gpuTest, openDevice } from "../_gpu.ts";

const VARIANTS: readonly AttentionVariant[] = ["naive", "rows", "tiled"];

interface Size {
  readonly batch: number;
  readonly tokens: number;
  readonly heads: number;
  readonly headWidth: number;
}

// 1, odd ones, one real size, one past a tile of 32 rows, and two slices of columns past one of 64.
const SIZES: readonly Size[] = [
  { batch: 1, tokens: 1, heads: 1, headWidth: 4 },
  { batch: 2, tokens: 5, heads: 3, headWidth: 8 },
  { batch: 2, tokens: 16, heads: 4, headWidth: 48 },
  { batch: 1, tokens: 33, heads: 2, headWidth: 64 },
  { batch: 1, tokens: 70, heads: 1, headWidth: 72 },
];
const ODD: Size = { batch: 1, tokens: 7, heads: 2, headWidth: 5 };

/**
 * Error relative to the largest result. Scores of magnitude at most `largest` lose the roundings of
 * a sum over the head, and their exponentials 3 + 2·|x| units in the last place, which is what WGSL
 * grants exp(); both are relative errors of the weights, of which `tokens` are summed. The gradient
 * runs through the weights twice, once as a difference: twice the error.
 */
function toleranceOf(size: Size, largest: number): { forward: number; backward: number } {
  const scores = largest * sumTolerance(size.headWidth);
  const exponentials = 2 * ROUNDING * (3 + 2 * largest);
  const forward = scores + exponentials + sumTolerance(size.tokens);
  return { forward, backward: 2 * forward + sumTolerance(size.headWidth) };
}

async function checkSize(device: Device, size: Size, factor = 1): Promise<void> {
  const { batch, tokens, heads, headWidth } = size;
  const shape = [batch, tokens, 3 * heads * headWidth];
  // |q k| / sqrt(width): a random walk of products of a third of a square, 4 standard deviations.
  const largest = 4 / 3 * factor ** 2;
  await checkOp(device, {
    name: `attention ${batch}x${tokens}x${heads}x${headWidth} times ${factor}`,
    inputs: { qkv: shape },
    values: { qkv: randomValues(shape, 17).map((value) => factor * value) },
    op: ({ qkv }) => attention(qkv!, { heads }),
    reference: ({ qkv }) => attentionReference(qkv!, size),
    tolerance: toleranceOf(size, largest),
  });
}

for (const variant of VARIANTS) {
  Deno.test({
    name: `attention() with the ${variant} kernels and its gradient match the reference`,
    sanitizeOps: false,
    sanitizeResources: false,
    async fn() {
      using device = await openDevice({ variants: { attention: variant } });
      if (!device) return;
      for (const size of [...SIZES, ODD]) {
        // What a variant does not support goes through `naive`, which has its own test.
        if (!supportsAttention(variant, { profile: device.profile, size })) continue;
        await checkSize(device, size);
      }
      await checkSize(device, { batch: 1, tokens: 33, heads: 2, headWidth: 64 }, 8);
    },
  });
}
