/**
 * Lines for whoever sits at the terminal.
 *
 * @module
 */

/** Tells what goes on; standard output is kept for results. */
export function say(line: string): void {
  console.error(line);
}
