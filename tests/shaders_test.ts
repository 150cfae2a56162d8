/** Every shader of the project: its form, its names, and that the adapter at hand compiles it. */

import assert from "node:assert/strict";
import { Kernel } from "../kernels/core/kernel.ts";
import { NO_ADAPTER, openDevice } from "./_gpu.ts";
import { sourceFiles, sourceText } from "./_source_files.ts";

const COMMON = "kernels/common/";
// A comment of the module, then one template string without an escape or a substitution.
const FORM = /^(?:\/\*\*[^]*?\*\/\n)?export default \/\* wgsl \*\/ `\n([^`\\]*)`;\n$/;
/** A slot for the parameters of one dispatch: 256 bytes. */
const MOST_PARAMS = 64;
/** What WebGPU grants everywhere. */
const MOST_STORAGE_BUFFERS = 8;
/** A function at the start of a line, where includes declare theirs. */
const FUNCTION = /^fn (\w+)\(/gm;

const PATHS = sourceFiles().filter((path) => path.endsWith(".wgsl.ts"));
const SHADERS = PATHS.filter((path) => !path.startsWith(COMMON));
const INCLUDES = new Map(
  PATHS.filter((path) => path.startsWith(COMMON)).map((path) => [path, templateOf(path)]),
);

function templateOf(path: string): string {
  return FORM.exec(sourceText(path))?.[1] ?? "";
}

function functionsOf(source: string): string[] {
  return [...source.matchAll(FUNCTION)].map(([, name]) => name!);
}

/** The includes whose functions a shader calls, each after those that it calls itself. */
function includesOf(source: string, without: readonly string[] = []): string[] {
  const needed: string[] = [];
  for (const [path, include] of INCLUDES) {
    if (without.includes(path)) continue;
    const names = functionsOf(include);
    if (!names.some((name) => new RegExp(`(?<!fn )\\b${name}\\(`).test(source))) continue;
    // Of two includes with the same function either will do.
    if (needed.some((other) => functionsOf(other).some((name) => names.includes(name)))) continue;
    for (const each of [...includesOf(include, [...without, path]), include]) {
      if (!needed.includes(each)) needed.push(each);
    }
  }
  return needed;
}

function kernelOf(path: string): Kernel {
  const source = templateOf(path);
  return new Kernel({ source, includes: includesOf(source) });
}

Deno.test("every shader is one template string without substitutions, and says its bounds", () => {
  assert.ok(SHADERS.length > 20, `${SHADERS.length} shaders`);
  for (const path of PATHS) {
    assert.match(sourceText(path), FORM, `${path} is not one whole template string`);
    assert.ok(!templateOf(path).includes("${"), `${path} has a substitution`);
  }
  for (const path of SHADERS) {
    const [header = ""] = /^(?:\/\/.*\n)+/.exec(templateOf(path)) ?? [];
    assert.match(header, /^\/\/ \S/, `${path} does not start with a comment`);
    assert.match(header, /\bbarrier/i, `${path} does not say how many barriers it has`);
    assert.match(header, /\berror/i, `${path} does not say how far its results are off`);
  }
});

Deno.test("every include declares functions and what they share, no entry point, and only what stores besides bindings", () => {
  for (const [path, source] of INCLUDES) {
    assert.ok(functionsOf(source).length > 0, `${path} has no function`);
    const storesBesides = /^(?:epilogue_\w+|row_sums)\.wgsl\.ts$/.test(path.slice(COMMON.length));
    const binding = /^@group\(0\) @binding\(5\) var<storage, \w+> (?:row_)?sums: array<\w+>;\n/m;
    const rest = storesBesides ? source.replace(binding, "") : source;
    assert.doesNotMatch(
      rest,
      /^(?:@|(?:var<(?:storage|uniform)|override|struct|enable)\b)/m,
      `${path} declares more than an include may`,
    );
  }
});

Deno.test("every kernel is named after its folder and file, and no two alike", () => {
  const owners = new Map<string, string>();
  for (const path of SHADERS.filter((path) => path.startsWith("kernels/"))) {
    const [, folder, file] = /([^/]+)\/([^/]+)\.wgsl\.ts$/.exec(path)!;
    const { name } = kernelOf(path);
    assert.ok(
      [file, folder, `${folder}_${file}`].includes(name),
      `${path} has the entry point ${name}, expected ${file}, ${folder} or ${folder}_${file}`,
    );
    assert.equal(owners.get(name), undefined, `${path} and ${owners.get(name)} are both ${name}`);
    owners.set(name, path);
    assert.equal([...templateOf(path).matchAll(/@compute\b/g)].length, 1, path);
  }
});

Deno.test("every kernel binds params at 0, tensors from 1, and no more than any GPU takes", () => {
  for (const path of SHADERS) {
    const { bindings, params } = kernelOf(path);
    assert.ok(bindings.length > 0, `${path} binds nothing`);
    assert.deepEqual(bindings.map(({ index }) => index), bindings.map((_, i) => i + 1), path);
    assert.ok(params.length <= MOST_PARAMS, `${path} has ${params.length} params`);
    const buffers = bindings.filter(({ access }) => access !== "texture").length;
    assert.ok(buffers <= MOST_STORAGE_BUFFERS, `${path} binds ${buffers} buffers`);
    // A binding that the text declares in a form the kernel does not read would go missing.
    const declared = [...templateOf(path).matchAll(/^[^/\n]*@binding\(/gm)].length;
    assert.equal(bindings.length + Number(params.length > 0), declared, path);
  }
});

Deno.test({
  name: "every kernel compiles on the adapter at hand with the constants it has",
  sanitizeOps: false,
  sanitizeResources: false,
  ignore: NO_ADAPTER,
  async fn() {
    using device = await openDevice();
    const { gpu, profile } = device;
    const errors: string[] = [];
    for (const path of SHADERS) {
      const kernel = kernelOf(path), code = kernel.code(profile);
      if (/\bsubgroup[A-Z]/.test(code) && !profile.subgroups) {
        console.log(`skipped ${path}: no subgroups on this adapter`);
        continue;
      }
      gpu.pushErrorScope("validation");
      gpu.createComputePipeline({
        layout: "auto",
        compute: { module: gpu.createShaderModule({ code }), entryPoint: kernel.name },
      });
      const error = await gpu.popErrorScope();
      if (error) errors.push(`${path}: ${error.message}`);
    }
    assert.deepEqual(errors, []);
  },
});
