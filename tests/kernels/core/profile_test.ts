import assert from "node:assert/strict";
import { requestDevice } from "../../../kernels/core/profile.ts";

/** What an adapter says of itself and does. */
interface Stated {
  info?: Partial<GPUAdapterInfo> & { isFallbackAdapter?: boolean };
  /** Features that the adapter lists. */
  features?: readonly string[];
  /** Limits that differ from {@linkcode LIMITS}. */
  limits?: Partial<typeof LIMITS>;
  /** Whether its devices have subgroups, listed or not. */
  subgroups?: boolean;
  /** Whether shaders with subgroup operations compile, given whether they enable them. */
  compiles?: (enabled: boolean) => boolean;
}

const LIMITS = {
  maxBufferSize: 4096,
  maxStorageBufferBindingSize: 2048,
  maxComputeWorkgroupStorageSize: 16384,
  maxComputeInvocationsPerWorkgroup: 256,
  maxTextureDimension2D: 8192,
};

/** An adapter that grants what it lists, and remembers what it was asked for. */
function adapterOf(stated: Stated, asked: GPUDeviceDescriptor[] = []): GPUAdapter {
  const { info = {}, features = [], limits, subgroups = false, compiles = () => true } = stated;
  return {
    info: { vendor: "", architecture: "", description: "", ...info },
    features: new Set(features),
    limits: { ...LIMITS, ...limits },
    requestDevice(descriptor: GPUDeviceDescriptor) {
      const wanted = [...descriptor.requiredFeatures ?? []] as string[];
      asked.push(descriptor);
      if (wanted.includes("subgroups") && !subgroups) return Promise.reject(new TypeError("no"));
      let scopes = 0, failed = false;
      return Promise.resolve({
        features: new Set(wanted),
        limits: descriptor.requiredLimits,
        pushErrorScope() {
          scopes++;
          failed = false;
        },
        popErrorScope: () =>
          scopes-- > 0 ? Promise.resolve(failed ? {} : null) : Promise.reject(new Error("none")),
        createShaderModule: ({ code }: { code: string }) => {
          failed = !compiles(code.startsWith("enable subgroups;"));
        },
        createComputePipeline: () => {},
      });
    },
  } as unknown as GPUAdapter;
}

Deno.test("requestDevice() tells drivers of the CPU by a flag or their name", async () => {
  for (
    const [info, driver] of [
      [{ description: "llvmpipe (LLVM 15.0.6, 256 bits)" }, "cpu"],
      [{ description: "SwiftShader Device (LLVM 10.0.0)" }, "cpu"],
      [{ description: "Some adapter", isFallbackAdapter: true }, "cpu"],
      [{ description: "Some adapter", isFallbackAdapter: false }, "gpu"],
      [{ description: "Some adapter" }, "gpu"],
    ] as const
  ) {
    const { profile } = await requestDevice(adapterOf({ info }));
    assert.equal(profile.driver, driver, info.description);
  }
});

Deno.test("requestDevice() asks for all that the adapter has, and reads the limits it got", async () => {
  const asked: GPUDeviceDescriptor[] = [];
  const features = ["shader-f16", "timestamp-query", "texture-compression-bc"];
  const { profile } = await requestDevice(adapterOf({ features }, asked));
  // Subgroups are asked for although they are not listed, then left out where they are refused.
  assert.deepEqual(
    asked.map(({ requiredFeatures }) => requiredFeatures),
    [["shader-f16", "timestamp-query", "subgroups"], ["shader-f16", "timestamp-query"]],
  );
  for (const { requiredLimits } of asked) {
    for (const [name, limit] of Object.entries(LIMITS)) assert.equal(requiredLimits![name], limit);
  }
  assert.equal(profile.f16, true);
  assert.deepEqual(
    [profile.maxBindingBytes, profile.workgroupBytes, profile.workgroupInvocations],
    [2048, 16384, 256],
  );
  assert.equal((await requestDevice(adapterOf({}))).profile.f16, false);
});

Deno.test("requestDevice() lets CPU drivers bind no more than a texture takes, and buffers hold", async () => {
  const large = { maxBufferSize: 2 ** 31, maxStorageBufferBindingSize: 2 ** 30 };
  for (
    const [isFallbackAdapter, limits, bytes] of [
      [false, large, 2 ** 30],
      // What many GPUs state, of which the last block of 256 is no whole one.
      [
        false,
        { maxBufferSize: 2 ** 31 - 1, maxStorageBufferBindingSize: 2 ** 31 - 4 },
        2 ** 31 - 256,
      ],
      [true, large, 2 ** 27],
      [true, { ...large, maxTextureDimension2D: 2 ** 15 }, 2 ** 29],
      [true, { ...large, maxStorageBufferBindingSize: 2 ** 26 }, 2 ** 26],
      [true, { ...large, maxBufferSize: 2 ** 25 }, 2 ** 25],
    ] as const
  ) {
    const { profile } = await requestDevice(adapterOf({ info: { isFallbackAdapter }, limits }));
    assert.equal(profile.maxBindingBytes, bytes);
  }
});

Deno.test("requestDevice() finds out how subgroups compile, if they do", async () => {
  const info = { subgroupMinSize: 32, subgroupMaxSize: 32 };
  for (
    const [stated, expected] of [
      [{ subgroups: true, compiles: (enabled: boolean) => !enabled }, [true, 32, ""]],
      [
        { subgroups: true, compiles: (enabled: boolean) => enabled },
        [true, 32, "enable subgroups;"],
      ],
      [{ subgroups: true, compiles: () => false }, [false, 0, ""]],
      [{ subgroups: false }, [false, 0, ""]],
    ] as const
  ) {
    const { profile } = await requestDevice(adapterOf({ info, ...stated }));
    assert.deepEqual(
      [profile.subgroups, profile.subgroupSize, profile.subgroupEnable],
      expected,
    );
  }
  // Kernels that count on one size must not run where it varies, or where it is not known.
  for (const sizes of [{ subgroupMinSize: 8, subgroupMaxSize: 32 }, {}]) {
    const { profile } = await requestDevice(adapterOf({ info: sizes, subgroups: true }));
    assert.deepEqual([profile.subgroups, profile.subgroupSize], [true, 0]);
  }
});

Deno.test("requestDevice() names an adapter whose driver gives no device, and says why", async () => {
  const info = { vendor: "", architecture: "", description: "Some adapter" };
  const full = {
    ...adapterOf({}),
    info,
    requestDevice: () =>
      Promise.reject(new DOMException("Not enough memory left.", "OperationError")),
  } as unknown as GPUAdapter;
  await assert.rejects(requestDevice(full), {
    name: "UnsupportedDeviceError",
    message:
      'Cannot open Some adapter: its driver says "Not enough memory left.", expected one that works ' +
      "and has memory left",
  });
});

Deno.test("requestDevice() labels an adapter by its name and what was found", async () => {
  const size = { subgroupMinSize: 32, subgroupMaxSize: 32 };
  for (
    const [stated, label] of [
      [
        { info: { ...size, description: "A GPU", vendor: "maker" }, subgroups: true },
        "A GPU, GPU, subgroups of 32, no f16",
      ],
      [
        { info: { vendor: "maker", architecture: "first" }, features: ["shader-f16"] },
        "maker first, GPU, no subgroups, f16",
      ],
      [
        { info: { architecture: "first", isFallbackAdapter: true }, subgroups: true },
        "first, CPU driver, subgroups of varying size, no f16",
      ],
      [{}, "unnamed adapter, GPU, no subgroups, no f16"],
    ] as const
  ) {
    const { profile } = await requestDevice(adapterOf(stated));
    assert.equal(profile.label, label);
  }
});
