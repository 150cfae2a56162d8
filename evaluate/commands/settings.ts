/**
 * What `deno task evaluate` was told.
 *
 * @module
 */

import { extname } from "node:path";
import { type ParsedArguments, UsageError } from "../../cli/arguments.ts";
import type { EVALUATE_COMMAND } from "../../cli/commands/evaluate.ts";
import { checkDrawing, checkModelOptions, sampleOverrides } from "../../cli/model_options.ts";
import type { SampleConfig } from "../../sample/config.ts";
import { listCheckpoints } from "../../train/checkpoint.ts";
import type { Config } from "../../train/config.ts";
import { loadConfig } from "../../train/load_config.ts";
import { folderOverrides } from "../../train/overrides.ts";
import {
  type CheckpointConfig,
  readCheckpointConfig,
  readWeightsConfig,
} from "../../train/trained.ts";
import type { InceptionOutput } from "../inception.ts";
import type { EvaluationSeries } from "../series_report.ts";

/** Below this the ends of a 95 % interval, a twentieth of the resamples outside it, are its extremes. */
const FEWEST_RESAMPLES = 20;

/** The options of the command. */
export type Options = ParsedArguments<typeof EVALUATE_COMMAND>["options"];

/** What the command was told. */
export interface Settings {
  readonly options: Options;
  readonly config: Config;
  /** The checkpoint, of several the newest; undefined where the samples are a file's. */
  readonly found: CheckpointConfig | undefined;
  /** What several evaluations differ in; undefined where there is one. */
  readonly over: EvaluationSeries["over"] | undefined;
  /** What is drawn for each evaluation; none where the samples are a file's. */
  readonly drawings: readonly Drawing[];
}

/** Samples to draw. */
export interface Drawing {
  /** The checkpoint of their model. */
  readonly found: CheckpointConfig;
  /** How they are drawn. */
  readonly sampling: SampleConfig;
}

/** The outputs of the Inception network that were named. Throws a UsageError for what names none. */
export function inceptionOutputs({ output }: Options): Partial<Record<InceptionOutput, string>> {
  return Object.fromEntries(output.map((text) => {
    const [, kind, name] = /^(pool|spatial|logits)=(.+)$/.exec(text) ?? [];
    if (kind !== undefined) return [kind, name];
    throw new UsageError(
      `Cannot read --output ${text}: expected pool=NAME, spatial=NAME or logits=NAME`,
    );
  }));
}

/** The numbers of steps that were asked for, each once and from few to many. */
function stepsOf({ steps = [] }: Options): number[] {
  return [...new Set(steps)].sort((a, b) => a - b);
}

/**
 * Reads the configuration that the options name and change.
 *
 * Throws a UsageError where options do not go together or with the model.
 */
export async function readSettings(options: Options): Promise<Settings> {
  checkUsage(options);
  const steps = stepsOf(options);
  const { checkpoint, weights, reversed, heads, sampler, seed } = options;
  const overridesOf = (steps: number | undefined) => [
    ...folderOverrides(options.data),
    ...sampleOverrides({ sampler, steps, seed }),
    ...options.set,
  ];
  const drawing = checkpoint ?? weights;
  if (drawing !== undefined) {
    const readWith = (overrides: readonly string[]) =>
      weights === undefined
        ? readCheckpointConfig(drawing, { overrides })
        : readWeightsConfig(drawing, { reversed, heads, overrides });
    if (options.data !== undefined && readWith([]).config.data.kind === "latents") {
      throw new UsageError(
        `Cannot take --data with ${drawing}: its model is trained on latents, expected the images to ` +
          "measure against by --reference PATH",
      );
    }
    const read = (steps?: number) => readWith(overridesOf(steps));
    const found = read(steps[0]), { config } = found;
    checkDrawing({ ...options, steps: steps[0] }, config);
    if (options["every-checkpoint"]) {
      const drawings = checkpointsOf(drawing).map((path) => ({
        found: readCheckpointConfig(path, { overrides: overridesOf(steps[0]) }),
        sampling: config.sample,
      }));
      return { options, config, found, over: "training steps", drawings };
    }
    const more = steps.slice(1).map((each) => read(each).config.sample);
    return {
      options,
      config,
      found,
      over: more.length > 0 ? "network evaluations" : undefined,
      drawings: [config.sample, ...more].map((sampling) => ({ found, sampling })),
    };
  }
  const config = await loadConfig(options.config, { overrides: overridesOf(steps[0]) });
  return { options, config, found: undefined, over: undefined, drawings: [] };
}

/** The checkpoints of a run, oldest first. */
function checkpointsOf(runDirectory: string): string[] {
  const checkpoints = listCheckpoints(runDirectory).map(({ path }) => path);
  if (checkpoints.length > 0) return checkpoints;
  throw new UsageError(
    `Cannot measure every checkpoint of ${runDirectory}: it is a checkpoint itself, expected the ` +
      "directory of a run",
  );
}

function checkUsage(options: Options): void {
  const { checkpoint, weights, samples, out, copies } = options;
  const { reference, config, data, set } = options;
  const needsData = reference === "train" || reference === "held-out";
  if (checkpoint === undefined && weights === undefined && samples === undefined) {
    throw new UsageError(
      "Cannot evaluate: expected --checkpoint DIR, --weights FILE or --samples PATH",
    );
  }
  checkModelOptions(options);
  if (weights !== undefined) {
    const nothing =
      `Cannot measure ${weights}: a file of weights names no training data, expected `;
    if (needsData) throw new UsageError(`${nothing}--reference PATH`);
    if (copies !== undefined) throw new UsageError(`${nothing}no --copies`);
  }
  const hasData = [checkpoint, config, data].some((name) => name !== undefined) ||
    set.some((setting) => setting.startsWith("data."));
  if (!hasData && (copies !== undefined || needsData)) {
    throw new UsageError(
      `Cannot measure ${samples}: no training images are named, expected --data DIR or --config FILE` +
        (copies === undefined ? ", or --reference PATH" : ""),
    );
  }
  if (out !== undefined && extname(out) !== ".npz") {
    throw new UsageError(`Cannot write samples to ${out}: expected a name in .npz`);
  }
  if (copies !== undefined && extname(copies) !== ".png") {
    throw new UsageError(`Cannot draw copies to ${copies}: expected a name in .png`);
  }
  if (setsKey(options, "sample.count")) {
    throw new UsageError(
      "Cannot take sample.count: it is the number of images of a picture, expected --count NUMBER",
    );
  }
  checkSeries(options);
  for (const name of ["steps", "sampler"] as const) {
    if (samples === undefined || options[name] === undefined) continue;
    throw new UsageError(
      `Cannot take --${name} with --samples: they are drawn already, expected one of the two`,
    );
  }
  const model = checkpoint ?? weights;
  if (config !== undefined && model !== undefined) {
    throw new UsageError(
      `Cannot take --config with ${model}: that tells its own configuration, expected --set for keys to change`,
    );
  }
  if (options.resamples > 0 && options.resamples < FEWEST_RESAMPLES) {
    throw new UsageError(
      `Cannot take --resamples ${options.resamples}: too few for 95 % intervals, expected 0 for none, ` +
        `or at least ${FEWEST_RESAMPLES}`,
    );
  }
  inceptionOutputs(options);
}

function setsKey({ set }: Options, key: string): boolean {
  return set.some((setting) => setting.startsWith(`${key}=`));
}

/** Throws a UsageError where several evaluations are asked for, and something that there is of one alone. */
function checkSeries(options: Options): void {
  const { checkpoint, samples, out, copies, report } = options;
  const severalSteps = stepsOf(options).length > 1, everyCheckpoint = options["every-checkpoint"];
  if (severalSteps && setsKey(options, "sample.steps")) {
    throw new UsageError(
      "Cannot measure several --steps with sample.steps: one number would take the place of each, " +
        "expected one of the two",
    );
  }
  if (everyCheckpoint && (checkpoint === undefined || severalSteps)) {
    const problem = severalSteps ? "by several --steps" : "without --checkpoint";
    throw new UsageError(
      `Cannot measure every checkpoint ${problem}: expected the directory of a run, and one number ` +
        "of steps",
    );
  }
  if (!severalSteps && !everyCheckpoint) return;
  const [several, one] = severalSteps
    ? ["several --steps", "one number"]
    : ["every checkpoint", "one checkpoint"];
  for (const [name, path] of Object.entries({ samples, out, copies })) {
    if (path === undefined) continue;
    throw new UsageError(
      `Cannot measure ${several} with --${name}: expected ${one}, or none of --samples, --out and ` +
        "--copies",
    );
  }
  if (report !== undefined && extname(report) !== ".json") {
    throw new UsageError(`Cannot write the report to ${report}: expected a name in .json`);
  }
}
