/**
 * Ctrl-C and SIGTERM for commands that keep what they have done before they end.
 *
 * @module
 */

import { EXIT_CODES } from "./run_command.ts";

/** Half the time until another Ctrl-C counts: one may come twice, also from the `deno task` before it. */
const HALF_PAUSE_MILLISECONDS = 250;

/**
 * Takes Ctrl-C and, but for Windows, SIGTERM as a wish to stop in good order. Ctrl-C after that ends the
 * process at once, with exit code 130.
 *
 * @example
 * ```ts ignore
 * using interruption = new Interruption((line) => console.error(line));
 * for await (const _ of trainer.run({ steps: 1000, signal: interruption.signal }));
 * await saveCheckpoint("runs/mine", trainer);
 * ```
 */
export class Interruption implements Disposable {
  readonly #controller = new AbortController();
  readonly #listeners: readonly [signal: Deno.Signal, listener: () => void][];

  /** Begins to listen; `tell` gets a line when the process is to stop. */
  constructor(tell: (line: string) => void) {
    let mayEnd = false;
    const stop = () => {
      if (this.signal.aborted) return;
      this.#controller.abort();
      tell("stopping; Ctrl-C again ends at once");
      // Two timers: between them a busy process gets to see what came in the meantime.
      const half = HALF_PAUSE_MILLISECONDS;
      setTimeout(() => setTimeout(() => mayEnd = true, half), half);
    };
    const stopOrEnd = () => mayEnd ? Deno.exit(EXIT_CODES.interrupted) : stop();
    this.#listeners = Deno.build.os === "windows"
      ? [["SIGINT", stopOrEnd]]
      : [["SIGINT", stopOrEnd], ["SIGTERM", stop]];
    for (const [signal, listener] of this.#listeners) Deno.addSignalListener(signal, listener);
  }

  /** Fires when the process is to stop. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /**
   * Gives the signals their usual effect again. Where the process is to stop they keep the one that they
   * have: the same Ctrl-C heard again must not cost its last words.
   */
  [Symbol.dispose](): void {
    if (this.signal.aborted) return;
    for (const [signal, listener] of this.#listeners) Deno.removeSignalListener(signal, listener);
  }
}
