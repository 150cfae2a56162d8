/**
 * A few optimiser steps: losses, gradient norms, then parameters, averages and moments.
 *
 * @module
 */

import { existsSync } from "node:fs";
import type { Device } from "../../kernels/core/device.ts";
import { Tape } from "../../kernels/core/tape.ts";
import type { Tensor } from "../../kernels/core/tensor.ts";
import { interpolate } from "../../kernels/interpolate/mod.ts";
import { linearInterpolant } from "../../model/interpolants/linear.ts";
import { targetCoefficients } from "../../model/interpolants/prediction.ts";
import type { SiT } from "../../model/sit.ts";
import { canonicalName } from "../../model/state_dict.ts";
import { denoisingLoss } from "../../train/loss.ts";
import { AdamW } from "../../train/optimizers/adamw.ts";
import { Golden } from "./golden.ts";
import { loadModel } from "./golden_model.ts";
import { absoluteError, normError, Report } from "./report.ts";
import {
  GRADIENT,
  LOSS,
  MOST_PARAMETERS,
  PARAMETER,
  ROUNDING,
  SQUARED_GRADIENT,
} from "./tolerances.ts";

/** Recorded tensors of parameters, such as `after3.` or `opt3.exp_avg.`, with the number of steps. */
const RECORDED = /^(after|ema|opt)(\d+)\.(?:(exp_avg_sq|exp_avg)\.)?/;

/** The file that holds weights and inputs of the one with averages and moments alone. */
const CONTINUED: Readonly<Record<string, string>> = {
  train_adamw_ema_opt: "train_adamw_steps",
};

/** Verifies a file of optimiser steps; weights and inputs may lie in the file beside it. */
export async function verifyOptimizer(
  device: Device,
  golden: Golden,
  report: Report,
): Promise<void> {
  if (golden.has("input.step0.t")) return await runSteps(device, golden, { golden, report });
  const sibling = siblingPath(report);
  if (!existsSync(sibling)) {
    report.fail("weights", `${sibling} is needed beside it and is not there`);
    for (const key of golden.keys()) golden.use(key);
    return;
  }
  using inputs = new Golden(sibling);
  await runSteps(device, inputs, { golden, report });
}

function siblingPath({ path, name }: Report): string {
  const base = CONTINUED[name];
  if (base === undefined) return "the file with the weights";
  return `${path.slice(0, path.lastIndexOf(name))}${base}.safetensors`;
}

async function runSteps(
  device: Device,
  inputs: Golden,
  { golden, report }: { golden: Golden; report: Report },
): Promise<void> {
  const metadata = golden.metadata();
  const [beta1 = 0, beta2 = 0] = metadata.numbers("betas");
  const learningRate = metadata.number("lr"), emaDecay = metadata.number("ema_decay");
  const model = await loadModel(device, inputs, inputs === golden ? report : new Report(""));
  using store = model.parameters;
  using optimizer = new AdamW(store, {
    beta1,
    beta2,
    epsilon: metadata.number("eps"),
    weightDecay: metadata.number("weight_decay"),
    clip: metadata.has("clip") ? metadata.number("clip") : undefined,
    emaDecay,
  });
  const steps = new Set(inputs.namesUnder("input.step").map((name) => Number.parseInt(name))).size;
  const losses: number[] = [], norms: number[] = [];
  for (let step = 0; step < steps; step++) {
    const results = device.scope(() => {
      const loss = lossOf(model, { inputs, step });
      return { loss, normAndFactor: optimizer.step({ learningRate }) };
    });
    losses.push((await results.loss.read())[0]!);
    norms.push((await results.normAndFactor.read())[0]!);
    results.loss.dispose();
    results.normAndFactor.dispose();
    await compareState(step + 1, { golden, report, model, optimizer, learningRate, emaDecay });
  }
  for (
    const [quantity, got, tolerance] of [
      ["output.loss", losses, LOSS],
      ["output.grad_norm", norms, GRADIENT],
    ] as const
  ) {
    if (!golden.has(quantity)) continue;
    const recorded = golden.values(quantity);
    report.compare({ quantity, kind: "losses", got, recorded, tolerance });
  }
}

/** Records one training step and leaves its gradients in the store. */
function lossOf(model: SiT, { inputs, step }: { inputs: Golden; step: number }): Tensor {
  const { device } = model;
  const at = (name: string) => `input.step${step}.${name}`;
  const coefficients = Float32Array.from(
    [...inputs.values(at("t"))].flatMap((t) => {
      const { data, noise } = targetCoefficients(linearInterpolant, "velocity", t);
      return [linearInterpolant.alpha(t), linearInterpolant.sigma(t), data, noise];
    }),
  );
  const { x, target } = interpolate(
    inputs.tensor(device, at("x1")),
    inputs.tensor(device, at("x0")),
    device.tensor(coefficients, [coefficients.length / 4, 4]),
  );
  const t = inputs.tensor(device, at("t"));
  const condition = inputs.tensor(device, inputs.has(at("s")) ? at("s") : at("y"));
  const tape = new Tape(device);
  const loss = tape.record(() => denoisingLoss(model.forward(x, t, condition), target));
  tape.backward(loss);
  return loss;
}

/** A run of the optimiser and where its results are compared. */
interface Run {
  readonly golden: Golden;
  readonly report: Report;
  readonly model: SiT;
  readonly optimizer: AdamW;
  readonly learningRate: number;
  readonly emaDecay: number;
}

/** Compares all that the file recorded after `step` steps. */
async function compareState(step: number, run: Run): Promise<void> {
  const { golden, report, model, optimizer, learningRate, emaDecay } = run;
  const averages = new Map(optimizer.averageEntries());
  const moments = new Map(optimizer.stateEntries());
  const differences: number[] = [];
  for (const key of golden.keys()) {
    const match = RECORDED.exec(key);
    if (!match || Number(match[2]) !== step) continue;
    const [prefix, kind, , moment] = match;
    const name = canonicalName(key.slice(prefix.length));
    if (!model.parameters.has(name)) continue;
    const recorded = golden.values(key);
    if (kind === "opt") {
      const tensor = moments.get(`${moment}.${name}`);
      if (!tensor) continue;
      report.compare({
        quantity: key,
        kind: "parameters",
        got: await tensor.read(),
        recorded,
        tolerance: moment === "exp_avg" ? GRADIENT : SQUARED_GRADIENT,
        measure: normError,
      });
      continue;
    }
    const averaged = kind === "ema";
    const got = await (averaged ? averages.get(name)! : model.parameters.get(name)).read();
    const noise = noisePart(model, name);
    if (!averaged) {
      for (let i = 0; i < got.length; i++) {
        if (!noise(i)) differences.push(Math.abs(got[i]! - recorded[i]!));
      }
    }
    report.compare({
      quantity: key,
      kind: "parameters",
      got,
      recorded,
      tolerance: PARAMETER * step,
      // An average follows the parameters by the share 1 - decay in each step.
      measure: averaged
        ? stepShare({ length: learningRate * (1 - emaDecay ** step), roundings: 5 * step, noise })
        : stepShare({ length: learningRate, roundings: 0, noise }),
    });
  }
  if (differences.length === 0) return;
  differences.sort((a, b) => a - b);
  report.compare({
    quantity: `after${step}, 99.9 % of the elements`,
    kind: "parameters",
    got: [differences[Math.ceil(differences.length * 0.999) - 1]!],
    recorded: [0],
    tolerance: MOST_PARAMETERS,
    measure: absoluteError,
  });
}

/**
 * Which elements of a parameter have a gradient of nothing but rounding: the bias of the keys adds the
 * same to all scores of a query, which softmax does not see. AdamW makes steps of any size of it.
 */
function noisePart({ options }: SiT, name: string): (index: number) => boolean {
  if (options.rope || options.qkNorm || !name.endsWith(".attn.qkv.bias")) return () => false;
  return (index) => index >= options.width && index < 2 * options.width;
}

/**
 * The largest difference in lengths of a step, beyond what `roundings` of the numbers themselves may
 * cost: an average that moves by 1e-8 cannot be seen to move in a weight of 1. Of `noise` a whole
 * step counts as much as {@linkcode PARAMETER} of a step elsewhere.
 */
function stepShare(
  { length, roundings, noise }: {
    length: number;
    roundings: number;
    noise: (index: number) => boolean;
  },
): (got: ArrayLike<number>, recorded: ArrayLike<number>) => number {
  return (got, recorded) => {
    let worst = 0;
    for (let i = 0; i < recorded.length; i++) {
      const rounding = roundings * ROUNDING * Math.abs(recorded[i]!);
      const steps = (Math.abs(got[i]! - recorded[i]!) - rounding) / length;
      worst = Math.max(worst, noise(i) ? PARAMETER * steps : steps);
    }
    return worst;
  };
}
