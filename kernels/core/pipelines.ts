/**
 * What a dispatch needs of a kernel and its tensors: compiled pipelines, bind groups, parameters.
 *
 * @module
 */

import { blockBytes, mostStagedBytes, type Pooled } from "./buffer_pool.ts";
import { ShaderCompilationError } from "./errors.ts";
import type { Binding, Kernel } from "./kernel.ts";
import { isWhole } from "./limits.ts";
import type { Profile } from "./profile.ts";
import type { Recorder, WriteParams } from "./recorder.ts";
import { formatShape, onAnother, type Tensor } from "./tensor.ts";

/** A kernel with values of its overrides, ready to run. */
export interface CompiledKernel {
  /** What a dispatch runs. */
  readonly pipeline: GPUComputePipeline;
  /** What its bind groups hold. */
  readonly layout: GPUBindGroupLayout;
  /** Those made so far, by what they bind. */
  readonly groups: Map<string, GPUBindGroup>;
}

/**
 * Runs `make`. A validation error that it causes is thrown at the next wait: as what `describe` makes of it,
 * or else with the names under which it was recorded.
 */
export type Validated = <T>(make: () => T, describe?: (error: GPUError) => Error) => T;

/** Bind groups kept at most, after which all are made anew: those of tensors long gone hold their buffers. */
const MAX_CACHED_GROUPS = 8192;

/** The compiled kernels of a device and their bind groups. */
export class Pipelines {
  readonly #gpu: GPUDevice;
  readonly #profile: Profile;
  readonly #recorder: Recorder;
  readonly #validated: Validated;
  /** Bytes that a binding takes at most, kept here since Deno takes 0.1 µs to tell them. */
  readonly #mostBytes: Readonly<Record<"buffer" | "texture", number>>;
  readonly #compiled = new Map<Kernel, Map<string, CompiledKernel>>();
  #cachedGroups = 0;

  /** Starts with nothing compiled. A tensor of another device is known by its recorder. */
  constructor(
    gpu: GPUDevice,
    options: { profile: Profile; recorder: Recorder; validated: Validated },
  ) {
    this.#gpu = gpu;
    this.#profile = options.profile;
    this.#recorder = options.recorder;
    this.#validated = options.validated;
    const { limits } = gpu;
    this.#mostBytes = {
      buffer: limits.maxStorageBufferBindingSize,
      texture: mostStagedBytes(limits),
    };
  }

  /**
   * The pipeline of a kernel with values of its overrides, compiled once. Throws `TypeError` for an
   * override that it does not have.
   */
  compile(kernel: Kernel, constants: Readonly<Record<string, number>> = {}): CompiledKernel {
    let variants = this.#compiled.get(kernel);
    if (!variants) this.#compiled.set(kernel, variants = new Map());
    let key = "";
    for (const name in constants) key += `${name}=${constants[name]},`;
    const known = variants.get(key);
    if (known) return known;
    for (const name of Object.keys(constants)) {
      if (!kernel.overrides.has(name)) {
        throw new TypeError(
          `Cannot compile ${kernel.name}: override ${name}, expected ${listed(kernel.overrides)}`,
        );
      }
    }
    const { layout, pipeline } = this.#validated(
      () => this.#create(kernel, constants),
      (error) => {
        variants.delete(key);
        return new ShaderCompilationError(kernel.name, error.message);
      },
    );
    const compiled = { pipeline, layout, groups: new Map<string, GPUBindGroup>() };
    variants.set(key, compiled);
    return compiled;
  }

  /**
   * The bind group of a kernel's tensors, made once; what it binds as textures is staged. Throws `TypeError`
   * when names, types or devices are not the kernel's, or when a tensor that is written lies in one buffer
   * with another, and `RangeError` for one that is too large to bind.
   */
  bindGroup(
    kernel: Kernel,
    compiled: CompiledKernel,
    tensors: Readonly<Record<string, Tensor>>,
  ): GPUBindGroup {
    const { bindings } = kernel;
    if (Object.keys(tensors).length !== bindings.length) throw bindingMismatch(kernel, tensors);
    let key = "";
    for (const binding of bindings) {
      const tensor = tensors[binding.name];
      if (!tensor) throw bindingMismatch(kernel, tensors);
      if (tensor.dtype !== binding.dtype) {
        const advice = tensor.dtype === "u32" || binding.dtype === "u32" ? "" : ", use cast";
        throw new TypeError(
          `Cannot dispatch ${kernel.name}: ${binding.name} is ${tensor.dtype}, ` +
            `expected ${binding.dtype}${advice}`,
        );
      }
      const { storage, offset, bytes } = tensor;
      if (storage.device.recorder !== this.#recorder) {
        throw onAnother(`dispatch ${kernel.name}`, binding.name);
      }
      this.#assertBindable(kernel, binding, tensor);
      if (binding.access === "texture") key += `t${this.#stage(tensor).id},`;
      // Most tensors have a buffer to themselves, which needs no range and no long text.
      else if (blockBytes(bytes) === storage.pooled.bytes) key += `${storage.pooled.id},`;
      else key += `${storage.pooled.id}:${offset}:${bytes},`;
    }
    const known = compiled.groups.get(key);
    if (known) return known;
    assertApart(kernel, tensors);
    if (++this.#cachedGroups > MAX_CACHED_GROUPS) this.forgetGroups();
    const entries = bindings.map(({ name, index: binding, access }): GPUBindGroupEntry => {
      const tensor = tensors[name]!;
      // Staged above, and not again.
      const resource = access === "texture"
        ? this.#stage(tensor).resource.createView()
        : bufferRange(tensor);
      return { binding, resource };
    });
    if (kernel.params.length > 0) {
      const { paramsBuffer, slotBytes } = this.#recorder;
      entries.push({ binding: 0, resource: { buffer: paramsBuffer, size: slotBytes } });
    }
    const { layout } = compiled;
    const group = this.#validated(() => this.#gpu.createBindGroup({ layout, entries }));
    compiled.groups.set(key, group);
    return group;
  }

  /** Lets go of all bind groups, and with them of what they bind. */
  forgetGroups(): void {
    for (const variants of this.#compiled.values()) {
      for (const { groups } of variants.values()) groups.clear();
    }
    this.#cachedGroups = 0;
  }

  #create(
    kernel: Kernel,
    constants: Readonly<Record<string, number>>,
  ): { pipeline: GPUComputePipeline; layout: GPUBindGroupLayout } {
    const layout = this.#gpu.createBindGroupLayout({ entries: layoutEntries(kernel) });
    const pipeline = this.#gpu.createComputePipeline({
      label: kernel.name,
      layout: this.#gpu.createPipelineLayout({ bindGroupLayouts: [layout] }),
      compute: {
        module: this.#gpu.createShaderModule({
          label: kernel.name,
          code: kernel.code(this.#profile),
        }),
        entryPoint: kernel.name,
        constants: { ...constants },
      },
    });
    return { pipeline, layout };
  }

  #assertBindable(kernel: Kernel, { name, access }: Binding, tensor: Tensor): void {
    const size = blockBytes(tensor.bytes);
    const most = this.#mostBytes[access === "texture" ? "texture" : "buffer"];
    if (size <= most) return;
    throw new RangeError(
      `Cannot bind ${name} ${formatShape(tensor.shape)} of ${kernel.name}: ${size} ` +
        `bytes, the GPU takes ${most} at most, expected smaller parts, such as a smaller batch`,
    );
  }

  #stage(tensor: Tensor): Pooled<GPUTexture> {
    const { buffer, offset, bytes } = tensor;
    return tensor.storage.staged({ offset, bytes }, (texture) => {
      this.#recorder.copyToTexture({ buffer, offset, bytes }, texture.resource);
    });
  }
}

/**
 * What writes the parameters of a dispatch; undefined for a kernel that has none. Throws `TypeError` when
 * names are not the kernel's, and `RangeError` for a value that is not of its type.
 */
export function paramsWriter(
  kernel: Kernel,
  values: Readonly<Record<string, number>>,
): WriteParams | undefined {
  if (Object.keys(values).length !== kernel.params.length) throw paramsMismatch(kernel, values);
  for (const { name, type } of kernel.params) {
    const value = values[name];
    if (value === undefined) throw paramsMismatch(kernel, values);
    if (type === "f32" || isWhole(type === "i32" ? value + 2 ** 31 : value, 2 ** 32 - 1)) continue;
    throw new RangeError(`Cannot dispatch ${kernel.name}: ${name} is ${value}, expected a ${type}`);
  }
  if (kernel.params.length === 0) return undefined;
  return (words, firstWord) => {
    for (const { name, type, offset } of kernel.params) {
      words[type][firstWord + offset / 4] = values[name]!;
    }
  };
}

/** WebGPU refuses a dispatch, without a name, that writes a buffer which it binds once more. */
function assertApart(kernel: Kernel, tensors: Readonly<Record<string, Tensor>>): void {
  for (const { name, access } of kernel.bindings) {
    if (access !== "write") continue;
    const other = kernel.bindings.find((each) =>
      each.name !== name && each.access !== "texture" &&
      tensors[each.name]!.storage === tensors[name]!.storage
    );
    if (!other) continue;
    throw new TypeError(
      `Cannot dispatch ${kernel.name}: ${name} is written and lies in one buffer with ${other.name}, ` +
        "expected another tensor, not a parameter of the same store",
    );
  }
}

function layoutEntries(kernel: Kernel): GPUBindGroupLayoutEntry[] {
  const visibility = GPUShaderStage.COMPUTE;
  const entries = kernel.bindings.map(({ index: binding, access }): GPUBindGroupLayoutEntry =>
    access === "texture"
      ? { binding, visibility, storageTexture: { access: "read-only", format: "rgba32float" } }
      : {
        binding,
        visibility,
        buffer: { type: access === "write" ? "storage" : "read-only-storage" },
      }
  );
  if (kernel.params.length > 0) {
    entries.push({ binding: 0, visibility, buffer: { type: "uniform", hasDynamicOffset: true } });
  }
  return entries;
}

/** Bound ranges are whole blocks, so that a kernel may read its last vec4 past the end. */
function bufferRange(tensor: Tensor): GPUBufferBinding {
  const { buffer, offset, bytes } = tensor;
  return { buffer, offset, size: blockBytes(bytes) };
}

function bindingMismatch(kernel: Kernel, tensors: Readonly<Record<string, Tensor>>): TypeError {
  return new TypeError(
    `Cannot dispatch ${kernel.name}: tensors ${listed(givenIn(tensors))}, expected ` +
      listed(kernel.bindings.map(({ name }) => name)),
  );
}

function paramsMismatch(kernel: Kernel, values: Readonly<Record<string, number>>): TypeError {
  return new TypeError(
    `Cannot dispatch ${kernel.name}: params ${listed(givenIn(values))}, expected ` +
      listed(kernel.params.map(({ name }) => name)),
  );
}

/** The names of what is not undefined. */
function givenIn(record: Readonly<Record<string, unknown>>): string[] {
  return Object.keys(record).filter((name) => record[name] !== undefined);
}

function listed(names: Iterable<string>): string {
  return [...names].join(", ") || "none";
}
