import assert from "node:assert/strict";
import { Device } from "../../../kernels/core/device.ts";
import { stagedVariant } from "../../../kernels/core/staged_variant.ts";
import { gpuTest } from "../../_gpu.ts";

gpuTest("stagedVariant() reads textures on CPU drivers and buffers on GPUs", (shared) => {
  const [cpu, gpu] = (["cpu", "gpu"] as const).map((driver) =>
    new Device(shared.gpu, { profile: { ...shared.profile, driver } })
  );
  const question = { among: { scalar: 0, texture: 0, vector: 0 }, otherwise: "vector" } as const;
  assert.equal(stagedVariant(cpu!, "gate", question), "texture");
  assert.equal(stagedVariant(gpu!, "gate", question), "vector");
  assert.equal(stagedVariant(cpu!, "gate", { ...question, only: "scalar" }), "scalar");
  // Copies of few elements cost more than they gain.
  assert.equal(stagedVariant(cpu!, "gate", { ...question, elements: 16_383 }), "vector");
  assert.equal(stagedVariant(cpu!, "gate", { ...question, elements: 16_384 }), "texture");
  assert.equal(stagedVariant(gpu!, "gate", { ...question, elements: 16_384 }), "vector");
});

gpuTest("stagedVariant() leaves the choice to who forces it", (shared) => {
  const device = new Device(shared.gpu, {
    profile: { ...shared.profile, driver: "gpu" },
    variants: { cast: "texture" },
  });
  const question = { among: { storage: 0, texture: 0 }, otherwise: "storage" } as const;
  assert.equal(stagedVariant(device, "cast", question), "texture");
});
