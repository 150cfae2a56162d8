import assert from "node:assert/strict";
import { formatDuration, Progress, type ProgressStream } from "../../cli/progress.ts";

class Recording implements ProgressStream {
  readonly isTTY: boolean;
  readonly columns = 100;
  text = "";

  constructor(isTTY: boolean) {
    this.isTTY = isTTY;
  }

  write(text: string): boolean {
    this.text += text;
    return true;
  }

  get lines(): string[] {
    return this.text.split("\n").slice(0, -1);
  }
}

Deno.test("Progress writes a plain line for every tenth of a fast run", () => {
  const stream = new Recording(false);
  let now = 0;
  {
    using progress = new Progress({ total: 200, stream, clock: () => now });
    for (let step = 1; step <= 200; step++) {
      now += 10;
      if (step % 5 === 0) progress.record({ step, loss: 0.5, imagesPerSecond: 320.4 });
      else progress.advance(step);
    }
  }
  assert.deepEqual(stream.lines.slice(0, 3), [
    "1/200 (0 %)",
    "21/200 (10 %)  loss 0.5000  320 images/s  2 s left",
    "41/200 (20 %)  loss 0.5000  320 images/s  2 s left",
  ]);
  assert.equal(stream.lines.at(-1), "200/200 (100 %)  loss 0.5000  320 images/s");
  assert.equal(stream.lines.length, 11);
});

Deno.test("Progress shows the alignment loss beside the loss, where there is one", () => {
  const stream = new Recording(false);
  using progress = new Progress({ total: 2, stream, clock: () => 0 });
  progress.record({ step: 2, loss: 0.75, alignmentLoss: -0.125 });
  assert.deepEqual(stream.lines, ["2/2 (100 %)  loss 0.7500  alignment -0.1250"]);
});

Deno.test("Progress writes a plain line every ten seconds of a slow run", () => {
  const stream = new Recording(false);
  let now = 0;
  using progress = new Progress({ total: 100_000, stream, clock: () => now });
  for (let step = 1; step <= 60; step++) {
    now += 1000;
    progress.record({ step, loss: 0.5 });
  }
  const steps = stream.lines.map((line) => Number(/^(\d+)\//.exec(line)![1]));
  assert.deepEqual(steps, [1, 11, 21, 31, 41, 51]);
  assert.match(stream.lines[1]!, /loss 0\.5000 {2}27 h 46 min left$/);
});

Deno.test("Progress counts a resumed run from its start and leaves compilation out of the rate", () => {
  const stream = new Recording(false);
  let now = 60_000;
  using progress = new Progress({ total: 110, start: 100, stream, clock: () => now });
  progress.advance(101);
  now += 1000;
  progress.advance(102);
  assert.deepEqual(stream.lines, ["101/110 (91 %)", "102/110 (92 %)  8 s left"]);
});

Deno.test("Progress writes no line for the step that a run begins at", () => {
  const stream = new Recording(false);
  using progress = new Progress({ total: 110, start: 100, stream, clock: () => 0 });
  progress.advance(100);
  assert.equal(stream.text, "");
});

Deno.test("Progress writes one JSON object for each record and nothing else", () => {
  const stream = new Recording(true);
  {
    using progress = new Progress({ total: 20, stream, json: true });
    for (let step = 1; step <= 20; step++) progress.advance(step);
    progress.record({ step: 10, loss: 0.25, gradientNorm: NaN });
    progress.note("wrote samples.png");
  }
  assert.deepEqual(stream.lines.map((line) => JSON.parse(line)), [
    { step: 10, loss: 0.25, gradientNorm: null },
    { note: "wrote samples.png" },
  ]);
});

Deno.test("Progress draws a bar on a terminal and ends on a new line", () => {
  const stream = new Recording(true);
  let now = 0;
  const progress = new Progress({ total: 40, stream, clock: () => now });
  for (let step = 1; step <= 40; step++) {
    now += 200;
    progress.record({ step, loss: 1 / step, imagesPerSecond: 5.25 });
  }
  progress.stop();
  progress.advance(41);
  assert(
    stream.text.includes("█".repeat(12) + "░".repeat(12) + " 20/40 · loss 0.05000"),
    stream.text,
  );
  assert(stream.text.includes(" · 5.3 images/s · 4 s left"), stream.text);
  assert(stream.text.endsWith("\n"));
  // Settings of the terminal that a crash would leave behind: line wrapping off, cursor hidden.
  assert(!stream.text.includes("\x1b[?7l") && !stream.text.includes("\x1b[?25l"));
});

Deno.test("Progress leaves its bar's line where the process ends at once", async () => {
  const module = JSON.stringify(import.meta.resolve("../../cli/progress.ts"));
  const program = `
    import { Progress } from ${module};
    const write = (text) => Deno.stdout.writeSync(new TextEncoder().encode(text));
    const progress = new Progress({ total: 4, stream: { isTTY: true, columns: 80, write } });
    progress.advance(1);
    Deno.exit(130);
  `;
  const command = new Deno.Command(Deno.execPath(), { args: ["eval", "--ext=ts", program] });
  const { code, stdout, stderr } = await command.output();
  const decoder = new TextDecoder(), text = decoder.decode(stdout);
  assert.equal(code, 130, decoder.decode(stderr));
  assert(text.includes(" 1/4") && text.endsWith("\n"), text);
});

Deno.test("Progress draws its bar ten times a second at most", () => {
  const stream = new Recording(true);
  let now = 0;
  using progress = new Progress({ total: 40, stream, clock: () => now });
  for (let step = 1; step <= 10; step++) {
    now += 30;
    progress.record({ step, loss: 0.5 });
  }
  const drawn = [...stream.text.matchAll(/ (\d+)\/40/g)].map(([, step]) => step);
  assert.deepEqual(drawn, ["1", "5", "9"]);
});

Deno.test("Progress keeps the bar within the width of the terminal", () => {
  const stream = Object.assign(new Recording(true), { columns: 30 });
  using progress = new Progress({ total: 40, stream });
  progress.record({ step: 20, loss: 0.5, imagesPerSecond: 100 });
  // deno-lint-ignore no-control-regex
  const drawn = stream.text.split(/\x1b\[\d*[A-Z]/).filter((part) => part.includes("█"));
  assert(drawn.length > 0);
  for (const part of drawn) assert(part.length <= 30, part);
});

Deno.test("Progress says the time left of a long run in 80 columns", () => {
  const stream = Object.assign(new Recording(true), { columns: 80 });
  let now = 0;
  using progress = new Progress({ total: 200_000, stream, clock: () => now });
  for (const step of [100_000, 100_100]) {
    now += 70_000;
    progress.record({ step, loss: 0.0510512, imagesPerSecond: 3000 });
  }
  assert(
    stream.text.includes(
      " 100100/200000 · loss 0.05105 · 3000 images/s · 19 h 25 min left",
    ),
    stream.text,
  );
});

Deno.test("Progress.note() writes whole lines, above the bar and after its end", () => {
  const stream = new Recording(true);
  const progress = new Progress({ total: 4, stream });
  progress.note("first");
  progress.stop();
  progress.note("second");
  assert.match(stream.text, /first\n/);
  assert(stream.text.endsWith("second\n"));
  const plain = new Recording(false);
  new Progress({ total: 4, stream: plain }).note("alone");
  assert.equal(plain.text, "alone\n");
});

Deno.test("formatDuration() uses two units at most", () => {
  assert.equal(formatDuration(0.4), "0 s");
  assert.equal(formatDuration(59.6), "1 min 0 s");
  assert.equal(formatDuration(3599), "59 min 59 s");
  assert.equal(formatDuration(3600), "1 h 0 min");
  assert.equal(formatDuration(4350), "1 h 12 min");
  assert.equal(formatDuration(200_000), "2 d 7 h");
});
