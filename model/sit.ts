/**
 * The network: a scalable interpolant transformer whose condition is a class label or a snippet.
 *
 * @module
 */

import type { Device } from "../kernels/core/device.ts";
import { isWhole } from "../kernels/core/limits.ts";
import { requireOneOf } from "../kernels/core/nearest_name.ts";
import type { ParameterStore } from "../kernels/core/parameter_store.ts";
import { formatShape, type Tensor } from "../kernels/core/tensor.ts";
import { add } from "../kernels/add/mod.ts";
import { addRows } from "../kernels/add_rows/mod.ts";
import { unpatchify } from "../kernels/patchify/mod.ts";
import { silu } from "../kernels/silu/mod.ts";
import { type ConditionEmbedder, LabelEmbedder } from "./condition.ts";
import { largestActivationBytes } from "./cost.ts";
import {
  type DiffusionModel,
  type LabelCondition,
  requireCondition,
  type SnippetCondition,
} from "./diffusion_model.ts";
import { FinalLayer } from "./final_layer.ts";
import { constant } from "./initializers.ts";
import { Linear } from "./linear.ts";
import { PatchEmbed } from "./patch_embed.ts";
import { rotaryAngles, sinCosPositions } from "./positions.ts";
import { SiluMlp } from "./silu_mlp.ts";
import { type Observe, SiTBlock, type SiTBlockOptions } from "./sit_block.ts";
import { TimestepEmbedder } from "./timestep_embedder.ts";

/** What guides a {@linkcode SiT}. */
export type ConditionOptions =
  | LabelCondition
  | SnippetCondition & {
    /** One affine layer (released GMem) or three with SiLU (paper, appendix B.2). Default `"linear"`. */
    readonly embedding?: "linear" | "mlp3" | undefined;
  };

/** Sizes and switches of a {@linkcode SiT}. */
export interface SiTOptions {
  /** Side of the images or latents in pixels. */
  readonly inputSize: number;
  /** Channels of the images or latents (C). */
  readonly channels: number;
  /** Side of a patch in pixels; one patch is one token. */
  readonly patchSize: number;
  /** Channels of a token (D), a multiple of 4. */
  readonly width: number;
  /** Number of blocks. */
  readonly depth: number;
  /** Attention heads (H), a divisor of D. */
  readonly heads: number;
  /** Class labels or snippets. */
  readonly condition: ConditionOptions;
  /** Hidden channels of the feed-forward layers as a multiple of D. Default 4. */
  readonly mlpRatio?: number | undefined;
  /** The last layer also has variance channels, which are dropped (released SiT). Default `false`. */
  readonly learnSigma?: boolean | undefined;
  /** Blocks start as the identity (adaLN-zero). Default `true`; GMem's release: `false`. */
  readonly zeroInit?: boolean | undefined;
  /** Normalise queries and keys in each head (LightningDiT). Default `false`. */
  readonly qkNorm?: boolean | undefined;
  /** SwiGLU feed-forward layers (LightningDiT). Default `false`. */
  readonly swiglu?: boolean | undefined;
  /** Two-dimensional rotary positions beside the fixed table (LightningDiT). Default `false`. */
  readonly rope?: boolean | undefined;
  /** RMS norms with weights (LightningDiT). Default `false`. */
  readonly rmsNorm?: boolean | undefined;
  /** Modulation without shifts (LightningDiT's wo_shift). Default `false`. */
  readonly noShift?: boolean | undefined;
  /** Projector of the tokens after block `depth` (from 1) to an encoder's width (REPA). */
  readonly projector?: {
    readonly depth: number;
    readonly width: number;
    readonly targetWidth: number;
  } | undefined;
}

/** What {@linkcode SiT.forwardWithProjection} returns. */
export interface SiTOutput {
  /** [B, C, H, W] */
  readonly output: Tensor;
  /** Tokens after the tapped block, projected: [B, T, targetWidth]. */
  readonly projection: Tensor;
}

/**
 * SiT (Ma et al. 2024), with the switches that make it LightningDiT (Yao and Wang 2025), guided by
 * labels or by snippets of a memory bank (GMem). Parameters have the official names.
 *
 * Within `device.withPrecision("f16", …)` the affine layers of attention, feed-forward layers and
 * projector round their operands. The rest stays f32: embeddings and modulations have one row an
 * image, so there is nothing to gain, and they reach every token; patches and last layer are the
 * image itself, where rounding shows at once; norms and softmax need the range.
 *
 * @example
 * ```ts
 * import { Device, ParameterStore, SiT } from "@gmem/gmem";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * using store = new ParameterStore(device, { seed: 0 });
 * const model = new SiT(store, {
 *   inputSize: 8, channels: 3, patchSize: 4, width: 32, depth: 1, heads: 2,
 *   condition: { snippetDim: 16 },
 * });
 * const velocity = device.scope(() =>
 *   model.forward(device.empty([2, 3, 8, 8]), device.empty([2]), device.empty([2, 16]))
 * );
 * console.log(velocity.shape); // [ 2, 3, 8, 8 ]
 * velocity.dispose();
 * ```
 */
export class SiT implements DiffusionModel {
  /** The sizes it was made with. */
  readonly options: SiTOptions;
  /** Its parameters. */
  readonly parameters: ParameterStore;
  readonly #patches: PatchEmbed;
  readonly #positions: Tensor;
  readonly #time: TimestepEmbedder;
  readonly #condition: ConditionEmbedder;
  readonly #blocks: readonly SiTBlock[];
  readonly #final: FinalLayer;
  readonly #projector: SiluMlp | undefined;

  /**
   * Declares all parameters in `store`. Throws a `RangeError` when a size is no whole number or does not fit or there
   * is no such embedding, and a `TypeError` for a condition of both labels and snippets, or of neither.
   */
  constructor(store: ParameterStore, options: SiTOptions) {
    checkOptions(options);
    this.options = options;
    this.parameters = store;
    const { inputSize, channels, patchSize, width, depth, heads } = options;
    const gridSize = inputSize / patchSize, tokens = gridSize ** 2, headWidth = width / heads;
    this.#patches = new PatchEmbed(store.at("x_embedder"), { patchSize, channels, width });
    this.#positions = store.frozen(
      "pos_embed",
      [1, tokens, width],
      (values) => values.set(sinCosPositions(gridSize, width)),
    );
    this.#time = new TimestepEmbedder(store.at("t_embedder"), { width });
    this.#condition = conditionEmbedder(store, { condition: options.condition, width });
    const angles = options.rope ? rotaryAngles(gridSize, headWidth) : undefined;
    const rotary = angles && {
      cos: store.frozen("feat_rope.freqs_cos", [tokens, headWidth], constant(angles.cos)),
      sin: store.frozen("feat_rope.freqs_sin", [tokens, headWidth], constant(angles.sin)),
    };
    const qkNorm = !options.qkNorm ? "none" : options.rmsNorm ? "rms" : "layer";
    const block: SiTBlockOptions = { ...options, qkNorm, rotary };
    this.#blocks = Array.from(
      { length: depth },
      (_, i) => new SiTBlock(store.at(`blocks.${i}`), block),
    );
    const outputs = patchSize * patchSize * channels * (options.learnSigma ? 2 : 1);
    this.#final = new FinalLayer(store.at("final_layer"), { ...options, outputs });
    const { projector } = options;
    this.#projector = projector && new SiluMlp(store.at("projectors.0"), [
      width,
      projector.width,
      projector.width,
      projector.targetWidth,
    ]);
  }

  /** The device of its parameters. */
  get device(): Device {
    return this.parameters.device;
  }

  /** The tokens that the projector puts out, where there is one. */
  get projectedTokens(): { readonly count: number; readonly width: number } | undefined {
    const { inputSize, patchSize, projector } = this.options;
    return projector && { count: (inputSize / patchSize) ** 2, width: projector.targetWidth };
  }

  /**
   * The prediction [B, C, H, W] for states `x` [B, C, H, W] at times `t` [B] (1 is data) under
   * `condition`: labels u32 [B] or snippets [B, d]. A label past the last of the table means the last: the
   * null class, where there is one. Throws `TypeError` for other shapes and types.
   */
  forward(
    x: Tensor,
    t: Tensor,
    condition: Tensor,
    options: { observe?: Observe | undefined; recompute?: boolean | undefined } = {},
  ): Tensor {
    return this.device.scope(() =>
      this.forwardEmbedded(x, t, this.embed(condition, options), options)
    );
  }

  /**
   * The vectors [B, D] that stand for labels u32 [B] or snippets [B, d] inside the network: for
   * {@linkcode SiT.forwardEmbedded}, which a sampler calls many times on the same condition. Throws
   * `TypeError` for other shapes and types.
   */
  embed(condition: Tensor, options: { observe?: Observe | undefined } = {}): Tensor {
    const { device } = this;
    requireCondition(condition, this.options);
    const embedded = device.withPrecision(
      "f32",
      () => device.scope(() => this.#condition.forward(condition)),
    );
    options.observe?.("condition", embedded);
    return embedded;
  }

  /**
   * As {@linkcode SiT.forward}, with the condition as the vectors [B, D] of {@linkcode SiT.embed}. Throws
   * `TypeError` for other shapes.
   */
  forwardEmbedded(
    x: Tensor,
    t: Tensor,
    embedded: Tensor,
    options: { observe?: Observe | undefined; recompute?: boolean | undefined } = {},
  ): Tensor {
    return this.device.scope(() => this.#run({ x, t, embedded, ...options }).output);
  }

  /**
   * As {@linkcode SiT.forward}, with the projected tokens for the alignment loss (REPA). Throws `TypeError`
   * also where the model has no projector.
   */
  forwardWithProjection(
    x: Tensor,
    t: Tensor,
    condition: Tensor,
    options: { observe?: Observe | undefined; recompute?: boolean | undefined } = {},
  ): SiTOutput {
    const projector = this.#projector;
    if (!projector) throw new TypeError("Cannot project tokens: the model has no projector");
    return this.device.scope(() => {
      const embedded = this.embed(condition, options);
      const { output, tapped } = this.#run({ x, t, embedded, ...options });
      return { output, projection: projector.forward(tapped!) };
    });
  }

  /** Bytes of the largest activation of one image; the projector takes part in training alone. */
  largestActivationBytes({ training }: { readonly training: boolean }): number {
    const { projector: _, ...drawing } = this.options;
    return largestActivationBytes(training ? this.options : drawing);
  }

  #run(
    { x, t, embedded, observe, recompute = false }: {
      x: Tensor;
      t: Tensor;
      embedded: Tensor;
      observe?: Observe | undefined;
      recompute?: boolean | undefined;
    },
  ): { output: Tensor; tapped: Tensor | undefined } {
    const { inputSize, channels, patchSize, projector } = this.options;
    const [batch = 0, ...rest] = x.shape;
    if (
      formatShape(rest) !== formatShape([channels, inputSize, inputSize]) || t.elements !== batch
    ) {
      throw new TypeError(
        `Cannot run the model on states ${formatShape(x.shape)} at times ` +
          `${formatShape(t.shape)}: expected [B, ${channels}, ${inputSize}, ${inputSize}] and [B]`,
      );
    }
    if (embedded.shape[0] !== batch) {
      throw new TypeError(
        `Cannot run the model on ${batch} states under ${embedded.shape[0]} conditions: ` +
          "expected one each",
      );
    }
    const { device } = this;
    const patches = this.#patches.forward(x);
    observe?.("x_embedder", patches);
    const time = this.#time.forward(t);
    observe?.("t_embedder", time);
    const activated = silu(add(time, embedded));
    let tokens = addRows(patches, this.#positions), tapped: Tensor | undefined;
    for (const [i, block] of this.#blocks.entries()) {
      const inputs = tokens;
      const see: Observe | undefined = observe &&
        ((name, activation) => observe(`blocks.${i}.${name}`, activation));
      // Where it is recorded, it is run again for the backward pass, and was seen before.
      const run = (h: Tensor, c: Tensor) =>
        block.forward(h, c, { observe: recompute && device.tape ? undefined : see });
      tokens = device.named(
        `blocks.${i}`,
        () =>
          recompute && device.tape
            ? device.tape.checkpoint([inputs, activated], run)
            : run(inputs, activated),
      );
      observe?.(`blocks.${i}`, tokens);
      if (projector?.depth === i + 1) tapped = tokens;
    }
    const values = this.#final.forward(tokens, activated);
    observe?.("final_layer", values);
    return { output: unpatchify(values, { patchSize, channels }), tapped };
  }
}

function conditionEmbedder(
  store: ParameterStore,
  { condition, width }: { condition: ConditionOptions; width: number },
): ConditionEmbedder {
  if ("classes" in condition) {
    return new LabelEmbedder(store.at("y_embedder"), { ...condition, width });
  }
  const { snippetDim, embedding = "linear" } = condition, p = store.at("condition_projection");
  return embedding === "linear"
    ? new Linear(p.at("linear"), { inputs: snippetDim, outputs: width })
    : new SiluMlp(p.at("net"), [snippetDim, width, width, width]);
}

function checkOptions(options: SiTOptions): void {
  const { inputSize, channels, patchSize, width, depth, heads, projector } = options;
  const fail = (problem: string) => {
    throw new RangeError(`Cannot make the model: ${problem}`);
  };
  const { condition } = options;
  if ("classes" in condition === "snippetDim" in condition) {
    const found = "classes" in condition ? "both classes and snippetDim" : "neither";
    throw new TypeError(
      `Cannot make the model: its condition has ${found}, expected one of classes and snippetDim`,
    );
  }
  if ("embedding" in condition) {
    const { embedding = "linear" } = condition;
    requireOneOf("Cannot make the model: embedding", embedding, ["linear", "mlp3"]);
  }
  const given = "classes" in condition
    ? { classes: condition.classes }
    : { snippetDim: condition.snippetDim };
  const sizes = { inputSize, channels, patchSize, width, depth, heads, ...given };
  for (const [name, size] of Object.entries(sizes)) {
    if (!Number.isInteger(size) || size < 0) fail(`${name} is ${size}, expected a whole number`);
  }
  if (inputSize % patchSize !== 0) fail(`size ${inputSize} is no multiple of patch ${patchSize}`);
  if (width % 4 !== 0) fail(`width ${width} is no multiple of 4`);
  if (width % heads !== 0) fail(`width ${width} is no multiple of ${heads} heads`);
  if (options.rope && (width / heads) % 4 !== 0) {
    fail(`head width ${width / heads} is no multiple of 4, as rotary positions need`);
  }
  if (projector && (projector.depth === 0 || !isWhole(projector.depth, depth))) {
    fail(`projector after block ${projector.depth}, expected 1 to ${depth}`);
  }
}
