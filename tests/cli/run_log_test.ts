import assert from "node:assert/strict";
import { readRunLog, RunLog } from "../../cli/run_log.ts";
import { onFullDisk } from "../_disk.ts";

async function withLog(run: (path: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await run(`${folder}/log.jsonl`);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("RunLog.append() writes each record at once, readable while the log is open", async () => {
  await withLog(async (path) => {
    using log = await RunLog.open(path);
    log.append({ step: 1, loss: 0.5 });
    assert.deepEqual(await readRunLog(path), [{ step: 1, loss: 0.5 }]);
    log.append({ step: 2, loss: NaN, note: "diverged" });
    assert.deepEqual((await readRunLog(path))[1], { step: 2, loss: null, note: "diverged" });
  });
});

Deno.test("RunLog.append() puts a record in the place of that of the same step", async () => {
  await withLog(async (path) => {
    await Deno.writeTextFile(path, '{"step":1}\n');
    using log = await RunLog.open(path);
    for (
      const record of [{ step: 2, loss: 0.5 }, { step: 2, loss: 0.5, frechet: 1 }, { step: 3 }]
    ) {
      log.append(record);
    }
    const expected = [{ step: 1 }, { step: 2, loss: 0.5, frechet: 1 }, { step: 3 }];
    assert.deepEqual(await readRunLog(path), expected);
  });
});

Deno.test("RunLog.append() leaves no part of a record on a full disk", async () => {
  await withLog(async (path) => {
    using log = await RunLog.open(path);
    log.append({ step: 1, loss: 0.5 });
    assert.throws(() => onFullDisk(7, () => log.append({ step: 2, loss: 0.25 })), /No space/);
    log.append({ step: 3, loss: 0.125 });
    assert.deepEqual((await readRunLog(path)).map(({ step }) => step), [1, 3]);
  });
});

Deno.test("RunLog.open() goes on with a log and takes away a line cut off", async () => {
  await withLog(async (path) => {
    // The second tail parses, yet was never finished: 12 may have been 120.
    for (
      const tail of ['{"step":3,"lo', '{"step":3}', '{"step":3,"loss":0.1', "{}", "\u0000\u0000"]
    ) {
      await Deno.writeTextFile(path, `{"step":1,"loss":1}\n{"step":2,"loss":0.5}\n${tail}`);
      assert.equal((await readRunLog(path)).length, 2);
      using log = await RunLog.open(path);
      log.append({ step: 3, loss: 0.25 });
      assert.deepEqual((await readRunLog(path)).map(({ step }) => step), [1, 2, 3]);
    }
  });
});

Deno.test("RunLog.open() drops records past the checkpoint that a run goes on from", async () => {
  await withLog(async (path) => {
    {
      using log = await RunLog.open(path);
      for (const step of [10, 20, 30, 40]) log.append({ step });
    }
    using log = await RunLog.open(path, { throughStep: 20 });
    log.append({ step: 30, again: true });
    assert.deepEqual(await readRunLog(path), [{ step: 10 }, { step: 20 }, {
      step: 30,
      again: true,
    }]);
  });
});

Deno.test("RunLog.open() leaves an unharmed log untouched", async () => {
  await withLog(async (path) => {
    const text = '{ "step": 1,  "loss": 1 }\n';
    await Deno.writeTextFile(path, text);
    (await RunLog.open(path))[Symbol.dispose]();
    assert.equal(await Deno.readTextFile(path), text);
  });
});

Deno.test("readRunLog() refuses a broken line that is not the last", async () => {
  await withLog(async (path) => {
    for (const line of ["{", "[]", '{"loss":1}', '{"step":"x"}', "", "null"]) {
      await Deno.writeTextFile(path, `{"step":1}\n${line}\n{"step":2}\n`);
      await assert.rejects(readRunLog(path), {
        name: "SyntaxError",
        message: `Cannot read ${path}: line 2 is ${JSON.stringify(line)}, ` +
          "expected a JSON object with a step, or the file moved away for a new one",
      });
    }
  });
});

Deno.test("readRunLog() gives nothing for an empty log and refuses a missing one", async () => {
  await withLog(async (path) => {
    await assert.rejects(readRunLog(path), Deno.errors.NotFound);
    await Deno.writeTextFile(path, "");
    assert.deepEqual(await readRunLog(path), []);
  });
});
