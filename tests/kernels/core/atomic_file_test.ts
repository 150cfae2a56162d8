import assert from "node:assert/strict";
import { dirname } from "node:path";
import {
  AtomicFile,
  removeAbandoned,
  writeAll,
  writeAtomically,
} from "../../../kernels/core/atomic_file.ts";
import { onFullDisk, withWrites } from "../../_disk.ts";
import { canLink } from "../../_system.ts";

/** Runs `test` with a folder that holds the file `kept`, and gives the names that are in it. */
function withKept(test: (path: string, names: () => string[]) => void): void {
  const folder = Deno.makeTempDirSync();
  try {
    Deno.writeTextFileSync(`${folder}/kept`, "old");
    test(`${folder}/kept`, () => [...Deno.readDirSync(folder)].map(({ name }) => name).sort());
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

Deno.test("AtomicFile takes its name when it is committed, and can be written at any place", () => {
  withKept((path, names) => {
    using file = new AtomicFile(path);
    file.write(Uint16Array.of(0x6161, 0x6262).subarray(1));
    file.write(new TextEncoder().encode("cd"));
    file.write(new TextEncoder().encode("_"), 1);
    assert.equal(Deno.readTextFileSync(path), "old");
    file.commit();
    assert.equal(Deno.readTextFileSync(path), "b_cd");
    assert.deepEqual(names(), ["kept"]);
    assert.throws(() => file.write(new Uint8Array(1)), {
      name: "ReferenceError",
      message: /^Cannot write file ".*kept": the writer is closed/,
    });
    assert.throws(() => file.commit(), ReferenceError);
  });
});

Deno.test("AtomicFile without commit leaves the old file and nothing else", () => {
  withKept((path, names) => {
    {
      using file = new AtomicFile(path);
      file.write(new Uint8Array(3));
      assert.equal(names().length, 2);
    }
    assert.deepEqual(names(), ["kept"]);
    assert.equal(Deno.readTextFileSync(path), "old");
  });
});

Deno.test("AtomicFile removes what it wrote when the disk refuses bytes or the name", () => {
  withKept((path, names) => {
    for (const room of [0, 2]) {
      const file = new AtomicFile(path);
      onFullDisk(room, () => assert.throws(() => file.write(new Uint8Array(3)), /No space left/));
      assert.deepEqual(names(), ["kept"]);
      assert.throws(() => file.commit(), ReferenceError);
    }
    Deno.removeSync(path);
    Deno.mkdirSync(`${path}/inside`, { recursive: true });
    using file = new AtomicFile(path);
    assert.throws(() => file.commit(), /os error/);
    assert.deepEqual(names(), ["kept"]);
  });
});

Deno.test("AtomicFile leaves a link and writes what it leads to, there or not yet", () => {
  if (!canLink()) return;
  withKept((path, names) => {
    const folder = dirname(path);
    Deno.mkdirSync(`${folder}/far`);
    Deno.symlinkSync("kept", `${folder}/link`, { type: "file" });
    // Two links, of which the second is in a folder that is a link too, and no file at their end.
    Deno.symlinkSync("far", `${folder}/near`, { type: "dir" });
    Deno.symlinkSync("near/second", `${folder}/first`, { type: "file" });
    Deno.symlinkSync("../new", `${folder}/far/second`, { type: "file" });
    writeAtomically(`${folder}/link`, "newer");
    writeAtomically(`${folder}/first`, "new");
    assert.equal(Deno.readTextFileSync(path), "newer");
    assert.equal(Deno.readTextFileSync(`${folder}/new`), "new");
    assert.deepEqual(names(), ["far", "first", "kept", "link", "near", "new"]);
    for (const link of ["link", "first", "far/second"]) {
      assert(Deno.lstatSync(`${folder}/${link}`).isSymlink, link);
    }
    // The bytes are beside the file, which may be on another disk than the link.
    using file = new AtomicFile(`${folder}/far/second`);
    file.write(new Uint8Array(1));
    assert.deepEqual([...Deno.readDirSync(`${folder}/far`)].map(({ name }) => name), ["second"]);
    assert.equal(file.path, `${folder}/far/second`);
    Deno.symlinkSync("round", `${folder}/round`, { type: "file" });
    assert.throws(() => new AtomicFile(`${folder}/round`), /os error/);
  });
});

Deno.test("two writers of one file do not disturb each other; the last to commit wins", () => {
  withKept((path, names) => {
    using first = new AtomicFile(path);
    using second = new AtomicFile(path);
    first.write(new TextEncoder().encode("fi"));
    second.write(new TextEncoder().encode("second"));
    first.write(new TextEncoder().encode("rst"));
    second.commit();
    first.commit();
    assert.equal(Deno.readTextFileSync(path), "first");
    assert.deepEqual(names(), ["kept"]);
  });
});

Deno.test("AtomicFile removes what a killed writer of the file left, and nothing of others", () => {
  withKept((path, names) => {
    using other = new AtomicFile(path);
    other.write(new Uint8Array(3));
    const [, open] = names();
    assert.match(open!, /^kept\.gmem-[0-9a-f]{8}\.partial$/);
    // What a kill leaves has a name of that kind and no lock; other programs have other names.
    Deno.writeTextFileSync(`${path}.gmem-00000000.partial`, "cut off");
    Deno.writeTextFileSync(`${path}.00000000.partial`, "of another program");
    Deno.writeTextFileSync(`${path}_too.gmem-00000000.partial`, "cut off");
    writeAtomically(path, "new");
    const too = "kept_too.gmem-00000000.partial";
    assert.deepEqual(names(), ["kept", "kept.00000000.partial", open, too]);
    removeAbandoned(dirname(path));
    assert.deepEqual(names(), ["kept", "kept.00000000.partial", open]);
    other.commit();
    assert.deepEqual(names(), ["kept", "kept.00000000.partial"]);
  });
});

Deno.test("writeAtomically() writes a text whole or not at all", () => {
  withKept((path, names) => {
    onFullDisk(2, () => assert.throws(() => writeAtomically(path, "new"), /No space left/));
    assert.equal(Deno.readTextFileSync(path), "old");
    writeAtomically(path, "new");
    assert.equal(Deno.readTextFileSync(path), "new");
    assert.deepEqual(names(), ["kept"]);
  });
});

Deno.test("writeAll() writes all bytes, a part at a time, and ends where the disk takes none", () => {
  withKept((path) => {
    using file = Deno.openSync(path, { write: true });
    withWrites((real, bytes) => real(bytes.subarray(0, 2)), () => {
      writeAll(file, new TextEncoder().encode("12345"));
      writeAll(file, new TextEncoder().encode("abc"), 1);
    });
    assert.equal(Deno.readTextFileSync(path), "1abc5");
    withWrites(
      () => 0,
      () => assert.throws(() => writeAll(file, new Uint8Array(2)), /took 0 bytes of 2/),
    );
  });
});
