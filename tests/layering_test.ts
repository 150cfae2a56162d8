/** Who may import whom. A new folder, library or edge needs a line in one of the tables here. */

import assert from "node:assert/strict";
import { sourceFiles, sourceText } from "./_source_files.ts";

const KERNEL_FILES = ["kernels/"];

/** What the files of a folder may import besides their own folder; the longest folder counts. */
const FOLDERS: Readonly<Record<string, readonly string[]>> = {
  "kernels/core/": [],
  "kernels/common/": [],
  "kernels/": ["kernels/core/", "kernels/common/"],
  "model/": KERNEL_FILES,
  "bank/": [...KERNEL_FILES, "model/torch_file.ts"],
  "sample/": [...KERNEL_FILES, "model/", "bank/"],
  "evaluate/": [...KERNEL_FILES, "bank/", "sample/"],
  "train/": [...KERNEL_FILES, "model/", "bank/", "sample/", "evaluate/"],
  "cli/": [
    "bank/coefficient_format.ts",
    "bank/encoders/preprocessing.ts",
    "bank/retrieve.ts",
    "deno.json",
    "kernels/core/atomic_file.ts",
    "kernels/core/device.ts",
    "kernels/core/errors.ts",
    "kernels/core/json.ts",
    "kernels/core/nearest_name.ts",
    "kernels/core/tuning.ts",
    "sample/samplers.ts",
    "train/run_files.ts",
    "train/setting_error.ts",
  ],
  "claims/": [...KERNEL_FILES, "model/", "bank/", "sample/", "evaluate/", "train/", "cli/plot.ts"],
  "tests/": [""],
  "bench/": [""],
  "examples/": [""],
};

/**
 * A folder's `main.ts`, or a file of its `commands`, is a program: it ties together what that needs.
 * Those of `cli` only describe the arguments of programs.
 */
const PROGRAM = /^(?!cli\/)[a-z_]+\/(?:main|commands\/[a-z_]+)\.ts$/;
const PROGRAM_MAY_IMPORT = [
  "kernels/",
  "model/",
  "bank/",
  "sample/",
  "evaluate/",
  "train/",
  "cli/",
];

/** The entry points of the library that need no native library, and what they may import. */
const ENTRIES: Readonly<Record<string, readonly string[]>> = {
  "mod.ts": ["kernels/", "model/", "bank/", "sample/", "evaluate/", "train/"],
  "kernels/mod.ts": ["kernels/"],
};

/** The entry points that need one. */
const NATIVE_ENTRIES = [
  "train/datasets/image_folder.ts",
  "bank/encoders/onnx.ts",
  "bank/encoders/onnx_text.ts",
  "train/onnx_latents.ts",
  "evaluate/inception.ts",
];

/** Files of other ops that an op builds on. */
const OPS_OF_OPS: Readonly<Record<string, readonly string[]>> = {
  add: ["combine/mod.ts"],
  add_rows: ["linear/mod.ts"],
  attention: ["cast/mod.ts"],
  contrastive_loss: ["matmul/mod.ts", "row_sum/mod.ts"],
  cosine_loss: ["row_sum/mod.ts"],
  gelu_mlp: ["cast/mod.ts", "gelu/mod.ts", "linear/mod.ts", "matmul/mod.ts"],
  layer_norm: ["cast/mod.ts", "linear/mod.ts"],
  linear: ["cast/mod.ts", "matmul/mod.ts"],
  loss_scale: ["global_norm/mod.ts"],
  mask_snippets: ["random_normal/counters.ts"],
  matmul: ["cast/mod.ts"],
  mean_square: ["row_sum/mod.ts", "weighted_sum/mod.ts"],
  modulate: ["layer_norm/mod.ts", "linear/mod.ts"],
  qk_norm: ["linear/mod.ts"],
  reconstruct: ["embed_rows/mod.ts"],
  weighted_sum: ["row_sum/mod.ts"],
};

/** The one place of each library; zod has one for each section of the configuration. */
const LIBRARIES: Readonly<Record<string, RegExp>> = {
  "@gfx/wgpu-matrix": /^kernels\/resample\/transforms\.ts$/,
  "@huggingface/tokenizers": /^bank\/encoders\/onnx_text\.ts$/,
  "cli-progress": /^cli\/progress\.ts$/,
  "fast-png": /^train\/datasets\/png\.ts$/,
  "js-yaml": /^train\/yaml\.ts$/,
  "ml-matrix": /^bank\/eigen\.ts$/,
  "onnxruntime-node": /^bank\/onnx_network\.ts$/,
  "sharp": /^train\/datasets\/image_folder\.ts$/,
  "vega": /^cli\/plot\.ts$/,
  "vega-lite": /^cli\/plot\.ts$/,
  "zod": /^(?:model\/schema|[a-z]+\/config|bank\/encoders\/(?:encoder|onnx))\.ts$/,
};

/** Large native libraries and what goes with them, which a user must not have to download. */
const NATIVE = ["sharp", "onnxruntime-node", "@huggingface/tokenizers"];

/** Where a program may be talked to, left, and told its arguments. */
const TERMINAL = /\bconsole\.|\bDeno\.(?:args|exit)\b|"node:process"/;
const MAY_TALK = /^(?:[a-z_]+\/(?:main|commands\/[a-z_]+)\.ts$|cli\/|tests\/|bench\/|examples\/)/;

interface Import {
  /** As written. */
  readonly specifier: string;
  /** Path from the root, or the specifier itself for a library. */
  readonly target: string;
}

/** Static and dynamic imports and re-exports of a file; comments and strings do not count. */
function importsOf(path: string, text: string): Import[] {
  const code = withoutComments(text);
  const statements = code.matchAll(
    /^(?:import|export)\s+(?:(?:type\s+)?[\w*{][^;"'`]*?\sfrom\s+)?"([^"]+)"/gm,
  );
  const calls = code.matchAll(/\bimport\(\s*["'`]([^"'`]+)["'`]/g);
  return [...statements, ...calls].map(([, specifier]) => ({
    specifier: specifier!,
    target: specifier!.startsWith(".")
      ? new URL(specifier!, `file:///${path}`).pathname.slice(1)
      : specifier!,
  }));
}

function withoutComments(text: string): string {
  return text.replace(/^\s*(?:\/\*\*[^]*?\*\/|\/\/.*$)/gm, "");
}

function isOurs({ specifier }: Import): boolean {
  return specifier.startsWith(".");
}

function allImports(): [path: string, imported: Import][] {
  return sourceFiles().flatMap((path) =>
    importsOf(path, sourceText(path)).map((each): [string, Import] => [path, each])
  );
}

/** What an entry point reaches, files of ours and libraries, each with the way to it. */
function reachedFrom(entry: string): Map<string, string> {
  const reached = new Map([[entry, entry]]), queue = [entry];
  for (let path = queue.pop(); path !== undefined; path = queue.pop()) {
    for (const each of importsOf(path, sourceText(path))) {
      if (reached.has(each.target)) continue;
      reached.set(each.target, `${reached.get(path)} > ${each.target}`);
      if (isOurs(each)) queue.push(each.target);
    }
  }
  return reached;
}

/** What a file may import of ours, as beginnings of paths. */
function allowedFor(path: string): readonly string[] {
  if (ENTRIES[path]) return ENTRIES[path];
  const folder = Object.keys(FOLDERS).filter((each) => path.startsWith(each))
    .sort((a, b) => b.length - a.length)[0];
  assert.ok(folder, `${path} is in none of the folders ${Object.keys(FOLDERS).join(", ")}`);
  if (PROGRAM.test(path)) return [folder, ...PROGRAM_MAY_IMPORT];
  if (folder !== "kernels/") return [folder, ...FOLDERS[folder]!];
  const op = path.split("/")[1]!;
  return [
    `kernels/${op}/`,
    ...FOLDERS[folder]!,
    ...(OPS_OF_OPS[op] ?? []).map((each) => `kernels/${each}`),
  ];
}

function assertNone(broken: readonly string[]): void {
  assert.deepEqual(broken, []);
}

Deno.test("importsOf() finds every form of import and none in comments or strings", () => {
  const text = `/**
 * import { no } from "./comment.ts";
 */
import a from "./a.ts";
import { b, type C } from "../b.ts";
import type { D } from "library";
import {
  e,
} from "node:e";
import "./f.ts";
export * from "./g.ts";
export { h } from "./h.ts";
// import no from "./line.ts";
const text = 'import no from "./string.ts"';
export const from = "./value.ts";
const lazy = await import("./i.ts");
`;
  assert.deepEqual(importsOf("x/y.ts", text).map(({ target }) => target), [
    "x/a.ts",
    "b.ts",
    "library",
    "node:e",
    "x/f.ts",
    "x/g.ts",
    "x/h.ts",
    "x/i.ts",
  ]);
});

Deno.test("files import only what their folder may", () => {
  const broken: string[] = [];
  for (const [path, each] of allImports()) {
    if (!isOurs(each)) continue;
    if (!allowedFor(path).some((start) => each.target.startsWith(start))) {
      broken.push(`${path} imports ${each.target}`);
    }
  }
  assertNone(broken);
});

Deno.test("nothing imports tests, benchmarks, claims, examples or programs", () => {
  assertNone(
    allImports().filter(([path, { target }]) =>
      /^(?:tests|bench|examples)\//.test(target) && target.split("/")[0] !== path.split("/")[0] &&
        !(path.startsWith("tests/bench/") && target.startsWith("bench/")) ||
      target.startsWith("claims/") && !/^(?:claims|tests)\//.test(path) ||
      PROGRAM.test(target) && !path.startsWith("tests/") &&
        !(PROGRAM.test(path) && path.split("/")[0] === target.split("/")[0])
    ).map(([path, { target }]) => `${path} imports ${target}`),
  );
});

Deno.test("only programs, claims and tests import cli", () => {
  assertNone(
    allImports().filter(([path, { target }]) =>
      target.startsWith("cli/") && !PROGRAM.test(path) &&
      !/^(?:cli|claims|tests|bench)\//.test(path)
    ).map(([path, { target }]) => `${path} imports ${target}`),
  );
});

Deno.test("programs open the device by cli/open_device.ts; benchmarks choose its kernels themselves", () => {
  const broken = sourceFiles().filter((path) =>
    !/^(?:cli\/open_device\.ts$|tests\/|bench\/)/.test(path) &&
    /\bDevice\.open\(/.test(withoutComments(sourceText(path)))
  );
  assertNone(broken);
});

Deno.test("only tests import references", () => {
  assertNone(
    allImports().filter(([path, { target }]) =>
      target.endsWith("/reference.ts") && !path.startsWith("tests/") &&
      !path.endsWith("/reference.ts")
    ).map(([path, { target }]) => `${path} imports ${target}`),
  );
});

Deno.test("a shader is imported by the files beside it, one of kernels/common by ops and bench", () => {
  assertNone(
    allImports().filter(([path, { target }]) =>
      target.endsWith(".wgsl.ts") && !path.startsWith("tests/") &&
      !(target.startsWith("kernels/common/") && /^(?:kernels|bench)\//.test(path)) &&
      path.slice(0, path.lastIndexOf("/")) !== target.slice(0, target.lastIndexOf("/"))
    ).map(([path, { target }]) => `${path} imports ${target}`),
  );
});

Deno.test("every library stands behind its one file", () => {
  const broken: string[] = [];
  for (const [path, { specifier, target }] of allImports()) {
    if (specifier.startsWith(".") || specifier.startsWith("node:")) continue;
    if (/^(?:tests|bench|examples)\//.test(path)) continue;
    const place = LIBRARIES[target];
    if (!place?.test(path)) broken.push(`${path} imports ${target}`);
  }
  assertNone(broken);
});

Deno.test("entry points that need a native library are apart from the others", () => {
  for (const entry of [...Object.keys(ENTRIES), ...NATIVE_ENTRIES]) {
    const native = [...reachedFrom(entry)].filter(([path]) => NATIVE.includes(path));
    if (NATIVE_ENTRIES.includes(entry)) assert.ok(native.length > 0, `${entry} reaches none`);
    else assert.deepEqual(native, []);
  }
});

Deno.test("what the entry points reach names no option of a program", () => {
  const reached = [...Object.keys(ENTRIES), ...NATIVE_ENTRIES].flatMap((
    entry,
  ) => [...reachedFrom(entry).keys()]);
  const broken = [...new Set(reached)].filter((path) => path.endsWith(".ts")).flatMap((path) =>
    withoutComments(sourceText(path)).match(/.*(?<=["'`\s(])--[a-z][a-z-]*(?![\w.]).*/g)
      ?.map((line) => `${path}: ${line.trim()}`) ?? []
  );
  assertNone(broken);
});

Deno.test("deno.json exports the entry points, and its check looks at their documentation", () => {
  const { exports, tasks } = JSON.parse(sourceText("deno.json"));
  const paths = Object.values<string>(exports).map((path) => path.replace("./", ""));
  assert.deepEqual(paths.toSorted(), [...Object.keys(ENTRIES), ...NATIVE_ENTRIES].toSorted());
  const [, linted = ""] = /deno doc --lint ([^&]*[^& ])/.exec(tasks.check.command) ?? [];
  assert.deepEqual(linted.split(" ").toSorted(), paths.toSorted());
});

Deno.test("only programs and cli talk to the terminal or end the process", () => {
  const broken = sourceFiles().filter((path) =>
    !MAY_TALK.test(path) && TERMINAL.test(withoutComments(sourceText(path)))
  );
  assertNone(broken);
});

Deno.test("every line of the tables is needed", () => {
  const edges = allImports();
  for (const [op, files] of Object.entries(OPS_OF_OPS)) {
    for (const file of files) {
      assert.ok(
        edges.some(([path, { target }]) =>
          path.startsWith(`kernels/${op}/`) && target === `kernels/${file}`
        ),
        `kernels/${op} does not import kernels/${file} any more`,
      );
    }
  }
});
