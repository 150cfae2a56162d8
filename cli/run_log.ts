/**
 * The log of a run: one JSON object a line, written as it happens and readable after a crash.
 *
 * @module
 */

import { writeAll, writeAtomically } from "../kernels/core/atomic_file.ts";
import { isRecord, parseJson } from "../kernels/core/json.ts";

/** One line of the log: the step and what was measured there. */
export interface RunRecord {
  /** Optimiser steps done. */
  readonly step: number;
  /** Measurements by name, such as `loss` or `imagesPerSecond`; null was not a finite number. */
  readonly [measurement: string]: number | string | boolean | null;
}

/** Options of {@linkcode RunLog.open}. */
export interface RunLogOptions {
  /** Drop records beyond this step, which is that of the checkpoint that a run goes on from. */
  readonly throughStep?: number;
}

/**
 * Appends records to a file. Every line reaches the disk before {@linkcode RunLog.append} returns.
 *
 * @example
 * ```ts ignore
 * using log = await RunLog.open("runs/emoji/log.jsonl");
 * log.append({ step: 10, loss: 0.42 });
 * ```
 */
export class RunLog implements Disposable {
  readonly #file: Deno.FsFile;
  /** The record that was appended last, and where it begins. */
  #last: { readonly step: number; readonly start: number } | undefined;

  private constructor(file: Deno.FsFile) {
    this.#file = file;
  }

  /**
   * Opens a log to append to, and makes the file where there is none. A last line that a crash cut
   * off is taken away first, and so are records past `throughStep`.
   *
   * @throws {SyntaxError} when another line than the last is not a record.
   */
  static async open(path: string, options: RunLogOptions = {}): Promise<RunLog> {
    const { throughStep = Infinity } = options;
    const text = await readIfPresent(path);
    const lines = recordLines(text, path);
    const kept = lines.filter(({ record }) => record.step <= throughStep)
      .map(({ line }) => `${line}\n`).join("");
    // A crash here must not cost the log.
    if (kept !== text) writeAtomically(path, kept);
    return new RunLog(await Deno.open(path, { append: true, create: true }));
  }

  /**
   * Writes one record, in the place of the one before where that is of the same step; numbers that are
   * not finite are written as null. Throws what the disk throws, and leaves no part of the record there.
   */
  append(record: RunRecord): void {
    const { step } = record, again = step === this.#last?.step;
    const start = again ? this.#last!.start : this.#file.statSync().size;
    try {
      if (again) this.#file.truncateSync(start);
      writeAll(this.#file, new TextEncoder().encode(`${JSON.stringify(record)}\n`));
    } catch (error) {
      this.#file.truncateSync(start);
      throw error;
    }
    this.#file.syncDataSync();
    this.#last = { step, start };
  }

  /** Closes the file. */
  [Symbol.dispose](): void {
    this.#file.close();
  }
}

/**
 * Reads a log. A last line that a crash cut off is left out.
 *
 * @throws {SyntaxError} when another line than the last is not a record.
 * @throws {Deno.errors.NotFound} when there is no such file.
 */
export async function readRunLog(path: string): Promise<RunRecord[]> {
  return recordLines(await Deno.readTextFile(path), path).map(({ record }) => record);
}

async function readIfPresent(path: string): Promise<string> {
  try {
    return await Deno.readTextFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return "";
    throw error;
  }
}

function recordLines(text: string, path: string): { line: string; record: RunRecord }[] {
  // What follows the last newline was never finished, even where it happens to parse.
  const lines = text.split("\n").slice(0, -1);
  return lines.map((line, index) => ({ line, record: parseRecord(line, { path, index }) }));
}

function parseRecord(line: string, at: { path: string; index: number }): RunRecord {
  const record = parseJson(line);
  if (isRunRecord(record)) return record;
  throw new SyntaxError(
    `Cannot read ${at.path}: line ${at.index + 1} is ${JSON.stringify(line.slice(0, 60))}, ` +
      "expected a JSON object with a step, or the file moved away for a new one",
  );
}

function isRunRecord(value: unknown): value is RunRecord {
  return isRecord(value) && Number.isFinite(value.step);
}
