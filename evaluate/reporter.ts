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

/** Runs work that says how much of it is done, which is told in percent. */
export async function inPercent<T>(
  work: (onProgress: (done: number, total: number) => void) => Promise<T>,
  options: { readonly label: string; readonly reporter: Reporter },
): Promise<T> {
  const { label, reporter } = options;
  reporter.note(label);
  using progress = reporter.begin(100);
  return await work((done, total) => progress.advance(Math.floor(100 * done / total)));
}
