import assert from "node:assert/strict";
import { allPipelines } from "../../bench/compile_all.ts";
import { sourceFiles, sourceText } from "../_source_files.ts";

Deno.test("allPipelines() misses no shader that a GPU runs", () => {
  const shaders = sourceFiles().filter((path) =>
    /^kernels\/(?!common\/).*\.wgsl\.ts$/.test(path) &&
    !sourceText(path).includes("texture_storage_2d<")
  );
  assert.ok(shaders.length > 20, `${shaders.length} shaders`);
  assert.deepEqual([...new Set(allPipelines().map(({ path }) => path))], shaders);
});

Deno.test("allPipelines() has every product with every epilogue", () => {
  const names = allPipelines().map(({ name }) => name);
  for (const kernel of ["matmul_naive", "matmul_tiled_n", "matmul_tiled_f16", "matmul_sum_parts"]) {
    for (const epilogue of ["none", "gelu", "gelu_kept", "gelu_slope"]) {
      const pattern = new RegExp(`^${kernel}.*_epilogue_${epilogue}(?:_store_.*)?$`);
      assert.ok(names.some((name) => pattern.test(name)), `${kernel} with ${epilogue}`);
    }
  }
});

Deno.test("allPipelines() names each pipeline apart and gives it constants that it has", () => {
  const cases = allPipelines();
  assert.equal(new Set(cases.map(({ name }) => name)).size, cases.length);
  for (const { name, kernel, constants } of cases) {
    assert.ok(name.startsWith(kernel.name), name);
    for (const key of Object.keys(constants)) {
      assert.ok(kernel.overrides.has(key), `${name} has no override ${key}`);
    }
  }
});
