/**
 * What the adapter can do at best, measured in the same run as everything else.
 *
 * @module
 */

import texelOf from "../kernels/common/texel_of.wgsl.ts";
import { type Device, spreadWorkgroups } from "../kernels/core/device.ts";
import { Kernel } from "../kernels/core/kernel.ts";
import copySource from "./copy.wgsl.ts";
import copyTextureSource from "./copy_texture.wgsl.ts";
import fmaSource from "./fma.wgsl.ts";
import { measure, waitMilliseconds } from "./measure.ts";

const FMA = new Kernel({ source: fmaSource });
const COPY = new Kernel({ source: copySource });
const COPY_TEXTURE = new Kernel({ source: copyTextureSource, includes: [texelOf] });
/** 1,024 rounds of 4 multiply-adds on vec4 in each of 5 chains, 2 flops each. */
const FLOPS_PER_INVOCATION = 1024 * 4 * 5 * 4 * 2;
/** Dispatches of one measurement of their cost. */
const DISPATCHES = 100;
/** Submissions of one measurement of theirs. */
const SUBMITS = 25;

/** The ceilings that bound kernels. */
export interface Ceilings {
  /** Multiply-adds in registers, in GFLOP/s. */
  readonly gigaflops: number;
  /** Bytes that the faster of the two copy kernels reads and writes, in GB/s. */
  readonly gigabytes: number;
  /** The copy kernel that reads a storage buffer, in GB/s. */
  readonly storageGigabytes: number;
  /** The copy kernel that reads a texture, as kernels for CPU drivers do, in GB/s. */
  readonly textureGigabytes: number;
  /** A dispatch in an open pass, in microseconds. */
  readonly dispatchMicroseconds: number;
  /** A submission of one dispatch, in microseconds, without the dispatch. */
  readonly submitMicroseconds: number;
  /** A wait for the idle GPU, in milliseconds; it is taken off all times here. */
  readonly waitMilliseconds: number;
}

/** The higher rates and the lower costs of two measurements: what else runs on a machine lowers ceilings. */
export function bestCeilings(a: Ceilings, b: Ceilings): Ceilings {
  return {
    gigaflops: Math.max(a.gigaflops, b.gigaflops),
    gigabytes: Math.max(a.gigabytes, b.gigabytes),
    storageGigabytes: Math.max(a.storageGigabytes, b.storageGigabytes),
    textureGigabytes: Math.max(a.textureGigabytes, b.textureGigabytes),
    dispatchMicroseconds: Math.min(a.dispatchMicroseconds, b.dispatchMicroseconds),
    submitMicroseconds: Math.min(a.submitMicroseconds, b.submitMicroseconds),
    waitMilliseconds: Math.min(a.waitMilliseconds, b.waitMilliseconds),
  };
}

/** Measures the ceilings. */
export async function measureCeilings(device: Device): Promise<Ceilings> {
  const cpu = device.profile.driver === "cpu";
  const invocations = cpu ? 2 ** 13 : 2 ** 18, elements = cpu ? 2 ** 22 : 2 ** 24;
  using out = device.tensor(new Float32Array(elements).fill(0.5), [elements]);
  using x = device.tensor(new Float32Array(elements), [elements]);
  using small = device.tensor(new Float32Array(256), [256]);
  const wait = await waitMilliseconds(device);
  const time = async (record: () => void) => (await measure(device, record, { wait })).milliseconds;
  const fma = await time(() =>
    device.dispatch(FMA, { tensors: { out }, workgroups: [invocations / 64] })
  );
  const storage = await time(() =>
    device.dispatch(COPY, {
      tensors: { x, out },
      workgroups: spreadWorkgroups(elements / 4 / 64),
    })
  );
  const texture = await time(() =>
    device.dispatch(COPY_TEXTURE, { tensors: { x, out }, workgroups: [elements / 4 / 256] })
  );
  const one = () => device.dispatch(COPY, { tensors: { x, out: small }, workgroups: [1] });
  const dispatches = await time(() => {
    for (let i = 0; i < DISPATCHES; i++) one();
  });
  const submits = await time(() => {
    for (let i = 0; i < SUBMITS; i++) {
      one();
      device.flush();
    }
  });
  const dispatchMicroseconds = 1000 * dispatches / DISPATCHES;
  const gigabytes = (milliseconds: number) => elements * 8 / milliseconds / 1e6;
  return {
    gigaflops: invocations * FLOPS_PER_INVOCATION / fma / 1e6,
    gigabytes: gigabytes(Math.min(storage, texture)),
    storageGigabytes: gigabytes(storage),
    textureGigabytes: gigabytes(texture),
    dispatchMicroseconds,
    submitMicroseconds: Math.max(0, 1000 * submits / SUBMITS - dispatchMicroseconds),
    waitMilliseconds: wait,
  };
}
