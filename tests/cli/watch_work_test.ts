import assert from "node:assert/strict";
import process from "node:process";
import { watchWork } from "../../cli/watch_work.ts";

Deno.test("work that takes long says what share is done, since it may read each image twice", () => {
  const { now } = performance, { error } = console, { write } = process.stderr;
  const lines: string[] = [];
  let time = 0;
  performance.now = () => time;
  console.error = (line) => lines.push(line);
  process.stderr.write = () => true;
  try {
    const work = watchWork({ what: "bank    encoding the images", json: false });
    work.advance(1, 258);
    time = 3000;
    work.advance(129, 258);
    work.stop();
  } finally {
    Object.assign(performance, { now });
    Object.assign(console, { error });
    Object.assign(process.stderr, { write });
  }
  assert.deepEqual(lines, ["bank    encoding the images, 50 % is done"]);
});
