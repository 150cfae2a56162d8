/**
 * Findings as pages: one for each claim, and one that says all verdicts.
 *
 * @module
 */

import { basename } from "node:path";
import { alignedTable } from "../evaluate/report.ts";
import {
  type Cell,
  type Claim,
  type Findings,
  formatInterval,
  formatNumber,
  type Letter,
  LETTERS,
  type Table,
  type Verdict,
} from "./claim.ts";
import type { Scale } from "./scales.ts";

/** What is kept of a tested claim as JSON. */
export interface Result {
  /** Letter of the claim. */
  readonly letter: Letter;
  /** Heading. */
  readonly title: string;
  /** What is claimed. */
  readonly statement: string;
  /** Where the paper says so. */
  readonly source: string;
  /** What the numbers say. */
  readonly verdict: Verdict;
  /** How much was trained and drawn. */
  readonly scale: Scale;
  /** What made the snippets, where that was not `pixel_pca`. */
  readonly encoder?: EncoderOfBank;
  /** Seed of everything random. */
  readonly seed: number;
  /** The adapter that computed it. */
  readonly device: string;
  /** The day on which it was found, as 2026-11-22. */
  readonly date: string;
  /** The numbers. */
  readonly tables: readonly Table[];
  /** How it was measured. */
  readonly notes: readonly string[];
}

/** The encoder that `--like` named, and its bank. */
export interface EncoderOfBank {
  /** The bank file, without a folder. */
  readonly bank: string;
  /** What the encoder is, for people. */
  readonly description: string;
}

/** Name of the folder of the pages of a scale, with snippets as those of the bank `like`, if there is one. */
export function folderOf(scale: Scale, like: string | undefined): string {
  return like === undefined ? scale.name : `${scale.name}_${stemOf(like)}`;
}

function stemOf(bank: string): string {
  return basename(bank, ".safetensors");
}

/** Name of the files of a claim, without an ending. */
export function fileNameOf({ letter, slug }: Pick<Claim, "letter" | "slug">): string {
  return `${letter}_${slug}`;
}

/** Findings with what they were found by. */
export function resultOf(
  claim: Claim,
  findings: Findings,
  foundBy: Pick<Result, "scale" | "encoder" | "seed" | "device" | "date">,
): Result {
  const { letter, title, statement, source } = claim;
  const { verdict, tables, notes } = findings;
  return { letter, title, statement, source, verdict, ...foundBy, tables, notes };
}

/** The page of one claim, beside its plot and its pictures. */
export function claimPage(claim: Claim, result: Result, findings: Findings): string {
  const { scale, encoder, seed, device, date, tables, notes } = result;
  const name = fileNameOf(claim), withSeed = seed === 0 ? "" : ` --seed ${seed}`;
  const withEncoder = encoder === undefined ? "" : ` --like ${encoder.bank}`;
  return [
    `# (${claim.letter}) ${claim.title}`,
    `> ${claim.statement}`,
    `(The paper, ${claim.source}.)`,
    `**${verdictWord(result.verdict)}**: ${result.verdict.text}.`,
    `![${claim.title}](${name}.svg)`,
    ...tables.map(markdownTable),
    ...findings.pictures.flatMap((picture) => [
      `![${claim.title}: ${picture.name}](${name}_${picture.name}.png)`,
      picture.caption,
    ]),
    "## How it was measured",
    [
      ...notes,
      ...(encoder === undefined ? [] : [
        `The snippets are those of the encoder of ${encoder.bank}: ${encoder.description}. Distances are measured by \`pixel_pca\` as everywhere, which knows nothing of it; cosines to snippets by the encoder itself.`,
      ]),
      `Scale ${scale.name} (${scale.description}), seed ${seed}, ${device}, ${date}. In brackets: 95 % intervals from ${scale.replicates} resamplings of the samples, the same for all that is compared; what resampling adds to a distance on average is taken off. Each model was trained once.`,
    ].map((note) => `- ${note}`).join("\n"),
    `Again: \`deno task claims ${claim.letter} --scale ${scale.name}${withEncoder}${withSeed}\``,
  ].join("\n\n") + "\n";
}

/** The page of all claims, from the results of each scale. */
export function overviewPage(
  scales: readonly { readonly folder: string; readonly results: readonly NamedResult[] }[],
): string {
  const sections = scales.flatMap(({ folder, results }) => {
    const [{ result: { scale, encoder } }] = results as [NamedResult, ...NamedResult[]];
    const all = (valueOf: (result: Result) => string | number) =>
      [...new Set(results.map(({ result }) => valueOf(result)))].sort().join(" and ");
    const shown = results.filter(({ result }) => result.verdict.outcome === "shown").length;
    const snippets = encoder ? `, snippets of ${stemOf(encoder.bank)}` : "";
    const made = encoder ? `The encoder of the snippets: ${encoder.description}. ` : "";
    const seeds = all(({ seed }) => seed), devices = all(({ device }) => device);
    const dates = all(({ date }) => date);
    return [
      `## Scale ${scale.name}${snippets}: ${shown} of ${results.length} shown`,
      `${capitalized(scale.description)}. ${made}Seed ${seeds}, ${devices}, ${dates}.`,
      [
        "| claim | verdict | by how much |",
        "|---|---|---|",
        ...results.map(({ name, result: { letter, title, verdict } }) =>
          `| (${letter}) [${title}](results/${folder}/${name}.md) | ${verdictWord(verdict)} | ` +
          `${verdict.text} |`
        ),
      ].join("\n"),
      ...notTested(results),
    ];
  });
  const [first] = scales;
  const statements = (first?.results ?? []).map(({ result }) =>
    `- (${result.letter}) ${result.statement}`
  );
  return [
    "# What the paper claims, tested here",
    "Seven claims of [GMem](https://arxiv.org/abs/2412.08781), each tested by one command on the " +
    "emoji that come with the project. That command writes this page; no verdict is by hand.",
    statements.join("\n"),
    ...sections,
    "## How to read it",
    [
      "**shown**: the whole 95 % interval is on the claim's side of the threshold given after " +
      "*asked*. **not shown**: the whole interval is on the other side. **undecided**: the " +
      "threshold lies within the interval, and more samples or training would have to tell.",
      "Distances are Fréchet distances in the space of `pixel_pca`, the encoder that needs no download; " +
      "they are not the FID of the paper and compare only with each other. A distance of few samples " +
      "comes out too large, by about as much for all sets of that size.",
      "Samples are measured as the model draws them. `deno task evaluate` and the report of a run make " +
      "bytes of them first, so their distances differ from these.",
      "Intervals come from resampling the samples. Every model was trained once, with one seed, so " +
      "what another training would change is not in them.",
      "Where a heading says whose snippets were taken, distances know nothing of that encoder; " +
      "[docs/bank.md](../docs/bank.md#making-onnx-files-of-dinov2-clip-and-others) tells how its bank is made. " +
      "Elsewhere the encoder that measures also makes the snippets, which favours the model that is given " +
      "them; claim (a) has a second measure that does not.",
    ].map((line) => `- ${line}`).join("\n"),
    "## Again",
    [
      "```sh",
      "deno task claims                  # all, at scale tiny: half an hour to an hour on two CPU cores",
      "deno task claims a --scale small  # one, with five times the steps",
      "deno task claims --scale gpu      # all, larger",
      "deno task claims c d --like dinov2.safetensors  # two, with snippets by the encoder of that bank",
      "```",
    ].join("\n"),
    "This writes over the pages in `claims`; `--out DIR` writes others.",
  ].join("\n\n") + "\n";
}

/** A line that names the claims without a result, if there are any. */
function notTested(results: readonly NamedResult[]): string[] {
  const missing = LETTERS.filter((letter) =>
    results.every(({ result }) => result.letter !== letter)
  );
  return missing.length === 0
    ? []
    : [`Not tested at this scale: ${missing.map((letter) => `(${letter})`).join(", ")}.`];
}

/** A result and the name of its files. */
export interface NamedResult {
  /** Name without an ending. */
  readonly name: string;
  /** What was found. */
  readonly result: Result;
}

/** A verdict in words. */
export function verdictWord({ outcome }: Verdict): string {
  switch (outcome) {
    case "shown":
      return "shown";
    case "refuted":
      return "not shown";
    case "undecided":
      return "undecided";
  }
}

/** A table in Markdown, under its title. */
export function markdownTable({ title, columns, rows }: Table): string {
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  const table = [
    line(columns),
    `|${columns.map(() => "---").join("|")}|`,
    ...rows.map((row) => line(row.map(formatCell))),
  ].join("\n");
  return title === undefined ? table : `${title}:\n\n${table}`;
}

/** What was found as lines for a terminal: the verdict, and the tables with their columns in line. */
export function resultLines({ letter, title, verdict, tables }: Result): string[] {
  return [
    `(${letter}) ${title}: ${verdictWord(verdict)}, ${verdict.text}`,
    ...tables.flatMap(({ title, columns, rows }) => [
      "",
      ...(title === undefined ? [] : [`${title}:`, ""]),
      ...alignedTable(columns, rows.map((row) => row.map(formatCell))),
    ]),
  ];
}

function formatCell(cell: Cell): string {
  if (typeof cell === "string") return cell;
  return typeof cell === "number" ? formatNumber(cell) : formatInterval(cell);
}

function capitalized(text: string): string {
  return text[0]!.toUpperCase() + text.slice(1);
}
