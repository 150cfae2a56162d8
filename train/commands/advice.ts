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

/** How far a run had come. */
export interface RunAtItsEnd {
  /** The run's folder, once there is something in it to go on from. */
  readonly started: string | undefined;
  /** The checkpoint that was read to go on from. */
  readonly resumed: string | undefined;
}

const SEARCH = "--set device.debug=true tells the kernel whose result was not finite first";
const LESS_MEMORY = "--recompute takes less memory, and so do more parts of a batch, " +
  "--set train.gradientAccumulation=4";

/** What to do after an error that stopped a run; undefined where nothing is known that helps. */
export function adviseAfter(error: Error, { started, resumed }: RunAtItsEnd): string | undefined {
  if (started === undefined) return adviseOnDamage(error, resumed);
  const last = lastCheckpoint(started), diverged = error instanceof NonFiniteLossError;
  const lacksMemory = error instanceof OutOfMemoryError;
  if (last === undefined) {
    if (lacksMemory) return `There is no checkpoint yet; start again: ${LESS_MEMORY}`;
    return diverged
      ? `There is no checkpoint yet; start again with a lower rate; ${SEARCH}`
      : undefined;
  }
  const change = diverged
    ? ` --set optimizer.learningRate=LOWER; ${SEARCH}`
    : lacksMemory
    ? `; ${LESS_MEMORY}`
    : "";
  return `The last good checkpoint is ${last}; ` +
    `go on from it with: deno task train --resume ${shellWord(started)}${change}`;
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
