/**
 * Creates the pipeline of every GPU kernel with the constants that the ops give it, and runs none.
 *
 * For tools that watch a driver: a Vulkan layer that writes down the SPIR-V it is given, so that
 * another driver's compiler can be asked what it makes of it (`bench/gpu_code.md`). Every pipeline's
 * entry point has a name of its own. `deno run -A bench/compile_all.ts [part of a name]`
 *
 * @module
 */

import { readdirSync, readFileSync } from "node:fs";
import { runCommand } from "../cli/run_command.ts";
import { planTiled } from "../kernels/attention/variants.ts";
import { Device } from "../kernels/core/device.ts";
import { Kernel } from "../kernels/core/kernel.ts";

type Constants = Readonly<Record<string, number>>;

/** A pipeline to create. */
export interface PipelineCase {
  /** The kernel's file. */
  readonly path: string;
  /** The kernel's name, and what its constants mean behind it. */
  readonly name: string;
  /** The kernel. */
  readonly kernel: Kernel;
  /** Values of its overrides; those without one keep their default. */
  readonly constants: Constants;
}

const ROOT = new URL("../", import.meta.url);
const COMMON = "kernels/common/";

/** Heads of 64, and of 72, the width of the largest networks. */
function tiledAttention(parts: Readonly<Record<string, Constants>>): Record<string, Constants> {
  const cases: Record<string, Constants> = {};
  for (const headWidth of [64, 72]) {
    const { columns, slots, rest, memory } = planTiled(headWidth);
    const constants = {
      HEAD_VECTORS: headWidth / 4,
      COLUMNS: columns,
      SLOTS: slots,
      REST: rest,
      MEMORY_VECTORS: memory,
    };
    for (const [part, each] of Object.entries(parts)) {
      cases[`${part}${headWidth}`] = { ...constants, ...each };
    }
  }
  return cases;
}

const NORMS: Readonly<Record<string, Constants>> = {
  plain: {},
  scale_shift: { HAS_SCALE: 1, HAS_SHIFT: 1 },
  rms_weight: { RMS: 1, HAS_WEIGHT: 1 },
  rms_weight_scale_shift: { RMS: 1, HAS_WEIGHT: 1, HAS_SCALE: 1, HAS_SHIFT: 1 },
};

const NORM_SLOPES: Readonly<Record<string, Constants>> = {
  plain: {},
  scale: { HAS_SCALE: 1 },
  rms_weight: { RMS: 1, HAS_WEIGHT: 1 },
  rms_weight_scale: { RMS: 1, HAS_WEIGHT: 1, HAS_SCALE: 1 },
};

const TILED_PRODUCTS: Readonly<Record<string, Constants>> = {
  nn: {},
  nt: { TRANSPOSE_B: 1 },
  nt_bias: { TRANSPOSE_B: 1, HAS_BIAS: 1 },
  tn: { TRANSPOSE_A: 1 },
  tt: { TRANSPOSE_A: 1, TRANSPOSE_B: 1 },
  nn_128: { TILE: 128 },
  nt_128: { TRANSPOSE_B: 1, TILE: 128 },
  nt_bias_128: { TRANSPOSE_B: 1, HAS_BIAS: 1, TILE: 128 },
  tn_128: { TRANSPOSE_A: 1, TILE: 128 },
};

function switched(name: string, label: string): Readonly<Record<string, Constants>> {
  return { "": { [name]: 0 }, [label]: { [name]: 1 } };
}

/** The constants of every kernel that has overrides, by what they mean. */
const CONSTANTS: Readonly<Record<string, Readonly<Record<string, Constants>>>> = {
  adamw: switched("HAS_AVERAGES", "averages"),
  attention_backward_naive: { dq: { PART: 0 }, dk: { PART: 1 }, dv: { PART: 2 } },
  attention_backward_tiled: tiledAttention({ dq_: { PART: 0 }, dkv_: { PART: 1 } }),
  attention_forward_tiled: tiledAttention({ "": {} }),
  combine: { "": {}, "kept": { KEEPS: 1 } },
  layer_norm_backward_naive: NORM_SLOPES,
  layer_norm_backward_register: NORM_SLOPES,
  layer_norm_backward_workgroup: NORM_SLOPES,
  layer_norm_forward_naive: NORMS,
  layer_norm_forward_register: NORMS,
  layer_norm_forward_workgroup: NORMS,
  group_sums: switched("PLAIN", "plain"),
  group_sums_vector: switched("PLAIN", "plain"),
  matmul_naive: {
    nn: {},
    nt: { TRANSPOSE_B: 1 },
    nt_bias: { TRANSPOSE_B: 1, HAS_BIAS: 1 },
    tn: { TRANSPOSE_A: 1 },
  },
  matmul_sum_parts: switched("HAS_BIAS", "bias"),
  matmul_tiled: TILED_PRODUCTS,
  matmul_tiled_f16: TILED_PRODUCTS,
  gate: switched("HAS_X", "residual"),
  gate_vector: switched("HAS_X", "residual"),
  spread_sums: {
    "": {},
    factor: { HAS_FACTOR: 1 },
    factor_plus_one: { HAS_FACTOR: 1, PLUS_ONE: 1 },
  },
  qk_norm_backward: switched("LAYER", "layer"),
  qk_norm_backward_vector: switched("LAYER", "layer"),
  qk_norm_forward: switched("LAYER", "layer"),
  qk_norm_forward_vector: switched("LAYER", "layer"),
  qk_norm_parameter_sum: switched("BIAS", "bias"),
  reconstruct_workgroup: switched("HAS_INDICES", "indices"),
  row_squares_workgroup: switched("INVERSE_ROOT", "inverse_root"),
  slab_square_sum: { "": {} },
  top_k: switched("HAS_INDICES", "indices"),
};

function shaderFiles(folder: string): string[] {
  return readdirSync(new URL(folder, ROOT), { withFileTypes: true }).flatMap((entry) => {
    if (entry.isDirectory()) return shaderFiles(`${folder}${entry.name}/`);
    return entry.name.endsWith(".wgsl.ts") ? [folder + entry.name] : [];
  }).sort();
}

/** The one template string of a shader's file. */
function shaderText(path: string): string {
  const text = readFileSync(new URL(path, ROOT), "utf8");
  return /export default \/\* wgsl \*\/ `([^`]*)`/.exec(text)?.[1] ?? "";
}

function functionsOf(source: string): string[] {
  return [...source.matchAll(/^fn (\w+)\(/gm)].map(([, name]) => name!);
}

function calls(source: string, name: string): boolean {
  return new RegExp(`(?<!fn )\\b${name}\\(`).test(source);
}

/** Texts of `kernels/common` by the name of their file. */
function readIncludes(): Map<string, string> {
  return new Map(
    shaderFiles(COMMON).map((path) => [
      path.slice(COMMON.length, -".wgsl.ts".length),
      shaderText(path),
    ]),
  );
}

/** A set of includes that a shader can be given. */
interface IncludeSet {
  /** Names of those that stand where others could. */
  readonly chosen: readonly string[];
  readonly texts: readonly string[];
}

/** The sets of includes that complete a shader: of several with the same function it can have any. */
function includeSets(
  source: string,
  includes: ReadonlyMap<string, string>,
  { chosen, texts }: IncludeSet = { chosen: [], texts: [] },
): IncludeSet[] {
  const all = [source, ...texts], known = new Set(all.flatMap(functionsOf));
  const missing = [...includes.values()].flatMap(functionsOf).find((name) =>
    !known.has(name) && all.some((text) => calls(text, name))
  );
  if (missing === undefined) return [{ chosen, texts }];
  const having = [...includes].filter(([, text]) => functionsOf(text).includes(missing));
  return having.flatMap(([name, text]) =>
    includeSets(source, includes, {
      chosen: having.length > 1 ? [...chosen, name] : chosen,
      texts: [...texts, text],
    })
  );
}

/**
 * Whether an op gives a kernel with these includes the constants of a meaning. Products that end with gelu have a
 * bias, as a layer has; those that end with its slope, or are stored in halves without either, are gradients: A B
 * without one; the sums of both are of the type of the result. Rows are summed beside gradients of weights, Aᵀ B.
 */
function isGiven(meaning: string, { chosen }: IncludeSet): boolean {
  const halves = chosen.includes("store_halves"), sumsRows = chosen.includes("row_sums");
  const epilogue = chosen.find((name) => name.startsWith("epilogue_"));
  if (epilogue === undefined) return true;
  if (/kept|slope/.test(epilogue) && epilogue.endsWith("_halves") !== halves) return false;
  if (
    sumsRows &&
    !(/^tn/.test(meaning) && epilogue === "epilogue_none" && chosen.includes("store_floats"))
  ) {
    return false;
  }
  if (epilogue === "epilogue_none") return !halves || /^(?:nn|$)/.test(meaning);
  return epilogue.startsWith("epilogue_gelu_slope")
    ? /^(?:nn|$)/.test(meaning)
    : meaning.includes("bias");
}

/**
 * Every pipeline of the GPU kernels. Left out are kernels that read textures, which only CPU drivers
 * run. Throws `RangeError` when a kernel has overrides and no line in the table here, or a line has
 * no kernel.
 */
export function allPipelines(): PipelineCase[] {
  const includes = readIncludes();
  const unused = new Set(Object.keys(CONSTANTS));
  const cases: PipelineCase[] = [];
  for (const path of shaderFiles("kernels/")) {
    if (path.startsWith(COMMON)) continue;
    const source = shaderText(path);
    for (const set of includeSets(source, includes)) {
      const kernel = new Kernel({ source, includes: set.texts });
      if (kernel.bindings.some(({ access }) => access === "texture")) continue;
      unused.delete(kernel.name);
      const table = CONSTANTS[kernel.name];
      if (!table && kernel.overrides.size > 0) {
        throw new RangeError(
          `Cannot compile ${kernel.name} with every constant: none are listed, expected a line`,
        );
      }
      for (const [meaning, constants] of Object.entries(table ?? { "": {} })) {
        if (!isGiven(meaning, set)) continue;
        const name = [kernel.name, meaning, ...set.chosen].filter((part) => part !== "").join("_");
        cases.push({ path, name, kernel, constants });
      }
    }
  }
  if (unused.size > 0) {
    throw new RangeError(`Cannot compile ${[...unused].join(", ")}: no GPU kernel has the name`);
  }
  return cases;
}

async function main(): Promise<void> {
  const [part = ""] = Deno.args;
  using device = await Device.open({ allowCpuDriver: true });
  const { gpu, profile } = device;
  let created = 0;
  for (const { path, name, kernel, constants } of allPipelines()) {
    if (!name.includes(part)) continue;
    const code = kernel.code(profile).replace(
      new RegExp(`\\bfn ${kernel.name}\\(`),
      `fn ${name}(`,
    );
    if (/\bsubgroup[A-Z]/.test(code) && !profile.subgroups) continue;
    gpu.pushErrorScope("validation");
    gpu.createComputePipeline({
      label: name,
      layout: "auto",
      compute: { module: gpu.createShaderModule({ code }), entryPoint: name, constants },
    });
    const error = await gpu.popErrorScope();
    if (error) throw new SyntaxError(`Cannot compile ${name} of ${path}: ${error.message}`);
    created++;
  }
  console.log(`${created} pipelines on ${profile.label}`);
}

if (import.meta.main) await runCommand(main);
