/**
 * The network that a file of weights is of, read from the shapes in it.
 *
 * @module
 */

import { CheckpointError } from "../kernels/core/errors.ts";
import type { Shape } from "../kernels/core/tensor.ts";
import { MODEL_SIZES } from "./config.ts";
import type { ConditionOptions, SiTOptions } from "./sit.ts";
import { canonicalName, type TensorSource } from "./state_dict.ts";

/** What shapes do not tell for certain. */
export interface ModelOptionsHints {
  /**
   * Attention heads. By default those that rotary angles or norms of queries tell, or else those of the
   * published network of that width.
   */
  readonly heads?: number | undefined;
  /**
   * Whether the last row of the table of classes is the null class. By default it is, but in a table of
   * 1,000 rows, which are the classes of ImageNet.
   */
  readonly nullClass?: boolean | undefined;
}

/** Rows of a table of ImageNet's classes without a null class. */
const IMAGENET_CLASSES = 1000;

const LABELS = "y_embedder.embedding_table.weight";

/** The first layer of each snippet embedding. */
const SNIPPETS = {
  linear: "condition_projection.linear.weight",
  mlp3: "condition_projection.net.0.weight",
} as const;

/**
 * The options of the network whose weights a file holds: sizes and switches of SiT, REPA, LightningDiT
 * and GMem, released or trained by oneself, and of this project. REPA's projector is left out, since the
 * block that it reads is not told, and it is for training alone.
 *
 * Throws a `CheckpointError` if the file holds no such network, or if the number of its heads is not told.
 *
 * @example
 * ```ts
 * import { parameterSizes, readModelOptions } from "@gmem/gmem";
 *
 * const sizes = new Map(
 *   parameterSizes({
 *     inputSize: 8, channels: 3, patchSize: 4, width: 384, depth: 2, heads: 6,
 *     condition: { snippetDim: 16 },
 *   }).map(({ name, shape, count }) => [name, { shape, count }]),
 * );
 * const { depth, heads, condition } = readModelOptions({
 *   path: "memory", // as openWeights gives it for a file
 *   keys: () => sizes.keys(),
 *   shape: (key) => sizes.get(key)!.shape,
 *   readFloat32: (key) => new Float32Array(sizes.get(key)!.count),
 * });
 * console.log(depth, heads, condition); // 2 6 { snippetDim: 16, embedding: "linear" }
 * ```
 */
export function readModelOptions(source: TensorSource, hints: ModelOptionsHints = {}): SiTOptions {
  const shapes = new Map<string, Shape>();
  for (const key of source.keys()) shapes.set(canonicalName(key), source.shape(key));
  const fail = (state: string): never => {
    throw new CheckpointError(`Cannot tell the network of ${source.path}: ${state}`, {
      path: source.path,
    });
  };
  const shapeOf = (name: string): Shape =>
    shapes.get(name) ??
      fail(`it has no ${name}, expected the weights of SiT, REPA, LightningDiT or GMem`);
  const [width = 0, channels = 0, patchSize = 0] = shapeOf("x_embedder.proj.weight");
  const [, tokens = 0] = shapeOf("pos_embed"), grid = Math.sqrt(tokens);
  if (!Number.isInteger(grid)) fail(`pos_embed is for ${tokens} tokens, expected a square number`);
  let depth = 0;
  while (shapes.has(`blocks.${depth}.attn.qkv.weight`)) depth++;
  const [modulation = 0] = shapeOf("blocks.0.adaLN_modulation.1.weight");
  const [outputs = 0] = shapeOf("final_layer.linear.weight");
  const swiglu = shapes.has("blocks.0.mlp.w12.weight");
  const rope = shapes.get("feat_rope.freqs_cos");
  const headNorm = shapes.get("blocks.0.attn.q_norm.weight");
  const headWidth = rope?.[1] ?? headNorm?.[0];
  const heads = hints.heads ??
    (headWidth === undefined ? publishedHeads(width) : width / headWidth) ??
    fail(`width ${width} does not tell the number of attention heads, expected the option heads`);
  return {
    inputSize: grid * patchSize,
    channels,
    patchSize,
    width,
    depth,
    heads,
    condition: conditionOf(shapes, hints) ??
      fail(`it has neither ${LABELS} nor ${SNIPPETS.linear}, expected labels or snippets`),
    // Half a channel more, or one, so that rounding down gives the width of the file back.
    mlpRatio: swiglu
      ? (0.75 * shapeOf("blocks.0.mlp.w12.weight")[0]! + 1.25) / width
      : (shapeOf("blocks.0.mlp.fc1.weight")[0]! + 0.5) / width,
    learnSigma: outputs === 2 * patchSize ** 2 * channels,
    qkNorm: headNorm !== undefined,
    swiglu,
    rope: rope !== undefined,
    rmsNorm: shapes.has("blocks.0.norm1.weight"),
    noShift: modulation === 4 * width,
  };
}

/** Whether a tensor of this name belongs to REPA's projector. */
export function isProjector(key: string): boolean {
  return canonicalName(key).startsWith("projectors.");
}

function publishedHeads(width: number): number | undefined {
  return Object.values(MODEL_SIZES).find((size) => size.width === width)?.heads;
}

function conditionOf(
  shapes: ReadonlyMap<string, Shape>,
  { nullClass }: ModelOptionsHints,
): ConditionOptions | undefined {
  const rows = shapes.get(LABELS)?.[0];
  if (rows !== undefined) {
    const hasNull = nullClass ?? rows !== IMAGENET_CLASSES;
    return { classes: hasNull ? rows - 1 : rows, nullClass: hasNull };
  }
  for (const embedding of ["linear", "mlp3"] as const) {
    const snippetDim = shapes.get(SNIPPETS[embedding])?.[1];
    if (snippetDim !== undefined) return { snippetDim, embedding };
  }
  return undefined;
}
