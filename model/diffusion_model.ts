/**
 * What training and drawing ask of a network.
 *
 * @module
 */

import type { ParameterStore } from "../kernels/core/parameter_store.ts";
import { formatShape, type Tensor } from "../kernels/core/tensor.ts";

/** Labels of classes guide the network. */
export interface LabelCondition {
  /** Number of classes. */
  readonly classes: number;
  /**
   * One more label, of number `classes`, stands for "no class"; guidance and label dropout need it. Official
   * networks have none where they were trained with class_dropout_prob 0. Default `true`.
   */
  readonly nullClass?: boolean | undefined;
  /** Labels or snippets guide a network, never both. */
  readonly snippetDim?: never;
}

/** Snippets of a bank guide the network; zeros stand for none. */
export interface SnippetCondition {
  /** Components of a snippet (d). */
  readonly snippetDim: number;
}

/**
 * A network of noisy images, times and conditions, as `Trainer`, checkpoints and `draw` take it:
 * {@linkcode SiT}, or a class of your own with these members (docs/library.md).
 */
export interface DiffusionModel {
  /** Its parameters, and no others: all of them are trained and saved. */
  readonly parameters: ParameterStore;
  /** What it is given. */
  readonly options: {
    /** Side of the images or latents in pixels. */
    readonly inputSize: number;
    /** Channels of the images or latents (C). */
    readonly channels: number;
    /** Class labels or snippets. */
    readonly condition: LabelCondition | SnippetCondition;
  };
  /**
   * What stands for labels u32 [B] or snippets [B, d] inside the network, [B, …]: a new tensor, or the
   * condition itself. Drawing asks for it once for all evaluations.
   */
  embed(condition: Tensor): Tensor;
  /**
   * The prediction [B, C, H, W] for states `x` [B, C, H, W] at times `t` [B] (1 is data) under what `embed`
   * gave. With `recompute` it keeps less for the backward pass, if it can (`tape.checkpoint`). Training in mixed
   * precision rounds the operands of every `linear` and `geluMlp` in it, but of those in `device.withPrecision("f32", …)`.
   */
  forwardEmbedded(
    x: Tensor,
    t: Tensor,
    embedded: Tensor,
    options?: { readonly recompute?: boolean | undefined },
  ): Tensor;
  /**
   * Tokens of an image that {@linkcode DiffusionModel.forwardWithProjection} gives for the alignment loss
   * (REPA), and the channels of each; left out or undefined where it gives none.
   */
  readonly projectedTokens?: { readonly count: number; readonly width: number } | undefined;
  /** As `forwardEmbedded` of `embed`, with projected tokens [B, count, width]. */
  forwardWithProjection?(
    x: Tensor,
    t: Tensor,
    condition: Tensor,
    options?: { readonly recompute?: boolean | undefined },
  ): { readonly output: Tensor; readonly projection: Tensor };
  /**
   * Bytes of the largest tensor of one image in training or drawing, by which batches are split whose tensors
   * the GPU cannot bind at once; left out, none are.
   */
  largestActivationBytes?(options: { readonly training: boolean }): number;
}

/** Throws a TypeError unless a condition is what a network takes: its layers would not say what is wrong with it. */
export function requireCondition(
  { shape, dtype }: Tensor,
  { condition }: Pick<DiffusionModel["options"], "condition">,
): void {
  const fits = "classes" in condition
    ? dtype === "u32" && shape.length === 1
    : dtype === "f32" && shape.length === 2 && shape[1] === condition.snippetDim;
  if (fits) return;
  throw new TypeError(
    `Cannot run the model under a condition ${formatShape(shape)} of ${dtype}: expected ` +
      ("classes" in condition
        ? "labels [B] of u32"
        : `snippets [B, ${condition.snippetDim}] of f32`),
  );
}
