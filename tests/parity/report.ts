/**
 * What a verification found: one row for each check.
 *
 * @module
 */

/** What a row compares, by which summaries group. */
export type Kind =
  | "inputs"
  | "outputs"
  | "losses"
  | "activations"
  | "gradients"
  | "samples"
  | "parameters"
  | "values"
  | "other";

/** One check. */
export interface Row {
  /** The case within the file. */
  readonly case: string;
  /** The name of what was compared, the file's own key where there is one. */
  readonly quantity: string;
  /** What it is. */
  readonly kind: Kind;
  /** How far off, in the unit of the tolerance; NaN where nothing could be compared. */
  readonly error: number;
  /** The largest error that passes. */
  readonly tolerance: number;
  /** Why there is nothing to compare. */
  readonly reason?: string;
}

/** Two lists of numbers that should be the same. */
export interface Comparison {
  /** The case, if it is not the file's own name. */
  readonly case?: string;
  readonly quantity: string;
  readonly kind: Kind;
  readonly got: ArrayLike<number>;
  readonly recorded: ArrayLike<number>;
  readonly tolerance: number;
  /** How the error is measured. Default {@linkcode largestError}. */
  readonly measure?: (got: ArrayLike<number>, recorded: ArrayLike<number>) => number;
}

/** Whether a row passed. */
export function passed(row: Row): boolean {
  return row.error <= row.tolerance;
}

/** Collects the rows of one file. */
export class Report {
  /** Path of the file. */
  readonly path: string;
  /** Its base name without the extension, the name of its main case. */
  readonly name: string;
  readonly #rows: Row[] = [];

  /** Starts an empty report on the file at `path`. */
  constructor(path: string) {
    this.path = path;
    this.name = path.replace(/^.*[\\/]/, "").replace(/\.safetensors$/, "");
  }

  /** The checks so far. */
  get rows(): readonly Row[] {
    return this.#rows;
  }

  /** Adds a check; lists of different lengths fail. */
  compare(comparison: Comparison): void {
    const { quantity, kind, got, recorded, tolerance, measure = largestError } = comparison;
    const of = comparison.case ?? this.name;
    if (got.length !== recorded.length) {
      return this.fail(quantity, `${got.length} values, recorded ${recorded.length}`, of);
    }
    this.#rows.push({ case: of, quantity, kind, error: measure(got, recorded), tolerance });
  }

  /** Adds a check that failed before anything could be compared. */
  fail(quantity: string, reason: string, of: string = this.name): void {
    const row = { case: of, quantity, kind: "other", error: NaN, tolerance: 0, reason } as const;
    this.#rows.push(row);
  }
}

/** The largest difference as a share of the largest recorded magnitude. */
export function largestError(got: ArrayLike<number>, recorded: ArrayLike<number>): number {
  let difference = 0, magnitude = 0;
  for (let i = 0; i < recorded.length; i++) {
    // Math.max keeps a NaN, whichever side it comes from.
    difference = Math.max(difference, Math.abs(got[i]! - recorded[i]!));
    magnitude = Math.max(magnitude, Math.abs(recorded[i]!));
  }
  return share(difference, magnitude);
}

/** The norm of the difference as a share of the recorded norm. */
export function normError(got: ArrayLike<number>, recorded: ArrayLike<number>): number {
  let difference = 0, magnitude = 0;
  for (let i = 0; i < recorded.length; i++) {
    difference += (got[i]! - recorded[i]!) ** 2;
    magnitude += recorded[i]! ** 2;
  }
  return share(Math.sqrt(difference), Math.sqrt(magnitude));
}

/** The largest difference in the numbers' own unit. */
export function absoluteError(got: ArrayLike<number>, recorded: ArrayLike<number>): number {
  let difference = 0;
  for (let i = 0; i < recorded.length; i++) {
    difference = Math.max(difference, Math.abs(got[i]! - recorded[i]!));
  }
  return difference;
}

/** Zeros have to be met exactly: an unused parameter's gradient is zero. */
function share(difference: number, magnitude: number): number {
  return difference === 0 ? 0 : difference / magnitude;
}

/** The lines of a table with every check of a file. */
export function formatRows(report: Report): string[] {
  const cells = report.rows.map((row) => [
    row.case,
    row.quantity,
    formatError(row.error),
    row.reason === undefined ? formatError(row.tolerance) : "-",
    verdict(row),
  ]);
  return [report.path, ...align([["case", "quantity", "error", "tolerance", "result"], ...cells])];
}

/** One line for each file with its largest error by kind, then the checks that failed. */
export function formatSummary(reports: readonly Report[]): string[] {
  const lines = align(reports.map((report) => {
    const worst = new Map<Kind, number>();
    for (const { kind, error, reason } of report.rows) {
      if (reason !== undefined) continue;
      const known = worst.get(kind) ?? 0;
      // A NaN, once there, stays.
      worst.set(kind, Math.max(known, error));
    }
    const kinds = [...worst].map(([kind, error]) => `${kind} ${formatError(error)}`);
    return [report.path, formatCount([report]), kinds.join(", ")];
  }));
  return reports.flatMap((report, i) => {
    const failures = report.rows.filter((row) => !passed(row));
    return [lines[i]!, ...failures.map((row) => `  ${row.case} ${row.quantity}: ${verdict(row)}`)];
  });
}

/** `12 passed, 0 failed` over all files. */
export function formatCount(reports: readonly Report[]): string {
  const rows = reports.flatMap((report) => report.rows);
  const count = rows.filter(passed).length;
  return `${count} passed, ${rows.length - count} failed`;
}

function verdict(row: Row): string {
  if (passed(row)) return "pass";
  if (row.reason !== undefined) return `FAIL ${row.reason}`;
  return `FAIL error ${formatError(row.error)}, tolerance ${formatError(row.tolerance)}`;
}

function formatError(error: number): string {
  if (Number.isNaN(error)) return "-";
  return error === 0 ? "0" : error.toExponential(1);
}

/** Lines of columns padded to equal width, indented. */
function align(rows: readonly (readonly string[])[]): string[] {
  const widths: number[] = [];
  for (const row of rows) {
    row.forEach((cell, i) => widths[i] = Math.max(widths[i] ?? 0, cell.length));
  }
  return rows.map((row) =>
    `  ${row.map((cell, i) => cell.padEnd(widths[i]!)).join("  ").trimEnd()}`
  );
}
