/**
 * `deno task bench`: see `BENCH_COMMAND`.
 *
 * @module
 */

import { parseArguments } from "../cli/arguments.ts";
import { BENCH_COMMAND } from "../cli/commands/bench.ts";
import { prepareOutput, writeOutput } from "../cli/output_file.ts";
import { plotRoofline, type RooflinePoint } from "../cli/plot_roofline.ts";
import { openProgress } from "../cli/progress.ts";
import { runCommand } from "../cli/run_command.ts";
import { say } from "../cli/say.ts";
import { VERSION } from "../cli/version.ts";
import { Device } from "../kernels/core/device.ts";
import { bestCeilings, measureCeilings } from "./ceilings.ts";
import { benchMatmul, MATMULS } from "./matmuls.ts";
import { countMemory, type MemoryRow } from "./memory.ts";
import { benchOp, bounded, type MeasuredOp, opCases, type OpRow } from "./ops.ts";
import {
  type BenchResult,
  compareResults,
  comparisonTable,
  markdownTable,
  parseResult,
  resultTables,
  type Table,
  textTable,
} from "./report.ts";
import { benchSampling, benchTraining, type StepRow } from "./steps.ts";
import { largeWorkload, type Workload, WORKLOADS } from "./workload.ts";

type Part = "matmul" | "ops" | "steps" | "memory";

const ALL_PARTS: readonly Part[] = ["matmul", "ops", "steps", "memory"];

/** Ops of each workload that the roofline names. */
const MOST_NAMED = 9;

/** Whole steps of a large network take a CPU driver minutes. */
const STEPS = { cpu: 4, gpu: 10 } as const;

await runCommand(main);

async function main(): Promise<void> {
  const { options } = parseArguments(BENCH_COMMAND, Deno.args);
  const { compare, out, markdown, json } = options;
  // Files come before the measurements: minutes later would be late to learn that one cannot be used.
  const older = compare === undefined
    ? undefined
    : parseResult(await readOlder(compare), { path: compare });
  if (out !== undefined) await prepareOutput(out, { inputs: [compare] });
  const parts: readonly Part[] = options.only.length > 0 ? options.only : ALL_PARTS;
  const result = await measureAll(parts);
  if (out !== undefined) {
    await writeOutput(out, await plotRoofline(rooflinePoints(result), result.ceilings));
    say(`wrote ${out}`);
  }
  if (json) return console.log(JSON.stringify(result));
  const tables = resultTables(result);
  if (older) tables.push(comparisonTable(compareResults(older, result), older));
  print(tables, { markdown, result });
}

/** The text of an earlier run's results. */
async function readOlder(path: string): Promise<string> {
  try {
    return await Deno.readTextFile(path);
  } catch (cause) {
    if (!(cause instanceof Deno.errors.NotFound)) throw cause;
    throw new Deno.errors.NotFound(
      `Cannot compare with ${path}: there is no such file, expected what deno task bench --json printed`,
      { cause },
    );
  }
}

async function measureAll(parts: readonly Part[]): Promise<BenchResult> {
  using device = await Device.open({ allowCpuDriver: true });
  const { driver, label } = device.profile;
  say(`device  ${label}`);
  const small = WORKLOADS.find(({ name }) => name === "small")!, large = largeWorkload(driver);
  const cases = parts.includes("ops")
    ? [small, large].flatMap((workload) =>
      opCases(workload).map((op) => ({ group: workload.name, op }))
    )
    : [];
  const products = parts.includes("matmul") ? MATMULS : [];
  const stepped = parts.includes("steps")
    ? [...WORKLOADS, ...(driver === "gpu" ? [large] : [])]
    : [];
  const counted = parts.includes("memory") ? [...WORKLOADS, { ...large, batch: 32 }] : [];
  const total = 2 + products.length + cases.length + 2 * stepped.length + 2 * counted.length;
  using progress = openProgress(total);
  let done = 0;
  const finished = <T>(value: T): T => {
    progress.advance(++done);
    return value;
  };
  const before = finished(await measureCeilings(device)), wait = before.waitMilliseconds;
  const matmuls: MeasuredOp[] = [],
    ops: MeasuredOp[] = [],
    steps: StepRow[] = [],
    memory: MemoryRow[] = [];
  for (const product of products) {
    matmuls.push(finished(await benchMatmul(device, { product, wait })));
  }
  for (const each of cases) ops.push(...finished(await benchOp(device, { ...each, wait })));
  for (const workload of stepped) {
    for (const row of await benchSteps(workload, { wait, driver })) steps.push(finished(row));
  }
  for (const workload of counted) {
    for (const recompute of [false, true]) {
      memory.push(finished(await countMemory(workload, { recompute })));
    }
  }
  const ceilings = bestCeilings(before, finished(await measureCeilings(device)));
  return {
    adapter: label,
    version: VERSION,
    date: new Date().toISOString(),
    ceilings,
    matmuls: matmuls.map((product) => bounded(product, ceilings)),
    ops: ops.map((op) => bounded(op, ceilings)),
    steps,
    memory,
  };
}

async function benchSteps(
  workload: Workload,
  { wait, driver }: { wait: number; driver: "cpu" | "gpu" },
): Promise<StepRow[]> {
  const options = { steps: STEPS[driver], wait };
  return [
    await benchTraining(workload, { ...options, kernels: true }),
    await benchSampling(workload, options),
  ];
}

function print(
  tables: readonly Table[],
  { markdown, result }: { markdown: boolean; result: BenchResult },
): void {
  const { adapter, date, version } = result;
  if (markdown) console.log(`gmem ${version}, ${date.slice(0, 10)}, ${adapter}.\n`);
  for (const table of tables) {
    for (const line of markdown ? markdownTable(table) : textTable(table)) console.log(line);
  }
}

/** All ops as points; named are square products and the costliest op of each kind. */
function rooflinePoints({ matmuls, ops }: BenchResult): RooflinePoint[] {
  const named = new Set(matmuls.filter(({ name }) => name.endsWith("³")));
  for (const group of new Set(ops.map((op) => op.group))) {
    const kinds = new Map<string, OpRow>();
    const costs = (op: OpRow) => op.count * op.milliseconds;
    for (const op of ops.filter((op) => op.group === group)) {
      const kind = op.name.replace(/^\w+: (?:\w+ (?=linear))?/, "").replace(/ \S*[×→]\S*/, "");
      const costliest = kinds.get(kind);
      if (!costliest || costs(op) > costs(costliest)) kinds.set(kind, op);
    }
    const costliest = [...kinds.values()].sort((a, b) => costs(b) - costs(a));
    for (const op of costliest.slice(0, MOST_NAMED)) named.add(op);
  }
  return [...matmuls, ...ops].map((row) => ({
    label: named.has(row) ? row.name : "",
    kind: row.group,
    intensity: row.flops / row.bytes,
    gigaflops: row.flops / row.milliseconds / 1e6,
  }));
}
