import assert from "node:assert/strict";
import { join } from "node:path";
import { readTuning, tuningPath, writeTuning } from "../../cli/tuning_file.ts";
import { VERSION } from "../../cli/version.ts";

const FOLDER = Deno.makeTempDirSync({ prefix: "gmem_tuning_" });
Deno.test.afterAll(() => Deno.remove(FOLDER, { recursive: true }));

/** What was read and what was said of it. */
function read(path: string) {
  const notes: string[] = [];
  const tuning = readTuning({ path, note: (line) => notes.push(line) });
  return { tuning, notes };
}

Deno.test("tuningPath() is in the user's cache folder", () => {
  const path = (variables: Record<string, string>, os?: string) =>
    tuningPath((name) => variables[name], os ?? "linux");
  assert.equal(path({ XDG_CACHE_HOME: "/c", HOME: "/h" }), join("/c", "gmem", "tuning.json"));
  assert.equal(path({ HOME: "/h" }), join("/h", ".cache", "gmem", "tuning.json"));
  assert.equal(path({ XDG_CACHE_HOME: "", HOME: "/h" }), join("/h", ".cache/gmem/tuning.json"));
  assert.equal(path({ LOCALAPPDATA: "L", HOME: "/h" }, "windows"), join("L", "gmem/tuning.json"));
  assert.equal(path({}), undefined);
  assert.equal(path({ HOME: "/h" }, "windows"), undefined);
});

Deno.test("writeTuning() keeps what was measured for other sizes, ops and adapters", () => {
  const path = join(FOLDER, "new", "folder", "tuning.json");
  const note = (line: string) => assert.fail(line);
  writeTuning({ matmul: { "M=1": "a", "M=2": "b" } }, { path, label: "one", note });
  writeTuning({ attention: { "T=1": "c" } }, { path, label: "one", note });
  writeTuning({ matmul: { "M=2": "d" } }, { path, label: "one", note });
  writeTuning({ matmul: { "M=1": "e" } }, { path, label: "two", note });
  assert.deepEqual(read(path), {
    tuning: {
      version: VERSION,
      adapters: {
        one: { matmul: { "M=1": "a", "M=2": "d" }, attention: { "T=1": "c" } },
        two: { matmul: { "M=1": "e" } },
      },
    },
    notes: [],
  });
  assert.deepEqual([...Deno.readDirSync(join(FOLDER, "new", "folder"))].length, 1);
});

Deno.test("readTuning() finds nothing without a file, and says nothing", () => {
  assert.deepEqual(read(join(FOLDER, "missing.json")), { tuning: undefined, notes: [] });
});

Deno.test("readTuning() ignores a wrong or stale file and says why; writeTuning() replaces it", () => {
  const path = join(FOLDER, "wrong.json");
  const cases = [
    ["{", /JSON/],
    ["{}", /expected an object/],
    [JSON.stringify({ version: "0.0.0", adapters: {} }), /"0\.0\.0"/],
  ] as const;
  for (const [text, reason] of cases) {
    Deno.writeTextFileSync(path, text);
    const { tuning, notes } = read(path);
    assert.equal(tuning, undefined);
    assert.equal(notes.length, 1);
    assert.match(notes[0]!, reason);
    assert.ok(notes[0]!.includes(path) && notes[0]!.includes("deno task tune"));
  }
  const said: string[] = [];
  writeTuning({ op: { "M=1": "a" } }, { path, label: "one", note: (line) => said.push(line) });
  assert.equal(said.length, 1);
  assert.deepEqual(read(path).tuning?.adapters, { one: { op: { "M=1": "a" } } });
});

Deno.test("readTuning() ignores what is no file", () => {
  const { tuning, notes } = read(FOLDER);
  assert.deepEqual([tuning, notes.length], [undefined, 1]);
});
