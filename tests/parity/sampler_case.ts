/**
 * Whole trajectories of the samplers with the recorded noise.
 *
 * @module
 */

import { combine } from "../../kernels/combine/mod.ts";
import { concatenate } from "../../kernels/core/concatenate.ts";
import type { Device } from "../../kernels/core/device.ts";
import { DeviceLostError } from "../../kernels/core/errors.ts";
import { elementsOf, type Tensor } from "../../kernels/core/tensor.ts";
import { gvpInterpolant } from "../../model/interpolants/gvp.ts";
import type { Interpolant } from "../../model/interpolants/interpolant.ts";
import { linearInterpolant } from "../../model/interpolants/linear.ts";
import type { Prediction } from "../../model/interpolants/prediction.ts";
import { sampleInterval } from "../../model/interpolants/time.ts";
import { vpInterpolant } from "../../model/interpolants/vp.ts";
import type { SiT } from "../../model/sit.ts";
import { sampleDopri5 } from "../../sample/dopri5.ts";
import { conditionedNetwork, pairedNetwork } from "../../sample/draw.ts";
import { guidanceActive, guided } from "../../sample/guidance.ts";
import type { Network, SamplerStep } from "../../sample/network.ts";
import {
  type OdeSampler,
  sampleEuler,
  sampleHeun,
  sampleHeun3,
  sampleMidpoint,
  sampleRk4,
} from "../../sample/ode.ts";
import { type LastStep, sampleEulerMaruyama, sampleSdeHeun } from "../../sample/sde.ts";
import { odeTimes } from "../../sample/times.ts";
import { diffusionFormOf } from "./diffusion_form.ts";
import type { Fields } from "./fields.ts";
import type { Golden } from "./golden.ts";
import { loadModel } from "./golden_model.ts";
import { absoluteError, largestError, type Report } from "./report.ts";
import { ADAPTIVE, EXACT, SAMPLE, TIME } from "./tolerances.ts";

const INTERPOLANTS: Readonly<Record<string, Interpolant>> = {
  Linear: linearInterpolant,
  GVP: gvpInterpolant,
  VP: vpInterpolant,
};

const ODE_SAMPLERS: Readonly<Record<string, OdeSampler>> = {
  euler: sampleEuler,
  heun2: sampleHeun,
  heun3: sampleHeun3,
  midpoint: sampleMidpoint,
  rk4: sampleRk4,
};

/** Sampler and case of a recording, and what it runs on. */
interface SamplerCase {
  readonly name: string;
  readonly spec: Fields;
  readonly golden: Golden;
  readonly report: Report;
}

/** States with their times, read when the sampler has ended. */
class Trajectory implements Disposable {
  readonly times: number[] = [];
  readonly #states: Tensor[] = [];

  /** Copies a state, which its sampler is about to release. */
  add(x: Tensor, t: number): void {
    const copy = x.device.unscoped(() => x.device.empty(x.shape));
    x.device.copyInto(copy, x);
    this.#states.push(copy);
    this.times.push(t);
  }

  /** All states, one after the other. */
  async read(): Promise<Float32Array> {
    const parts = await Promise.all(this.#states.map((state) => state.read()));
    const all = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
    let first = 0;
    for (const part of parts) {
      all.set(part, first);
      first += part.length;
    }
    return all;
  }

  [Symbol.dispose](): void {
    for (const state of this.#states) state.dispose();
  }
}

/** Verifies a file of SiT's or LightningDiT's samplers, which go from noise at t = 0. */
export async function verifySamplers(
  device: Device,
  golden: Golden,
  report: Report,
): Promise<void> {
  const model = await loadModel(device, golden, report);
  using _parameters = model.parameters;
  await forEachCase(golden, report, async (samplerCase) => {
    using condition = golden.tensor(device, golden.has("input.s") ? "input.s" : "input.y");
    using nothing = nullCondition(model, { golden, condition });
    const wrap = Number(/multiplied by ([\d.]+)/.exec(golden.text("model_wrap"))?.[1] ?? 1);
    using towards = model.embed(condition);
    using away = model.embed(nothing);
    using pair = concatenate(towards, away);
    const conditional = scaled(conditionedNetwork(model, towards), wrap);
    const both = scaled(pairedNetwork(model, pair), wrap);
    const { spec } = samplerCase;
    const network = guided(conditional, both, {
      scale: spec.number("cfg_scale", 1),
      interval: [spec.number("cfg_interval_start", 0), 1],
      channels: spec.text("cfg_mode", "all") === "first3" ? 3 : "all",
    });
    using noise = golden.tensor(device, "input.noise");
    await verifyTrajectory(noise, network, samplerCase);
  });
}

async function verifyTrajectory(
  noise: Tensor,
  network: Network,
  samplerCase: SamplerCase,
): Promise<void> {
  const { name, spec, golden, report } = samplerCase;
  const kind = spec.text("kind"), method = spec.text("method", "euler");
  const adaptive = method === "dopri5";
  using trajectory = new Trajectory();
  if (kind === "SDE") runSde(noise, network, { ...samplerCase, trajectory });
  else await runOde(noise, network, { ...samplerCase, trajectory });
  const states = golden.values(`case.${name}.states`);
  const [points = 0, batch = 0, ...image] = golden.shape(`case.${name}.states`);
  // With guidance the official state is doubled; its second half steers nothing.
  const whole = batch * elementsOf(image);
  const size = noise.elements;
  const recorded = new Float64Array(points * size);
  for (let point = 0; point < points; point++) {
    recorded.set(states.subarray(point * whole, point * whole + size), point * size);
  }
  report.compare({
    case: name,
    quantity: "states",
    kind: "samples",
    got: await trajectory.read(),
    recorded,
    tolerance: adaptive ? ADAPTIVE : SAMPLE,
    measure: worstPart(points),
  });
  report.compare({
    case: name,
    quantity: "times",
    kind: "values",
    got: trajectory.times,
    recorded: golden.values(`case.${name}.times`),
    tolerance: TIME,
  });
}

type Run = SamplerCase & { readonly trajectory: Trajectory };

async function runOde(noise: Tensor, network: Network, run: Run): Promise<void> {
  const { spec, trajectory } = run;
  const { interpolant, prediction, epsilon } = pathOf(spec);
  const interval = sampleInterval(interpolant, prediction, epsilon);
  const times = odeTimes({
    steps: spec.number("num_steps") - 1,
    shift: spec.number("timestep_shift", 0),
    interval,
  });
  const method = spec.text("method", "euler");
  const options = { interpolant, prediction, times, onStep: recorder(trajectory) };
  trajectory.add(noise, times[0]!);
  if (method === "dopri5") {
    using _last = await sampleDopri5(network, noise, {
      ...options,
      relativeTolerance: spec.number("rtol"),
      absoluteTolerance: spec.number("atol"),
      ending: "interpolate",
    });
    return;
  }
  using _last = choose(ODE_SAMPLERS, method)(network, noise, options);
}

function runSde(noise: Tensor, network: Network, run: Run): void {
  const { name, spec, golden, trajectory } = run;
  const { device } = noise;
  const lastStep = spec.text("last_step", "None").toLowerCase();
  const steps = spec.number("num_steps");
  const sampler = choose(
    { Euler: sampleEulerMaruyama, Heun: sampleSdeHeun },
    spec.text("method"),
  );
  const { interpolant, prediction, epsilon } = pathOf(spec);
  let start: number | undefined;
  const watched: Network = (x, t) => {
    start ??= t;
    return network(x, t);
  };
  using last = sampler(watched, noise, {
    interpolant,
    prediction,
    ...epsilon,
    // The official grid has as many points as there are steps with the last one.
    steps: lastStep === "none" ? steps - 1 : steps,
    diffusion: {
      form: diffusionFormOf(spec.text("diffusion_form")),
      norm: spec.number("diffusion_norm", 1),
    },
    lastStep: choose(LAST_STEPS, lastStep),
    lastStepSize: spec.number("last_step_size"),
    noise: (step) => noiseOf(golden, { key: `case.${name}.noise`, step, like: noise }),
    onStep: recorder(trajectory),
  });
  // Recorded are the states after each step, but the times before: the last step's end is not.
  if (lastStep === "none") trajectory.add(last, NaN);
  trajectory.times.unshift(start!);
  trajectory.times.pop();
  device.flush();
}

const LAST_STEPS: Readonly<Record<string, LastStep>> = {
  none: "none",
  mean: "mean",
  euler: "euler",
  tweedie: "tweedie",
};

/**
 * Verifies REPA's samplers, which go from noise at t = 1 to data at t = 0 and have the velocity's
 * sign reversed; `noise` is the key of the state that they start from.
 */
export async function verifyRepaSamplers(
  model: SiT,
  { golden, report, noise: key }: { golden: Golden; report: Report; noise: string },
): Promise<void> {
  const { device } = model;
  await forEachCase(golden, report, async (samplerCase) => {
    const { name, spec } = samplerCase;
    using condition = golden.tensor(device, golden.has("input.s") ? "input.s" : "input.y");
    using nothing = nullCondition(model, { golden, condition });
    using noise = golden.tensor(device, key);
    using calls = new Trajectory();
    const guidedCalls: number[] = [];
    using towards = model.embed(condition);
    using away = model.embed(nothing);
    using pair = concatenate(towards, away);
    const network = reversed(conditionedNetwork(model, towards));
    const paired = reversed(pairedNetwork(model, pair));
    using last = runRepa(noise, {
      ...samplerCase,
      conditional(x, t) {
        calls.add(x, 1 - t);
        guidedCalls.push(0);
        return network(x, t);
      },
      both(x, t) {
        calls.add(x, 1 - t);
        guidedCalls.push(1);
        return paired(x, t);
      },
    });
    const final = await last.read();
    for (const suffix of ["final", "final_f32"]) {
      if (!golden.has(`case.${name}.${suffix}`)) continue;
      report.compare({
        case: name,
        quantity: suffix,
        kind: "samples",
        got: final,
        recorded: golden.values(`case.${name}.${suffix}`),
        tolerance: SAMPLE,
      });
    }
    if (golden.has(`case.${name}.call_x`)) {
      report.compare({
        case: name,
        quantity: "call_x",
        kind: "samples",
        got: await calls.read(),
        recorded: golden.values(`case.${name}.call_x`),
        tolerance: SAMPLE,
        measure: worstPart(calls.times.length),
      });
    }
    if (golden.has(`case.${name}.call_t`)) {
      report.compare({
        case: name,
        quantity: "call_t",
        kind: "values",
        got: calls.times,
        recorded: golden.values(`case.${name}.call_t`),
        tolerance: TIME,
      });
    }
    if (spec.has("call_batch")) {
      const [batch = 0] = noise.shape;
      report.compare({
        case: name,
        quantity: "guided calls",
        kind: "values",
        got: guidedCalls,
        recorded: spec.numbers("call_batch").map((size) => Number(size > batch)),
        tolerance: EXACT,
        measure: absoluteError,
      });
    }
  });
}

/** Verifies a file of REPA's samplers. */
export async function verifyRepaFile(
  device: Device,
  golden: Golden,
  report: Report,
): Promise<void> {
  const model = await loadModel(device, golden, report);
  using _parameters = model.parameters;
  await verifyRepaSamplers(model, { golden, report, noise: "input.noise" });
}

function runRepa(
  noise: Tensor,
  run: SamplerCase & { conditional: Network; both: Network },
): Tensor {
  const { name, spec, golden, conditional, both } = run;
  const steps = spec.number("num_steps"), scale = spec.number("cfg_scale", 1);
  const low = spec.number("guidance_low", 0), high = spec.number("guidance_high", 1);
  const interval = [1 - high, 1 - low] as const;
  const network = guided(conditional, both, { scale, interval });
  if (/^em\b/.test(name)) {
    return sampleEulerMaruyama(network, noise, {
      interpolant: choose(
        { linear: linearInterpolant, cosine: gvpInterpolant },
        spec.text("path_type", "linear"),
      ),
      steps,
      // REPA's diffusion is its time on either path, which is 1 - t here.
      diffusion: { form: "linear" },
      lastStep: "mean",
      lastStepSize: 0.04,
      noise: (step) => noiseOf(golden, { key: `case.${name}.noise`, step, like: noise }),
    });
  }
  const times = odeTimes({ steps });
  if (!spec.flag("heun")) return sampleEuler(network, noise, { times });
  // REPA decides on guidance at the start of a step, for the corrector too, and ends with Euler.
  let start = times[0]!;
  const always = guided(conditional, both, { scale });
  const decided: Network = (x, t) => (guidanceActive(start, interval) ? always : conditional)(x, t);
  const onStep = ({ t }: SamplerStep) => void (start = t);
  if (steps === 1) return sampleEuler(decided, noise, { times });
  using before = sampleHeun(decided, noise, { times: times.slice(0, -1), onStep });
  return sampleEuler(decided, before, { times: times.slice(-2) });
}

/** Runs `verify` for each case that the file lists, and turns what it throws into a failed row. */
async function forEachCase(
  golden: Golden,
  report: Report,
  verify: (samplerCase: SamplerCase) => Promise<void>,
): Promise<void> {
  const cases = golden.fields("cases");
  for (const name of cases.names()) {
    const spec = cases.fields(name), keys = golden.namesUnder(`case.${name}.`);
    // Where the official code itself gave no finite numbers, there is nothing to compare with.
    if (spec.has("skipped") && keys.length === 0) continue;
    try {
      await verify({ name, spec, golden, report });
    } catch (error) {
      if (!(error instanceof Error) || error instanceof DeviceLostError) throw error;
      report.fail("case", error.message, name);
      for (const key of keys) golden.use(`case.${name}.${key}`);
    }
  }
}

function choose<T>(choices: Readonly<Record<string, T>>, name: string): T {
  const choice = Object.hasOwn(choices, name) ? choices[name] : undefined;
  if (choice === undefined) {
    throw new RangeError(`not covered: ${name}, expected ${Object.keys(choices).join(", ")}`);
  }
  return choice;
}

function pathOf(spec: Fields): {
  interpolant: Interpolant;
  prediction: Prediction;
  epsilon: { epsilon?: number };
} {
  const field = ["sample_eps", "sample_eps_override"].find((name) => spec.has(name));
  const predictions = { velocity: "velocity", noise: "noise", score: "score" } as const;
  return {
    interpolant: choose(INTERPOLANTS, spec.text("path", "Linear")),
    prediction: choose<Prediction>(predictions, spec.text("prediction", "velocity")),
    epsilon: field === undefined ? {} : { epsilon: spec.number(field) },
  };
}

/** The null class, or snippets of zeros. The caller owns it. */
function nullCondition(
  { device, options }: SiT,
  { golden, condition }: { golden: Golden; condition: Tensor },
): Tensor {
  if (golden.has("input.y_null")) return golden.tensor(device, "input.y_null");
  const nothing = "classes" in options.condition
    ? new Uint32Array(condition.elements).fill(options.condition.classes)
    : new Float32Array(condition.elements);
  return device.tensor(nothing, condition.shape);
}

/** The recorded noise of one step, of the first half where the batch was doubled. */
function noiseOf(
  golden: Golden,
  { key, step, like }: { key: string; step: number; like: Tensor },
): Tensor {
  const all = golden.readFloat32(key), whole = all.length / golden.shape(key)[0]!;
  return like.device.tensor(all.slice(step * whole, step * whole + like.elements), like.shape);
}

function scaled(network: Network, factor: number): Network {
  return factor === 1 ? network : (x, t) => combine([[network(x, t), factor]]);
}

/** A network of REPA's time as one of ours: its velocity at 1 - t, reversed. */
function reversed(network: Network): Network {
  return (x, t) => combine([[network(x, 1 - t), -1]]);
}

function recorder(trajectory: Trajectory): (step: SamplerStep) => void {
  return ({ x, t }) => trajectory.add(x, t);
}

/** The largest error of `parts` equal parts, each relative to its own magnitude. */
function worstPart(
  parts: number,
): (got: ArrayLike<number>, recorded: ArrayLike<number>) => number {
  return (got, recorded) => {
    const ours = Float64Array.from(got), theirs = Float64Array.from(recorded);
    const size = theirs.length / parts;
    let worst = 0;
    for (let first = 0; first < theirs.length; first += size) {
      const end = first + size;
      worst = Math.max(
        worst,
        largestError(ours.subarray(first, end), theirs.subarray(first, end)),
      );
    }
    return worst;
  };
}
