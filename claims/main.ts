/**
 * `deno task claims`: see `CLAIMS_COMMAND`.
 *
 * @module
 */

import { join } from "node:path";
import { parseArguments, type ParsedArguments, refuseGiven, UsageError } from "../cli/arguments.ts";
import { CLAIMS_COMMAND } from "../cli/commands/claims.ts";
import { lockFolder } from "../cli/folder_lock.ts";
import { Interruption } from "../cli/interruption.ts";
import { openDevice } from "../cli/open_device.ts";
import { prepareOutput } from "../cli/output_file.ts";
import { formatDuration, openProgress } from "../cli/progress.ts";
import { Interrupted, runCommand } from "../cli/run_command.ts";
import { say } from "../cli/say.ts";
import { counted } from "../kernels/core/counted.ts";
import { type Arm, nameOf } from "./arm.ts";
import { type Letter, LETTERS } from "./claim.ts";
import { Laboratory, type LaboratoryOptions, type Work } from "./laboratory.ts";
import { type Result, resultLines, verdictWord } from "./pages.ts";
import { CLAIMS, laboratoriesOf, pagesOf, testClaim } from "./run.ts";
import { SCALES } from "./scales.ts";

/** Seconds between two lines of progress where there is no terminal. */
const INTERVAL = 30;

/** The options of the command. */
type Options = ParsedArguments<typeof CLAIMS_COMMAND>["options"];

await runCommand(main);

async function main(): Promise<void> {
  const { options, positionals, given } = parseArguments(CLAIMS_COMMAND, Deno.args);
  if (options.like === undefined) {
    refuseGiven(given, ["onnx"], "without a bank: expected --like FILE");
  }
  const letters = lettersOf(positionals);
  const shown: Shown = { note: say, onProgress: () => {} };
  using interruption = new Interruption((line) => shown.note(line));
  try {
    await testClaims(letters, { options, shown, signal: interruption.signal });
  } catch (error) {
    if (!interruption.signal.aborted) throw error;
    say("stopped; the same command goes on from what is kept");
    throw new Interrupted();
  }
}

/** Where a laboratory tells what it does: once work has begun, a bar. */
type Shown = { -readonly [Key in "note" | "onProgress"]: LaboratoryOptions[Key] };

/** Throws what the signal says when it fires. */
async function testClaims(
  letters: readonly Letter[],
  { options, shown, signal }: { options: Options; shown: Shown; signal: AbortSignal },
): Promise<void> {
  const scale = SCALES[options.scale], { like, onnx } = options;
  // Before the long work, which a folder that cannot be written to would waste.
  if (!options.plan) {
    const pages = pagesOf(letters, { scale, like, directory: options.out });
    for (const page of pages) await prepareOutput(page);
  }
  const runs = join(options.runs, scale.name);
  // Two processes would train one model in one folder.
  using _lock = await lockFolder(runs, {
    expected: "that it ends first, or another folder by --runs DIR",
    note: say,
  });
  using device = await openDevice(undefined, say);
  say(`device  ${device.profile.label}`);
  say(`scale   ${scale.name}: ${scale.description}`);
  await using laboratory = await Laboratory.open({
    device,
    scale,
    like,
    onnx,
    seed: options.seed,
    directory: runs,
    signal,
    note: (line) => shown.note(line),
    onProgress: (units) => shown.onProgress(units),
  });
  const { train, heldOut, bank } = laboratory;
  say(
    `data    ${train.size} images to train on, ${heldOut.size} held out; snippets of ${bank.dim}`,
  );
  const plan = await planFor(letters, laboratory);
  const units = plan.trainingUnits + plan.drawingUnits;
  const secondsPerUnit = units === 0 ? 0 : await laboratory.secondsPerUnit();
  signal.throwIfAborted();
  const work = plannedWork(plan, secondsPerUnit);
  for (const line of planLines(work)) say(line);
  if (options.plan) {
    if (options.json) console.log(JSON.stringify(work));
    return;
  }

  using progress = openProgress(Math.max(1, Math.round(units)), { intervalSeconds: INTERVAL });
  let done = 0;
  const results: Result[] = [];
  shown.note = (line) => progress.note(line);
  shown.onProgress = (more) => progress.advance(Math.round(done += more));
  for (const letter of letters) {
    const { name, result } = await testClaim(CLAIMS[letter], {
      laboratory,
      directory: options.out,
    });
    const { verdict } = result;
    progress.note(`(${letter})     ${verdictWord(verdict)}: ${verdict.text}`);
    results.push(result);
    if (options.json) console.log(JSON.stringify({ name, ...result }));
  }
  progress.stop();
  if (!options.json) {
    for (const result of results) console.log(["", ...resultLines(result), ""].join("\n"));
  }
  say(`wrote   ${join(options.out, "README.md")}`);
}

function lettersOf(positionals: readonly string[]): readonly Letter[] {
  const unknown = positionals.find((each) => !(LETTERS as readonly string[]).includes(each));
  if (unknown !== undefined) {
    throw new UsageError(
      `Cannot test claim ${unknown}: there is none, expected one of ${LETTERS.join(", ")}`,
    );
  }
  return positionals.length === 0
    ? LETTERS
    : LETTERS.filter((letter) => positionals.includes(letter));
}

/** What is left to do for some claims. */
interface Plan extends Omit<Work, "trainings"> {
  /** The models to train, by name, each with the steps that it has left. */
  readonly trainings: readonly string[];
}

/** What is left to do for some claims, in all their laboratories. */
async function planFor(letters: readonly Letter[], laboratory: Laboratory): Promise<Plan> {
  const arms = new Map<Laboratory, Arm[]>();
  for (const letter of letters) {
    for (const each of await laboratoriesOf(CLAIMS[letter], laboratory)) {
      arms.set(each, [...arms.get(each) ?? [], ...CLAIMS[letter].arms(each)]);
    }
  }
  const works = Array.from(arms, ([each, needed]) => {
    const { trainings, ...work } = each.workFor(needed);
    const settings = each.scale.overrides.slice(laboratory.scale.overrides.length);
    const names = trainings.map(({ model, steps }) =>
      `${[nameOf(model), ...settings].join(", ")} (${counted(steps, "step")})`
    );
    return { ...work, trainings: names };
  });
  return {
    trainings: works.flatMap(({ trainings }) => trainings),
    drawings: works.flatMap(({ drawings }) => drawings),
    trainingUnits: works.reduce((sum, { trainingUnits }) => sum + trainingUnits, 0),
    drawingUnits: works.reduce((sum, { drawingUnits }) => sum + drawingUnits, 0),
  };
}

/** What is left to do, in numbers. */
interface PlannedWork {
  /** The models to train, by name, each with the steps that it has left. */
  readonly trainings: readonly string[];
  /** Sets of samples to draw, and the images in all of them. */
  readonly sets: number;
  readonly images: number;
  /** About how long that takes; measuring comes after it. */
  readonly trainingSeconds: number;
  readonly drawingSeconds: number;
}

function plannedWork(plan: Plan, secondsPerUnit: number): PlannedWork {
  const { trainings, drawings, trainingUnits, drawingUnits } = plan;
  return {
    trainings,
    sets: drawings.length,
    images: drawings.reduce((sum, { count }) => sum + count, 0),
    trainingSeconds: trainingUnits * secondsPerUnit,
    drawingSeconds: drawingUnits * secondsPerUnit,
  };
}

/** What is left to do and how long it takes, as lines for a person. */
function planLines(work: PlannedWork): string[] {
  const { trainings, sets, images, trainingSeconds, drawingSeconds } = work;
  if (trainings.length + sets === 0) {
    return ["plan    everything is kept: only measuring is left"];
  }
  const about = (seconds: number) => `about ${formatDuration(seconds)}`;
  return [
    ...(trainings.length === 0 ? [] : [
      `plan    train ${trainings.join("; ")}: ${about(trainingSeconds)}`,
    ]),
    `plan    draw ${counted(sets, "set")} of samples, ${images.toLocaleString("en")} images: ` +
    about(drawingSeconds),
    `plan    ${about(trainingSeconds + drawingSeconds)} in all, and some minutes to measure`,
    "        (progress counts evaluations of the network for 32 images)",
  ];
}
