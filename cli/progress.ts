/**
 * The progress of a run on a terminal, in a log file, or as JSON: the one file that knows the
 * progress bar library.
 *
 * @module
 */

import cliProgress from "cli-progress";
import process from "node:process";
import type { RunRecord } from "./run_log.ts";

/** Where progress is written: standard output or error of `node:process`, or a test's stand-in. */
export interface ProgressStream {
  /** True on a terminal, where a bar can be drawn. */
  readonly isTTY?: boolean | undefined;
  /** Width of the terminal in characters. */
  readonly columns?: number | undefined;
  /** Writes a text as it is. */
  write(text: string): unknown;
}

/** Options of {@linkcode Progress}. */
export interface ProgressOptions {
  /** Steps of the whole run. */
  readonly total: number;
  /** Step at which it begins; above 0 when a run goes on from a checkpoint. */
  readonly start?: number;
  /** Where to write. */
  readonly stream: ProgressStream;
  /** Write JSON, one object for each record, whatever the stream is. */
  readonly json?: boolean;
  /** Seconds between two plain lines where there is no terminal; 10 by default. */
  readonly intervalSeconds?: number;
  /** Milliseconds of a steady clock; a test may bring its own. */
  readonly clock?: () => number;
}

/**
 * Begins to show a run of `total` steps: on standard error, or as lines of JSON on standard output, where
 * results are JSON.
 */
export function openProgress(
  total: number,
  options: Pick<ProgressOptions, "start" | "json" | "intervalSeconds"> = {},
): Progress {
  const stream = options.json ? process.stdout : process.stderr;
  if (stream.listenerCount("error") === 0) stream.on("error", passOver);
  return new Progress({ total, stream, ...options });
}

/** Whoever read along may have left, as `head` does: no reason to stop, or to lose what is not saved. */
function passOver(): void {}

/** Progress that is opened in the course of the work. */
export interface LaterProgress {
  /** This many of so many steps are done. */
  advance(done: number, total: number): void;
  /** Ends the bar, if there is one. */
  stop(): void;
}

/** Shows work that tells its steps with each, from the first one on for which `open` gives a progress. */
export function openProgressLater(
  open: (done: number, total: number) => Progress | undefined,
): LaterProgress {
  let progress: Progress | undefined;
  return {
    advance: (done, total) => (progress ??= open(done, total))?.advance(done),
    stop: () => progress?.stop(),
  };
}

/** The part of the bar library that is used here. */
interface BarGroup {
  create(total: number, start: number, payload: Readonly<Record<string, string>>): Bar;
  log(text: string): void;
  update(): void;
  stop(): void;
}

interface Bar {
  update(step: number, payload: Readonly<Record<string, string>>): void;
}

interface View {
  show(step: number, left: string): void;
  record(record: RunRecord, left: string): void;
  note(text: string): void;
  stop(): void;
}

/**
 * Shows how far a run is. On a terminal it draws a bar with step, loss, images per second and the
 * time left; elsewhere it writes a plain line now and then; with `json` it writes one JSON object a
 * record.
 *
 * @example
 * ```ts ignore
 * import process from "node:process";
 * using progress = new Progress({ total: 700, stream: process.stderr });
 * progress.advance(1);
 * progress.record({ step: 10, loss: 0.42, imagesPerSecond: 310 });
 * progress.note("wrote runs/emoji/samples_0000010.png");
 * ```
 */
export class Progress implements Disposable {
  readonly #total: number;
  readonly #clock: () => number;
  readonly #view: View;
  #firstStep: number | undefined;
  #firstTime = 0;
  #stopped = false;

  /** Begins to show a run. */
  constructor(options: ProgressOptions) {
    const { total, start = 0, stream, json = false } = options;
    const { intervalSeconds = 10, clock = () => performance.now() } = options;
    this.#total = total;
    this.#clock = clock;
    if (json) this.#view = new JsonView(stream);
    else if (stream.isTTY) this.#view = new BarView(stream, { total, start, clock });
    else this.#view = new LineView(stream, { total, start, intervalSeconds, clock });
  }

  /** A step is done; nothing was measured. */
  advance(step: number): void {
    if (!this.#stopped) this.#view.show(step, this.#timeLeft(step));
  }

  /** A step is done, and this was measured. Of a record, the losses and `imagesPerSecond` are shown. */
  record(record: RunRecord): void {
    if (!this.#stopped) this.#view.record(record, this.#timeLeft(record.step));
  }

  /** Writes a line of text, above the bar where there is one. */
  note(text: string): void {
    this.#view.note(text);
  }

  /** Ends the bar; the cursor is left on a new line. */
  stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#view.stop();
  }

  /** Ends the bar. */
  [Symbol.dispose](): void {
    this.stop();
  }

  /** Time left, from the steps since the first that was seen: that one compiled the shaders. */
  #timeLeft(step: number): string {
    const now = this.#clock();
    if (this.#firstStep === undefined) {
      this.#firstStep = step;
      this.#firstTime = now;
    }
    const done = step - this.#firstStep;
    if (done <= 0 || step >= this.#total) return "";
    const millisecondsPerStep = (now - this.#firstTime) / done;
    return formatDuration((this.#total - step) * millisecondsPerStep / 1000);
  }
}

/** What stands behind the bar and the steps of a long run, with the spaces between them. */
const LONGEST_MEASURED = " · loss 0.05105 · 3000 images/s · 18 h 42 min left".length + 1;

/** Characters of a bar that leaves the line room for what stands behind it. */
function barLength(columns: number | undefined, total: number): number {
  const steps = `${total}/${total}`.length;
  return Math.max(8, Math.min(24, (columns ?? Infinity) - steps - LONGEST_MEASURED));
}

/** Draws a bar that stays on the last line of the terminal. */
class BarView implements View {
  readonly #group: BarGroup;
  readonly #bar: Bar;
  readonly #stream: ProgressStream;
  readonly #clock: () => number;
  /** Where the process ends at once, as by a second Ctrl-C, the shell goes on below the bar. */
  readonly #onExit = () => this.stop();
  #measured = "";
  #lastDrawn = -Infinity;
  #stopped = false;

  constructor(
    stream: ProgressStream,
    options: { total: number; start: number; clock: () => number },
  ) {
    this.#stream = stream;
    this.#clock = options.clock;
    this.#group = new cliProgress.MultiBar({
      stream,
      format: "{bar} {value}/{total}{measured}{left}",
      barCompleteChar: "█",
      barIncompleteChar: "░",
      barsize: barLength(stream.columns, options.total),
      // Cut lines here and not in the terminal, which would stay that way after a crash.
      linewrap: true,
    }) as BarGroup;
    this.#bar = this.#group.create(options.total, options.start, { measured: "", left: "" });
    addEventListener("unload", this.#onExit);
  }

  show(step: number, left: string): void {
    this.#bar.update(step, {
      measured: this.#measured,
      left: left === "" ? "" : ` · ${left} left`,
    });
    // The library draws from a timer, which a loop that never waits would starve.
    if (this.#clock() - this.#lastDrawn < 100) return;
    this.#lastDrawn = this.#clock();
    this.#group.update();
  }

  record(record: RunRecord, left: string): void {
    this.#measured = measurements(record).map((part) => ` · ${part}`).join("");
    this.show(record.step, left);
  }

  note(text: string): void {
    if (this.#stopped) {
      this.#stream.write(`${text}\n`);
      return;
    }
    this.#group.log(`${text}\n`);
    this.#group.update();
  }

  stop(): void {
    this.#stopped = true;
    removeEventListener("unload", this.#onExit);
    this.#group.stop();
  }
}

/** Writes a plain line when enough time or a tenth of the run has passed. */
class LineView implements View {
  readonly #stream: ProgressStream;
  readonly #total: number;
  readonly #tenth: number;
  readonly #interval: number;
  readonly #clock: () => number;
  #measured: readonly string[] = [];
  #lastStep: number;
  #lastTime: number | undefined;

  constructor(
    stream: ProgressStream,
    { total, start, intervalSeconds, clock }: {
      total: number;
      start: number;
      intervalSeconds: number;
      clock: () => number;
    },
  ) {
    this.#stream = stream;
    this.#total = total;
    this.#tenth = (total - start) / 10;
    this.#interval = intervalSeconds * 1000;
    this.#clock = clock;
    this.#lastStep = start;
  }

  show(step: number, left: string): void {
    const now = this.#clock();
    const due = this.#lastTime === undefined || step >= this.#total ||
      now - this.#lastTime >= this.#interval || step - this.#lastStep >= this.#tenth;
    if (!due || step === this.#lastStep) return;
    this.#lastTime = now;
    this.#lastStep = step;
    const percent = Math.floor(100 * step / this.#total);
    const parts = [`${step}/${this.#total} (${percent} %)`, ...this.#measured];
    if (left !== "") parts.push(`${left} left`);
    this.#stream.write(`${parts.join("  ")}\n`);
  }

  record(record: RunRecord, left: string): void {
    this.#measured = measurements(record);
    this.show(record.step, left);
  }

  note(text: string): void {
    this.#stream.write(`${text}\n`);
  }

  stop(): void {}
}

/** Writes every record and note as a line of JSON, and nothing else. */
class JsonView implements View {
  readonly #stream: ProgressStream;

  constructor(stream: ProgressStream) {
    this.#stream = stream;
  }

  show(): void {}

  record(record: RunRecord): void {
    this.#stream.write(`${JSON.stringify(record)}\n`);
  }

  note(text: string): void {
    this.#stream.write(`${JSON.stringify({ note: text })}\n`);
  }

  stop(): void {}
}

function measurements(record: RunRecord): string[] {
  const { loss, alignmentLoss, imagesPerSecond } = record;
  const parts = [];
  if (typeof loss === "number") parts.push(`loss ${loss.toPrecision(4)}`);
  if (typeof alignmentLoss === "number") parts.push(`alignment ${alignmentLoss.toPrecision(4)}`);
  if (typeof imagesPerSecond === "number") {
    const digits = imagesPerSecond < 10 ? 1 : 0;
    parts.push(`${imagesPerSecond.toFixed(digits)} images/s`);
  }
  return parts;
}

/**
 * A duration in at most two units.
 *
 * @example
 * ```ts
 * console.log(formatDuration(4350)); // 1 h 12 min
 * ```
 */
export function formatDuration(seconds: number): string {
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes} min ${whole % 60} s`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours} h ${minutes % 60} min`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}
