/**
 * What `deno task train` advises after an error that ended it.
 *
 * @module
 */

import { dirname } from "node:path";
import { shellWord } from "../../cli/shell_word.ts";
import { CheckpointError, OutOfMemoryError } from "../../kernels/core/errors.ts";
import { lastCheckpoint, listCheckpoints } from "../checkpoint.ts";
import { NonFiniteLossError } from "../history.ts";

/** A run whose training has begun. */
export interface StartedRun {
  /** Its folder. */
  readonly directory: string;
  /** Images in a step. */
  readonly batchSize: number;
  /** Parts that each batch runs in. */
  readonly parts: number;
  /** Whether activations are computed again in the backward pass. */
  readonly recompute: boolean;
}

/** How far a run had come. */
export interface RunAtItsEnd {
  /** The run, once its training has begun. */
  readonly started: StartedRun | undefined;
  /** The checkpoint that was read to go on from. */
  readonly resumed: string | undefined;
}

const SEARCH = "--set device.debug=true tells the kernel whose result was not finite first";

/** What to do after an error that stopped a run; undefined where nothing is known that helps. */
export function adviseAfter(error: Error, { started, resumed }: RunAtItsEnd): string | undefined {
  if (started === undefined) return adviseOnDamage(error, resumed);
  const last = lastCheckpoint(started.directory), diverged = error instanceof NonFiniteLossError;
  const less = error instanceof OutOfMemoryError ? lessMemory(started) : [];
  if (last === undefined) {
    const change = diverged ? `a lower rate; ${SEARCH}` : less.join(" or ");
    return change === "" ? undefined : `There is no checkpoint yet; start again with ${change}`;
  }
  const goOn = `The last good checkpoint is ${last}; ` +
    `go on from it with: deno task train --resume ${shellWord(started.directory)}`;
  if (diverged) return `${goOn} --set optimizer.learningRate=LOWER; ${SEARCH}`;
  return less.length > 0 ? `${goOn} and, for less memory, ${less.join(" or ")}` : goOn;
}

/** Options with which a run takes less memory. */
function lessMemory({ batchSize, parts, recompute }: StartedRun): string[] {
  let more = parts + 1;
  while (more < batchSize && batchSize % more !== 0) more++;
  return [
    ...(recompute ? [] : ["--recompute"]),
    ...(more <= batchSize ? [`--set train.gradientAccumulation=${more}`] : []),
  ];
}

/** What to do where a file of the checkpoint that was to be gone on from cannot be read. */
function adviseOnDamage(error: Error, resumed: string | undefined): string | undefined {
  if (resumed === undefined || !(error instanceof CheckpointError)) return undefined;
  if (dirname(error.path) !== resumed) return undefined;
  const paths = listCheckpoints(dirname(resumed)).map(({ path }) => path);
  const earlier = paths[paths.indexOf(resumed) - 1];
  return earlier &&
    `If it is damaged, move ${resumed} out of the folder, and --resume goes on from ${earlier}`;
}
