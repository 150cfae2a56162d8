import assert from "node:assert/strict";
import { ReadAhead } from "../../train/read_ahead.ts";

/** What reads numbers as texts, and the numbers that it was asked for. */
function reader(fails: readonly number[] = []) {
  const asked: number[] = [];
  const read = async (number: number) => {
    asked.push(number);
    await Promise.resolve();
    if (fails.includes(number) && asked.filter((each) => each === number).length === 1) {
      throw new Error(`cannot read ${number}`);
    }
    return String(number);
  };
  return { asked, read };
}

Deno.test("ReadAhead reads what was begun once, and what was not when it is taken", async () => {
  const { asked, read } = reader();
  await using ahead = new ReadAhead(read);
  assert.equal(await ahead.take(3), "3");
  ahead.begin(4);
  assert.deepEqual(asked, [3, 4]);
  assert.equal(await ahead.take(4), "4");
  assert.equal(await ahead.take(4), "4");
  ahead.begin(5);
  assert.equal(await ahead.take(9), "9");
  assert.deepEqual(asked, [3, 4, 4, 5, 9]);
});

Deno.test("ReadAhead tells of what went wrong when it is taken, and can read it again", async () => {
  const { read } = reader([1, 2]);
  await using ahead = new ReadAhead(read);
  ahead.begin(1);
  await new Promise((resolve) => setTimeout(resolve, 0));
  await assert.rejects(ahead.take(1), /cannot read 1/);
  assert.equal(await ahead.take(1), "1");
  ahead.begin(2);
});

Deno.test("ReadAhead waits at its end for the reading that was begun", async () => {
  let done = false;
  {
    await using ahead = new ReadAhead(async () => {
      await new Promise((resolve) => setTimeout(resolve, 1));
      done = true;
    });
    ahead.begin(0);
  }
  assert(done);
});
