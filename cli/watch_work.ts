/**
 * Signs of life of work that may take long.
 *
 * @module
 */

import { type LaterProgress, openProgress, openProgressLater } from "./progress.ts";
import { say } from "./say.ts";

/** Milliseconds without a sign of life. */
const PATIENCE = 3000;

/** Shows how far work before or after the steps is, once it takes longer than one waits without a word. */
export function watchWork({ what, json }: { what: string; json: boolean }): LaterProgress {
  const started = performance.now();
  return openProgressLater((done, total) => {
    if (json || performance.now() - started < PATIENCE) return undefined;
    say(`${what}, ${Math.floor(100 * done / total)} % is done`);
    return openProgress(total, { start: done });
  });
}
