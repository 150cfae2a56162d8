/**
 * The adaptive sampler of the probability-flow ODE.
 *
 * @module
 */

import { combine, type Term } from "../kernels/combine/mod.ts";
import { requireOneOf } from "../kernels/core/nearest_name.ts";
import type { Tensor } from "../kernels/core/tensor.ts";
import { sampleInterval } from "../model/interpolants/time.ts";
import { type Network, resolvePath, type SamplerOptions, velocity } from "./network.ts";

/** Options of {@linkcode sampleDopri5}. */
export interface SampleDopri5Options extends SamplerOptions {
  /**
   * Times at which the state is wanted, rising or falling: the first is where it starts, `onStep` sees the
   * others. They do not bear on the solver's steps. Default the ends of `sampleInterval`, from 0 to 1
   * for velocity on the linear and GVP paths.
   */
  readonly times?: readonly number[] | undefined;
  /** Error allowed in a step as a share of the state. Default 1e-3. */
  readonly relativeTolerance?: number | undefined;
  /** Error allowed in a step besides that. Default 1e-6. */
  readonly absoluteTolerance?: number | undefined;
  /**
   * How the last time is met: `cut` shortens the last step, so that the network is never asked beyond
   * the data, where it was not trained; `interpolate` steps past and interpolates, as torchdiffeq
   * does, for results that are equal to the official ones. Default `cut`.
   */
  readonly ending?: "cut" | "interpolate" | undefined;
}

/** The nodes of the stages after the first (Dormand and Prince 1980, RK5(4)7M). */
const NODES = [1 / 5, 3 / 10, 4 / 5, 8 / 9, 1, 1];

/** The weights of earlier stages in each stage; the last row is the step itself. */
const STAGES = [
  [1 / 5],
  [3 / 40, 9 / 40],
  [44 / 45, -56 / 15, 32 / 9],
  [19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729],
  [9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656],
  [35 / 384, 0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84],
];

/** The weights of the error estimate: the step less the fourth-order step that Shampine chose. */
const ERROR = [
  35 / 384 - 1951 / 21600,
  0,
  500 / 1113 - 22642 / 50085,
  125 / 192 - 451 / 720,
  -2187 / 6784 + 12231 / 42400,
  11 / 84 - 649 / 6300,
  -1 / 60,
];

/** The weights of the state half way through a step (Shampine 1986). */
const MIDDLE = [
  6025192743 / 30085553152 / 2,
  0,
  51252292925 / 65400821598 / 2,
  -2691868925 / 45128329728 / 2,
  187940372067 / 1594534317056 / 2,
  -1776094331 / 19743644256 / 2,
  11237099 / 235043384 / 2,
];

/** Order of the method, by which its error shrinks with the step. */
const ORDER = 5;
const SAFETY = 0.9;
const MOST_GROWTH = 10;
const MOST_SHRINKAGE = 0.2;

/** Where the solver stands, with the state's elements on the CPU and the velocity there. */
interface Point {
  readonly t: number;
  readonly x: Tensor;
  readonly values: Float32Array;
  readonly velocity: Tensor;
}

/** A step that was tried: the state after it, its error, and the velocities of the seven stages. */
interface Attempt {
  readonly x: Tensor;
  readonly error: Tensor;
  readonly stages: readonly Tensor[];
}

interface Tolerances {
  readonly relative: number;
  readonly absolute: number;
}

/**
 * Dormand and Prince's method of order 5 with steps as long as the error allows, as torchdiffeq's
 * `dopri5` chooses them: the root mean square of error / (absolute + relative max(|x|, |x'|)) over
 * all elements is at most 1; the next step is 0.9 / error^(1/5) times as long, a fifth to ten times.
 *
 * Noise [B, C, H, W] at the first time to a sample at the last. Steps are not cut at the times
 * between: what lies inside of a step is interpolated to fourth order. Falling times go back from data to
 * noise. Two evaluations to begin with, then six for each step that is tried, after which it waits for the
 * GPU. To be called outside of a scope.
 *
 * Throws `RangeError` when the times neither rise nor fall, when a tolerance is not positive, for an `ending`
 * that there is none of, or when the error stays too large however short the step.
 *
 * @example
 * ```ts
 * import { countEvaluations, Device, sampleDopri5 } from "@gmem/gmem";
 * import { combine } from "@gmem/gmem/kernels";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * using noise = device.tensor(Float32Array.of(1), [1, 1, 1, 1]);
 * // dx/dt = −x from x(0) = 1: x(1) = 1/e = 0.36788.
 * const network = countEvaluations((x) => combine([[x, -1]]));
 * using sample = await sampleDopri5(network, noise, { relativeTolerance: 1e-4 });
 * console.log((await sample.read())[0]?.toFixed(5), network.evaluations); // 0.36790 20
 * ```
 */
export async function sampleDopri5(
  network: Network,
  x: Tensor,
  options: SampleDopri5Options = {},
): Promise<Tensor> {
  const { interpolant, prediction } = resolvePath(options);
  const { times = sampleInterval(interpolant, prediction) } = options;
  const { relativeTolerance = 1e-3, absoluteTolerance = 1e-6, ending = "cut" } = options;
  requireOneOf("Cannot integrate the ODE: ending", ending, ["cut", "interpolate"]);
  const tolerances = { relative: relativeTolerance, absolute: absoluteTolerance };
  // Back in time is forth in −t, with velocities turned round.
  const sign = times.at(-1)! < times[0]! ? -1 : 1, rising = times.map((t) => sign * t);
  checkOptions(rising, { times, tolerances });
  const end = ending === "interpolate" ? Infinity : rising.at(-1)!;
  const { device } = x;
  const field = velocity(network, options);
  // A view of its own, since the network may return a tensor that is not the solver's to release.
  const v: Network = (x, t) => {
    const slope = field(x, sign * t);
    return sign < 0 ? combine([[slope, sign]]) : slope.reshape(slope.shape);
  };
  const held = new Set<Tensor>();
  try {
    let point = await startPoint(x, { t: rising[0]!, v, held });
    let length = await firstStep(point, { v, tolerances, end });
    let wanted = 1;
    for (;;) {
      const { t } = point, left = end - t, h = Math.min(length, left);
      if (!(t + h > t)) {
        throw new RangeError(
          `Cannot integrate the ODE at t = ${sign * t}: no step is short enough, ` +
            "expected finite velocities or larger tolerances",
        );
      }
      const attempt = device.scope(() => tryStep(point, { h, v }));
      hold(held, [attempt.x, attempt.error, ...attempt.stages]);
      const [values, errors] = await Promise.all([attempt.x.read(), attempt.error.read()]);
      const ratio = errorRatio(errors, { from: point.values, to: values, tolerances });
      const used = new Set([attempt.error, ...attempt.stages]);
      if (ratio <= 1) {
        // t + (end - t) may round to less than the end.
        const arrival = h === left ? end : t + h;
        for (; rising[wanted]! <= arrival; wanted++) {
          const state = device.scope(() =>
            interpolate((rising[wanted]! - t) / h, { point, attempt, h })
          );
          held.add(state);
          options.onStep?.({ step: wanted - 1, t: times[wanted]!, x: state });
          held.delete(state);
          if (wanted === times.length - 1) return state;
          state.dispose();
        }
        used.add(point.x);
        point = { t: arrival, x: attempt.x, values, velocity: attempt.stages.at(-1)! };
      } else {
        used.add(attempt.x);
      }
      used.delete(point.velocity);
      release(held, used);
      length = h * stepFactor(ratio);
    }
  } finally {
    release(held, held);
  }
}

function checkOptions(
  rising: readonly number[],
  { times, tolerances }: { times: readonly number[]; tolerances: Tolerances },
): void {
  if (rising.length < 2 || rising.some((t, i) => !(i === 0 ? t < Infinity : t > rising[i - 1]!))) {
    throw new RangeError(
      `Cannot integrate the ODE over the times [${times.join(", ")}]: expected two or more, all ` +
        "rising or all falling",
    );
  }
  for (const [name, value] of Object.entries(tolerances)) {
    if (!(value > 0 && value < Infinity)) {
      throw new RangeError(
        `Cannot integrate the ODE: ${name} tolerance is ${value}, expected a positive number`,
      );
    }
  }
}

function hold(held: Set<Tensor>, tensors: Iterable<Tensor>): void {
  for (const tensor of tensors) held.add(tensor);
}

function release(held: Set<Tensor>, tensors: Iterable<Tensor>): void {
  for (const tensor of tensors) {
    tensor.dispose();
    held.delete(tensor);
  }
}

async function startPoint(
  x: Tensor,
  { t, v, held }: { t: number; v: Network; held: Set<Tensor> },
): Promise<Point> {
  const start = x.device.scope(() => ({ x: combine([[x, 1]]), velocity: v(x, t) }));
  hold(held, [start.x, start.velocity]);
  return { t, ...start, values: await start.x.read() };
}

/** A step whose error is likely to be a hundredth of what is allowed (Hairer et al. 1993, II.4). */
async function firstStep(
  { t, x, values, velocity }: Point,
  { v, tolerances, end }: { v: Network; tolerances: Tolerances; end: number },
): Promise<number> {
  const scales = values.map((value) => tolerances.absolute + tolerances.relative * Math.abs(value));
  const slopes = await velocity.read();
  const size = rootMeanSquare(values.map((value, i) => value / scales[i]!));
  const slope = rootMeanSquare(slopes.map((value, i) => value / scales[i]!));
  const short = size < 1e-5 || slope < 1e-5 ? 1e-6 : 0.01 * size / slope;
  const probe = Math.min(short, end - t);
  const next = x.device.scope(() => v(combine([[x, 1], [velocity, probe]]), t + probe));
  const nextSlopes = await next.read();
  next.dispose();
  const change = nextSlopes.map((value, i) => (value - slopes[i]!) / scales[i]!);
  const curvature = rootMeanSquare(change) / probe;
  const steepest = Math.max(slope, curvature);
  const h = steepest <= 1e-15 ? Math.max(1e-6, probe * 1e-3) : (0.01 / steepest) ** (1 / ORDER);
  return Math.min(100 * probe, h);
}

function tryStep({ t, x, velocity }: Point, { h, v }: { h: number; v: Network }): Attempt {
  const stages = [velocity];
  let state = x;
  for (const [i, weights] of STAGES.entries()) {
    state = combine([[x, 1], ...weighted(stages, { weights, h })]);
    stages.push(v(state, t + NODES[i]! * h));
  }
  // The last stage stands at the step's end, so its velocity begins the next step.
  return { x: state, error: combine(weighted(stages, { weights: ERROR, h })), stages };
}

function weighted(
  stages: readonly Tensor[],
  { weights, h }: { weights: readonly number[]; h: number },
): Term[] {
  const terms = stages.map((stage, i): Term => [stage, h * (weights[i] ?? 0)]);
  return terms.filter(([, weight]) => weight !== 0);
}

/**
 * The state at a share s of the step: the polynomial of degree four through the states at the
 * start, middle and end with the velocities at start and end, as weights of what it was made from.
 */
function interpolate(
  s: number,
  { point, attempt, h }: { point: Point; attempt: Attempt; h: number },
): Tensor {
  const middle = 16 * s ** 2 * (1 - s) ** 2;
  const weights = MIDDLE.map((weight) => weight * middle);
  weights[0]! += s * (1 - s) ** 2 * (1 - 2 * s);
  weights[6]! += s ** 2 * (1 - s) * (1 - 2 * s);
  const end = -(s ** 2) * (5 - 14 * s + 8 * s ** 2);
  return combine([
    [point.x, 1 - end],
    [attempt.x, end],
    ...weighted(attempt.stages, { weights, h }),
  ]);
}

function errorRatio(
  errors: Float32Array,
  { from, to, tolerances }: { from: Float32Array; to: Float32Array; tolerances: Tolerances },
): number {
  return rootMeanSquare(errors.map((error, i) => {
    const size = Math.max(Math.abs(from[i]!), Math.abs(to[i]!));
    return error / (tolerances.absolute + tolerances.relative * size);
  }));
}

function rootMeanSquare(values: Float32Array): number {
  const square = values.reduce((sum, value) => sum + value * value, 0);
  // No values are a batch of no images, whose steps have no error.
  return Math.sqrt(square / Math.max(1, values.length));
}

/** How much longer the next step may be; an error that is no number calls for a shorter one. */
function stepFactor(ratio: number): number {
  if (Number.isNaN(ratio)) return MOST_SHRINKAGE;
  const least = ratio < 1 ? 1 : MOST_SHRINKAGE;
  return Math.min(MOST_GROWTH, Math.max(SAFETY / ratio ** (1 / ORDER), least));
}
