/**
 * What an adapter can do, found by trying: Deno grants features that `adapter.features` hides.
 *
 * @module
 */

import { ALIGNMENT_BYTES, mostStagedBytes } from "./buffer_pool.ts";
import { messageOf, UnsupportedDeviceError } from "./errors.ts";

/** The facts by which kernels choose their variant. */
export interface Profile {
  /** `"cpu"` for a software driver such as Mesa's lavapipe, where the best kernel shapes differ. */
  readonly driver: "cpu" | "gpu";
  /** Whether subgroup operations compile. */
  readonly subgroups: boolean;
  /** Invocations in a subgroup where the adapter has one size only, else 0. */
  readonly subgroupSize: number;
  /** The line that a shader with subgroup operations must start with; Dawn needs it, naga refuses it. */
  readonly subgroupEnable: "" | "enable subgroups;";
  /** Whether shaders can use `f16`. */
  readonly f16: boolean;
  /**
   * Largest storage binding in bytes, in whole blocks of 256, as all are; on CPU drivers no more than a texture
   * holds that mirrors it.
   */
  readonly maxBindingBytes: number;
  /** Workgroup memory in bytes. */
  readonly workgroupBytes: number;
  /** Most invocations in one workgroup. */
  readonly workgroupInvocations: number;
  /** One line for people: the adapter's name and what was found. */
  readonly label: string;
}

/** Whether this is a CPU driver with subgroups of 8 or 16 invocations, for which kernels with `LANES` are written. */
export function hasCpuSubgroups({ driver, subgroups, subgroupSize }: Profile): boolean {
  return driver === "cpu" && subgroups && (subgroupSize === 8 || subgroupSize === 16);
}

const LIMITS = [
  "maxBufferSize",
  "maxStorageBufferBindingSize",
  "maxComputeWorkgroupStorageSize",
  "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupSizeX",
  "maxComputeWorkgroupSizeY",
  "maxStorageBuffersPerShaderStage",
  "maxStorageTexturesPerShaderStage",
  "maxTextureDimension2D",
] as const;

const SUBGROUP_PROBE = /* wgsl */ `
@group(0) @binding(0) var<storage, read_write> out: array<f32>;
@compute @workgroup_size(32) fn probe(@builtin(subgroup_invocation_id) lane: u32) {
  out[lane] = subgroupBroadcast(f32(lane), 0u);
}`;

/**
 * Opens the adapter's device with every limit and feature that kernels may use. Throws an
 * `UnsupportedDeviceError` when the driver gives none, as where other programs have filled the memory of the GPU.
 */
export async function requestDevice(
  adapter: GPUAdapter,
): Promise<{ gpu: GPUDevice; profile: Profile }> {
  const requiredLimits: Record<string, number> = {};
  for (const name of LIMITS) requiredLimits[name] = adapter.limits[name];
  const wanted = (["shader-f16", "timestamp-query"] as const)
    .filter((name) => adapter.features.has(name));
  const subgroups = "subgroups" as GPUFeatureName, { info } = adapter;
  const name = info.description || [info.vendor, info.architecture].filter(Boolean).join(" ") ||
    "unnamed adapter";
  // `adapter.features` of Deno omits subgroups although the device grants them, hence the attempt.
  const gpu = await adapter.requestDevice({
    requiredLimits,
    requiredFeatures: [...wanted, subgroups],
  })
    .catch(() => adapter.requestDevice({ requiredLimits, requiredFeatures: wanted }))
    .catch((error) => {
      const said = JSON.stringify(messageOf(error));
      throw new UnsupportedDeviceError(
        `Cannot open ${name}: its driver says ${said}, expected one that works and has memory left`,
        { missing: ["a GPU device"] },
      );
    });
  const enable = await subgroupEnableLine(gpu);
  const driver = info.isFallbackAdapter || /llvmpipe|swiftshader|software/i.test(info.description)
    ? "cpu"
    : "gpu";
  const fixedSize = info.subgroupMinSize === info.subgroupMaxSize ? info.subgroupMinSize : 0;
  const f16 = gpu.features.has("shader-f16");
  const bindingBytes = Math.min(
    gpu.limits.maxStorageBufferBindingSize,
    gpu.limits.maxBufferSize,
    driver === "cpu" ? mostStagedBytes(gpu.limits) : Infinity,
  );
  const profile: Profile = {
    driver,
    subgroups: enable !== undefined,
    subgroupSize: enable === undefined ? 0 : fixedSize ?? 0,
    subgroupEnable: enable ?? "",
    f16,
    maxBindingBytes: bindingBytes - bindingBytes % ALIGNMENT_BYTES,
    workgroupBytes: gpu.limits.maxComputeWorkgroupStorageSize,
    workgroupInvocations: gpu.limits.maxComputeInvocationsPerWorkgroup,
    label: [
      name,
      driver === "cpu" ? "CPU driver" : "GPU",
      enable === undefined ? "no subgroups" : `subgroups of ${fixedSize || "varying size"}`,
      f16 ? "f16" : "no f16",
    ].join(", "),
  };
  return { gpu, profile };
}

async function subgroupEnableLine(gpu: GPUDevice): Promise<Profile["subgroupEnable"] | undefined> {
  if (!gpu.features.has("subgroups" as GPUFeatureName)) return undefined;
  for (const line of ["", "enable subgroups;"] as const) {
    gpu.pushErrorScope("validation");
    gpu.createComputePipeline({
      layout: "auto",
      compute: { module: gpu.createShaderModule({ code: line + SUBGROUP_PROBE }) },
    });
    if (await gpu.popErrorScope() === null) return line;
  }
  return undefined;
}
