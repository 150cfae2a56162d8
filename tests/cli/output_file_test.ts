import assert from "node:assert/strict";
import { basename } from "node:path";
import { prepareOutput, writeOutput, writing } from "../../cli/output_file.ts";
import { counted } from "../../kernels/core/counted.ts";
import { onFullDisk } from "../_disk.ts";
import { canLink } from "../_system.ts";
import { stepName } from "../../train/run_files.ts";

async function inDirectory(body: (directory: string) => Promise<void>): Promise<void> {
  const directory = Deno.makeTempDirSync({ prefix: "gmem_output_" });
  try {
    await body(directory);
  } finally {
    Deno.removeSync(directory, { recursive: true });
  }
}

Deno.test("prepareOutput() makes folders, and refuses other names and folders", async () => {
  await inDirectory(async (directory) => {
    await prepareOutput(`${directory}/a/b/c.png`, { endings: [".png"] });
    assert.deepEqual([...Deno.readDirSync(`${directory}/a/b`)], []);
    await assert.rejects(
      prepareOutput("c.jpg", { endings: [".png", ".npy"], option: "--picture" }),
      {
        name: "UsageError",
        message: "Cannot write c.jpg: expected a name in .png or .npy for --picture",
      },
    );
    await assert.rejects(prepareOutput(directory, { endings: [".png"] }), {
      name: "TypeError",
      message: `Cannot write ${directory}: it is a folder, expected a file for --out`,
    });
    const { makeTempFile } = Deno;
    try {
      // Whoever runs the tests may write everywhere.
      Deno.makeTempFile = () => Promise.reject(new Error("Read-only file system (os error 30)"));
      await assert.rejects(prepareOutput(`${directory}/c.png`), {
        message:
          `Cannot write ${directory}/c.png: Read-only file system (os error 30), expected another place for --out`,
      });
    } finally {
      Deno.makeTempFile = makeTempFile;
    }
    Deno.writeTextFileSync(`${directory}/file`, "");
    for (const path of [`${directory}/file/c.png`, `${directory}/file/a/b/c.png`]) {
      await assert.rejects(prepareOutput(path), {
        message: `Cannot write ${path}: ${directory}/file is a file, expected a folder`,
      });
    }
  });
});

Deno.test("prepareOutput() looks at the place that a link leads to", async () => {
  if (!canLink()) return;
  await inDirectory(async (directory) => {
    Deno.symlinkSync("far/off/file", `${directory}/link`, { type: "file" });
    await prepareOutput(`${directory}/link`);
    await writeOutput(`${directory}/link`, "new");
    assert.equal(Deno.readTextFileSync(`${directory}/far/off/file`), "new");
    Deno.symlinkSync("round", `${directory}/round`, { type: "file" });
    await assert.rejects(prepareOutput(`${directory}/round`), {
      message: /^Cannot write .*round: .*\(os error \d+\)/,
    });
  });
});

Deno.test("prepareOutput() refuses to put a file in the place of a device", async () => {
  if (Deno.build.os === "windows") return console.log("skipped: Windows has no file /dev/null");
  await assert.rejects(prepareOutput("/dev/null"), {
    name: "TypeError",
    message: "Cannot write /dev/null: it is a device or a pipe, expected a file for --out",
  });
});

Deno.test("prepareOutput() refuses what is read and the bank of a run, and takes other files", async () => {
  if (!canLink()) return;
  await inDirectory(async (directory) => {
    const bank = `${directory}/bank.safetensors`, link = `${directory}/link`;
    Deno.writeTextFileSync(bank, "bank");
    Deno.symlinkSync(bank, link);
    await prepareOutput(bank, { inputs: [undefined, `${directory}/missing`] });
    for (const input of [bank, link, `${directory}/../${basename(directory)}/link`]) {
      await assert.rejects(prepareOutput(bank, { inputs: [undefined, input] }), {
        name: "UsageError",
        message: /^Cannot write over .*: this command reads it, expected another file for --out$/,
      });
    }
    // A folder that is no checkpoint, since it has too few digits.
    Deno.mkdirSync(`${directory}/step_5`);
    await prepareOutput(bank);
    Deno.mkdirSync(`${directory}/${stepName(100)}`);
    for (const path of [bank, link]) {
      await assert.rejects(prepareOutput(path), {
        name: "UsageError",
        message:
          /^Cannot write over .*: it is the bank of a run, .*expected another file for --out$/,
      });
    }
    Deno.writeTextFileSync(`${directory}/other.safetensors`, "bank");
    await prepareOutput(`${directory}/other.safetensors`);
    // A bank that was lost may come back.
    Deno.removeSync(bank);
    await prepareOutput(bank);
  });
});

Deno.test("prepareOutput() refuses the place of another output, there or not yet", async () => {
  if (!canLink()) return;
  await inDirectory(async (directory) => {
    const out = `${directory}/out`;
    Deno.symlinkSync(".", `${directory}/here`, { type: "dir" });
    Deno.symlinkSync("out", `${directory}/link`, { type: "file" });
    for (const there of [false, true]) {
      if (there) Deno.writeTextFileSync(out, "");
      for (const same of ["out", "./out", "here/out", "link", "here/here/link"]) {
        await assert.rejects(
          prepareOutput(`${directory}/${same}`, { others: [undefined, out], option: "--picture" }),
          {
            name: "UsageError",
            message:
              /^Cannot write .*: this command writes another file there, .* name for --picture$/,
          },
        );
      }
      await prepareOutput(`${directory}/far/out`, { others: [out, `${directory}/far/off/out`] });
    }
  });
});

Deno.test("writeOutput() writes bytes and text, and names the file that cannot be written", async () => {
  await inDirectory(async (directory) => {
    for (const content of ["grün", Uint8Array.of(1, 2)]) {
      await writeOutput(`${directory}/x`, content);
      const bytes = Deno.readFileSync(`${directory}/x`);
      const expected = typeof content === "string" ? new TextEncoder().encode(content) : content;
      assert.deepEqual(bytes, expected);
      await assert.rejects(writeOutput(directory, content), {
        message: /^Cannot write .*: .*\(os error \d+\)/,
      });
    }
  });
});

Deno.test("writeOutput() leaves the file that is there as it was on a full disk", async () => {
  await inDirectory(async (directory) => {
    Deno.writeTextFileSync(`${directory}/x`, "old");
    let written: Promise<void> | undefined;
    onFullDisk(2, () => written = writeOutput(`${directory}/x`, "newer"));
    await assert.rejects(written!, { message: /^Cannot write .*x: No space left on device/ });
    assert.equal(Deno.readTextFileSync(`${directory}/x`), "old");
    assert.deepEqual([...Deno.readDirSync(directory)].map(({ name }) => name), ["x"]);
  });
});

Deno.test("writing() names the file in errors of the system alone", async () => {
  await inDirectory(async (directory) => {
    await assert.rejects(writing("x.png", () => Deno.writeFile(directory, Uint8Array.of(1))), {
      message: /^Cannot write x\.png: /,
    });
  });
  const own = new RangeError("Cannot draw");
  await assert.rejects(writing("x.png", () => Promise.reject(own)), own);
});

Deno.test("counted() takes the plural for all but one", () => {
  assert.deepEqual([0, 1, 2].map((count) => counted(count, "step")), [
    "0 steps",
    "1 step",
    "2 steps",
  ]);
});
