import assert from "node:assert/strict";
import { bestCeilings } from "../../bench/ceilings.ts";
import { exponents, GROWTH, slope } from "../../bench/growth.ts";
import { bounded, type MeasuredOp, opCases, type OpRow } from "../../bench/ops.ts";
import {
  type BenchResult,
  compareResults,
  markdownTable,
  parseResult,
  resultTables,
  textTable,
} from "../../bench/report.ts";
import { STEP_FLOPS } from "../../bench/peers/workload.ts";
import { stepFlops, WORKLOADS } from "../../bench/workload.ts";

const CEILINGS = {
  gigaflops: 100,
  gigabytes: 10,
  storageGigabytes: 10,
  textureGigabytes: 8,
  dispatchMicroseconds: 50,
  submitMicroseconds: 100,
  waitMilliseconds: 12,
};

const MEASURED: MeasuredOp = {
  ...{ group: "small", name: "n", count: 2 },
  ...{ flops: 1e9, bytes: 1e6, dispatches: 1, milliseconds: 20, spread: 1 },
};

function opRow(name: string, milliseconds: number): OpRow {
  return bounded({ ...MEASURED, name, milliseconds }, CEILINGS);
}

function result(ops: readonly OpRow[]): BenchResult {
  return {
    adapter: "An adapter",
    version: "1.0.0",
    date: "2026-01-02T03:04:05.000Z",
    ceilings: CEILINGS,
    matmuls: [],
    ops,
    steps: [],
    memory: [],
  };
}

Deno.test("bounded() names the ceiling that bounds an op longest", () => {
  const bound = (flops: number, bytes: number, dispatches: number) => {
    const row = bounded({ ...MEASURED, flops, bytes, dispatches }, CEILINGS);
    return [row.bound, row.predictedMilliseconds];
  };
  assert.deepEqual(bound(1e9, 1e6, 1), ["arithmetic", 10]);
  assert.deepEqual(bound(1e6, 1e8, 1), ["memory", 10]);
  assert.deepEqual(bound(1e3, 1e3, 4), ["dispatch", 0.2]);
});

Deno.test("bestCeilings() takes the higher rates and the lower costs", () => {
  const [rates, costs] = [
    ["gigaflops", "gigabytes", "storageGigabytes", "textureGigabytes"],
    ["dispatchMicroseconds", "submitMicroseconds", "waitMilliseconds"],
  ] as const;
  for (const [keys, factor] of [[rates, 2], [costs, 0.5]] as const) {
    for (const key of keys) {
      const better = { ...CEILINGS, [key]: factor * CEILINGS[key] };
      assert.deepEqual(bestCeilings(CEILINGS, better), better);
      assert.deepEqual(bestCeilings(better, CEILINGS), better);
    }
  }
});

Deno.test("opCases() together do the flops that the cost model counts for a step", () => {
  for (const workload of WORKLOADS) {
    const products = opCases(workload)
      .filter(({ name }) => /linear|attention|MLP/.test(name))
      .reduce((sum, { count, forward }) => sum + count * forward.flops, 0);
    const ratio = 3 * products / stepFlops(workload);
    // The last norm's modulation and the second layer of the time's embedding stand for none.
    assert.ok(ratio > 0.99 && ratio <= 1, `${workload.name}: ${ratio}`);
  }
});

Deno.test("the workload of the other stacks is the small one", () => {
  assert.equal(STEP_FLOPS, stepFlops(WORKLOADS.find(({ name }) => name === "small")!));
});

Deno.test("resultTables() sums the ops of a step, in Markdown and for a terminal", () => {
  const tables = resultTables(result([opRow("a forward", 20), opRow("b forward", 5)]));
  const ops = tables.find(({ title }) => title === "Ops of small")!;
  assert.deepEqual(ops.rows.at(-1)!.slice(0, 3), ["sum over a step", "", "50.0"]);
  // Bound 10 ms each, twice: 40 of 50 ms.
  assert.equal(ops.rows.at(-1)!.at(-1), "80 %");
  const markdown = markdownTable(ops);
  assert.equal(markdown[0], "## Ops of small");
  const width = (line: string) => line.split("|").length;
  assert.deepEqual(new Set(markdown.slice(2, -1).map(width)), new Set([ops.columns.length + 2]));
  assert.ok(textTable(ops).some((line) => /^ {2}a forward +2 +20\.0 /.test(line)));
});

Deno.test("resultTables() says where all of a step's time goes", () => {
  const kernels = Array.from({ length: 14 }, (_, i) => ({
    name: `kernel_${i}`,
    count: 2,
    milliseconds: 10 - i / 2,
  }));
  const step = {
    group: "small",
    name: "training step",
    batch: 1,
    flops: 1e9,
    milliseconds: 100,
    spread: 1,
    javascriptMilliseconds: 1,
    dispatches: 28,
    allocations: 0,
    peakBytes: 1,
    kernels,
  } as const;
  const table = resultTables({ ...result([]), steps: [step] })
    .find(({ title }) => title === "Kernels of small, training step")!;
  assert.deepEqual(table.rows[0], ["kernel_0", "2", "10.0", "10 %"]);
  assert.deepEqual(table.rows.slice(12), [
    ["2 others", "4", "7.50", "7.5 %"],
    ["copies, JavaScript", "", "5.50", "5.5 %"],
  ]);
});

Deno.test("compareResults() puts what got slowest first and leaves out what one run lacks", () => {
  const before = result([opRow("a", 10), opRow("b", 10), opRow("gone", 1)]);
  const after = result([opRow("a", 5), opRow("b", 30), opRow("new", 1)]);
  assert.deepEqual(compareResults(before, after), [
    { name: "small: b", before: 10, after: 30 },
    { name: "small: a", before: 10, after: 5 },
  ]);
});

Deno.test("parseResult() reads a run and refuses anything else, the file named", () => {
  const run = result([opRow("a", 1)]);
  assert.deepEqual(parseResult(JSON.stringify(run), { path: "x.json" }), run);
  for (const text of ["", "{", "null", "[]", "{}", '{"adapter":"x","matmuls":[]}']) {
    assert.throws(
      () => parseResult(text, { path: "x.json" }),
      (error) => error instanceof SyntaxError && error.message.includes("x.json"),
      text,
    );
  }
});

Deno.test("slope() is the exponent of a power law", () => {
  const sizes = [1, 2, 4, 8];
  assert.ok(Math.abs(slope(sizes, sizes.map((n) => 3 * n ** 1.5)) - 1.5) < 1e-12);
  assert.equal(slope(sizes, sizes.map(() => 7)), 0);
});

Deno.test("exponents() look at the upper half, where fixed costs count least", () => {
  const points = [1, 2, 4, 8, 16].map((size) => ({
    size,
    flops: size ** 2,
    milliseconds: size < 4 ? 16 : size ** 2,
    javascriptMilliseconds: 1,
  }));
  const { measured, predicted } = exponents(points);
  assert.ok(Math.abs(measured - 2) < 1e-12 && Math.abs(predicted - 2) < 1e-12);
});

Deno.test("every series of growth varies one size and fits together", () => {
  const flops = (name: string) => {
    const { sizes, workload } = GROWTH.find((each) => each.name === name)!;
    return sizes.map((size) => stepFlops(workload(size)));
  };
  for (const { name, sizes, workload } of GROWTH) {
    for (const size of sizes) {
      const { model } = workload(size);
      assert.equal(model.inputSize % model.patchSize, 0, name);
      assert.equal(model.width % model.heads, 0, name);
    }
  }
  assert.equal(new Set(flops("bank")).size, 1);
  const [first, second] = flops("batch");
  assert.equal(second, 2 * first!);
});
