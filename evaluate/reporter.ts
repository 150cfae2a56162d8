/**
 * What long work tells of itself, whoever listens.
 *
 * @module
 */

/** How far some work is; released when it ends. */
export interface WorkProgress extends Disposable {
  /** This many steps are done. */
  advance(done: number): void;
}

/** Who is told of the work. */
export interface Reporter {
  /** A line for people. */
  note(line: string): void;
  /** What a person should know of the numbers when reading them. */
  warn(line: string): void;
  /** Work of `total` steps begins. */
  begin(total: number): WorkProgress;
}

/** Runs work that says what share of it is done, from 0 to 1, which is told in percent. */
export async function inPercent<T>(
  work: (onProgress: (done: number) => void) => Promise<T>,
  options: { readonly label: string; readonly reporter: Reporter },
): Promise<T> {
  const { label, reporter } = options;
  const total = 100;
  reporter.note(label);
  using progress = reporter.begin(total);
  return await work((done) => progress.advance(Math.floor(done * total)));
}
