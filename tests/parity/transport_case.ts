/**
 * The formulas of paths, losses and schedules, and the small ops that compute them.
 *
 * @module
 */

import { alignmentLoss, cosineLoss } from "../../kernels/cosine_loss/mod.ts";
import type { Device } from "../../kernels/core/device.ts";
import type { Tensor } from "../../kernels/core/tensor.ts";
import { embedTime } from "../../kernels/embed_time/mod.ts";
import { interpolate } from "../../kernels/interpolate/mod.ts";
import { meanSquarePerSample } from "../../kernels/mean_square/mod.ts";
import { rope } from "../../kernels/rope/mod.ts";
import { weightedSum } from "../../kernels/weighted_sum/mod.ts";
import { gvpInterpolant } from "../../model/interpolants/gvp.ts";
import type { Interpolant } from "../../model/interpolants/interpolant.ts";
import { linearInterpolant } from "../../model/interpolants/linear.ts";
import {
  lossCoefficients,
  type LossWeighting,
  noiseCoefficients,
  type Prediction,
  scoreCoefficients,
  type StateCoefficients,
  targetCoefficients,
  velocityCoefficients,
} from "../../model/interpolants/prediction.ts";
import { logitNormalTime, sampleInterval, trainInterval } from "../../model/interpolants/time.ts";
import { vpInterpolant } from "../../model/interpolants/vp.ts";
import { rotaryAngles, sinCosPositions } from "../../model/positions.ts";
import { diffusionCoefficient } from "../../sample/diffusion.ts";
import { shiftTime } from "../../sample/times.ts";
import { diffusionFormOf } from "./diffusion_form.ts";
import type { Golden } from "./golden.ts";
import { absoluteError, type Kind, type Report } from "./report.ts";
import { EXACT, formula, FORWARD, LOSS, WAVE } from "./tolerances.ts";

const PATHS = { Linear: linearInterpolant, GVP: gvpInterpolant, VP: vpInterpolant } as const;
const REPA_PATHS = { linear: linearInterpolant, cosine: gvpInterpolant } as const;
const PREDICTIONS: readonly Prediction[] = ["velocity", "noise", "score"];
const WEIGHTINGS: Readonly<Record<string, LossWeighting>> = {
  None: "none",
  velocity: "velocity",
  likelihood: "likelihood",
};

/** Compares with the file's tensor of the same name, where there is one. */
type Check = (
  key: string,
  got: ArrayLike<number>,
  options?: { kind?: Kind; tolerance?: number; of?: string },
) => void;

/** The file's samples: data, noise and a network's output [B, C, H, W] at times [B]. */
interface Samples {
  readonly times: Float64Array;
  readonly data: Tensor;
  readonly noise: Tensor;
  readonly output: Tensor;
  readonly outputs: Float64Array;
}

/** Verifies the file of formulas. */
export async function verifyTransport(
  device: Device,
  golden: Golden,
  report: Report,
): Promise<void> {
  const check: Check = (key, got, { kind = "values", tolerance = FORWARD, of } = {}) => {
    if (!golden.has(key)) return;
    const quantity = of === undefined ? key : `${key} of ${of}`;
    report.compare({ quantity, kind, got, recorded: golden.values(key), tolerance });
  };
  using data = golden.tensor(device, "input.x1");
  using noise = golden.tensor(device, "input.x0");
  using output = golden.tensor(device, "input.model_output");
  const samples: Samples = {
    times: golden.values("input.t"),
    data,
    noise,
    output,
    outputs: golden.values("input.model_output"),
  };
  for (const [name, interpolant] of Object.entries(PATHS)) {
    checkPath({ name, interpolant, samples, golden, check });
    await checkStates({ name, interpolant, samples, golden, check });
    await checkLosses({ name, interpolant, samples, check });
  }
  for (const [name, interpolant] of Object.entries(REPA_PATHS)) {
    await checkRepa({ name, interpolant, samples, golden, check });
  }
  await checkDirections({ samples, golden, check });
  checkSchedules(golden, check);
  await checkPositions(device, golden, check);
  checkIntervals(golden, report);
}

interface PathCheck {
  readonly name: string;
  readonly interpolant: Interpolant;
  readonly samples: Samples;
  readonly check: Check;
}

function checkPath({ name, interpolant, samples, golden, check }: PathCheck & { golden: Golden }) {
  const { times } = samples;
  const tolerance = formula(interpolant, times);
  const scalars = {
    alpha: interpolant.alpha,
    sigma: interpolant.sigma,
    d_alpha: interpolant.dAlpha,
    d_sigma: interpolant.dSigma,
    drift_var: interpolant.driftVariance,
  };
  for (const [key, of] of Object.entries(scalars)) {
    check(`path.${name}.${key}`, times.map((t) => of.call(interpolant, t)), { tolerance });
  }
  const norm = Number(/diffusion norm ([\d.]+\d)/.exec(golden.text("convention"))?.[1] ?? 1);
  for (const form of golden.namesUnder(`diffusion.${name}.`)) {
    const parsed = diffusionFormOf(form);
    const got = times.map((t) => diffusionCoefficient(parsed, t, { interpolant, norm }));
    check(`diffusion.${name}.${form}`, got, { tolerance });
  }
}

/** What follows from a state and the network's output there. */
async function checkStates(
  { name, interpolant, samples, golden, check }: PathCheck & { golden: Golden },
): Promise<void> {
  const { times, data, noise, outputs } = samples;
  const { device } = data;
  using coefficients = device.tensor(
    Float32Array.from([...times].flatMap((t) => {
      const target = targetCoefficients(interpolant, "velocity", t);
      return [interpolant.alpha(t), interpolant.sigma(t), target.data, target.noise];
    })),
    [times.length, 4],
  );
  const point = device.scope(() => interpolate(data, noise, coefficients));
  using x = point.x;
  using target = point.target;
  const tolerance = formula(interpolant, times);
  check(`path.${name}.xt`, await x.read(), { tolerance });
  check(`path.${name}.ut`, await target.read(), { tolerance });
  const states = golden.values(`path.${name}.xt`);
  const formulas: Record<string, (t: number) => StateCoefficients> = {
    // The official function gives the drift of the reverse process, hence the sign.
    [`path.${name}.drift`]: (t) => ({ x: -interpolant.driftMean(t), output: 0 }),
    [`path.${name}.score_from_velocity`]: (t) => scoreCoefficients(interpolant, "velocity", t),
    [`path.${name}.noise_from_velocity`]: (t) => noiseCoefficients(interpolant, "velocity", t),
    [`path.${name}.velocity_from_score`]: (t) => velocityCoefficients(interpolant, "score", t),
  };
  for (const prediction of PREDICTIONS) {
    formulas[`score.${name}.${prediction}`] = (t) => scoreCoefficients(interpolant, prediction, t);
    formulas[`ode_drift.${name}.${prediction}`] = (t) =>
      velocityCoefficients(interpolant, prediction, t);
  }
  for (const [key, of] of Object.entries(formulas)) {
    check(key, applied(of, { times, states, outputs }), { tolerance });
  }
}

function applied(
  of: (t: number) => StateCoefficients,
  { times, states, outputs }: {
    times: Float64Array;
    states: Float64Array;
    outputs: Float64Array;
  },
): Float64Array {
  const size = states.length / times.length;
  const coefficients = [...times].map(of);
  return states.map((state, i) => {
    const { x, output } = coefficients[Math.floor(i / size)]!;
    return x * state + output * outputs[i]!;
  });
}

async function checkLosses({ name, interpolant, samples, check }: PathCheck): Promise<void> {
  const tolerance = Math.max(LOSS, formula(interpolant, samples.times));
  for (const prediction of PREDICTIONS) {
    for (const [official, weighting] of Object.entries(WEIGHTINGS)) {
      const loss = await lossPerSample({ interpolant, prediction, weighting, samples, sign: 1 });
      check(`loss.${name}.${prediction}.${official}`, loss, { kind: "losses", tolerance });
    }
  }
}

/** The loss of each sample by the kernels that train; a sign of -1 reverses time and velocity. */
async function lossPerSample(
  { interpolant, prediction, weighting, samples, sign }: {
    interpolant: Interpolant;
    prediction: Prediction;
    weighting: LossWeighting;
    samples: Samples;
    sign: 1 | -1;
  },
): Promise<Float32Array> {
  const { times, data, noise, output } = samples;
  const { device } = data;
  const factors = [...times].map((time) =>
    lossCoefficients(interpolant, prediction, sign === 1 ? time : 1 - time, { weighting })
  );
  using loss = device.scope(() => {
    const coefficients = Float32Array.from(
      factors.flatMap((factor) => [0, 0, sign * factor.data, sign * factor.noise]),
    );
    const { target } = interpolate(
      data,
      noise,
      device.tensor(coefficients, [factors.length, 4]),
    );
    const scales = Float32Array.from(factors, ({ outputScale }) => outputScale);
    const scale = device.tensor(scales, [factors.length]);
    return meanSquarePerSample(output, target, { scale });
  });
  return await loss.read();
}

/** REPA's paths, whose time runs backwards and whose velocity has the other sign. */
async function checkRepa(
  { name, interpolant, samples, golden, check }: PathCheck & { golden: Golden },
): Promise<void> {
  const { times, data, noise, outputs } = samples;
  const { device } = data;
  const tolerance = formula(interpolant, times.map((time) => 1 - time));
  const coefficients = [...times].flatMap((time) => {
    const t = 1 - time;
    return [interpolant.alpha(t), interpolant.sigma(t), 0, 0];
  });
  using x = device.scope(() =>
    interpolate(
      data,
      noise,
      device.tensor(Float32Array.from(coefficients), [times.length, 4]),
    ).x
  );
  check(`path.repa.${name}.xt`, await x.read(), { tolerance });
  const states = golden.values(`path.repa.${name}.xt`);
  const score = (time: number) => {
    const { x, output } = scoreCoefficients(interpolant, "velocity", 1 - time);
    return { x, output: -output };
  };
  const scores = applied(score, { times, states, outputs });
  check(`path.repa.${name}.score_from_velocity`, scores, { tolerance });
  const options = { interpolant, prediction: "velocity", weighting: "none", samples } as const;
  check(`loss.repa.${name}.denoise`, await lossPerSample({ ...options, sign: -1 }), {
    kind: "losses",
    tolerance: LOSS,
  });
  using features = golden.tensor(device, "input.repa.z");
  using projected = golden.tensor(device, "input.repa.z_tilde");
  using alignment = device.scope(() => weightedSum([alignmentLoss(features, projected)], [1]));
  check(`loss.repa.${name}.proj`, await alignment.read(), { kind: "losses", tolerance: LOSS });
}

/** LightningDiT's two losses on the linear path. */
async function checkDirections(
  { samples, golden, check }: { samples: Samples; golden: Golden; check: Check },
): Promise<void> {
  const options = {
    interpolant: linearInterpolant,
    prediction: "velocity",
    weighting: "none",
    samples,
    sign: 1,
  } as const;
  const losses = { kind: "losses", tolerance: LOSS } as const;
  check("loss.lightning.mse", await lossPerSample(options), losses);
  const { device } = samples.data;
  using target = device.tensor(golden.readFloat32("path.Linear.ut"), samples.output.shape);
  using cosine = device.scope(() => cosineLoss(samples.output, target));
  check("loss.lightning.cos", await cosine.read(), losses);
}

function checkSchedules(golden: Golden, check: Check): void {
  if (golden.has("lognorm.normal")) {
    check("lognorm.t", golden.values("lognorm.normal").map((normal) => logitNormalTime(normal)));
  }
  for (const name of golden.namesUnder("shift.")) {
    if (name === "input") continue;
    const shift = Number(name);
    check(`shift.${name}`, golden.values("shift.input").map((t) => shiftTime(t, shift)));
  }
}

async function checkPositions(device: Device, golden: Golden, check: Check): Promise<void> {
  for (const name of golden.namesUnder("timestep.D")) {
    using t = golden.tensor(device, "timestep.t");
    using waves = device.scope(() => embedTime(t, { width: Number(name) }));
    // As shares of the time that they are the waves of.
    const scales = golden.values("timestep.t").map((time) => Math.max(1, time));
    const width = Number(name);
    const got = await waves.read(), recorded = golden.values(`timestep.D${name}`);
    const shares = got.map((value, i) =>
      (value - recorded[i]!) / scales[Math.floor(i / width)]! + recorded[i]!
    );
    check(`timestep.D${name}`, shares, { tolerance: WAVE });
  }
  for (const name of golden.namesUnder("pos_embed.")) {
    const [, width, grid] = /^D(\d+)\.grid(\d+)$/.exec(name) ?? [];
    if (grid === undefined) continue;
    check(`pos_embed.${name}`, sinCosPositions(Number(grid), Number(width)));
  }
  for (const name of golden.namesUnder("rope.")) {
    const [, headWidth, grid] = /^hd(\d+)\.grid(\d+)\.in$/.exec(name) ?? [];
    if (grid === undefined) continue;
    const key = `rope.hd${headWidth}.grid${grid}`;
    const { cos, sin } = rotaryAngles(Number(grid), Number(headWidth));
    check(`${key}.cos`, cos);
    check(`${key}.sin`, sin);
    const rotated = await rotate(device, { golden, key, cos, sin });
    check(`${key}.out`, rotated.queries, { of: "queries" });
    check(`${key}.out`, rotated.keys, { of: "keys" });
  }
}

/** The recorded heads [B, H, T, d] as queries and as keys through the op. */
async function rotate(
  device: Device,
  { golden, key, cos, sin }: {
    golden: Golden;
    key: string;
    cos: Float64Array;
    sin: Float64Array;
  },
): Promise<{ queries: Float32Array; keys: Float32Array }> {
  const values = golden.readFloat32(`${key}.in`);
  const [batch = 0, heads = 0, tokens = 0, width = 0] = golden.shape(`${key}.in`);
  const place = (i: number, part: number) => {
    const channel = i % width, token = Math.floor(i / width) % tokens;
    const head = Math.floor(i / (width * tokens)) % heads;
    const image = Math.floor(i / (width * tokens * heads));
    return (((image * tokens + token) * 3 + part) * heads + head) * width + channel;
  };
  const packed = new Float32Array(3 * values.length);
  for (const [i, value] of values.entries()) {
    for (const part of [0, 1, 2]) packed[place(i, part)] = value;
  }
  using rotated = device.scope(() =>
    rope(device.tensor(packed, [batch, tokens, 3 * heads * width]), {
      heads,
      cos: device.tensor(new Float32Array(cos), [tokens, width]),
      sin: device.tensor(new Float32Array(sin), [tokens, width]),
    })
  );
  const all = await rotated.read();
  return {
    queries: values.map((_, i) => all[place(i, 0)]!),
    keys: values.map((_, i) => all[place(i, 1)]!),
  };
}

/** The intervals of training and sampling times stand in the metadata. */
function checkIntervals(golden: Golden, report: Report): void {
  const intervals = golden.fields("intervals");
  for (const name of intervals.names()) {
    const [path = "", prediction = ""] = name.split(".");
    const interpolant = Object.entries(PATHS).find(([known]) => known === path)?.[1];
    const known = PREDICTIONS.find((candidate) => candidate === prediction);
    if (!interpolant || !known) {
      report.fail(`interval ${name}`, "not covered");
      continue;
    }
    const recorded = intervals.fields(name);
    const compare = (of: string, got: readonly number[], expected: readonly number[]) =>
      report.compare({
        quantity: `interval ${name} ${of}`,
        kind: "values",
        got,
        recorded: expected,
        tolerance: EXACT,
        measure: absoluteError,
      });
    compare("train", trainInterval(interpolant, known), recorded.numbers("train_interval"));
    const samples = recorded.fields("sample_interval");
    for (const key of samples.names()) {
      const match = /^sde=(True|False),form=([\w-]+),last_step_size=([\d.]+)$/.exec(key);
      if (!match) {
        report.fail(`interval ${name} ${key}`, "not covered");
        continue;
      }
      const sde = { form: diffusionFormOf(match[2]!), lastStepSize: Number(match[3]) };
      const got = sampleInterval(interpolant, known, match[1] === "True" ? { sde } : {});
      compare(key, got, samples.numbers(key));
    }
  }
}
