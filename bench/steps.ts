/**
 * Whole training steps and network evaluations: time, what JavaScript takes of it, allocations and
 * memory.
 *
 * @module
 */

import { Device } from "../kernels/core/device.ts";
import { ParameterStore } from "../kernels/core/parameter_store.ts";
import { countFlops } from "../model/cost.ts";
import { SiT } from "../model/sit.ts";
import { conditionedNetwork } from "../sample/draw.ts";
import { sampleEuler } from "../sample/ode.ts";
import { median } from "./measure.ts";
import { type KernelTime, profile } from "./profile.ts";
import { makeTrainer, oneHotSnippets, SNIPPET_DIM, stepFlops, type Workload } from "./workload.ts";

/** A measured step. */
export interface StepRow {
  /** The workload. */
  readonly group: string;
  /** What was measured. */
  readonly name: "training step" | "network evaluation";
  /** Images at once. */
  readonly batch: number;
  /** Floating-point operations. */
  readonly flops: number;
  /** Median time, the wait for the GPU taken off. */
  readonly milliseconds: number;
  /** Slowest over fastest. */
  readonly spread: number;
  /** Median time in which JavaScript recorded it. */
  readonly javascriptMilliseconds: number;
  /** Dispatches. */
  readonly dispatches: number;
  /** Buffers and textures made after the first one; 0 when the pool recycles all. */
  readonly allocations: number;
  /** Most bytes that the pool handed out at once, parameters included. */
  readonly peakBytes: number;
  /** Times of the kernels, longest first, where the adapter has timestamps. */
  readonly kernels: readonly KernelTime[];
}

/** How often, and less what. */
export interface StepOptions {
  /** Steps that count, after two that do not. */
  readonly steps: number;
  /** Cost of a wait for the GPU. */
  readonly wait: number;
  /** Time the kernels, too. Default `false`. */
  readonly kernels?: boolean;
}

/** Measures training steps on a device of their own, whose memory is theirs alone. */
export async function benchTraining(
  workload: Workload,
  { steps, wait, kernels = false }: StepOptions,
): Promise<StepRow> {
  using device = await Device.open({ allowCpuDriver: true });
  using trainer = makeTrainer(device, workload);
  const step = async (onStep?: () => void) => {
    const options = { steps: trainer.step + 1, logEvery: 1, ...(onStep && { onStep }) };
    for await (const _ of trainer.run(options)) { /* one step */ }
  };
  const timed = await timeSteps(device, step, { steps, wait });
  return {
    group: workload.name,
    name: "training step",
    batch: workload.batch,
    flops: stepFlops(workload),
    ...timed,
    kernels: kernels ? await kernelTimes(device, step) : [],
  };
}

/** Measures evaluations of the network, as a sampler runs them. */
export async function benchSampling(
  { name, batch, model: sizes }: Workload,
  { steps, wait, kernels = false }: StepOptions,
): Promise<StepRow> {
  using device = await Device.open({ allowCpuDriver: true });
  using store = new ParameterStore(device, { seed: 0 });
  const model = new SiT(store, sizes);
  const { channels, inputSize } = sizes, shape = [batch, channels, inputSize, inputSize];
  using noise = device.tensor(
    Float32Array.from({ length: batch * channels * inputSize ** 2 }, (_, i) => Math.sin(i)),
    shape,
  );
  using condition = device.tensor(oneHotSnippets(batch), [batch, SNIPPET_DIM]);
  using embedded = model.embed(condition);
  const network = conditionedNetwork(model, embedded);
  const step = async (onStep?: () => void) => {
    sampleEuler(network, noise, { times: [0, 0.5] }).dispose();
    onStep?.();
    await device.settle();
  };
  const timed = await timeSteps(device, step, { steps, wait });
  return {
    group: name,
    name: "network evaluation",
    batch,
    flops: batch * countFlops(sizes).forward,
    ...timed,
    kernels: kernels ? await kernelTimes(device, step) : [],
  };
}

async function timeSteps(
  device: Device,
  step: (onStep: () => void) => Promise<void>,
  { steps, wait }: { steps: number; wait: number },
): Promise<
  Pick<
    StepRow,
    | "milliseconds"
    | "spread"
    | "javascriptMilliseconds"
    | "dispatches"
    | "allocations"
    | "peakBytes"
  >
> {
  const { pool, recorder } = device;
  await step(() => {});
  const { created } = pool;
  await step(() => {});
  const { dispatches } = recorder;
  const times: number[] = [], scripts: number[] = [];
  for (let i = 0; i < steps; i++) {
    const start = performance.now();
    let recorded = start;
    await step(() => recorded = performance.now());
    times.push(Math.max(1e-3, performance.now() - start - wait));
    scripts.push(recorded - start);
  }
  return {
    milliseconds: median(times),
    spread: Math.max(...times) / Math.min(...times),
    javascriptMilliseconds: median(scripts),
    dispatches: (recorder.dispatches - dispatches) / steps,
    allocations: pool.created - created,
    peakBytes: pool.peakBytes,
  };
}

async function kernelTimes(device: Device, step: () => Promise<void>): Promise<KernelTime[]> {
  return device.gpu.features.has("timestamp-query") ? await profile(device, step) : [];
}
