/**
 * Finds which variants of kernels are the fastest for a model's own sizes.
 *
 * @module
 */

import { attention } from "../kernels/attention/mod.ts";
import { attentionCandidates } from "../kernels/attention/variants.ts";
import { cast } from "../kernels/cast/mod.ts";
import type { Device } from "../kernels/core/device.ts";
import type { Profile } from "../kernels/core/profile.ts";
import { Tape } from "../kernels/core/tape.ts";
import { elementsOf, type Tensor } from "../kernels/core/tensor.ts";
import {
  type AskedVariant,
  shapeKey,
  type TuningTable,
  type VariantShape,
} from "../kernels/core/tuning.ts";
import { layerNorm } from "../kernels/layer_norm/mod.ts";
import { layerNormCandidates } from "../kernels/layer_norm/variants.ts";
import { matmulInto } from "../kernels/matmul/mod.ts";
import {
  matmulCandidates,
  type MatmulSize,
  type MatmulVariant,
} from "../kernels/matmul/variants.ts";
import { SiT, type SiTOptions } from "../model/sit.ts";
import { ParameterStore } from "../kernels/core/parameter_store.ts";
import { imagesAtOnce } from "../sample/rows.ts";
import { Trainer } from "../train/trainer.ts";
import { FullBank } from "../bank/full_bank.ts";
import { openDryDevice } from "./dry_gpu.ts";
import { digits, textTable } from "./report.ts";

/** Work that is recorded again and again, on tensors that are released at the end. */
export interface TunedWork extends Disposable {
  /** Records it once. */
  readonly record: () => void;
}

/** An op whose variants can be timed. */
export interface TunableOp {
  /** Variants that can compute the sizes on an adapter. */
  readonly candidates: (profile: Profile, shape: VariantShape) => readonly string[];
  /** Makes its inputs. */
  readonly prepare: (device: Device, shape: VariantShape) => TunedWork;
}

/** Times of the variants at one size. */
export interface TunedTimes {
  /** The op. */
  readonly op: string;
  /** The sizes. */
  readonly shape: VariantShape;
  /** What runs where nothing is measured. */
  readonly picked: string;
  /** The fastest, or `picked` where that is as fast. */
  readonly chosen: string;
  /** Milliseconds of each variant. */
  readonly times: Readonly<Record<string, number>>;
}

/** Milliseconds of recorded work; work that takes longer than `giveUpAfter` need not be exact. */
export type TimeWork = (record: () => void, giveUpAfter: number) => Promise<number>;

/** A model and how it is trained and drawn with, as far as sizes depend on it. */
export interface TunedModel {
  /** Sizes of the network. */
  readonly model: SiTOptions;
  /** Images in a step. */
  readonly batchSize: number;
  /** Parts of a step that run one after the other. */
  readonly gradientAccumulation: number;
  /** Type that operands of products are rounded to. */
  readonly precision: "f32" | "f16";
  /** Images that are drawn, as many at once as {@linkcode imagesAtOnce} says. */
  readonly sampleCount: number;
  /** Each of them runs with and without its condition. */
  readonly guided: boolean;
}

/** What a variant must gain on the picked one to be chosen: less is noise. */
const LEAST_GAIN = 0.03;
/** Variants of products that share tiles through workgroup memory. */
const TILES: ReadonlySet<MatmulVariant> = new Set(["split", "tiled", "tiled_128"]);
/** What is no size but on, 1, or off, 0. */
const SWITCHES: ReadonlySet<string> = new Set(["transposeA", "transposeB", "f16"]);
/** A variant this many times slower than the best so far is not timed exactly. */
const HOPELESS = 3;

/** The ops with several variants whose speed depends on sizes. */
export const TUNABLE_OPS: Readonly<Record<string, TunableOp>> = {
  matmul: {
    candidates: (profile, shape) => hopefulProducts(profile, matmulSize(shape)),
    prepare: prepareMatmul,
  },
  attention: {
    candidates: (profile, { tokens = 0, headWidth = 0 }) =>
      attentionCandidates(profile, { tokens, headWidth }).filter((variant) =>
        profile.driver === "gpu" || variant !== "tiled"
      ),
    prepare: (device, { batch = 1, heads = 1, tokens = 1, headWidth = 1 }) =>
      prepareGradient(
        device,
        [batch, tokens, 3 * heads * headWidth],
        (qkv) => attention(qkv, { heads }),
      ),
  },
  layerNorm: {
    candidates: (profile, { width = 0 }) => layerNormCandidates(profile, width),
    prepare: (device, { rows = 1, width = 1 }) =>
      prepareGradient(device, [rows, width], (x) => layerNorm(x)),
  },
};

/**
 * The questions that training a model and drawing with it ask about variants, each once: it is
 * recorded on a device that computes nothing, with the profile of the one that counts.
 */
export async function questionsOf(tuned: TunedModel, profile: Profile): Promise<AskedVariant[]> {
  const { model: sizes, batchSize, gradientAccumulation, precision, sampleCount, guided } = tuned;
  const asked = new Map<string, AskedVariant>();
  using device = openDryDevice(profile);
  device.onVariant = (question) =>
    asked.set(`${question.op} ${shapeKey(question.shape)}`, question);
  const { channels, inputSize, condition } = sizes;
  const length = channels * inputSize ** 2;
  const dataset = {
    size: batchSize,
    labels: new Uint32Array(batchSize),
    read: (indices: Uint32Array) => new Float32Array(indices.length * length),
  };
  const dim = "classes" in condition ? 0 : condition.snippetDim;
  const snippets = new Float32Array(batchSize * dim);
  for (let i = 0; i < snippets.length; i += dim) snippets[i] = 1;
  using bank = dim === 0 ? undefined : FullBank.from(device, { snippets, dim });
  using store = new ParameterStore(device, { seed: 0 });
  const model = new SiT(store, sizes);
  using trainer = new Trainer({
    model,
    dataset,
    bank,
    batchSize,
    gradientAccumulation,
    precision,
    // Sizes do not depend on it, and a model without a null class takes no other.
    classDropout: 0,
  });
  for await (const _ of trainer.run({ steps: 1 })) { /* one step */ }
  const most = imagesAtOnce(model, { guided });
  for (const images of new Set([Math.min(sampleCount, most), sampleCount % most])) {
    // Guided ones run with and without their condition in one batch.
    const count = guided ? 2 * images : images;
    if (count === 0) continue;
    device.scope(() => {
      const noise = device.empty([count, channels, inputSize, inputSize]);
      const given = dim === 0
        ? device.empty([count], { dtype: "u32" })
        : device.empty([count, dim]);
      model.forward(noise, device.empty([count]), given);
    });
  }
  return [...asked.values()].filter(({ op }) => Object.hasOwn(TUNABLE_OPS, op));
}

/** Times every candidate for every question; `onTimed` sees each result. */
export async function tune(
  device: Device,
  questions: readonly AskedVariant[],
  options: {
    time: TimeWork;
    ops?: Readonly<Record<string, TunableOp>>;
    onTimed?: (times: TunedTimes) => void;
  },
): Promise<TunedTimes[]> {
  const { time, ops = TUNABLE_OPS, onTimed } = options;
  const { tuning } = device;
  const results: TunedTimes[] = [];
  try {
    for (const { op, shape, picked } of questions) {
      const { candidates, prepare } = ops[op]!;
      const variants = candidates(device.profile, shape);
      // The picked one first: what is hopeless beside it need not be timed for long.
      const order = [picked, ...variants.filter((variant) => variant !== picked)];
      const times: Record<string, number> = {};
      using work = prepare(device, shape);
      for (const variant of order.length > 1 ? order : []) {
        device.tuning = { [op]: { [shapeKey(shape)]: variant } };
        times[variant] = await time(
          work.record,
          HOPELESS * Math.min(...Object.values(times), Infinity),
        );
      }
      const result = { op, shape, picked, chosen: fastest(picked, times), times };
      results.push(result);
      onTimed?.(result);
    }
  } finally {
    device.tuning = tuning;
  }
  return results;
}

/** The chosen variants of all sizes, as a table for `Device.open`. */
export function tuningTable(results: readonly TunedTimes[]): TuningTable {
  const table: Record<string, Record<string, string>> = {};
  for (const { op, shape, chosen } of results) (table[op] ??= {})[shapeKey(shape)] = chosen;
  return table;
}

/** What was chosen, with its time beside that of the built-in choice, as lines for a person. */
export function describeTuning(results: readonly TunedTimes[]): string[] {
  const changed = results.filter(({ picked, chosen }) => chosen !== picked);
  const table = textTable({
    title: "Fastest variants, times in ms",
    columns: ["op", "sizes", "built-in", "time", "fastest", "time"],
    rows: results.filter(({ times }) => Object.keys(times).length > 1)
      .map(({ op, shape, picked, chosen, times }) => [
        op,
        sizesInShort(shape),
        ...[picked, chosen].flatMap((variant) => [variant, digits(times[variant]!)]),
      ]),
  });
  return [
    ...table,
    `${changed.length} of ${results.length} sizes run faster with another variant than the ` +
    "built-in choice",
  ];
}

/** The sizes, and the names of the switches that are on. */
function sizesInShort(shape: VariantShape): string {
  return Object.entries(shape).flatMap(([name, value]) => {
    if (!SWITCHES.has(name)) return [`${name}=${value}`];
    return value === 0 ? [] : [name];
  }).join(" ");
}

function fastest(picked: string, times: Readonly<Record<string, number>>): string {
  const limit = (times[picked] ?? 0) * (1 - LEAST_GAIN);
  const [best] = Object.entries(times).filter(([, milliseconds]) => milliseconds < limit)
    .sort(([, a], [, b]) => a - b);
  return best?.[0] ?? picked;
}

function matmulSize({ M = 0, N = 0, K = 0, batch = 1 }: VariantShape): MatmulSize {
  return { M, N, K, batch };
}

/**
 * Candidates worth their time: `naive` reads a number for every multiply-add, minutes for a large
 * product; kernels that share tiles through workgroup memory gain nothing on a CPU, where it is
 * ordinary memory, and take a CPU driver up to a minute to compile; the others, which are for CPU
 * drivers, read textures, and a GPU has none as large as its bindings.
 */
function hopefulProducts(profile: Profile, size: MatmulSize): readonly string[] {
  const small = size.M * size.N * size.K * (size.batch ?? 1) <= 2 ** 22;
  const variants = matmulCandidates(profile, size).filter((variant) =>
    variant === "naive" || TILES.has(variant) === (profile.driver === "gpu")
  );
  return small || variants.length === 1
    ? variants
    : variants.filter((variant) => variant !== "naive");
}

function prepareMatmul(device: Device, shape: VariantShape): TunedWork {
  const size = matmulSize(shape), { M, N, K, batch = 1 } = size;
  const made: Tensor[] = [];
  const operand = (elements: number): Tensor => {
    const tensor = device.tensor(new Float32Array(elements).fill(0.1), [elements]);
    made.push(tensor);
    if (shape.f16 !== 1) return tensor;
    const rounded = cast(tensor, { dtype: "f16" });
    made.push(rounded);
    return rounded;
  };
  const a = operand(batch * M * K), b = operand(batch * K * N);
  const out = device.empty([batch * M * N]);
  made.push(out);
  const transposeA = shape.transposeA === 1, transposeB = shape.transposeB === 1;
  return {
    record() {
      // Without an epilogue, which every variant would have alike. One operand is new in each step: kernels that
      // read a copy of it pay for the copy.
      a.storage.version++;
      matmulInto(out, a, b, { size, batch, transposeA, transposeB });
    },
    [Symbol.dispose]: () => release(device, made),
  };
}

function prepareGradient(
  device: Device,
  shape: readonly number[],
  op: (x: Tensor) => Tensor,
): TunedWork {
  const x = device.tensor(
    Float32Array.from({ length: elementsOf(shape) }, (_, i) => Math.sin(i)),
    shape,
  );
  const cotangent = device.scope(() => op(x));
  return {
    record() {
      x.storage.version++;
      device.scope(() => {
        const tape = new Tape(device);
        tape.watch(x);
        tape.backwardFrom(tape.record(() => op(x)), cotangent);
      });
    },
    [Symbol.dispose]: () => release(device, [x, cotangent]),
  };
}

function release(device: Device, tensors: readonly Tensor[]): void {
  for (const tensor of tensors) tensor.dispose();
  device.trim();
}
