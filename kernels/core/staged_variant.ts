/**
 * The choice of ops that can read through textures, which the device stages for a dispatch.
 *
 * @module
 */

import type { Device } from "./device.ts";
import type { OpWithVariants } from "./tuning.ts";

/** Elements from which a CPU driver gains more by textures than their copies cost. */
const TEXTURE_ELEMENTS = 16_384;

/** What an op says of its variants when it asks {@linkcode stagedVariant}. */
export interface StagedQuestion<V extends string> {
  /** The op's table of its variants; `texture` reads through textures. */
  readonly among: Readonly<Record<V | "texture", unknown>>;
  /** The variant that reads buffers. */
  readonly otherwise: NoInfer<V>;
  /** The one variant that can compute the sizes, where no other can. */
  readonly only?: NoInfer<V> | undefined;
  /** Elements that are read, where few may be: then copies are not worth it. Default: always are. */
  readonly elements?: number;
}

/**
 * The variant of an op that {@linkcode Device.variant} names, `texture` picked on CPU drivers and
 * `otherwise` on GPUs, which read buffers at full speed. On llvmpipe with two cores, 1.8 million elements
 * are squared and summed in 14 ms from a buffer and in 2 ms from a texture, its copy included; as many
 * parameters take a step of AdamW in 75 ms and in 20 ms. The textures take as much memory as the buffers.
 */
export function stagedVariant<V extends string>(
  device: Device,
  op: OpWithVariants,
  question: StagedQuestion<V>,
): V | "texture" {
  const { otherwise, elements = Infinity } = question;
  const staged = device.profile.driver === "cpu" && elements >= TEXTURE_ELEMENTS;
  return device.variant<V | "texture">(op, staged ? "texture" : otherwise, question);
}
