/**
 * The ops of a training step at a model's sizes, with the work that each has to do.
 *
 * @module
 */

import { adamwInto } from "../kernels/adamw/mod.ts";
import { addRows } from "../kernels/add_rows/mod.ts";
import { attention } from "../kernels/attention/mod.ts";
import type { Device } from "../kernels/core/device.ts";
import { Tape } from "../kernels/core/tape.ts";
import { elementsOf, type Shape, type Tensor } from "../kernels/core/tensor.ts";
import { embedTime } from "../kernels/embed_time/mod.ts";
import { geluMlp } from "../kernels/gelu_mlp/mod.ts";
import { globalNorm } from "../kernels/global_norm/mod.ts";
import { interpolate } from "../kernels/interpolate/mod.ts";
import { linear } from "../kernels/linear/mod.ts";
import { meanSquare } from "../kernels/mean_square/mod.ts";
import { gate, modulate } from "../kernels/modulate/mod.ts";
import { patchify, unpatchify } from "../kernels/patchify/mod.ts";
import { randomNormal } from "../kernels/random_normal/mod.ts";
import { silu } from "../kernels/silu/mod.ts";
import { parameterSizes } from "../model/parameter_sizes.ts";
import type { Ceilings } from "./ceilings.ts";
import { measure, median, type Timing } from "./measure.ts";
import type { Workload } from "./workload.ts";

/** What a computation has to do at least. */
export interface Work {
  /** Floating-point operations. */
  readonly flops: number;
  /** Bytes of its inputs and results, each moved once. */
  readonly bytes: number;
}

/** An op at the sizes of a model. */
export interface OpCase {
  /** Where in the network, and which op. */
  readonly name: string;
  /** How often it runs in a step. */
  readonly count: number;
  /** Shapes of its inputs. */
  readonly inputs: Readonly<Record<string, Shape>>;
  /** Those of them that get a gradient; none for an op without a backward pass. */
  readonly watched: readonly string[];
  /** Records the op. */
  readonly record: (device: Device, inputs: Readonly<Record<string, Tensor>>) => Tensor;
  /** Work of the forward pass. */
  readonly forward: Work;
  /** Work of the backward pass. */
  readonly backward?: Work;
}

/** What bounds an op from below. */
export type Bound = "arithmetic" | "memory" | "dispatch";

/** A measured op or product. */
export interface MeasuredOp {
  /** The workload. */
  readonly group: string;
  /** The op, and which pass. */
  readonly name: string;
  /** How often it runs in a step. */
  readonly count: number;
  /** Floating-point operations. */
  readonly flops: number;
  /** Bytes that have to be moved. */
  readonly bytes: number;
  /** Dispatches that it takes. */
  readonly dispatches: number;
  /** Median time. */
  readonly milliseconds: number;
  /** Slowest over fastest round. */
  readonly spread: number;
}

/** One with what bounds it on the adapter. */
export interface OpRow extends MeasuredOp {
  /** What of the adapter's ceilings bounds it. */
  readonly bound: Bound;
  /** The time of that bound. */
  readonly predictedMilliseconds: number;
}

/** Elements of a slab on which the optimiser's kernels are timed. */
const SLAB_ELEMENTS = 2 ** 22;

/** Forward passes that wait for their backward passes keep at most this. */
const MAX_KEPT_BYTES = 2 ** 29;
/** Length of a round of backward passes, and how many count. */
const ROUND_MILLISECONDS = 150;
const ROUNDS = 5;

/** The ops of a step of a model with adaptive layer norm and GELU. */
export function opCases({ batch: B, model }: Workload): OpCase[] {
  const { inputSize: S, channels: C, patchSize: p, width: D, depth, heads, condition } = model;
  const T = (S / p) ** 2, rows = B * T, hidden = Math.floor(D * (model.mlpRatio ?? 4));
  const values = p * p * C, outputs = values * (model.learnSigma ? 2 : 1);
  const images = [B, C, S, S], stream = [B, T, D];
  const snippet = "classes" in condition ? 1 : condition.snippetDim;
  const learned = parameterSizes(model).filter(({ frozen }) => !frozen)
    .reduce((sum, { count }) => sum + count, 0);
  const slab = [Math.min(SLAB_ELEMENTS, 4 * Math.ceil(learned / 4))];
  const affine = (name: string, sizes: [rows: number, inputs: number, outputs: number]) =>
    linearCase(name, { sizes, count: 1 });
  const inBlock = (name: string, sizes: [rows: number, inputs: number, outputs: number]) =>
    linearCase(name, { sizes, count: depth });
  return [
    elementwise("noise: random normal", {
      inputs: { like: images },
      watched: [],
      record: (device) =>
        randomNormal(device, images, { seed: 0, stream: 1, step: 0, firstSample: 0 }),
      flops: 30,
      moved: 1,
    }),
    elementwise("states: interpolate", {
      inputs: { data: images, noise: images, coefficients: [B, 4] },
      watched: [],
      record: (_, { data, noise, coefficients }) => interpolate(data!, noise!, coefficients!).x,
      flops: 6,
      moved: 4,
    }),
    elementwise("patches: patchify", {
      inputs: { x: images },
      watched: ["x"],
      record: (_, { x }) => patchify(x!, { patchSize: p }),
      flops: 0,
      moved: 2,
      backward: { flops: 0, moved: 2 },
    }),
    affine("patches: linear", [rows, values, D]),
    elementwise("positions: addRows", {
      inputs: { x: stream, rows: [T, D] },
      watched: ["x"],
      record: (_, { x, rows }) => addRows(x!, rows!),
      flops: 1,
      moved: 2,
    }),
    elementwise("time: embedTime", {
      inputs: { t: [B] },
      watched: [],
      record: (_, { t }) => embedTime(t!, { width: 256 }),
      flops: 0,
      moved: 1,
      elements: 256 * B,
    }),
    affine("time: linear", [B, 256, D]),
    affine("condition: linear", [B, snippet, D]),
    elementwise("condition: silu", {
      inputs: { x: [B, D] },
      watched: ["x"],
      record: (_, { x }) => silu(x!),
      flops: 4,
      moved: 2,
      backward: { flops: 7, moved: 3 },
    }),
    inBlock("block: adaLN linear", [B, D, 6 * D]),
    elementwise("block: modulated norm", {
      count: 2 * depth,
      inputs: { x: stream, modulation: [B, 6 * D] },
      watched: ["x", "modulation"],
      record: (_, { x, modulation }) => modulate(x!, modulation!, { shift: 0, scale: 1 }),
      flops: 8,
      moved: 2,
      backward: { flops: 16, moved: 3 },
    }),
    inBlock("block: qkv linear", [rows, D, 3 * D]),
    attentionCase({ batch: B, tokens: T, width: D, heads, depth }),
    inBlock("block: projection linear", [rows, D, D]),
    elementwise("block: gate", {
      count: 2 * depth,
      inputs: { x: stream, h: stream, modulation: [B, 6 * D] },
      watched: ["x", "h", "modulation"],
      record: (_, { x, h, modulation }) => gate(x!, h!, { modulation: modulation!, gate: 2 }),
      flops: 2,
      moved: 3,
      backward: { flops: 3, moved: 3 },
    }),
    mlpCase({ rows, width: D, hidden, depth }),
    affine("values: linear", [rows, D, outputs]),
    elementwise("images: unpatchify", {
      inputs: { x: [B, T, outputs] },
      watched: ["x"],
      record: (_, { x }) => unpatchify(x!, { patchSize: p, channels: C }),
      flops: 0,
      moved: 2,
      backward: { flops: 0, moved: 2 },
    }),
    elementwise("loss: mean square", {
      inputs: { x: images, target: images },
      watched: ["x"],
      record: (_, { x, target }) => meanSquare(x!, target!),
      flops: 3,
      moved: 2,
      backward: { flops: 2, moved: 3 },
    }),
    elementwise("optimiser: gradient norm", {
      count: Math.ceil(learned / slab[0]!),
      inputs: { gradients: slab },
      watched: [],
      record: (_, { gradients }) => globalNorm([gradients!], { maxNorm: 1 }),
      flops: 2,
      moved: 1,
    }),
    elementwise("optimiser: AdamW", {
      count: Math.ceil(learned / slab[0]!),
      inputs: {
        values: slab,
        gradients: slab,
        firstMoments: slab,
        secondMoments: slab,
        averages: slab,
        factor: [2],
      },
      watched: [],
      record: (_, slabs) => {
        const { values, gradients, firstMoments, secondMoments, averages, factor } = slabs;
        adamwInto({
          values: values!,
          gradients: gradients!,
          firstMoments: firstMoments!,
          secondMoments: secondMoments!,
          averages: averages!,
          factor: factor!,
        }, {
          learningRate: 1e-4,
          beta1: 0.9,
          beta2: 0.999,
          epsilon: 1e-8,
          weightDecay: 0,
          step: 1,
          emaDecay: 0.999,
        });
        return values!;
      },
      flops: 20,
      moved: 9,
    }),
  ];
}

function linearCase(
  name: string,
  { sizes: [rows, inputs, outputs], count }: {
    sizes: [rows: number, inputs: number, outputs: number];
    count: number;
  },
): OpCase {
  const flops = 2 * rows * inputs * outputs;
  const bytes = 4 * (rows * inputs + inputs * outputs + outputs + rows * outputs);
  return {
    name: `${name} ${rows}×${inputs}→${outputs}`,
    count,
    inputs: { x: [rows, inputs], weight: [outputs, inputs], bias: [outputs] },
    watched: ["x", "weight", "bias"],
    record: (_, { x, weight, bias }) => linear(x!, weight!, { bias }),
    forward: { flops, bytes },
    // Gradients of x and of the weight, each from dy and the other one.
    backward: { flops: 2 * flops, bytes: 2 * bytes },
  };
}

function mlpCase(
  { rows, width, hidden, depth }: { rows: number; width: number; hidden: number; depth: number },
): OpCase {
  // Of the activation between the products no operation is counted, and one pass to write and one to read it.
  const flops = 4 * rows * width * hidden;
  const bytes = 4 * (2 * rows * width + 2 * width * hidden + width + hidden + 2 * rows * hidden);
  return {
    name: `block: gelu MLP ${rows}×${width}→${hidden}→${width}`,
    count: depth,
    inputs: {
      x: [rows, width],
      w1: [hidden, width],
      b1: [hidden],
      w2: [width, hidden],
      b2: [width],
    },
    watched: ["x", "w1", "b1", "w2", "b2"],
    record: (_, { x, w1, b1, w2, b2 }) =>
      geluMlp(x!, { fc1: { weight: w1!, bias: b1! }, fc2: { weight: w2!, bias: b2! } }),
    forward: { flops, bytes },
    backward: { flops: 2 * flops, bytes: 2 * bytes },
  };
}

function attentionCase(
  { batch, tokens, width, heads, depth }: {
    batch: number;
    tokens: number;
    width: number;
    heads: number;
    depth: number;
  },
): OpCase {
  const stream = batch * tokens * width, scores = batch * tokens ** 2 * width;
  const rows = batch * heads * tokens;
  return {
    name: `block: attention ${batch}×${heads}×${tokens}×${width / heads}`,
    count: depth,
    inputs: { qkv: [batch, tokens, 3 * width] },
    watched: ["qkv"],
    record: (_, { qkv }) => attention(qkv!, { heads }),
    forward: { flops: 4 * scores, bytes: 4 * (4 * stream + rows) },
    // Five products of the forward pass's size: scores again, dV, dP, dQ and dK.
    backward: { flops: 10 * scores, bytes: 4 * (8 * stream + 2 * rows) },
  };
}

/** An op without products; `flops` and `moved` count for each element of the first input. */
function elementwise(
  name: string,
  options: Pick<OpCase, "inputs" | "watched" | "record"> & {
    count?: number;
    flops: number;
    moved: number;
    elements?: number;
    backward?: { flops: number; moved: number };
  },
): OpCase {
  const { count = 1, inputs, watched, record, flops, moved, backward } = options;
  const elements = options.elements ?? elementsOf(Object.values(inputs)[0]!);
  return {
    name,
    count,
    inputs,
    watched,
    record,
    forward: { flops: flops * elements, bytes: 4 * moved * elements },
    ...(backward && {
      backward: { flops: backward.flops * elements, bytes: 4 * backward.moved * elements },
    }),
  };
}

/**
 * Measures an op's passes as a training step runs them. A pass's input counts as new each time, as it is in a
 * step.
 */
export async function benchOp(
  device: Device,
  { group, op, wait }: { group: string; op: OpCase; wait: number },
): Promise<MeasuredOp[]> {
  const { name, count } = op;
  const inputs = makeInputs(device, op.inputs);
  const first = Object.values(inputs)[0]!;
  const forward = () =>
    device.scope(() => {
      using tape = new Tape(device);
      for (const name of op.watched) tape.watch(inputs[name]!);
      first.storage.version++;
      tape.record(() => op.record(device, inputs));
    });
  const dispatches = countDispatches(device, forward);
  const timing = await measure(device, forward, { wait });
  const rows = [{ group, name: `${name} forward`, count, ...op.forward, dispatches, ...timing }];
  if (op.backward) {
    const backward = await measureBackward(device, { op, inputs, wait });
    rows.push({ group, name: `${name} backward`, count, ...op.backward, ...backward });
  }
  for (const tensor of Object.values(inputs)) tensor.dispose();
  await device.settle();
  device.trim();
  return rows;
}

/** Times backward passes alone: as many forward passes are recorded and done before. */
async function measureBackward(
  device: Device,
  { op, inputs, wait }: {
    op: OpCase;
    inputs: Readonly<Record<string, Tensor>>;
    wait: number;
  },
): Promise<Timing & { dispatches: number }> {
  using cotangent = device.scope(() => op.record(device, inputs));
  let dispatches = 0;
  async function round(repetitions: number): Promise<number> {
    const passes = Array.from({ length: repetitions }, () => recordForward());
    await device.settle();
    const before = device.recorder.dispatches;
    const start = performance.now();
    for (const backward of passes) backward();
    await device.settle();
    const milliseconds = Math.max(performance.now() - start - wait, 1e-3);
    dispatches = (device.recorder.dispatches - before) / repetitions;
    return milliseconds / repetitions;
  }
  function recordForward(): () => void {
    const tape = new Tape(device);
    for (const name of op.watched) tape.watch(inputs[name]!);
    const loss = tape.record(() => device.scope(() => endOf(op.record(device, inputs))));
    return () => {
      device.scope(() => tape.backward(loss));
      loss.dispose();
    };
  }
  /** Stands for all that comes after the op: hands it the gradient of its result. */
  function endOf(result: Tensor): Tensor {
    const output = device.empty([1]);
    device.tape!.push({
      name: "end",
      inputs: [result],
      output,
      saved: [],
      backward: (_, gradients) => gradients.pass(result, cotangent),
    });
    return output;
  }
  await round(1);
  const most = Math.max(1, Math.floor(MAX_KEPT_BYTES / op.forward.bytes));
  const wanted = Math.ceil(ROUND_MILLISECONDS / await round(1));
  const times: number[] = [];
  for (let i = 0; i < ROUNDS; i++) times.push(await round(Math.min(most, wanted, 200)));
  const spread = Math.max(...times) / Math.min(...times);
  // The gradient that starts it all is filled by a dispatch of its own.
  return { milliseconds: median(times), spread, dispatches: Math.max(1, dispatches - 1) };
}

/** What of the ceilings bounds an op. */
export function bounded(op: MeasuredOp, ceilings: Ceilings): OpRow {
  const times: Record<Bound, number> = {
    arithmetic: op.flops / ceilings.gigaflops / 1e6,
    memory: op.bytes / ceilings.gigabytes / 1e6,
    dispatch: op.dispatches * ceilings.dispatchMicroseconds / 1000,
  };
  const [bound, predictedMilliseconds] = (Object.entries(times) as [Bound, number][])
    .reduce((most, each) => each[1] > most[1] ? each : most);
  return { ...op, bound, predictedMilliseconds };
}

function countDispatches(device: Device, record: () => void): number {
  const before = device.recorder.dispatches;
  record();
  return device.recorder.dispatches - before;
}

function makeInputs(
  device: Device,
  shapes: Readonly<Record<string, Shape>>,
): Record<string, Tensor> {
  return Object.fromEntries(
    Object.entries(shapes).map(([name, shape]) => {
      const values = Float32Array.from({ length: elementsOf(shape) }, (_, i) => Math.sin(i));
      return [name, device.tensor(values, shape)];
    }),
  );
}
