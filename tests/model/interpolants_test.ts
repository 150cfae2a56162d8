import assert from "node:assert/strict";
import type { SafetensorsFile } from "../../kernels/core/safetensors.ts";
import { gvpInterpolant } from "../../model/interpolants/gvp.ts";
import {
  DIFFUSION_FORMS,
  type DiffusionForm,
  type Interpolant,
} from "../../model/interpolants/interpolant.ts";
import { linearInterpolant } from "../../model/interpolants/linear.ts";
import {
  dataCoefficients,
  lossCoefficients,
  lossWeight,
  type LossWeighting,
  noiseCoefficients,
  type Prediction,
  scoreCoefficients,
  targetCoefficients,
  velocityCoefficients,
} from "../../model/interpolants/prediction.ts";
import {
  logitNormalTime,
  sampleInterval,
  type TimeInterval,
  trainInterval,
  uniformTime,
} from "../../model/interpolants/time.ts";
import { vpInterpolant } from "../../model/interpolants/vp.ts";
import { diffusionCoefficient, driftCoefficients } from "../../sample/diffusion.ts";
import { goldenTest } from "../_goldens.ts";
import { diffusionFormOf } from "../parity/diffusion_form.ts";

const INTERPOLANTS = [linearInterpolant, gvpInterpolant, vpInterpolant];
const PREDICTIONS: Prediction[] = ["velocity", "noise", "score"];
const WEIGHTINGS: LossWeighting[] = ["none", "velocity", "likelihood"];
const GOLDEN_NAMES = { linear: "Linear", gvp: "GVP", vp: "VP" };

/** Half the distance from 1 to the next float32: the relative error of one float32 operation. */
const UNIT = 2 ** -24;

/**
 * A float64 value together with a bound on the error that float32 arithmetic may have made on the
 * way to it: running error analysis (Higham, Accuracy and Stability of Numerical Algorithms, sec.
 * 3.3).
 *
 * Evaluating the official formulas with it says how far a recorded float32 number may lie from the
 * truth.
 */
class Rounded {
  constructor(readonly value: number, readonly error: number = 0) {}

  /** A literal of the official code, rounded to float32 where it meets a tensor. */
  static constant(value: number): Rounded {
    return new Rounded(value, Math.abs(value - Math.fround(value)));
  }

  static #result(value: number, inherited: number, operations = 1): Rounded {
    return new Rounded(value, inherited + operations * UNIT * (Math.abs(value) + inherited));
  }

  plus(other: Rounded): Rounded {
    return Rounded.#result(this.value + other.value, this.error + other.error);
  }

  minus(other: Rounded): Rounded {
    return this.plus(other.negated());
  }

  times(other: Rounded): Rounded {
    const inherited = Math.abs(this.value) * other.error + Math.abs(other.value) * this.error +
      this.error * other.error;
    return Rounded.#result(this.value * other.value, inherited);
  }

  over(other: Rounded): Rounded {
    const value = this.value / other.value;
    const inherited = (this.error + Math.abs(value) * other.error) /
      (Math.abs(other.value) - other.error);
    return Rounded.#result(value, inherited);
  }

  negated(): Rounded {
    return new Rounded(-this.value, this.error);
  }

  squared(): Rounded {
    return this.times(this);
  }

  // Library functions of float32 are good to one unit in the last place, which is two roundings.
  sqrt(): Rounded {
    const value = Math.sqrt(this.value);
    return Rounded.#result(value, value - Math.sqrt(this.value - this.error), 2);
  }

  exp(): Rounded {
    const value = Math.exp(this.value);
    return Rounded.#result(value, value * Math.expm1(this.error), 2);
  }

  sin(): Rounded {
    return Rounded.#result(Math.sin(this.value), this.error, 2);
  }

  cos(): Rounded {
    return Rounded.#result(Math.cos(this.value), this.error, 2);
  }

  /** The mean of any order of summation: each partial sum is at most the sum of magnitudes. */
  static mean(terms: Rounded[]): Rounded {
    let sum = 0, magnitude = 0, inherited = 0;
    for (const { value, error } of terms) {
      sum += value;
      magnitude += Math.abs(value) + error;
      inherited += error;
    }
    const rounding = terms.length * UNIT * magnitude;
    return new Rounded(sum / terms.length, (inherited + rounding) / terms.length);
  }
}

const ONE = new Rounded(1);
const HALF = new Rounded(0.5);

/** A path evaluated as the official code does it, with error bounds. */
interface OfficialPath {
  readonly alpha: Rounded;
  readonly sigma: Rounded;
  readonly dAlpha: Rounded;
  readonly dSigma: Rounded;
  readonly driftMean: Rounded;
  readonly driftVariance: Rounded;
}

function withDrift(path: Omit<OfficialPath, "driftMean" | "driftVariance">): OfficialPath {
  const { alpha, sigma, dAlpha, dSigma } = path;
  const driftMean = dAlpha.over(alpha);
  const driftVariance = driftMean.times(sigma.squared()).minus(sigma.times(dSigma));
  return { ...path, driftMean, driftVariance };
}

function officialPath(name: Interpolant["name"], time: number): OfficialPath {
  const t = new Rounded(time), fromData = ONE.minus(t);
  if (name === "linear") {
    return withDrift({ alpha: t, sigma: fromData, dAlpha: ONE, dSigma: ONE.negated() });
  }
  if (name === "gvp") {
    const angle = t.times(Rounded.constant(Math.PI)).times(HALF);
    const alpha = angle.sin(), sigma = angle.cos();
    const halfPi = Rounded.constant(Math.PI / 2);
    const dAlpha = halfPi.times(sigma), dSigma = halfPi.times(alpha).negated();
    return withDrift({ alpha, sigma, dAlpha, dSigma });
  }
  const low = Rounded.constant(0.1), range = Rounded.constant(20 - 0.1);
  const log = Rounded.constant(-0.25).times(fromData.squared()).times(range)
    .minus(HALF.times(fromData).times(low));
  const dLog = HALF.times(fromData).times(range).plus(HALF.times(low));
  const alpha = log.exp(), power = log.plus(log).exp();
  const sigma = ONE.minus(power).sqrt();
  const halfBeta = HALF.times(low.plus(fromData.times(range)));
  return {
    alpha,
    sigma,
    dAlpha: alpha.times(dLog),
    dSigma: power.times(dLog.plus(dLog)).over(sigma.plus(sigma)).negated(),
    driftMean: halfBeta,
    driftVariance: halfBeta,
  };
}

/** REPA's paths: t = 1 is noise, and the velocity points from data to noise. */
function officialRepaPath(name: "linear" | "cosine", time: number): OfficialPath {
  const t = new Rounded(time);
  if (name === "linear") {
    return withDrift({ alpha: ONE.minus(t), sigma: t, dAlpha: ONE.negated(), dSigma: ONE });
  }
  const angle = t.times(Rounded.constant(Math.PI)).times(HALF);
  const alpha = angle.cos(), sigma = angle.sin();
  const halfPi = Rounded.constant(Math.PI / 2);
  const dAlpha = halfPi.times(sigma).negated(), dSigma = halfPi.times(alpha);
  return withDrift({ alpha, sigma, dAlpha, dSigma });
}

/** One element of the recorded tensors. */
interface Point {
  readonly x: Rounded;
  readonly output: Rounded;
}

function officialScore(path: OfficialPath, prediction: Prediction, point: Point): Rounded {
  const { alpha, sigma, dAlpha, dSigma } = path;
  if (prediction === "score") return point.output;
  if (prediction === "noise") return point.output.over(sigma.negated());
  const ratio = alpha.over(dAlpha);
  const variance = sigma.squared().minus(ratio.times(dSigma).times(sigma));
  return ratio.times(point.output).minus(point.x).over(variance);
}

function officialVelocity(path: OfficialPath, prediction: Prediction, point: Point): Rounded {
  if (prediction === "velocity") return point.output;
  const score = officialScore(path, prediction, point);
  return path.driftMean.times(point.x).plus(path.driftVariance.times(score));
}

function officialNoiseFromVelocity(path: OfficialPath, { x, output }: Point): Rounded {
  const ratio = path.alpha.over(path.dAlpha);
  const variance = ratio.times(path.dSigma).minus(path.sigma);
  return ratio.times(output).minus(x).over(variance);
}

function officialWeight(path: OfficialPath, weighting: LossWeighting): Rounded {
  if (weighting === "none") return ONE;
  const ratio = path.driftVariance.over(path.sigma);
  return weighting === "velocity" ? ratio.squared() : path.driftVariance.over(path.sigma.squared());
}

/**
 * Asserts that our float64 number, the recorded float32 number and the official formula agree: the
 * recording within the float32 error bound, the formula within the same bound in float64, whose
 * unit is 2^29 times smaller, with a factor of 8 because our order of operations is another one.
 */
function assertAgrees(
  label: string,
  { ours, golden, official }: { ours: number; golden: number; official: Rounded },
): void {
  const { value, error } = official;
  assert.ok(
    Math.abs(ours - golden) <= error,
    `${label}: ours ${ours}, recorded ${golden}, error bound ${error}`,
  );
  assert.ok(
    Math.abs(ours - value) <= error * 2 ** -26,
    `${label}: ours ${ours}, official formula in float64 ${value}`,
  );
}

function sampleAt(golden: SafetensorsFile, key: string): (sample: number) => Float64Array {
  const values = golden.readFloat64(key), size = values.length / 5;
  return (sample) => values.subarray(sample * size, (sample + 1) * size);
}

/** Calls back for each path and each of the five recorded samples. */
function forEachSample(
  golden: SafetensorsFile,
  body: (
    at: { interpolant: Interpolant; name: string; t: number; sample: number; path: OfficialPath },
  ) => void,
): void {
  const times = golden.readFloat64("input.t");
  assert.equal(times.length, 5);
  for (const interpolant of INTERPOLANTS) {
    for (const [sample, t] of times.entries()) {
      const path = officialPath(interpolant.name, t);
      body({ interpolant, name: GOLDEN_NAMES[interpolant.name], t, sample, path });
    }
  }
}

function assertRelative(actual: number, expected: number, relative: number): void {
  assert.ok(
    Math.abs(actual - expected) <= relative * Math.abs(expected),
    `${actual} is not ${expected} within ${relative}`,
  );
}

Deno.test("interpolants start at noise and end at data", () => {
  for (const interpolant of INTERPOLANTS) {
    assert.equal(interpolant.alpha(1), 1, interpolant.name);
    assert.equal(interpolant.sigma(1), 0, interpolant.name);
  }
  for (const interpolant of [linearInterpolant, gvpInterpolant]) {
    assert.equal(interpolant.alpha(0), 0, interpolant.name);
    assert.equal(interpolant.sigma(0), 1, interpolant.name);
  }
  // exp(-(0.25 * 19.9 + 0.05)), by hand.
  assertRelative(vpInterpolant.alpha(0), Math.exp(-5.025), 1e-14);
});

Deno.test("interpolants are never NaN, not even at their singular ends", () => {
  for (const interpolant of INTERPOLANTS) {
    const { name: _, ...functions } = interpolant;
    for (const [name, value] of Object.entries(functions)) {
      for (const t of [0, 1]) {
        assert.ok(!Number.isNaN(value(t)), `${interpolant.name}.${name}(${t}) is NaN`);
      }
    }
  }
});

Deno.test("interpolants' derivatives match central differences", () => {
  // Truncation is h^2 / 6 times the third derivative, below 1e3 on these times; rounding 1e-16 / h.
  const h = 1e-5, bound = 3e-8;
  for (const { name, alpha, sigma, dAlpha, dSigma } of INTERPOLANTS) {
    for (const t of [0.05, 0.2, 0.5, 0.8, 0.95]) {
      const alphaSlope = (alpha(t + h) - alpha(t - h)) / (2 * h);
      const sigmaSlope = (sigma(t + h) - sigma(t - h)) / (2 * h);
      assert.ok(Math.abs(alphaSlope - dAlpha(t)) < bound, `${name} alpha at ${t}`);
      assert.ok(Math.abs(sigmaSlope - dSigma(t)) < bound, `${name} sigma at ${t}`);
    }
  }
});

Deno.test("driftMean() and driftVariance() match their definition on every path", () => {
  for (const interpolant of INTERPOLANTS) {
    for (const t of [0.01, 0.2, 0.5, 0.8, 0.99]) {
      const alpha = interpolant.alpha(t), sigma = interpolant.sigma(t);
      const mean = interpolant.dAlpha(t) / alpha;
      const variance = mean * sigma * sigma - sigma * interpolant.dSigma(t);
      assertRelative(interpolant.driftMean(t), mean, 1e-13);
      assertRelative(interpolant.driftVariance(t), variance, 1e-13);
    }
  }
});

// Recorded from the official code in float32 at t = 0.3, to run without the folder of goldens.
const AT_0_3 = {
  linear: [0.30000001192092896, 0.699999988079071, 1, -1, 2.3333332538604736],
  gvp: [
    0.45399054884910583,
    0.8910065293312073,
    1.3995897769927979,
    -0.7131267189979553,
    3.0828611850738525,
  ],
  vp: [
    0.08435257524251938,
    0.9964359402656555,
    0.5917332768440247,
    -0.05009276047348976,
    7.014999866485596,
  ],
};

Deno.test("interpolants reproduce the official values at t = 0.3", () => {
  const t = Math.fround(0.3);
  for (const interpolant of INTERPOLANTS) {
    const path = officialPath(interpolant.name, t);
    const names = ["alpha", "sigma", "dAlpha", "dSigma", "driftVariance"] as const;
    for (const [index, name] of names.entries()) {
      assertAgrees(`${interpolant.name} ${name}`, {
        ours: interpolant[name](t),
        golden: AT_0_3[interpolant.name][index]!,
        official: path[name],
      });
    }
  }
});

goldenTest("interpolants reproduce every recorded path value", {
  golden: "transport_losses",
  fn(golden) {
    const names = [
      ["alpha", "alpha"],
      ["sigma", "sigma"],
      ["dAlpha", "d_alpha"],
      ["dSigma", "d_sigma"],
      ["driftVariance", "drift_var"],
    ] as const;
    forEachSample(golden, ({ interpolant, name, t, sample, path }) => {
      for (const [property, key] of names) {
        assertAgrees(`${name} ${key} at ${t}`, {
          ours: interpolant[property](t),
          golden: golden.readFloat64(`path.${name}.${key}`)[sample]!,
          official: path[property],
        });
      }
    });
  },
});

goldenTest("prediction conversions reproduce every recorded tensor", {
  golden: "transport_losses",
  fn(golden) {
    const data = sampleAt(golden, "input.x1"), noise = sampleAt(golden, "input.x0");
    const outputs = sampleAt(golden, "input.model_output");
    let compared = 0;
    forEachSample(golden, ({ interpolant, name, t, sample, path }) => {
      const states = sampleAt(golden, `path.${name}.xt`)(sample);
      const rows: [string, (point: Point, index: number) => [ours: number, official: Rounded]][] = [
        [`path.${name}.xt`, (_, index) => {
          const x1 = data(sample)[index]!, x0 = noise(sample)[index]!;
          return [
            interpolant.alpha(t) * x1 + interpolant.sigma(t) * x0,
            path.alpha.times(new Rounded(x1)).plus(path.sigma.times(new Rounded(x0))),
          ];
        }],
        [`path.${name}.ut`, (_, index) => {
          const x1 = data(sample)[index]!, x0 = noise(sample)[index]!;
          const target = targetCoefficients(interpolant, "velocity", t);
          return [
            target.data * x1 + target.noise * x0,
            path.dAlpha.times(new Rounded(x1)).plus(path.dSigma.times(new Rounded(x0))),
          ];
        }],
        // The official function returns the drift of the reverse process, hence the sign.
        [`path.${name}.drift`, ({ x }) => [
          -interpolant.driftMean(t) * x.value,
          path.driftMean.times(x).negated(),
        ]],
        [`path.${name}.score_from_velocity`, (point) => {
          const { x, output } = scoreCoefficients(interpolant, "velocity", t);
          return [
            x * point.x.value + output * point.output.value,
            officialScore(path, "velocity", point),
          ];
        }],
        [`path.${name}.noise_from_velocity`, (point) => {
          const { x, output } = noiseCoefficients(interpolant, "velocity", t);
          return [
            x * point.x.value + output * point.output.value,
            officialNoiseFromVelocity(path, point),
          ];
        }],
        [`path.${name}.velocity_from_score`, (point) => {
          const { x, output } = velocityCoefficients(interpolant, "score", t);
          return [
            x * point.x.value + output * point.output.value,
            officialVelocity(path, "score", point),
          ];
        }],
      ];
      for (const prediction of PREDICTIONS) {
        rows.push([`score.${name}.${prediction}`, (point) => {
          const { x, output } = scoreCoefficients(interpolant, prediction, t);
          return [
            x * point.x.value + output * point.output.value,
            officialScore(path, prediction, point),
          ];
        }], [`ode_drift.${name}.${prediction}`, (point) => {
          const { x, output } = velocityCoefficients(interpolant, prediction, t);
          return [
            x * point.x.value + output * point.output.value,
            officialVelocity(path, prediction, point),
          ];
        }]);
      }
      for (const [key, row] of rows) {
        const recorded = sampleAt(golden, key)(sample);
        for (const [index, output] of outputs(sample).entries()) {
          const point = { x: new Rounded(states[index]!), output: new Rounded(output) };
          const [ours, official] = row(point, index);
          assertAgrees(`${key}[${sample}, ${index}]`, { ours, golden: recorded[index]!, official });
          compared++;
        }
      }
    });
    assert.equal(compared, 3 * 12 * 5 * 256);
  },
});

goldenTest("lossCoefficients() reproduce every recorded loss", {
  golden: "transport_losses",
  fn(golden) {
    const data = sampleAt(golden, "input.x1"), noise = sampleAt(golden, "input.x0");
    const outputs = sampleAt(golden, "input.model_output");
    forEachSample(golden, ({ interpolant, name, t, sample, path }) => {
      for (const prediction of PREDICTIONS) {
        for (const weighting of WEIGHTINGS) {
          const loss = lossCoefficients(interpolant, prediction, t, { weighting });
          let ours = 0;
          const terms: Rounded[] = [];
          for (const [index, out] of outputs(sample).entries()) {
            const x1 = data(sample)[index]!, x0 = noise(sample)[index]!;
            ours += (loss.outputScale * out - (loss.data * x1 + loss.noise * x0)) ** 2 / 256;
            const output = new Rounded(out), epsilon = new Rounded(x0);
            if (prediction === "velocity") {
              const target = path.dAlpha.times(new Rounded(x1)).plus(path.dSigma.times(epsilon));
              terms.push(output.minus(target).squared());
            } else {
              const difference = prediction === "noise"
                ? output.minus(epsilon)
                : output.times(path.sigma).plus(epsilon);
              terms.push(officialWeight(path, weighting).times(difference.squared()));
            }
          }
          const key = `loss.${name}.${prediction}.${weighting === "none" ? "None" : weighting}`;
          assertAgrees(`${key}[${sample}]`, {
            ours,
            golden: golden.readFloat64(key)[sample]!,
            official: Rounded.mean(terms),
          });
        }
      }
    });
  },
});

goldenTest("interpolants reproduce REPA's paths, scores and losses in reversed time", {
  golden: "transport_losses",
  fn(golden) {
    const data = sampleAt(golden, "input.x1"), noise = sampleAt(golden, "input.x0");
    const outputs = sampleAt(golden, "input.model_output");
    const pairs = [["linear", linearInterpolant], ["cosine", gvpInterpolant]] as const;
    for (const [name, interpolant] of pairs) {
      for (const [sample, repaTime] of golden.readFloat64("input.t").entries()) {
        const t = 1 - repaTime, path = officialRepaPath(name, repaTime);
        const states = sampleAt(golden, `path.repa.${name}.xt`)(sample);
        const scores = sampleAt(golden, `path.repa.${name}.score_from_velocity`)(sample);
        const score = scoreCoefficients(interpolant, "velocity", t);
        const loss = lossCoefficients(interpolant, "velocity", t);
        let ours = 0;
        const terms: Rounded[] = [];
        for (const [index, out] of outputs(sample).entries()) {
          const x1 = data(sample)[index]!, x0 = noise(sample)[index]!, label = `${name} ${index}`;
          const output = new Rounded(out), x = new Rounded(states[index]!);
          assertAgrees(`${label} x_t`, {
            ours: interpolant.alpha(t) * x1 + interpolant.sigma(t) * x0,
            golden: states[index]!,
            official: path.alpha.times(new Rounded(x1)).plus(path.sigma.times(new Rounded(x0))),
          });
          // Time runs the other way, so REPA's velocity is the negative of ours.
          assertAgrees(`${label} score`, {
            ours: score.x * x.value + score.output * -out,
            golden: scores[index]!,
            official: officialScore(path, "velocity", { x, output }),
          });
          ours += (loss.outputScale * -out - (loss.data * x1 + loss.noise * x0)) ** 2 / 256;
          const target = path.dAlpha.times(new Rounded(x1)).plus(
            path.dSigma.times(new Rounded(x0)),
          );
          terms.push(output.minus(target).squared());
        }
        assertAgrees(`${name} loss`, {
          ours,
          golden: golden.readFloat64(`loss.repa.${name}.denoise`)[sample]!,
          official: Rounded.mean(terms),
        });
      }
    }
  },
});

Deno.test("conversions recover velocity, score, noise and data from a perfect network", () => {
  const data = 0.7, noise = -1.3;
  for (const interpolant of INTERPOLANTS) {
    for (const t of [0.02, 0.3, 0.5, 0.77, 0.98]) {
      const alpha = interpolant.alpha(t), sigma = interpolant.sigma(t);
      const x = alpha * data + sigma * noise;
      const truth = {
        velocity: interpolant.dAlpha(t) * data + interpolant.dSigma(t) * noise,
        noise,
        score: -noise / sigma,
        data,
      };
      const conversions = {
        velocity: velocityCoefficients,
        noise: noiseCoefficients,
        score: scoreCoefficients,
        data: dataCoefficients,
      };
      for (const prediction of PREDICTIONS) {
        for (const quantity of ["velocity", "noise", "score", "data"] as const) {
          const factors = conversions[quantity](interpolant, prediction, t);
          const fromState = factors.x * x, fromOutput = factors.output * truth[prediction];
          // A handful of float64 roundings, relative to terms that may cancel.
          const bound = 2 ** -48 * (Math.abs(fromState) + Math.abs(fromOutput));
          assert.ok(
            Math.abs(fromState + fromOutput - truth[quantity]) <= bound,
            `${interpolant.name}: ${quantity} from ${prediction} at ${t} is ` +
              `${fromState + fromOutput}, expected ${truth[quantity]}`,
          );
        }
      }
    }
  }
});

Deno.test("scoreCoefficients() at t = 0 knows the score of pure noise", () => {
  for (const interpolant of [linearInterpolant, gvpInterpolant]) {
    assert.deepEqual(scoreCoefficients(interpolant, "velocity", 0), { x: -1, output: 0 });
  }
  // A path of one's own may begin with noise of another deviation, of whose density it is the score.
  const louder: Interpolant = {
    ...linearInterpolant,
    sigma: (t) => 2 * (1 - t),
    dSigma: () => -2,
    driftVariance: (t) => 4 * (1 - t) / t,
  };
  assert.deepEqual(scoreCoefficients(louder, "velocity", 0), { x: -0.25, output: 0 });
  // As it is just after the start: (v - x / t) / (4 (1 - t) / t).
  const { x, output } = scoreCoefficients(louder, "velocity", 1e-9);
  assert(Math.abs(x + 0.25) < 1e-8 && Math.abs(output) < 1e-8, `${x}, ${output}`);
});

Deno.test("conversions at singular times throw a RangeError that names path and time", () => {
  const singular: [() => unknown, string][] = [
    [
      () => scoreCoefficients(linearInterpolant, "velocity", 1),
      "Cannot compute the score from the velocity on the linear path: it is singular at t = 1, " +
      "expected a time inside the path's training or sampling interval, whose ends epsilon moves",
    ],
    [
      () => velocityCoefficients(gvpInterpolant, "noise", 0),
      "Cannot compute the velocity from the noise on the gvp path: it is singular at t = 0, " +
      "expected a time inside the path's training or sampling interval, whose ends epsilon moves",
    ],
    [
      () => dataCoefficients(linearInterpolant, "score", 0),
      "Cannot compute the data from the score on the linear path: it is singular at t = 0, " +
      "expected a time inside the path's training or sampling interval, whose ends epsilon moves",
    ],
    [
      () => targetCoefficients(vpInterpolant, "velocity", 1),
      "Cannot compute the velocity target on the vp path: it is singular at t = 1, " +
      "expected a time inside the path's training or sampling interval, whose ends epsilon moves",
    ],
    [
      () => lossWeight(linearInterpolant, "noise", 0, { weighting: "likelihood" }),
      "Cannot compute the noise loss weight on the linear path: it is singular at t = 0, " +
      "expected a time inside the path's training or sampling interval, whose ends epsilon moves",
    ],
    [
      () => diffusionCoefficient("sbdm", 0, { interpolant: linearInterpolant }),
      "Cannot compute sbdm diffusion on the linear path: it is infinite at t = 0, " +
      "expected a sampling interval that starts later, by a larger epsilon",
    ],
  ];
  for (const [compute, message] of singular) {
    assert.throws(compute, { name: "RangeError", message });
  }
});

Deno.test("lossCoefficients() are finite at both ends of every training interval", () => {
  for (const interpolant of INTERPOLANTS) {
    for (const prediction of PREDICTIONS) {
      for (const t of trainInterval(interpolant, prediction)) {
        for (const weighting of WEIGHTINGS) {
          const { outputScale } = lossCoefficients(interpolant, prediction, t, { weighting });
          assert.ok(outputScale > 0, `${interpolant.name} ${prediction} ${weighting} at ${t}`);
        }
      }
    }
  }
});

Deno.test("lossWeight() is what each weighting says of noise and score", () => {
  // On the linear path at a quarter: driftVariance 3, sigma 3/4.
  const weights = (prediction: Prediction) =>
    WEIGHTINGS.map((weighting) => lossWeight(linearInterpolant, prediction, 0.25, { weighting }));
  assert.deepEqual(weights("noise"), [1, 16, 3 / 0.75 ** 2]);
  assert.deepEqual(weights("score"), [0.75 ** 2, 9, 3]);
});

Deno.test("lossWeight() ignores the weighting of a velocity loss", () => {
  for (const weighting of WEIGHTINGS) {
    assert.equal(lossWeight(vpInterpolant, "velocity", 0.4, { weighting }), 1);
  }
});

// Recorded in float32 at t = 0.3 on the VP path with norm 0.8.
const VP_DIFFUSION_AT_0_3: Record<DiffusionForm, number> = {
  constant: 0.800000011920929,
  sbdm: 5.611999988555908,
  sigma: 0.7971487641334534,
  linear: 0.5600000023841858,
  decreasing: 0.5403927564620972,
  "increasing-decreasing": 0.5236068964004517,
};

function officialDiffusion(form: DiffusionForm, time: number, path: OfficialPath): Rounded {
  const t = new Rounded(time),
    norm = Rounded.constant(0.8),
    angle = Rounded.constant(Math.PI).times(t);
  const forms = {
    constant: () => norm,
    sbdm: () => norm.times(path.driftVariance),
    sigma: () => norm.times(path.sigma),
    linear: () => norm.times(ONE.minus(t)),
    decreasing: () => new Rounded(0.25).times(norm.times(angle.cos()).plus(ONE).squared()),
    "increasing-decreasing": () => norm.times(angle.sin().squared()),
  };
  return forms[form]();
}

Deno.test("diffusionCoefficient() reproduces the official values at t = 0.3", () => {
  const t = Math.fround(0.3);
  for (const form of DIFFUSION_FORMS) {
    assertAgrees(form, {
      ours: diffusionCoefficient(form, t, { interpolant: vpInterpolant, norm: 0.8 }),
      golden: VP_DIFFUSION_AT_0_3[form],
      official: officialDiffusion(form, t, officialPath("vp", t)),
    });
  }
});

goldenTest("diffusionCoefficient() reproduces every recorded value", {
  golden: "transport_losses",
  fn(golden) {
    const spellings = golden.keys().filter((key) => key.startsWith("diffusion.VP."))
      .map((key) => key.slice("diffusion.VP.".length));
    assert.equal(spellings.length, 6);
    forEachSample(golden, ({ interpolant, name, t, sample, path }) => {
      for (const spelling of spellings) {
        const form = diffusionFormOf(spelling);
        assertAgrees(`${name} ${form} at ${t}`, {
          ours: diffusionCoefficient(form, t, { interpolant, norm: 0.8 }),
          golden: golden.readFloat64(`diffusion.${name}.${spelling}`)[sample]!,
          official: officialDiffusion(form, t, path),
        });
      }
    });
  },
});

Deno.test("diffusionCoefficient() has norm 1 unless told otherwise", () => {
  assert.equal(diffusionCoefficient("constant", 0.5, { interpolant: linearInterpolant }), 1);
});

Deno.test("driftCoefficients() add the score in proportion to the diffusion", () => {
  for (const prediction of PREDICTIONS) {
    const velocity = velocityCoefficients(vpInterpolant, prediction, 0.6);
    const score = scoreCoefficients(vpInterpolant, prediction, 0.6);
    const drift = driftCoefficients(vpInterpolant, prediction, { t: 0.6, diffusion: 0.7 });
    assertRelative(drift.x, velocity.x + 0.7 * score.x, 1e-15);
    assertRelative(drift.output, velocity.output + 0.7 * score.output, 1e-15);
  }
});

Deno.test("driftCoefficients() without diffusion are the ODE's, even at a singular score", () => {
  const drift = driftCoefficients(linearInterpolant, "velocity", { t: 1, diffusion: 0 });
  assert.deepEqual(drift, { x: 0, output: 1 });
});

Deno.test("uniformTime() spreads the draw over the interval", () => {
  assert.equal(uniformTime(0.25), 0.25);
  assert.equal(uniformTime(0, [0.001, 0.999]), 0.001);
  assert.equal(uniformTime(0.5, [0, 0.5]), 0.25);
});

Deno.test("logitNormalTime() is symmetric, monotonic and inside its interval", () => {
  assert.equal(logitNormalTime(0), 0.5);
  assertRelative(logitNormalTime(1.3) + logitNormalTime(-1.3), 1, 1e-15);
  // sigmoid(-1.1995652914047241), recorded in float32.
  assertRelative(logitNormalTime(-1.1995652914047241), 0.23155255615711212, 4 * UNIT);
  assert.ok(logitNormalTime(0.1) > logitNormalTime(0));
  assert.equal(logitNormalTime(0, [0.2, 0.4]), 0.30000000000000004);
  assert.equal(logitNormalTime(-1000, [0.001, 0.999]), 0.001);
});

goldenTest("logitNormalTime() reproduces the recorded times", {
  golden: "transport_losses",
  fn(golden) {
    const times = golden.readFloat64("lognorm.t");
    for (const [index, normal] of golden.readFloat64("lognorm.normal").entries()) {
      const n = new Rounded(normal);
      assertAgrees(`draw ${index}`, {
        ours: logitNormalTime(normal),
        golden: times[index]!,
        official: ONE.over(ONE.plus(n.negated().exp())),
      });
    }
  },
});

Deno.test("REPA's log-normal times on the linear path put noise-to-signal at exp(n)", () => {
  for (const normal of [-3, -0.5, 0, 0.2, 2]) {
    const t = logitNormalTime(-normal);
    assertRelative(
      linearInterpolant.sigma(t) / linearInterpolant.alpha(t),
      Math.exp(normal),
      1e-14,
    );
  }
});

Deno.test("trainInterval() and sampleInterval() keep the official distances", () => {
  const sde = { form: "sigma", lastStepSize: 0.04 } as const;
  assert.deepEqual(trainInterval(linearInterpolant, "velocity"), [0, 1]);
  assert.deepEqual(trainInterval(gvpInterpolant, "score"), [0.001, 0.999]);
  assert.deepEqual(trainInterval(vpInterpolant, "velocity"), [0, 0.99999]);
  assert.deepEqual(sampleInterval(linearInterpolant, "velocity"), [0, 1]);
  assert.deepEqual(sampleInterval(vpInterpolant, "velocity"), [0, 0.999]);
  assert.deepEqual(sampleInterval(linearInterpolant, "noise", { epsilon: 0.1 }), [0.1, 0.9]);
  assert.deepEqual(sampleInterval(linearInterpolant, "velocity", { sde }), [0, 0.96]);
  const whole = { ...sde, lastStepSize: 0 };
  assert.deepEqual(sampleInterval(linearInterpolant, "velocity", { sde: whole }), [0, 1]);
  assert.deepEqual(sampleInterval(linearInterpolant, "noise", { sde: whole }), [0.001, 0.999]);
  assert.deepEqual(sampleInterval(vpInterpolant, "noise", { sde, epsilon: 0.1 }), [0, 0.96]);
  assert.deepEqual(
    sampleInterval(gvpInterpolant, "velocity", { sde: { ...sde, form: "sbdm" }, epsilon: 0.1 }),
    [0.1, 0.96],
  );
});

Deno.test("sampleInterval() refuses distances that leave no time between them", () => {
  const sde = { form: "sigma", lastStepSize: 0.7 } as const;
  assert.deepEqual(sampleInterval(linearInterpolant, "noise", { sde, epsilon: 0.2 })[0], 0.2);
  for (const epsilon of [0.3 + 2 ** -40, 0.4, NaN]) {
    assert.throws(() => sampleInterval(linearInterpolant, "noise", { sde, epsilon }), {
      name: "RangeError",
      message:
        `Cannot sample from time ${epsilon} to ${1 - 0.7}: expected a smaller epsilon, or a ` +
        "shorter last step",
    });
  }
  for (const lastStepSize of [1, 1.5]) {
    const sde = { form: "sigma", lastStepSize } as const;
    assert.throws(() => sampleInterval(linearInterpolant, "velocity", { sde }), RangeError);
  }
});

goldenTest("trainInterval() and sampleInterval() reproduce every recorded interval", {
  golden: "transport_losses",
  fn(golden) {
    interface Recorded {
      train_interval: TimeInterval;
      sample_interval: Record<string, TimeInterval>;
    }
    const recorded: Record<string, Recorded> = JSON.parse(golden.metadata.intervals!);
    for (const interpolant of INTERPOLANTS) {
      for (const prediction of PREDICTIONS) {
        const intervals = recorded[`${GOLDEN_NAMES[interpolant.name]}.${prediction}`]!;
        assert.deepEqual(trainInterval(interpolant, prediction), intervals.train_interval);
        const samples = Object.entries(intervals.sample_interval);
        assert.equal(samples.length, 8);
        for (const [key, expected] of samples) {
          const match = /^sde=(True|False),form=(\w+),last_step_size=([\d.]+)$/.exec(key)!;
          const sde = { form: diffusionFormOf(match[2]!), lastStepSize: Number(match[3]) };
          const options = match[1] === "True" ? { sde } : {};
          const label = `${interpolant.name} ${prediction} ${key}`;
          assert.deepEqual(sampleInterval(interpolant, prediction, options), expected, label);
        }
      }
    }
  },
});
