/**
 * Results of a benchmark as tables, for a terminal or in Markdown, and beside older ones.
 *
 * @module
 */

import { messageOf } from "../kernels/core/errors.ts";
import { formatBytes } from "../kernels/core/format_bytes.ts";
import type { Ceilings } from "./ceilings.ts";
import type { GrowthRow } from "./growth.ts";
import type { MemoryRow } from "./memory.ts";
import type { OpRow } from "./ops.ts";
import type { KernelTime } from "./profile.ts";
import type { StepRow } from "./steps.ts";

/** Kernels of a step that have a row of their own. */
const LISTED_KERNELS = 12;

/** All that one run of the benchmark measured; parts that were left out are empty. */
export interface BenchResult {
  /** The adapter's profile in words. */
  readonly adapter: string;
  /** Version of this project. */
  readonly version: string;
  /** When, in ISO 8601. */
  readonly date: string;
  /** What the adapter can do at best. */
  readonly ceilings: Ceilings;
  /** Matrix products. */
  readonly matmuls: readonly OpRow[];
  /** Ops at the sizes of models. */
  readonly ops: readonly OpRow[];
  /** Training steps and network evaluations. */
  readonly steps: readonly StepRow[];
  /** Memory of training steps. */
  readonly memory: readonly MemoryRow[];
}

/** A table: a heading, the names of its columns, and rows of cells. */
export interface Table {
  /** Heading. */
  readonly title: string;
  /** Names of the columns. */
  readonly columns: readonly string[];
  /** Cells by row; the first is the row's name. */
  readonly rows: readonly (readonly string[])[];
}

/** A row of one run beside the same row of an older one. */
export interface Comparison {
  /** Workload and name. */
  readonly name: string;
  /** Milliseconds then. */
  readonly before: number;
  /** Milliseconds now. */
  readonly after: number;
}

/** The results as tables. */
export function resultTables(result: BenchResult): Table[] {
  const { ceilings, matmuls, ops, steps, memory } = result;
  const tables = [ceilingTable(ceilings)];
  if (matmuls.length > 0) tables.push(opTable("Matrix products", { rows: matmuls, ceilings }));
  for (const group of new Set(ops.map((op) => op.group))) {
    const rows = ops.filter((op) => op.group === group);
    tables.push(withSum(opTable(`Ops of ${group}`, { rows, ceilings }), rows));
  }
  if (steps.length > 0) tables.push(stepTable(steps, ceilings));
  for (const step of steps) if (step.kernels.length > 0) tables.push(kernelTable(step));
  if (memory.length > 0) tables.push(memoryTable(memory));
  return tables;
}

/** How step times grow, with the fitted exponents, and what a step of many dispatches costs. */
export function growthTables(rows: readonly GrowthRow[], many?: StepRow): Table[] {
  const list = <T>(values: readonly T[], cell: (value: T) => string) => values.map(cell).join(", ");
  const tables: Table[] = rows.length === 0 ? [] : [{
    title: "How a training step grows: time ∝ size^exponent over the upper half of the sizes",
    columns: ["grows", "sizes", "ms", "exponent", "that of the flops", "JavaScript's share"],
    rows: rows.map(({ name, points, measured, predicted }) => [
      name,
      list(points, ({ size }) => `${size}`),
      list(points, ({ milliseconds }) => digits(milliseconds)),
      measured.toFixed(2),
      predicted.toFixed(2),
      list(points, (point) => percent(point.javascriptMilliseconds / point.milliseconds)),
    ]),
  }];
  if (!many) return tables;
  const { group, dispatches, milliseconds, javascriptMilliseconds } = many;
  return [...tables, {
    title: "A training step of as many dispatches as SiT-XL has",
    columns: ["model", "dispatches", "ms", "JavaScript, ms", "JavaScript for a dispatch, µs"],
    rows: [[
      group,
      dispatches.toFixed(0),
      digits(milliseconds),
      digits(javascriptMilliseconds),
      digits(1000 * javascriptMilliseconds / dispatches),
    ]],
  }];
}

/** A table in Markdown, with its heading. */
export function markdownTable({ title, columns, rows }: Table): string[] {
  return [
    `## ${title}`,
    "",
    `| ${columns.join(" | ")} |`,
    `|${"---|".repeat(columns.length)}`,
    ...rows.map((cells) => `| ${cells.join(" | ")} |`),
    "",
  ];
}

/** A table for a terminal. */
export function textTable({ title, columns, rows }: Table): string[] {
  const widths = columns.map((column, i) =>
    Math.max(...[column, ...rows.map((cells) => cells[i] ?? "")].map((cell) => [...cell].length))
  );
  const line = (cells: readonly string[]) =>
    cells.map((cell, i) => i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))
      .join("  ").trimEnd();
  return [title, `  ${line(columns)}`, ...rows.map((cells) => `  ${line(cells)}`), ""];
}

/**
 * Puts the rows of two runs side by side, the one that got slowest first; rows that only one of them
 * has are left out.
 */
export function compareResults(before: BenchResult, after: BenchResult): Comparison[] {
  const older = new Map(timedRows(before));
  return timedRows(after).flatMap(([name, milliseconds]) => {
    const then = older.get(name);
    return then === undefined ? [] : [{ name, before: then, after: milliseconds }];
  }).sort((a, b) => b.after / b.before - a.after / a.before);
}

/** The comparison as a table. */
export function comparisonTable(rows: readonly Comparison[], before: BenchResult): Table {
  return {
    title: `Beside ${before.date.slice(0, 10)}, ${before.adapter}`,
    columns: ["slowest first", "then, ms", "now, ms", "now / then"],
    rows: rows.map(({ name, before, after }) => [
      name,
      digits(before),
      digits(after),
      `${(after / before).toFixed(2)}×`,
    ]),
  };
}

/**
 * Reads the JSON of an earlier run; `path` is named in errors.
 *
 * Throws `SyntaxError` when it is none.
 */
export function parseResult(text: string, { path }: { path: string }): BenchResult {
  const refusal = `Cannot compare with ${path}`;
  let value: Partial<BenchResult> | null;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new SyntaxError(`${refusal}: ${messageOf(error)}`);
  }
  const lists = [value?.matmuls, value?.ops, value?.steps];
  if (typeof value?.adapter !== "string" || !lists.every((list) => Array.isArray(list))) {
    throw new SyntaxError(`${refusal}: expected what deno task bench --json prints`);
  }
  return value as BenchResult;
}

function timedRows({ matmuls, ops, steps }: BenchResult): [name: string, milliseconds: number][] {
  return [...matmuls, ...ops, ...steps].map((row) => [
    `${row.group}: ${row.name}`,
    row.milliseconds,
  ]);
}

function ceilingTable(ceilings: Ceilings): Table {
  return {
    title: "Ceilings of the adapter",
    columns: ["ceiling", "measured"],
    rows: [
      ["multiply-adds in registers", `${digits(ceilings.gigaflops)} GFLOP/s`],
      ["copy kernel, storage to storage", `${digits(ceilings.storageGigabytes)} GB/s`],
      ["copy kernel, texture to storage", `${digits(ceilings.textureGigabytes)} GB/s`],
      ["one dispatch", `${ceilings.dispatchMicroseconds.toFixed(0)} µs`],
      ["one submission more", `${ceilings.submitMicroseconds.toFixed(0)} µs`],
      ["one wait for the GPU", `${digits(ceilings.waitMilliseconds)} ms`],
    ],
  };
}

function opTable(
  title: string,
  { rows, ceilings }: { rows: readonly OpRow[]; ceilings: Ceilings },
): Table {
  const columns = ["op", "×", "ms", "GFLOP/s", "GB/s", "of a storage copy"];
  return {
    title,
    columns: [...columns, "bound by", "bound, ms", "of the bound"],
    rows: rows.map((row) => [
      row.name,
      `${row.count}`,
      digits(row.milliseconds),
      digits(row.flops / row.milliseconds / 1e6),
      digits(row.bytes / row.milliseconds / 1e6),
      percent(row.bytes / row.milliseconds / 1e6 / ceilings.storageGigabytes),
      row.bound,
      digits(row.predictedMilliseconds),
      percent(row.predictedMilliseconds / row.milliseconds),
    ]),
  };
}

/** Adds what a step of these ops would take, by measurement and by the bounds. */
function withSum(table: Table, rows: readonly OpRow[]): Table {
  const sum = (value: (row: OpRow) => number) =>
    rows.reduce((total, row) => total + row.count * value(row), 0);
  const measured = sum(({ milliseconds }) => milliseconds);
  const bound = sum(({ predictedMilliseconds }) => predictedMilliseconds);
  const cells = [
    "sum over a step",
    "",
    digits(measured),
    digits(sum(({ flops }) => flops) / measured / 1e6),
    digits(sum(({ bytes }) => bytes) / measured / 1e6),
    "",
    "",
    digits(bound),
    percent(bound / measured),
  ];
  return { ...table, rows: [...table.rows, cells] };
}

function stepTable(rows: readonly StepRow[], { gigaflops }: Ceilings): Table {
  return {
    title: "Whole steps",
    columns: [
      "step",
      "images",
      "ms",
      "a second",
      "GFLOP/s",
      "of the ceiling",
      "dispatches",
      "JavaScript",
      "allocations",
      "peak",
    ],
    rows: rows.map((row) => {
      const speed = row.flops / row.milliseconds / 1e6;
      return [
        `${row.group}: ${row.name}`,
        `${row.batch}`,
        digits(row.milliseconds),
        digits(1000 / row.milliseconds),
        digits(speed),
        percent(speed / gigaflops),
        row.dispatches.toFixed(0),
        `${digits(row.javascriptMilliseconds)} ms`,
        `${row.allocations}`,
        formatBytes(row.peakBytes),
      ];
    }),
  };
}

/** Where the time of a step goes. */
function kernelTable({ group, name, kernels, milliseconds: whole }: StepRow): Table {
  const listed = kernels.slice(0, LISTED_KERNELS), others = kernels.slice(LISTED_KERNELS);
  const total = (rows: readonly KernelTime[]) =>
    rows.reduce((sum, { milliseconds }) => sum + milliseconds, 0);
  const dispatches = others.reduce((sum, { count }) => sum + count, 0);
  const rows = [
    ...listed,
    { name: `${others.length} others`, count: dispatches, milliseconds: total(others) },
  ].map(({ name, count, milliseconds }) => [name, `${count}`, milliseconds] as const);
  // Copies into textures stand between kernels. Kernels are timed alone, the step as a whole.
  const rest = ["copies, JavaScript", "", Math.max(0, whole - total(kernels))] as const;
  return {
    title: `Kernels of ${group}, ${name}`,
    columns: ["kernel", "dispatches", "ms", "share"],
    rows: [...rows, rest].map(([name, count, milliseconds]) => [
      name,
      count,
      digits(milliseconds),
      percent(milliseconds / whole),
    ]),
  };
}

function memoryTable(rows: readonly MemoryRow[]): Table {
  return {
    title: "Memory of a training step on a GPU",
    columns: [
      "workload",
      "images",
      "blocks computed again",
      "held",
      "estimated",
      "ratio",
      "in all",
    ],
    rows: rows.map((row) => [
      row.group,
      `${row.batch}`,
      row.recompute ? "yes" : "no",
      formatBytes(row.activationBytes),
      formatBytes(row.estimatedBytes),
      (row.estimatedBytes / row.activationBytes).toFixed(3),
      formatBytes(row.peakBytes),
    ]),
  };
}

function percent(share: number): string {
  const value = 100 * share;
  return `${value < 9.95 ? value.toFixed(1) : value.toFixed(0)} %`;
}

/** Three digits that count, without an exponent. */
export function digits(value: number): string {
  if (!Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  return value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 3);
}
