import assert from "node:assert/strict";
import type { EvaluationReport } from "../../evaluate/report.ts";
import {
  describeSeries,
  type EvaluationSeries,
  seriesPanels,
} from "../../evaluate/series_report.ts";

/** An evaluation of Heun with some steps, with a distance that falls with them. */
function evaluationOf(steps: number, inception = false): EvaluationReport {
  const share = { value: 1 - 1 / steps, interval: undefined };
  return {
    format: 1,
    samples: {
      ...{ source: "runs/a/step_0000005", count: 100, step: 5 },
      ...{ sampler: `heun, ${steps} steps`, steps, evaluations: 2 * steps - 1 },
    },
    reference: { source: "adm.npz", count: 300 },
    seed: 0,
    encoder: {
      ...{ kind: "pixel_pca", fingerprint: "0", dim: 8, samples: 100, reference: 300 },
      source: "adm.npz",
      frechet: { value: 2 / steps, interval: [1.5 / steps, 2.5 / steps] },
      ...{ precision: share, recall: undefined, warnings: [] },
      chance: { value: 0.125, count: 100 },
    },
    inception: inception
      ? {
        ...{ fingerprint: "1", fid: 40 / steps, sfid: 50 / steps, inceptionScore: undefined },
        ...{ precision: undefined, recall: undefined, chance: undefined },
      }
      : undefined,
    copies: undefined,
    warnings: ["of all", `of ${steps}`],
  };
}

/** A series by numbers of steps. */
function byEvaluations(evaluations: EvaluationReport[]): EvaluationSeries {
  const over = "network evaluations";
  return { format: 1, over, sampler: "heun", stepsPerEpoch: 2, evaluations };
}

/** A series of three checkpoints. */
function byTraining(stepsPerEpoch?: number): EvaluationSeries {
  const evaluations = [5, 10, 40].map((step) => {
    const evaluation = evaluationOf(4), source = `runs/a/step_${`${step}`.padStart(7, "0")}`;
    return { ...evaluation, samples: { ...evaluation.samples, source, step } };
  });
  return { format: 1, over: "training steps", sampler: "heun", stepsPerEpoch, evaluations };
}

Deno.test("describeSeries() has a row for each number of steps and a column for what is known", () => {
  const evaluations = [evaluationOf(4), evaluationOf(16)];
  assert.deepEqual(describeSeries(byEvaluations(evaluations)), [
    "samples    100 of runs/a/step_0000005, heun",
    "reference  300 of adm.npz",
    "features   pixel_pca (8)",
    "",
    "| steps | NFE | Fréchet distance | 95 % interval    | precision |",
    "|-------|-----|------------------|------------------|-----------|",
    "| 4     | 7   | 0.5000           | 0.3750 … 0.6250  | 0.7500    |",
    "| 16    | 31  | 0.1250           | 0.09375 … 0.1563 | 0.9375    |",
    "",
    "the same by chance (pixel_pca): 0.1250",
    "",
    "warning: of all",
    "warning: of 4",
    "warning: of 16",
  ]);
  const more = describeSeries(
    byEvaluations(evaluations.map(({ samples: { steps } }) => evaluationOf(steps!, true))),
  );
  assert.match(more[4]!, /\| precision \| FID +\| sFID +\|$/);
  assert.match(more[7]!, /\| 2\.500 +\| 3\.125 +\|$/);
});

Deno.test("describeSeries() names the steps of checkpoints, and epochs where they are known", () => {
  const lines = describeSeries(byTraining(20));
  assert.equal(
    lines[0],
    "samples    100 of each checkpoint of runs/a, heun, 4 steps, 7 network evaluations each (NFE)",
  );
  assert.deepEqual(lines.filter((line) => line.startsWith("|")).map((line) => line.slice(0, 32)), [
    "| training step | epoch  | Fréch",
    "|---------------|--------|------",
    "| 5             | 0.2500 | 0.500",
    "| 10            | 0.5000 | 0.500",
    "| 40            | 2.000  | 0.500",
  ]);
  assert.match(describeSeries(byTraining())[4]!, /^\| training step \| Fréchet distance \|/);
});

Deno.test("seriesPanels() draws distances over the steps of checkpoints", () => {
  const [panel] = seriesPanels(byTraining(20));
  const { logX, trainingSteps, curves: [curve] } = panel!;
  assert.deepEqual([logX, trainingSteps], [false, { perEpoch: 20 }]);
  assert.deepEqual(curve!.points.map(({ x }) => x), [5, 10, 40]);
  const [unknown] = seriesPanels(byTraining());
  assert.deepEqual(unknown!.trainingSteps, { perEpoch: undefined });
});

Deno.test("seriesPanels() draws distances over evaluations of the network, with their intervals", () => {
  const evaluations = [2, 8].map((steps) => evaluationOf(steps, true));
  const panels = seriesPanels(byEvaluations(evaluations));
  assert.deepEqual(panels.map(({ logX, xValues }) => [logX, xValues]), [
    [true, [3, 15]],
    [true, [3, 15]],
  ]);
  assert.deepEqual(panels.map(({ curves }) => curves), [
    [{
      name: "heun",
      points: [
        { x: 3, y: 1, low: 0.75, high: 1.25 },
        { x: 15, y: 0.25, low: 0.1875, high: 0.3125 },
      ],
    }],
    [{ name: "heun", points: [{ x: 3, y: 20 }, { x: 15, y: 5 }] }],
  ]);
  assert.deepEqual(panels.map(({ levels }) => levels), [
    [{ name: "by chance", y: 0.125 }],
    [],
  ]);
  assert.deepEqual(panels[0]!.yTitle, [
    "Fréchet distance (pixel_pca)",
    "of 100 samples to adm.npz",
  ]);
  assert.equal(
    seriesPanels(byEvaluations([evaluationOf(2)])).length,
    1,
  );
});
