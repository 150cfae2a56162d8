import assert from "node:assert/strict";
import { gvpInterpolant } from "../../model/interpolants/gvp.ts";
import { linearInterpolant } from "../../model/interpolants/linear.ts";
import type { Prediction } from "../../model/interpolants/prediction.ts";
import { sampleInterval } from "../../model/interpolants/time.ts";
import { vpInterpolant } from "../../model/interpolants/vp.ts";
import { guidanceActive } from "../../sample/guidance.ts";
import { linspace, odeTimes, sdeTimes, shiftTime } from "../../sample/times.ts";
import { goldenTest } from "../_goldens.ts";
import { diffusionFormOf } from "../parity/diffusion_form.ts";

/** Half the distance from 1 to the next float32: the relative error of one float32 operation. */
const UNIT = 2 ** -24;

/**
 * A recorded grid point start + i * ((end - start) / n) has five roundings of numbers up to 1: the
 * end, the difference, the quotient, the product and the sum.
 */
const GRID_BOUND = 5 * UNIT;

/**
 * Shifting by s in {0.3, 1, 3} multiplies the error of t by at most max(s, 1 / s) < 3.4, and adds
 * three roundings and those two of the denominator, which is at least 0.3.
 */
const SHIFT_BOUND = 3.4 * GRID_BOUND + (3 + 2 / 0.3) * UNIT;

const INTERPOLANTS = { Linear: linearInterpolant, GVP: gvpInterpolant, VP: vpInterpolant };

function assertTimes(actual: readonly number[], expected: ArrayLike<number>, bound: number): void {
  assert.equal(actual.length, expected.length);
  for (const [index, time] of actual.entries()) {
    assert.ok(
      Math.abs(time - expected[index]!) <= bound,
      `time ${index} is ${time}, expected ${expected[index]} within ${bound}`,
    );
  }
}

Deno.test("linspace() hits both ends exactly and is even between", () => {
  assert.deepEqual(linspace([0.1, 0.7], 3), [0.1, 0.39999999999999997, 0.7]);
  assert.deepEqual(linspace([0, 0.96], 2), [0, 0.96]);
  for (let count = 2; count <= 300; count++) {
    const times = linspace([0.001, 0.999], count);
    assert.deepEqual([times[0], times.at(-1)], [0.001, 0.999], `${count} times`);
  }
});

Deno.test("shiftTime() keeps the ends and moves times to the noise for a shift below 1", () => {
  for (const shift of [0.3, 1, 3]) {
    assert.equal(shiftTime(0, shift), 0);
    assert.equal(shiftTime(1, shift), 1);
  }
  assert.ok(shiftTime(0.5, 0.3) < 0.5);
  assert.ok(shiftTime(0.5, 3) > 0.5);
  assert.equal(shiftTime(0.37, 1), 0.37);
});

Deno.test("shiftTime() by 0 is off", () => {
  assert.equal(shiftTime(0.37, 0), 0.37);
});

Deno.test("shiftTime() reproduces the official shift of 0.3", () => {
  // Recorded in float32 for t = 1/12, 1/2 and 11/12.
  assertTimes(
    [1 / 12, 1 / 2, 11 / 12].map((t) => shiftTime(t, 0.3)),
    [0.02654867433011532, 0.23076924681663513, 0.7674418687820435],
    SHIFT_BOUND,
  );
});

Deno.test("shiftTime() refuses a negative shift", () => {
  assert.throws(() => shiftTime(0.5, -1), {
    name: "RangeError",
    message: "Cannot shift time: shift is -1, expected 0 or a positive number",
  });
  assert.throws(() => shiftTime(0.5, NaN), RangeError);
});

Deno.test("odeTimes() has one time more than steps", () => {
  assert.deepEqual(odeTimes({ steps: 1 }), [0, 1]);
  assert.deepEqual(odeTimes({ steps: 4 }), [0, 0.25, 0.5, 0.75, 1]);
  assert.deepEqual(odeTimes({ steps: 2, interval: [0.5, 1] }), [0.5, 0.75, 1]);
});

Deno.test("odeTimes() refuses a number of steps that is not a positive integer", () => {
  for (const steps of [0, -1, 1.5, NaN]) {
    assert.throws(() => odeTimes({ steps }), {
      name: "RangeError",
      message: `Cannot make time grid: steps is ${steps}, expected a whole number from 1`,
    });
  }
});

Deno.test("sdeTimes() ends its noisy steps at the interval's end and adds one step to 1", () => {
  assert.deepEqual(sdeTimes({ steps: 2, interval: [0, 0.96] }), [0, 0.96, 1]);
  const times = sdeTimes({ steps: 50, interval: [0, 0.996] });
  assert.equal(times.length, 51);
  assert.equal(times[49], 0.996);
  assert.equal(times[50], 1);
});

Deno.test("sdeTimes() reproduces the official grid up to its last step", () => {
  // Recorded in float32 for ten points up to 0.96.
  const recorded = [
    0,
    0.10666666179895401,
    0.21333332359790802,
    0.3199999928474426,
    0.42666664719581604,
    0.5333333015441895,
    0.6399999856948853,
    0.746666669845581,
    0.8533332943916321,
    0.9599999785423279,
  ];
  assertTimes(sdeTimes({ steps: 10, interval: [0, 0.96] }).slice(0, -1), recorded, GRID_BOUND);
});

Deno.test("sdeTimes() refuses an interval and steps without room for the last one", () => {
  assert.throws(() => sdeTimes({ steps: 10, interval: [0, 1] }), {
    name: "RangeError",
    message: "Cannot make time grid: the interval ends at 1, expected an end below 1 that leaves " +
      "room for the last step",
  });
  for (const steps of [1, 2.5, NaN]) {
    assert.throws(() => sdeTimes({ steps, interval: [0, 0.96] }), {
      name: "RangeError",
      message:
        `Cannot make time grid with a last step: steps is ${steps}, expected a whole number from 2`,
    });
  }
});

goldenTest("shiftTime() reproduces every recorded shift", {
  golden: "transport_losses",
  fn(golden) {
    const times = Array.from(golden.readFloat64("shift.input"));
    for (const shift of ["0.3", "1.0", "3.0"]) {
      const shifted = times.map((t) => shiftTime(t, Number(shift)));
      assertTimes(shifted, golden.readFloat64(`shift.${shift}`), SHIFT_BOUND);
    }
  },
});

/** One entry of the recorded samplers' metadata. */
interface SamplerCase {
  readonly kind: "ODE" | "SDE";
  readonly num_steps: number;
  readonly path?: keyof typeof INTERPOLANTS;
  readonly prediction?: Prediction;
  readonly timestep_shift?: number;
  readonly diffusion_form?: string;
  readonly last_step?: string | null;
  readonly last_step_size?: number;
  readonly sample_eps?: number;
  readonly sample_eps_override?: number | null;
  readonly skipped?: string;
}

function projectTimes(settings: SamplerCase): number[] {
  const { path = "Linear", prediction = "velocity", num_steps, timestep_shift } = settings;
  const interpolant = INTERPOLANTS[path];
  const override = settings.sample_eps ?? settings.sample_eps_override;
  const epsilon = typeof override === "number" ? { epsilon: override } : {};
  if (settings.kind === "ODE") {
    const shift = timestep_shift === undefined ? {} : { shift: timestep_shift };
    const interval = sampleInterval(interpolant, prediction, epsilon);
    return odeTimes({ steps: num_steps - 1, ...shift, interval });
  }
  const noLastStep = settings.last_step === null;
  const sde = {
    form: diffusionFormOf(settings.diffusion_form!),
    lastStepSize: noLastStep ? 0 : settings.last_step_size!,
  };
  const interval = sampleInterval(interpolant, prediction, { sde, ...epsilon });
  if (noLastStep) return odeTimes({ steps: num_steps - 1, interval });
  const times = sdeTimes({ steps: num_steps, interval });
  assert.equal(times.pop(), 1);
  return times;
}

for (
  const [golden, count] of [["sampler_sit", 37], ["sampler_sit_paths", 27], [
    "sampler_gmem",
    8,
  ]] as const
) {
  goldenTest(`odeTimes() and sdeTimes() reproduce the recorded times of ${golden}`, {
    golden,
    fn(file) {
      const cases: Record<string, SamplerCase> = JSON.parse(file.metadata.cases!);
      let compared = 0;
      for (const [name, settings] of Object.entries(cases)) {
        if (settings.skipped !== undefined) continue;
        const recorded = file.readFloat64(`case.${name}.times`);
        const bound = settings.timestep_shift ? SHIFT_BOUND : GRID_BOUND;
        assertTimes(projectTimes(settings), recorded, bound);
        compared++;
      }
      assert.equal(compared, count);
    },
  });
}

goldenTest("odeTimes(), sdeTimes() and guidanceActive() reproduce REPA's network calls", {
  golden: "sampler_repa",
  fn(file) {
    interface RepaCase {
      readonly guidance_low: number;
      readonly guidance_high: number;
      readonly cfg_scale: number;
      readonly call_batch: number[];
    }
    const cases: Record<string, RepaCase> = JSON.parse(file.metadata.cases!);
    let guided = 0;
    for (const [name, settings] of Object.entries(cases)) {
      const calls = Array.from(file.readFloat64(`case.${name}.call_t`), (time) => 1 - time);
      const times = name.startsWith("em")
        ? sdeTimes({ steps: 10, interval: [0, 0.96] })
        : odeTimes({ steps: 10 });
      // Heun looks at the start of each step and, but for the last step, at its end.
      const expected = name.startsWith("heun")
        ? times.slice(0, -1).flatMap((time, step) => step === 9 ? [time] : [time, times[step + 1]!])
        : times.slice(0, -1);
      assertTimes(expected, calls, UNIT);
      // Heun's corrector asks about the start of its step, not about its own time.
      if (settings.cfg_scale === 1 || name.startsWith("heun")) continue;
      const interval = [1 - settings.guidance_high, 1 - settings.guidance_low] as const;
      for (const [index, batch] of settings.call_batch.entries()) {
        assert.equal(guidanceActive(expected[index]!, interval), batch === 6, `${name} ${index}`);
        guided++;
      }
    }
    assert.equal(guided, 8 * 10);
  },
});

Deno.test("guidanceActive() includes both ends of its interval", () => {
  assert.equal(guidanceActive(0.25, [0.25, 0.75]), true);
  assert.equal(guidanceActive(0.75, [0.25, 0.75]), true);
  assert.equal(guidanceActive(0.2499, [0.25, 0.75]), false);
  assert.equal(guidanceActive(0.7501, [0.25, 0.75]), false);
});
