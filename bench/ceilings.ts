/**
 * What the adapter can do at best, measured in the same run as everything else.
 *
 * @module
 */

import type { Device } from "../kernels/core/device.ts";
import { Kernel } from "../kernels/core/kernel.ts";
import copySource from "./copy.wgsl.ts";
import fmaSource from "./fma.wgsl.ts";
import { measure } from "./measure.ts";

const FMA = new Kernel({ source: fmaSource });
const COPY = new Kernel({ source: copySource });
const FLOPS_PER_INVOCATION = 1024 * 4 * 5 * 4 * 2;

/** The ceilings that bound kernels. */
export interface Ceilings {
  /** Multiply-adds in registers, in GFLOP/s. */
  readonly gigaflops: number;
  /** A copy kernel's bytes read and written, in GB/s. */
  readonly gigabytes: number;
  /** A dispatch in an open pass, in microseconds. */
  readonly dispatchMicroseconds: number;
}

/** Measures the ceilings. */
export async function measureCeilings(device: Device, wait: number): Promise<Ceilings> {
  const invocations = device.profile.driver === "cpu" ? 2 ** 13 : 2 ** 18;
  const elements = 2 ** 22;
  using out = device.tensor(new Float32Array(elements).fill(0.5), [elements]);
  using x = device.tensor(new Float32Array(elements), [elements]);
  using small = device.tensor(new Float32Array(256), [256]);
  const fma = await measure(
    device,
    () => device.dispatch(FMA, { tensors: { out }, workgroups: [invocations / 64] }),
    { wait },
  );
  const copy = await measure(
    device,
    () => device.dispatch(COPY, { tensors: { x, out }, workgroups: [elements / 4 / 64] }),
    { wait },
  );
  const dispatch = await measure(
    device,
    () => {
      for (let i = 0; i < 100; i++) {
        device.dispatch(COPY, { tensors: { x, out: small }, workgroups: [1] });
      }
    },
    { wait },
  );
  return {
    gigaflops: invocations * FLOPS_PER_INVOCATION / fma.milliseconds / 1e6,
    gigabytes: elements * 8 / copy.milliseconds / 1e6,
    dispatchMicroseconds: dispatch.milliseconds * 10,
  };
}
