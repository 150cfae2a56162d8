import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { lockFolder } from "../../cli/folder_lock.ts";

const expected = "that it ends first";

async function withFolder(run: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await run(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

function namesIn(folder: string): string[] {
  return [...Deno.readDirSync(folder)].map(({ name }) => name);
}

function unheard(line: string): never {
  throw new Error(line);
}

Deno.test("lockFolder() gives a folder to one at a time and leaves nothing behind", async () => {
  await withFolder(async (parent) => {
    const folder = `${parent}/runs/mine`;
    for (let round = 0; round < 2; round++) {
      using _lock = await lockFolder(folder, { expected, note: unheard });
      await assert.rejects(lockFolder(folder, { expected, note: unheard }), {
        name: "UsageError",
        message:
          `Cannot write to folder ${folder}: another process writes there, expected ${expected}`,
      });
    }
    assert.deepEqual(namesIn(`${parent}/runs`), []);
    const lock = await lockFolder(folder, { expected, note: unheard });
    Deno.writeTextFileSync(`${folder}/log.jsonl`, "");
    lock[Symbol.dispose]();
    assert.deepEqual(namesIn(folder), ["log.jsonl"]);
  });
});

Deno.test("a process that was killed holds no folder", async () => {
  await withFolder(async (folder) => {
    const module = new URL("../../cli/folder_lock.ts", import.meta.url);
    const text = `import { lockFolder } from ${JSON.stringify(module.href)};
      await lockFolder(Deno.args[0], { expected: "", note: console.error });
      console.log("locked");
      setInterval(() => {}, 1000);`;
    const configuration = fileURLToPath(new URL("../../deno.json", import.meta.url));
    const child = new Deno.Command(Deno.execPath(), {
      args: [
        "run",
        "-A",
        "--config",
        configuration,
        `data:text/javascript,${encodeURIComponent(text)}`,
        folder,
      ],
      stdout: "piped",
    }).spawn();
    const reader = child.stdout.getReader();
    await reader.read();
    await assert.rejects(lockFolder(folder, { expected, note: unheard }), { name: "UsageError" });
    child.kill("SIGKILL");
    await reader.cancel();
    await child.status;
    assert.deepEqual(namesIn(folder), [".lock"]);
    using _lock = await lockFolder(folder, { expected, note: unheard });
  });
});

Deno.test("lockFolder() takes no file that is gone, and lets go of none that is there", async () => {
  await withFolder(async (folder) => {
    const prototype = Deno.FsFile.prototype, { tryLockSync, close } = prototype;
    const path = `${folder}/.lock`, there: boolean[] = [];
    let tries = 0;
    // Another process that had the folder removes the file once this one has opened it.
    prototype.tryLockSync = function (exclusive) {
      if (++tries === 1) Deno.removeSync(path);
      return tryLockSync.call(this, exclusive);
    };
    prototype.close = function () {
      there.push(existsSync(path));
      close.call(this);
    };
    try {
      const lock = await lockFolder(folder, { expected, note: unheard });
      await assert.rejects(lockFolder(folder, { expected, note: unheard }), { name: "UsageError" });
      there.length = 0;
      lock[Symbol.dispose]();
      // A file that is closed before it is removed may be another's by then.
      assert.deepEqual(there, [false]);
    } finally {
      Object.assign(prototype, { tryLockSync, close });
    }
  });
});

Deno.test("lockFolder() goes on with a line where the disk has no locks", async () => {
  await withFolder(async (folder) => {
    const prototype = Deno.FsFile.prototype, real = prototype.tryLockSync;
    prototype.tryLockSync = () => {
      throw new Error("No locks available (os error 37)");
    };
    const notes: string[] = [];
    try {
      using _lock = await lockFolder(folder, { expected, note: (line) => notes.push(line) });
    } finally {
      prototype.tryLockSync = real;
    }
    assert.deepEqual(notes, [
      `note    nothing keeps other processes from ${folder}: it cannot be locked, ` +
      "No locks available (os error 37)",
    ]);
  });
});
