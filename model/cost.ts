/**
 * What a network costs in operations and activations, from its sizes alone: no GPU is asked.
 *
 * @module
 */

import { swigluHidden } from "./mlp.ts";
import type { SiTOptions } from "./sit.ts";
import { FREQUENCIES } from "./timestep_embedder.ts";

/** Flops for one image; a multiplication with an addition counts as two. */
export interface Flops {
  /** One evaluation of the network: matrix products and attention. */
  readonly forward: number;
  /** One evaluation of the projector, which runs in training alone; 0 without one. */
  readonly projector: number;
  /** A step of training: the backward pass costs two evaluations of both. */
  readonly training: number;
  /** A step of training that computes the blocks again in the backward pass. */
  readonly trainingWithRecomputation: number;
}

/**
 * The flops of a network and its projector for one image, by the formulas of matrix products and of
 * attention, 4 T² D a block. Norms, activations and biases are not counted.
 *
 * @example
 * ```ts
 * import { countFlops, namedModel } from "@gmem/gmem";
 *
 * const { forward, training } = countFlops(namedModel("SiT-XL/2"));
 * console.log((forward / 2e9).toFixed(1), training / forward); // 118.6 3
 * ```
 */
export function countFlops(options: SiTOptions): Flops {
  const { channels, patchSize, width, depth, condition, projector } = options;
  const { tokens, hidden, outputs } = sizesOf(options);
  const modulation = width * (options.noShift ? 4 : 6) * width;
  const feedForward = (options.swiglu ? 3 : 2) * width * hidden;
  const attention = 4 * width * width + 2 * tokens * width;
  const block = 2 * (modulation + tokens * (attention + feedForward));
  const embedding = "classes" in condition
    ? 0
    : condition.snippetDim * width + (condition.embedding === "mlp3" ? 2 * width * width : 0);
  const ends = 2 * (
    tokens * channels * patchSize ** 2 * width + (FREQUENCIES + width) * width + embedding +
    2 * width * width + tokens * width * outputs
  );
  const forward = depth * block + ends;
  const projection = projector === undefined
    ? 0
    : 2 * tokens * projector.width * (width + projector.width + projector.targetWidth);
  const training = 3 * (forward + projection);
  return {
    forward,
    projector: projection,
    training,
    trainingWithRecomputation: training + depth * block,
  };
}

/** A batch of training. */
export interface TrainingBatch {
  /** Images that go through the network at once (B). */
  readonly batch: number;
  /** Keep only the tokens between blocks and compute the rest again. Default `false`. */
  readonly recompute?: boolean | undefined;
}

/**
 * Bytes that a training step holds at once, beside parameters and what is parallel to them: what the
 * ops keep for the backward pass and the gradients at its fullest moment. The batch itself, of images
 * and of tokens to align with, is not counted.
 *
 * @example
 * ```ts
 * import { activationBytes, namedModel } from "@gmem/gmem";
 *
 * const options = namedModel("SiT-B/2");
 * const kept = activationBytes(options, { batch: 8 });
 * const again = activationBytes(options, { batch: 8, recompute: true });
 * console.log((kept / 2 ** 20).toFixed(), (again / 2 ** 20).toFixed()); // 1348 229 MiB
 * ```
 */
export function activationBytes(options: SiTOptions, batch: TrainingBatch): number {
  const { inputSize, channels } = options;
  const images = batch.batch * channels * inputSize ** 2;
  // The state and the target of the loss wait until the step ends.
  return 4 * (2 * images + peakElements(networkOps(options, batch)));
}

/** Bytes of the largest activation of one image, which a kernel binds at once for a whole batch. */
export function largestActivationBytes(options: SiTOptions): number {
  return 4 * Math.max(...networkOps(options, { batch: 1 }).map(({ elements }) => elements));
}

/** An op as the tape sees it, in numbers of elements. */
interface Op {
  readonly output: string;
  readonly elements: number;
  /** Activations that get a gradient. */
  readonly inputs: readonly string[];
  /** The one of them whose gradient takes over the buffer of the output's (a residual stream). */
  readonly takesOver?: string;
  /** No op needs the output to differentiate: it is gone once the next op has read it. */
  readonly transient?: boolean;
  /** What is kept beside the output: statistics of rows, inputs that need no gradient. */
  readonly kept?: number;
  /** Ops that run again in the backward pass and keep nothing before; the last has this output. */
  readonly again?: readonly Op[];
}

function sizesOf(options: SiTOptions): { tokens: number; hidden: number; outputs: number } {
  const { inputSize, patchSize, width, mlpRatio = 4, channels } = options;
  return {
    tokens: (inputSize / patchSize) ** 2,
    hidden: options.swiglu ? swigluHidden(width, mlpRatio) : Math.floor(width * mlpRatio),
    outputs: patchSize ** 2 * channels * (options.learnSigma ? 2 : 1),
  };
}

function networkOps(options: SiTOptions, { batch, recompute }: TrainingBatch): Op[] {
  const { inputSize, channels, width, depth, condition } = options;
  const { tokens, outputs } = sizesOf(options);
  const images = batch * channels * inputSize ** 2;
  const vector = batch * width, stream = vector * tokens;
  const snippet = "classes" in condition ? batch : batch * condition.snippetDim;
  const ops: Op[] = [
    { output: "patches", elements: stream, inputs: [], transient: true, kept: images },
    { output: "time.0", elements: vector, inputs: [], kept: FREQUENCIES * batch },
    { output: "time.1", elements: vector, inputs: ["time.0"] },
    { output: "time", elements: vector, inputs: ["time.1"] },
    ...conditionOps(condition, vector, snippet),
    { output: "sum", elements: vector, inputs: ["condition", "time"], takesOver: "time" },
    { output: "activated", elements: vector, inputs: ["sum"] },
    { output: "stream.0", elements: stream, inputs: ["patches"], takesOver: "patches" },
  ];
  for (let i = 0; i < depth; i++) {
    const again = blockOps(options, { batch, index: i });
    const inputs = [`stream.${i}`, "activated"];
    if (recompute) ops.push({ output: `stream.${i + 1}`, elements: stream, inputs, again });
    else ops.push(...again);
  }
  ops.push(
    { output: "modulation", elements: 2 * vector, inputs: ["activated"] },
    {
      output: "normed",
      elements: stream,
      inputs: [`stream.${depth}`, "modulation"],
      kept: 2 * batch * tokens,
    },
    { output: "values", elements: batch * tokens * outputs, inputs: ["normed"], transient: true },
    { output: "images", elements: images, inputs: ["values"] },
    ...projectorOps(options, batch * tokens),
    {
      output: "loss",
      elements: batch,
      inputs: options.projector ? ["images", "projection"] : ["images"],
    },
  );
  return ops;
}

/** The projector and what the alignment loss keeps, on `rows` tokens. */
function projectorOps({ projector }: SiTOptions, rows: number): Op[] {
  if (projector === undefined) return [];
  const { depth, width, targetWidth } = projector, hidden = rows * width;
  return [
    { output: "projector.0", elements: hidden, inputs: [`stream.${depth}`] },
    { output: "projector.1", elements: hidden, inputs: ["projector.0"] },
    { output: "projector.2", elements: hidden, inputs: ["projector.1"] },
    { output: "projector.3", elements: hidden, inputs: ["projector.2"] },
    { output: "projection", elements: rows * targetWidth, inputs: ["projector.3"], kept: 4 * rows },
  ];
}

function conditionOps(
  condition: SiTOptions["condition"],
  vector: number,
  snippet: number,
): Op[] {
  const last: Op = { output: "condition", elements: vector, inputs: [], kept: snippet };
  if ("classes" in condition || condition.embedding !== "mlp3") return [last];
  return [
    { ...last, output: "condition.0" },
    { output: "condition.1", elements: vector, inputs: ["condition.0"] },
    { output: "condition.2", elements: vector, inputs: ["condition.1"] },
    { output: "condition.3", elements: vector, inputs: ["condition.2"] },
    { output: "condition", elements: vector, inputs: ["condition.3"] },
  ];
}

function blockOps(options: SiTOptions, { batch, index }: { batch: number; index: number }): Op[] {
  const { width, heads } = options;
  const { tokens, hidden } = sizesOf(options);
  const rows = batch * tokens, stream = rows * width;
  const name = (part: string) => `blocks.${index}.${part}`;
  const ops: Op[] = [];
  const push = (part: string, op: Omit<Op, "output">): string => {
    ops.push({ output: name(part), ...op });
    return name(part);
  };
  const start = `stream.${index}`;
  const chunks = options.noShift ? 4 : 6;
  const modulation = push("modulation", {
    elements: batch * chunks * width,
    inputs: ["activated"],
  });
  const first = push("norm1", { elements: stream, inputs: [start, modulation], kept: 2 * rows });
  const { qkNorm = false, rope = false } = options;
  let qkv = push("qkv", { elements: 3 * stream, inputs: [first], transient: rope && !qkNorm });
  if (qkNorm) {
    const kept = 4 * rows * heads;
    qkv = push("qk_norm", { elements: 3 * stream, inputs: [qkv], transient: rope, kept });
  }
  if (rope) qkv = push("rope", { elements: 3 * stream, inputs: [qkv] });
  const mixed = push("attention", { elements: stream, inputs: [qkv], kept: rows * heads });
  const attended = push("proj", { elements: stream, inputs: [mixed] });
  const middle = push("middle", {
    elements: stream,
    inputs: [attended, modulation, start],
    takesOver: start,
  });
  const second = push("norm2", { elements: stream, inputs: [middle, modulation], kept: 2 * rows });
  const inner = rows * hidden;
  const expanded = push("fc1", { elements: (options.swiglu ? 2 : 1) * inner, inputs: [second] });
  const activated = push("activation", { elements: inner, inputs: [expanded] });
  const mapped = push("fc2", { elements: stream, inputs: [activated] });
  ops.push({
    output: `stream.${index + 1}`,
    elements: stream,
    inputs: [mapped, modulation, middle],
    takesOver: middle,
  });
  return ops;
}

function keptBy(ops: readonly Op[]): number {
  return ops.reduce((sum, op) => sum + keptByOp(op), 0);
}

function keptByOp({ elements, transient = false, kept = 0 }: Op): number {
  return kept + (transient ? 0 : elements);
}

/** Goes through the ops backwards as the tape does; returns the most elements held at once. */
function peakElements(ops: readonly Op[]): number {
  const sizes = new Map<string, number>();
  for (const op of ops) {
    for (const { output, elements } of [...op.again ?? [], op]) sizes.set(output, elements);
  }
  const gradients = new Set<string>();
  let live = keptBy(ops), peak = live;
  const hold = (elements: number) => {
    live += elements;
    peak = Math.max(peak, live);
  };
  const propagate = (reversed: readonly Op[]): void => {
    for (const op of reversed) {
      const { elements, inputs, takesOver, again } = op;
      if (again) {
        hold(keptBy(again));
        propagate(again.toReversed());
      } else {
        let taken = false;
        for (const input of inputs) {
          if (gradients.has(input)) continue;
          gradients.add(input);
          if (input === takesOver) taken = true;
          else hold(sizes.get(input)!);
        }
        if (!taken) live -= elements;
      }
      live -= keptByOp(op);
    }
  };
  const last = ops.at(-1)!;
  gradients.add(last.output);
  hold(last.elements);
  propagate(ops.toReversed());
  return peak;
}
