/**
 * The files that `deno task evaluate` is told to read and to write.
 *
 * @module
 */

import { dirname, extname, join } from "node:path";
import { requireFiles } from "../../cli/input_files.ts";
import { prepareOutput } from "../../cli/output_file.ts";
import type { Settings } from "./settings.ts";

/**
 * Looks for the files to read, prepares those to write, and returns the path of the report, or undefined where
 * none is written: before the long work, which files that are not there or cannot be written would waste.
 *
 * Throws what `requireFiles` and `prepareOutput` throw.
 */
export async function prepareFiles(settings: Settings): Promise<string | undefined> {
  const { options, over } = settings;
  const { samples, reference, bank, onnx, weights, config, inception, out, copies } = options;
  requireFiles({ "--bank": bank, "--onnx": onnx, "--inception": inception });
  const report = options.report ?? reportOf(settings);
  const asked: (readonly [option: string, path: string | undefined])[] = [
    ["--out", out],
    ["--copies", copies],
    ["--copies", copies && plotBeside(copies)],
    ["--report", report],
    ["--report", over && report && plotBeside(report)],
  ];
  const outputs = asked.flatMap(([option, path]) => path === undefined ? [] : [{ option, path }]);
  const inputs = [samples, reference, bank, onnx, weights, config, inception];
  for (const [i, { option, path }] of outputs.entries()) {
    const others = outputs.slice(0, i).map(({ path }) => path);
    await prepareOutput(path, { inputs, others, option });
  }
  return report;
}

/** The plot that goes with a file: the SVG of its name. */
export function plotBeside(path: string): string {
  return `${path.slice(0, -extname(path).length)}.svg`;
}

/** Where the report of samples of a checkpoint, or of a file of weights, goes by default. */
function reportOf({ options, found, over }: Settings): string | undefined {
  if (found === undefined) return undefined;
  const { checkpoint } = found;
  if (over === "training steps") return join(dirname(checkpoint), "checkpoints.json");
  const folder = options.weights === undefined ? checkpoint : dirname(checkpoint);
  return join(folder, over === undefined ? "evaluation.json" : "steps.json");
}
