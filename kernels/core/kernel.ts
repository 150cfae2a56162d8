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

const ENTRY = /@compute\s*@workgroup_size\(([^)]*)\)\s*fn\s+(\w+)/;
const BINDING =
  /@group\(0\)\s*@binding\((\d+)\)\s*var(?:<\s*(storage|uniform)\s*(?:,\s*(read_write|read)\s*)?>)?\s*(\w+)\s*:\s*([^;]+);/g;
const PARAMS = /struct\s+Params\s*\{([^}]*)\}/;
const FIELD = /^(\w+)\s*:\s*(u32|i32|f32)$/;
const TEXTURE = "texture_storage_2d<rgba32float,read>";
const OVERRIDE = /override\s+(\w+)\s*:/g;

function elementTypeOf(type: string): DType {
  if (/\bf16\b|\bvec2u\b/.test(type)) return "f16";
  return /\bu32\b|\bvec4u\b/.test(type) ? "u32" : "f32";
}

function withoutComments(source: string): string {
  return source.replace(/\/\/[^\n]*/g, "");
}

/**
 * A compute shader: one whole WGSL text with `struct Params` of flat u32/i32/f32 at binding 0
 * (`var<uniform> params`) and from 1 storage bindings, or `texture_storage_2d<rgba32float, read>`.
 * A tensor bound to a texture is copied into one first, which is how the CPU driver reads fastest;
 * the shader `common/texel_of` says where its elements lie there.
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

  /** Reads the shader; `includes` are texts with functions and what they share, put before it. */
  constructor(options: { source: string; includes?: readonly string[] }) {
    this.#source = [...(options.includes ?? []), options.source].join("\n");
    const text = withoutComments(this.#source);
    const entry = ENTRY.exec(text);
    if (!entry) throw new SyntaxError("Cannot read shader: no @compute entry point");
    this.name = entry[2]!;
    this.#usesSubgroups = /\bsubgroup[A-Z_]/.test(text);
    this.#usesHalves = /\bf16\b/.test(text);
    this.overrides = new Set([...text.matchAll(OVERRIDE)].map((match) => match[1]!));
    const bindings: Binding[] = [];
    for (const [, index, space, access, name, type] of text.matchAll(BINDING)) {
      if (space === "uniform") {
        if (index !== "0" || name !== "params") {
          throw new SyntaxError(
            `Cannot read kernel ${this.name}: uniform ${name} is not params at 0`,
          );
        }
        continue;
      }
      if (space === undefined && type?.replace(/\s/g, "") !== TEXTURE) {
        throw new SyntaxError(`Cannot read kernel ${this.name}: binding ${name} of type ${type}`);
      }
      bindings.push({
        name: name!,
        index: Number(index),
        access: space === undefined ? "texture" : access === "read_write" ? "write" : "read",
        dtype: elementTypeOf(type!),
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

  /** The complete text for a profile: the `enable` lines that it needs, includes, shader. */
  code(profile: Profile): string {
    return (this.#usesHalves ? "enable f16;\n" : "") +
      (this.#usesSubgroups ? profile.subgroupEnable : "") + this.#source;
  }
}
