/**
 * A WGSL compute shader and what its text says: bindings, parameters, overrides.
 *
 * The shader is the only declaration. TypeScript reads it, so nothing can drift apart; a missing or
 * extra name at a dispatch is a `TypeError`.
 *
 * @module
 */

import type { Profile } from "./profile.ts";
import type { DType } from "./tensor.ts";

/** How a kernel uses a binding. */
export type Access = "read" | "write" | "texture";

/** One storage or texture binding of a kernel. */
export interface Binding {
  /** Name of the variable in the shader. */
  readonly name: string;
  /** Index of the binding in group 0. */
  readonly index: number;
  /** How the shader uses it. */
  readonly access: Access;
  /** Element type of the tensors that it takes; `f16` as such or four of them as one `vec2u`. */
  readonly dtype: DType;
}

/** One field of the kernel's `Params`. */
export interface ParamField {
  /** Name of the field. */
  readonly name: string;
  /** Its WGSL type. */
  readonly type: "u32" | "i32" | "f32";
  /** Bytes from the start of the struct. */
  readonly offset: number;
}

const ENTRY =
  /(?:@compute\s*@workgroup_size\([^)]*\)|@workgroup_size\([^)]*\)\s*@compute)\s*fn\s+(\w+)/;
const BINDING =
  /@group\(0\)\s*@binding\((\d+)\)\s*var(?:<\s*(storage|uniform)\s*(?:,\s*(read_write|read)\s*)?>)?\s*(\w+)\s*:\s*([^;]+);/g;
const PARAMS = /struct\s+Params\s*\{([^}]*)\}/;
const FIELD = /^(\w+)\s*:\s*(u32|i32|f32)$/;
const TEXTURE = "texture_storage_2d<rgba32float,read>";
const ALIAS = /alias\s+(\w+)\s*=\s*([^;]+);/g;
const OVERRIDE = /override\s+(\w+)\s*[:=]/g;

const SCALARS = { f: "f32", u: "u32", h: "f16" } as const;

/** Undefined for what no tensor has; `aliases` are names that the shader gives to types. */
function elementTypeOf(type: string, aliases: ReadonlyMap<string, string>): DType | undefined {
  const named = /^array<(.*?)(?:,\w+)?>$/.exec(type.replace(/\s/g, ""))?.[1] ?? "";
  const element = aliases.get(named) ?? named;
  if (element === "vec2u") return "f16";
  const short = /^(?:vec[234]|mat[234]x[234])([fuh])$/.exec(element)?.[1];
  if (short) return SCALARS[short as keyof typeof SCALARS];
  const scalar = /^(?:(?:atomic|vec[234]|mat[234]x[234])<)?(f32|u32|f16)>?$/.exec(element)?.[1];
  return scalar as DType | undefined;
}

function withoutComments(source: string): string {
  return source.replace(/\/\*[^]*?\*\/|\/\/[^\n]*/g, "");
}

/**
 * A compute shader: one whole WGSL text with `struct Params` of flat u32/i32/f32 at binding 0
 * (`var<uniform> params`) and from 1 storage bindings, or `texture_storage_2d<rgba32float, read>`.
 * A tensor bound to a texture is copied into one first, which is how the CPU driver reads fastest;
 * the shader `common/texel_of` says where its elements lie there.
 *
 * Bindings are arrays of f32, u32 or f16, or of vectors of them; `vec2u` is four of f16. Pass sizes as
 * `Params`: a binding is longer than its tensor, up to whole blocks of 256 bytes, so that `arrayLength`
 * counts elements that are not the tensor's and hold anything.
 *
 * @example
 * ```ts
 * import { Device, Kernel } from "@gmem/gmem/kernels";
 *
 * const scale = new Kernel({
 *   source: "struct Params { elements: u32, factor: f32 }" +
 *     "@group(0) @binding(0) var<uniform> params: Params;" +
 *     "@group(0) @binding(1) var<storage, read_write> x: array<f32>;" +
 *     "@compute @workgroup_size(64) fn scale(@builtin(global_invocation_id) id: vec3u) {" +
 *     "  if (id.x < params.elements) { x[id.x] *= params.factor; }" +
 *     "}",
 * });
 * using device = await Device.open({ allowCpuDriver: true });
 * using x = device.tensor(Float32Array.of(1, 2, 3), [3]);
 * const params = { elements: x.elements, factor: 10 };
 * device.dispatch(scale, { tensors: { x }, params, workgroups: [Math.ceil(x.elements / 64)] });
 * console.log(scale.name, await x.read()); // scale Float32Array(3) [ 10, 20, 30 ]
 * ```
 */
export class Kernel {
  /** The entry point, by which profilers and errors name the kernel. */
  readonly name: string;
  /** Bindings from 1 in the order of their index. */
  readonly bindings: readonly Binding[];
  /** Fields of `Params`; empty when the shader has none. */
  readonly params: readonly ParamField[];
  /** Names of the pipeline-overridable constants. */
  readonly overrides: ReadonlySet<string>;
  readonly #source: string;
  readonly #usesSubgroups: boolean;
  readonly #usesHalves: boolean;

  /**
   * Reads the shader; `includes` are texts with functions and what they share, put after it, so that the
   * lines of the compiler's errors are the shader's own. Throws `SyntaxError` for a text without entry
   * point or with several, and for bindings and `Params` of other types or forms.
   */
  constructor(options: { source: string; includes?: readonly string[] | undefined }) {
    this.#source = [options.source, ...(options.includes ?? [])].join("\n");
    const text = withoutComments(this.#source);
    const entry = ENTRY.exec(text);
    if (!entry) throw new SyntaxError("Cannot read shader: no @compute entry point");
    this.name = entry[1]!;
    const entries = text.match(/@compute\b/g)!.length;
    if (entries > 1) {
      throw new SyntaxError(
        `Cannot read kernel ${this.name}: its text has ${entries} @compute entry points, expected one`,
      );
    }
    this.#usesSubgroups = /\bsubgroup[A-Z_]/.test(text);
    this.#usesHalves = /\b(?:f16|(?:vec[234]|mat[234]x[234])h)\b/.test(text);
    this.overrides = new Set([...text.matchAll(OVERRIDE)].map((match) => match[1]!));
    const aliases = new Map([...text.matchAll(ALIAS)].map(([, name, type]) => [name!, type!]));
    const bindings: Binding[] = [];
    const declarations = [...text.matchAll(BINDING)];
    const others = (text.match(/@binding\b/g)?.length ?? 0) - declarations.length;
    if (others > 0) {
      throw new SyntaxError(
        `Cannot read kernel ${this.name}: ${others} of its bindings in another form, expected ` +
          "@group(0) @binding(1) var<storage, read> x: array<f32>;",
      );
    }
    for (const [, index, space, access, name, type] of declarations) {
      if (space === "uniform") {
        if (index !== "0" || name !== "params" || type!.trim() !== "Params") {
          throw new SyntaxError(
            `Cannot read kernel ${this.name}: uniform ${name}: ${type} at ${index}, expected ` +
              "params: Params at 0",
          );
        }
        continue;
      }
      if (space === undefined && type?.replace(/\s/g, "") !== TEXTURE) {
        throw new SyntaxError(`Cannot read kernel ${this.name}: binding ${name} of type ${type}`);
      }
      const dtype = space === undefined ? "f32" : elementTypeOf(type!, aliases);
      if (!dtype) {
        throw new SyntaxError(
          `Cannot read kernel ${this.name}: binding ${name} of type ${type}, expected an array of f32, ` +
            "u32, f16, or vectors of them",
        );
      }
      bindings.push({
        name: name!,
        index: Number(index),
        access: space === undefined ? "texture" : access === "read_write" ? "write" : "read",
        dtype,
      });
    }
    this.bindings = bindings.sort((a, b) => a.index - b.index);
    const struct = PARAMS.exec(text)?.[1] ?? "";
    const fields = struct.split(",").map((field) => field.trim()).filter((field) => field !== "");
    this.params = fields.map((field, index) => {
      const [, name, type] = FIELD.exec(field) ?? [];
      if (name === undefined) {
        throw new SyntaxError(
          `Cannot read kernel ${this.name}: field ${field} of Params, expected u32, i32 or f32`,
        );
      }
      return { name, type: type as ParamField["type"], offset: index * 4 };
    });
  }

  /** The complete text for a profile: what it needs to `enable`, in the shader's first line, shader, includes. */
  code(profile: Profile): string {
    return (this.#usesHalves ? "enable f16;" : "") +
      (this.#usesSubgroups ? profile.subgroupEnable : "") + this.#source;
  }
}
