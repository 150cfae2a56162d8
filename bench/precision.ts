/**
 * Trains the default network in f32 and in f16 from the same seed on the same images, and says how
 * far apart the losses are.
 *
 * `deno run -A bench/precision.ts [--steps 200] [--matmul VARIANT] [--json]` prints a table or one JSON
 * object. With `--matmul tiled` products, attention, norms and gates are those of GPUs, which a CPU driver makes
 * slowly.
 *
 * @module
 */

import { parseArgs } from "node:util";
import { openProgress } from "../cli/progress.ts";
import { runCommand } from "../cli/run_command.ts";
import { Device, type Precision } from "../kernels/core/device.ts";
import { formatBytes } from "../kernels/core/format_bytes.ts";
import type { Config } from "../train/config.ts";
import { loadConfig } from "../train/load_config.ts";
import { loadData } from "../train/load_data.ts";
import { buildRun } from "../train/run.ts";
import { median } from "./measure.ts";

const CONFIG = "configs/emoji_tiny.yaml";
/** Share of a new loss in the smoothed one: the mean of some twenty steps. */
const SMOOTHING = 0.05;
/** Steps before the smoothed losses are compared, and before times count. */
const WARMUP = 10;

/** The kernels of GPUs beside products: those that write halves. */
const GPU_VARIANTS = "attention: tiled, gate: vector, geluMlp: fused, layerNorm: register";

/** What one run gave. */
interface Measured {
  readonly precision: Precision;
  readonly losses: readonly number[];
  readonly milliseconds: number;
  readonly peakBytes: number;
  readonly skipped: number;
  readonly lossScale: number | undefined;
}

await runCommand(main);

async function main(): Promise<void> {
  const { values } = parseArgs({
    args: Deno.args,
    options: {
      steps: { type: "string", default: "200" },
      matmul: { type: "string" },
      json: { type: "boolean" },
    },
  });
  const steps = Number(values.steps);
  if (!Number.isInteger(steps) || steps <= WARMUP) {
    throw new RangeError(
      `Cannot compare ${values.steps} steps: expected a whole number above ${WARMUP}`,
    );
  }
  const config = await loadConfig(CONFIG, {
    overrides: [
      `train.steps=${steps}`,
      ...(values.matmul ? [`device.variants={ matmul: ${values.matmul}, ${GPU_VARIANTS} }`] : []),
    ],
  });
  const runs = [await train("f32", config), await train("f16", config)] as const;
  const [single, half] = runs.map(({ losses }) => smooth(losses)) as [number[], number[]];
  const differences = single.map((loss, i) => half[i]! / loss - 1).slice(WARMUP);
  const distances = differences.map(Math.abs);
  const result = {
    steps,
    largestDifference: Math.max(...distances),
    meanDifference: mean(distances),
    meanSignedDifference: mean(differences),
    last: { f32: single.at(-1)!, f16: half.at(-1)! },
    runs: runs.map(({ losses: _, ...rest }) => rest),
  };
  if (values.json) return console.log(JSON.stringify(result));
  console.log(
    "| precision | smoothed loss at the end | ms a step | peak | skipped steps | loss scale |\n" +
      "|---|---|---|---|---|---|",
  );
  for (const { precision, milliseconds, peakBytes, skipped, lossScale } of runs) {
    const loss = result.last[precision].toPrecision(5);
    console.log(
      `| ${precision} | ${loss} | ${milliseconds.toFixed(0)} | ${formatBytes(peakBytes)} | ` +
        `${skipped} | ${lossScale ?? ""} |`,
    );
  }
  console.log(
    `\nsmoothed losses of f16 and f32 over ${steps} steps differ by ` +
      `${percent(result.largestDifference)} at most, ${percent(result.meanDifference)} on ` +
      `average, ${percent(result.meanSignedDifference)} with sign`,
  );
}

async function train(precision: Precision, given: Config): Promise<Measured> {
  const config = { ...given, train: { ...given.train, precision } }, { steps } = config.train;
  // A device of its own, whose pool knows the peak of this run alone.
  using device = await Device.open({ allowCpuDriver: true, variants: given.device.variants });
  const directory = await Deno.makeTempDir();
  using progress = openProgress(steps);
  try {
    const data = await loadData(config.data, {
      seed: config.train.seed,
      note: (line) => progress.note(line),
    });
    using run = await buildRun({
      device,
      config,
      ...data,
      runDirectory: directory,
      note: (line) => progress.note(`${precision}: ${line}`),
    });
    const losses: number[] = [], times: number[] = [];
    let skipped = 0, lossScale: number | undefined, last = performance.now();
    for await (const record of run.trainer.run({ steps, logEvery: 1 })) {
      const now = performance.now();
      losses.push(record.loss);
      if (losses.length > WARMUP) times.push(now - last);
      last = now;
      skipped += record.skipped;
      lossScale = record.lossScale;
      progress.record({ step: record.step, loss: record.loss });
    }
    const { peakBytes } = device.pool;
    return { precision, losses, milliseconds: median(times), peakBytes, skipped, lossScale };
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

function smooth(losses: readonly number[]): number[] {
  let sum = 0, weight = 0;
  return losses.map((loss) => {
    sum += SMOOTHING * (loss - sum);
    weight += SMOOTHING * (1 - weight);
    return sum / weight;
  });
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function percent(share: number): string {
  return `${(100 * share).toPrecision(2)} %`;
}
