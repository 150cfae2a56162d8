/**
 * A stand-in for a GPU that computes nothing and holds nothing: what the pool would hold can be
 * counted for models that no machine at hand can run.
 *
 * @module
 */

import { Device } from "../kernels/core/device.ts";
import type { Profile } from "../kernels/core/profile.ts";

const LARGE_GPU: Profile = {
  driver: "gpu",
  subgroups: false,
  subgroupSize: 0,
  subgroupEnable: "",
  f16: true,
  maxBindingBytes: 2 ** 31 - 256,
  workgroupBytes: 32768,
  workgroupInvocations: 1024,
  label: "no GPU, for counting",
};

/** A device whose dispatches do nothing; tensors read as zeros. */
export function openDryDevice(profile: Partial<Profile> = {}): Device {
  return new Device(new DryGpu() as unknown as GPUDevice, {
    profile: { ...LARGE_GPU, ...profile },
  });
}

class DryGpu {
  readonly limits = {
    maxBufferSize: 2 ** 40,
    maxStorageBufferBindingSize: 2 ** 40,
    maxTextureDimension2D: 2 ** 20,
  };
  readonly features = new Set<string>();
  readonly lost = new Promise<never>(() => {});
  readonly queue = {
    writeBuffer(): void {},
    submit(): void {},
    onSubmittedWorkDone: (): Promise<void> => Promise.resolve(),
  };

  addEventListener(): void {}
  pushErrorScope(): void {}

  popErrorScope(): Promise<null> {
    return Promise.resolve(null);
  }

  createBuffer({ size }: { size: number }): unknown {
    return {
      destroy(): void {},
      mapAsync: () => Promise.resolve(),
      getMappedRange: () => new ArrayBuffer(size),
    };
  }

  createTexture({ format }: { format: string }): unknown {
    return { format, createView: () => ({}), destroy(): void {} };
  }

  createBindGroupLayout(): unknown {
    return {};
  }

  createPipelineLayout(): unknown {
    return {};
  }

  createShaderModule(): unknown {
    return {};
  }

  createComputePipeline(): unknown {
    return {};
  }

  createBindGroup(): unknown {
    return {};
  }

  createCommandEncoder(): unknown {
    const pass = { setPipeline() {}, setBindGroup() {}, dispatchWorkgroups() {}, end() {} };
    return {
      beginComputePass: () => pass,
      copyBufferToBuffer() {},
      copyBufferToTexture() {},
      finish: () => ({}),
    };
  }

  destroy(): void {}
}
