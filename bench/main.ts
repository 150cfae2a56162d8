/**
 * `deno task bench`: what the adapter can do, and how near kernels and steps come.
 *
 * `deno task bench [--json]` prints a table or one JSON object.
 *
 * @module
 */

import { runCommand } from "../cli/run_command.ts";
import { Device } from "../kernels/core/device.ts";
import { matmulInto } from "../kernels/matmul/mod.ts";
import { type Ceilings, measureCeilings } from "./ceilings.ts";
import { measure, median, waitMilliseconds } from "./measure.ts";
import { profile } from "./profile.ts";
import { makeTrainer, stepFlops, type Workload, WORKLOADS } from "./workload.ts";

const MATMULS = [
  { name: "512³", M: 512, N: 512, K: 512, transposeA: false, transposeB: false },
  { name: "1024³", M: 1024, N: 1024, K: 1024, transposeA: false, transposeB: false },
  { name: "forward 2048×768×256", M: 2048, N: 768, K: 256, transposeA: false, transposeB: true },
  { name: "input 2048×256×768", M: 2048, N: 256, K: 768, transposeA: false, transposeB: false },
  { name: "weight 768×256×2048", M: 768, N: 256, K: 2048, transposeA: true, transposeB: false },
] as const;

const STEPS = 8;

await runCommand(main, { debug: Deno.args.includes("--debug") });

async function main(): Promise<void> {
  const json = Deno.args.includes("--json");
  using device = await Device.open({ allowFallback: true });
  const wait = await waitMilliseconds(device);
  const ceilings = await measureCeilings(device, wait);
  const matmuls = [];
  for (const size of MATMULS) matmuls.push(await benchMatmul(device, { ...size, wait, ceilings }));
  const steps = [];
  for (const workload of WORKLOADS) steps.push(await benchStep(device, workload));
  const result = {
    adapter: device.profile.label,
    date: new Date().toISOString(),
    wait,
    ceilings,
    matmuls,
    steps,
  };
  if (json) console.log(JSON.stringify(result));
  else print(result);
}

async function benchMatmul(
  device: Device,
  options: (typeof MATMULS)[number] & { wait: number; ceilings: Ceilings },
): Promise<{ name: string; milliseconds: number; gigaflops: number; share: number }> {
  const { name, M, N, K, transposeA, transposeB, wait, ceilings } = options;
  using a = device.tensor(new Float32Array(M * K).fill(0.1), [M * K]);
  using b = device.tensor(new Float32Array(K * N).fill(0.1), [K * N]);
  using out = device.empty([M, N]);
  const size = { M, N, K };
  const { milliseconds } = await measure(device, () => {
    // As in a step, one operand is new: its staging counts.
    a.storage.version++;
    matmulInto(out, { a, b, size, transposeA, transposeB });
  }, { wait });
  const gigaflops = 2 * M * N * K / milliseconds / 1e6;
  return { name, milliseconds, gigaflops, share: gigaflops / ceilings.gigaflops };
}

async function benchStep(device: Device, workload: Workload): Promise<{
  name: string;
  milliseconds: number;
  gigaflops: number;
  javascriptMilliseconds: number;
  allocations: number;
  peakBytes: number;
  kernels: { name: string; count: number; milliseconds: number }[];
}> {
  using trainer = makeTrainer(device, workload);
  const step = async () => {
    for await (const _ of trainer.run({ steps: trainer.step + 1, logEvery: 1 })) { /* one step */ }
  };
  await step();
  await step();
  const { created } = device.pool;
  const times: number[] = [], scripts: number[] = [];
  for (let i = 0; i < STEPS; i++) {
    const start = performance.now();
    let recorded = start;
    const records = trainer.run({
      steps: trainer.step + 1,
      logEvery: 1,
      onStep: () => recorded = performance.now(),
    });
    for await (const _ of records) { /* one step */ }
    times.push(performance.now() - start);
    scripts.push(recorded - start);
  }
  const milliseconds = median(times);
  return {
    name: workload.name,
    milliseconds,
    gigaflops: stepFlops(workload) / milliseconds / 1e6,
    javascriptMilliseconds: median(scripts),
    allocations: device.pool.created - created,
    peakBytes: device.pool.peakBytes,
    kernels: await profile(device, step),
  };
}

function print(result: {
  adapter: string;
  ceilings: Ceilings;
  matmuls: Awaited<ReturnType<typeof benchMatmul>>[];
  steps: Awaited<ReturnType<typeof benchStep>>[];
}): void {
  const { ceilings } = result;
  console.log(result.adapter);
  console.log(
    `ceilings: ${ceilings.gigaflops.toFixed(1)} GFLOP/s, copy ${
      ceilings.gigabytes.toFixed(2)
    } GB/s, dispatch ${ceilings.dispatchMicroseconds.toFixed(0)} µs`,
  );
  for (const { name, milliseconds, gigaflops, share } of result.matmuls) {
    console.log(
      `matmul ${name.padEnd(24)} ${milliseconds.toFixed(2).padStart(9)} ms ${
        gigaflops.toFixed(1).padStart(7)
      } GFLOP/s ${(100 * share).toFixed(0).padStart(4)} % of the ceiling`,
    );
  }
  for (const step of result.steps) {
    console.log(
      `step ${step.name.padEnd(12)} ${step.milliseconds.toFixed(0)} ms, ${
        step.gigaflops.toFixed(1)
      } GFLOP/s, JavaScript ${step.javascriptMilliseconds.toFixed(1)} ms, ` +
        `${step.allocations} allocations, peak ${(step.peakBytes / 2 ** 20).toFixed(0)} MiB`,
    );
    for (const { name, count, milliseconds } of step.kernels.slice(0, 10)) {
      console.log(
        `  ${name.padEnd(30)} ${String(count).padStart(4)} × ${
          milliseconds.toFixed(1).padStart(8)
        } ms`,
      );
    }
  }
}
