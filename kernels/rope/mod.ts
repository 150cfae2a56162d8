/**
 * Rotary positions.
 *
 * @module
 */

import texelOf from "../common/texel_of.wgsl.ts";
import { spreadWorkgroups } from "../core/device.ts";
import { Kernel } from "../core/kernel.ts";
import { stagedVariant } from "../core/staged_variant.ts";
import { formatShape, type Tensor } from "../core/tensor.ts";
import rotateSource from "./rotate.wgsl.ts";
import rotateTextureSource from "./rotate_texture.wgsl.ts";
import rotateVectorSource from "./rotate_vector.wgsl.ts";

/** The kernel by its variant. */
export const ROTATE: Readonly<Record<"pairs" | "texture" | "vector", Kernel>> = {
  pairs: new Kernel({ source: rotateSource }),
  texture: new Kernel({ source: rotateTextureSource, includes: [texelOf] }),
  vector: new Kernel({ source: rotateVectorSource }),
};

/** By which angles {@linkcode rope} turns. */
export interface RopeOptions {
  /** H; each head has D / H channels, an even number. */
  readonly heads: number;
  /** Cosines [T, D / H] of the angles, one for each channel. */
  readonly cos: Tensor;
  /** Sines [T, D / H] of the angles, one for each channel. */
  readonly sin: Tensor;
}

/**
 * Turns queries and keys by the place of their token, so that their product depends on the distance
 * (Su et al., arXiv 2104.09864, section 3.2.2): for every pair of neighbouring channels (a, b) of a
 * head, a' = a cos₀ − b sin₀ and b' = b cos₁ + a sin₁. `qkv` [B, T, 3·D] holds queries, keys and
 * values of all heads; values pass unchanged; the result has the same shape. The tables `cos` and
 * `sin` get no gradient.
 *
 * Throws `TypeError` when the shapes do not fit or a head has an odd number of channels, and while a tape
 * records, for tables that need a gradient.
 *
 * @example
 * ```ts
 * import { Device, rope } from "@gmem/gmem/kernels";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * using qkv = device.tensor(Float32Array.of(1, 0, 0, 2, 5, 6), [1, 1, 6]); // q, k and v
 * using cos = device.tensor(Float32Array.of(0, 0), [1, 2]);
 * using sin = device.tensor(Float32Array.of(1, 1), [1, 2]); // a quarter turn
 * using turned = rope(qkv, { heads: 1, cos, sin });
 * console.log(await turned.read()); // Float32Array(6) [ 0, 1, -2, 0, 5, 6 ]
 * ```
 */
export function rope(qkv: Tensor, options: RopeOptions): Tensor {
  const { heads, cos, sin } = options;
  const { device } = qkv;
  const [, tokens = 0, packed = 0] = qkv.shape;
  const headWidth = packed / 3 / heads;
  const table = formatShape([tokens, headWidth]);
  if (qkv.shape.length !== 3 || !Number.isInteger(headWidth / 2)) {
    throw new TypeError(
      `Cannot rotate ${formatShape(qkv.shape)} with ${heads} heads: ` +
        `expected [B, T, 3 x heads x an even head width]`,
    );
  }
  if (formatShape(cos.shape) !== table || formatShape(sin.shape) !== table) {
    throw new TypeError(
      `Cannot rotate ${formatShape(qkv.shape)} with ${heads} heads by cosines ` +
        `${formatShape(cos.shape)} and sines ${formatShape(sin.shape)}: expected ${table} each`,
    );
  }
  const out = device.empty(qkv.shape);
  rotateInto(out, { ...options, x: qkv, transposed: 0, accumulate: 0 });
  device.tape?.push({
    name: "rope",
    inputs: [qkv],
    output: out,
    saved: [cos, sin],
    constants: [cos, sin],
    backward(dy, gradients) {
      gradients.into(
        qkv,
        (dx, accumulate) => rotateInto(dx, { ...options, x: dy, transposed: 1, accumulate }),
      );
    },
  });
  return out;
}

function rotateInto(
  out: Tensor,
  options: RopeOptions & { x: Tensor; transposed: 0 | 1; accumulate: 0 | 1 },
): void {
  const { heads, cos, sin, x, transposed, accumulate } = options;
  const [tokens = 0, headWidth = 0] = cos.shape;
  const { device } = out, tensors = { x, cosines: cos, sines: sin, out };
  const variant = stagedVariant(device, "rope", {
    among: ROTATE,
    otherwise: "vector",
    only: headWidth % 4 === 0 ? undefined : "pairs",
  });
  if (variant === "pairs") {
    const pairs = x.elements / 2, pairsPerHead = headWidth / 2;
    device.dispatch(ROTATE.pairs, {
      tensors,
      params: {
        pairs,
        tokens,
        pairs_per_part: heads * pairsPerHead,
        pairs_per_head: pairsPerHead,
        transposed,
        accumulate,
      },
      workgroups: spreadWorkgroups(Math.ceil(pairs / 64)),
    });
  } else {
    const vectors = x.elements / 4, vectorsPerHead = headWidth / 4;
    device.dispatch(ROTATE[variant], {
      tensors,
      params: {
        vectors,
        tokens,
        vectors_per_part: heads * vectorsPerHead,
        vectors_per_head: vectorsPerHead,
        transposed,
        accumulate,
      },
      workgroups: spreadWorkgroups(Math.ceil(vectors / 64)),
    });
  }
}
