/**
 * What `deno task evaluate` tells and writes of what it finds.
 *
 * @module
 */

import { writeOutput } from "../../cli/output_file.ts";
import { say } from "../../cli/say.ts";
import { encodePng } from "../../train/datasets/png.ts";
import { stepsPerEpochOf } from "../../train/trained.ts";
import { copyVerdict } from "../copies.ts";
import { copyPanels, type CopySearch } from "../copy_search.ts";
import type { Evaluated } from "../evaluate_samples.ts";
import type { ReferenceSet } from "../reference_set.ts";
import {
  type CopiesReport,
  copyReport,
  describeCopies,
  describeMeasures,
  type EvaluationReport,
} from "../report.ts";
import type { SampleSet } from "../sample_set.ts";
import { describeSeries, type EvaluationSeries, seriesPanels } from "../series_report.ts";
import { plotBeside } from "./files.ts";
import type { Settings } from "./settings.ts";

/** Prints and writes what is found as soon as it is: what is measured next, or the disk, may fail. */
export async function tellAll(
  settings: Settings,
  parts: {
    samples: readonly SampleSet[];
    reference: ReferenceSet;
    measured: AsyncIterable<Evaluated>;
    /** The JSON file to write; undefined for none. */
    report: string | undefined;
    /** Those given so far; more come while samples are measured. */
    warnings: string[];
  },
): Promise<void> {
  const { options, over, drawings } = settings, { samples, reference, report, warnings } = parts;
  const general = warnings.splice(0);
  const evaluations: EvaluationReport[] = [];
  const print = (...lines: readonly string[]) => {
    if (!options.json) console.log(lines.join("\n"));
  };
  let written: string | undefined;
  const keep = async () => {
    if (report !== undefined) written = await writeReport(resultOf(settings, evaluations), report);
  };
  try {
    for await (const evaluated of parts.measured) {
      const i = evaluations.length;
      const evaluation = evaluationOf(settings, {
        samples: samples[i]!,
        step: drawings[i]?.found.step,
        reference,
        evaluated,
        warnings: [...general, ...warnings.splice(0)],
      });
      evaluations.push(evaluation);
      if (over === undefined) print("", ...describeMeasures(evaluation), "");
      await keep();
      if (evaluated.searchCopies === undefined) continue;
      const search = await evaluated.searchCopies();
      const copies = copiesOf(search, options.copies!);
      evaluations[i] = { ...evaluation, copies };
      print(...describeCopies(copies), "");
      await keep();
      await writeCopies(search, options.copies!);
    }
  } finally {
    if (evaluations.length > 0) {
      const result = resultOf(settings, evaluations);
      if (options.json) console.log(JSON.stringify(result));
      if ("evaluations" in result) print("", ...describeSeries(result), "");
      if (written !== undefined) say(`wrote      ${written}`);
    }
  }
}

/** What was found so far, as it is written down. */
function resultOf(
  { config, drawings, over }: Settings,
  evaluations: readonly EvaluationReport[],
): EvaluationReport | EvaluationSeries {
  if (over === undefined) return evaluations[0]!;
  const { sampler } = config.sample;
  const trained = drawings.map(({ found }) => found).filter(({ step = 0 }) => step > 0);
  const [stepsPerEpoch, ...others] = new Set(trained.map(stepsPerEpochOf));
  return {
    format: 1,
    over,
    sampler,
    stepsPerEpoch: others.length === 0 ? stepsPerEpoch : undefined,
    evaluations,
  };
}

/** Writes a report, and beside that of a series its plot; gives what it wrote. */
async function writeReport(
  result: EvaluationReport | EvaluationSeries,
  report: string,
): Promise<string> {
  await writeOutput(report, `${JSON.stringify(result, null, 2)}\n`);
  if (!("evaluations" in result)) return report;
  const plot = plotBeside(report);
  // Imported here alone, so that the rest need not load the plotting library.
  const { plotCurves } = await import("../../cli/plot.ts");
  await writeOutput(plot, await plotCurves(seriesPanels(result)));
  return `${report} and ${plot}`;
}

/** Writes the picture of a search for copies, and beside it the plot of the distances. */
async function writeCopies({ findings, picture }: CopySearch, path: string): Promise<void> {
  const plot = plotBeside(path);
  await writeOutput(path, encodePng(picture));
  // Imported here alone, so that the rest need not load the plotting library.
  const { plotCurves } = await import("../../cli/plot.ts");
  await writeOutput(plot, await plotCurves(copyPanels(findings)));
  say(`wrote      ${path} and ${plot}`);
}

function copiesOf({ findings: { pixel, encoder } }: CopySearch, picture: string): CopiesReport {
  return {
    pixel: copyReport(pixel),
    encoder: copyReport(encoder),
    verdict: copyVerdict({ pixels: pixel, "the encoder": encoder }, { picture }),
  };
}

function evaluationOf(
  { config }: Settings,
  parts: {
    samples: SampleSet;
    /** Training steps of their model; undefined where it is not known. */
    step: number | undefined;
    reference: ReferenceSet;
    evaluated: Evaluated;
    warnings: readonly string[];
  },
): EvaluationReport {
  const { samples, step, reference, evaluated: { encoder, inception }, warnings } = parts;
  return {
    format: 1,
    samples: {
      source: samples.source,
      count: samples.stream.size,
      step,
      sampler: samples.sampler,
      steps: samples.steps,
      evaluations: samples.evaluations(),
    },
    reference: {
      source: reference.source,
      count: reference.bank?.size ?? reference.images?.size,
    },
    seed: config.sample.seed,
    encoder,
    inception,
    copies: undefined,
    warnings: [...warnings, ...encoder.warnings],
  };
}
