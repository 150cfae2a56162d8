/**
 * This project and other stacks on the same training step and the same products, each in a
 * process of its own, one after the other: `main.ts [--steps N] [--rounds N] [--quick] [--json]`
 * prints a Markdown table of medians. `--quick` checks on a tiny workload that every stack runs and
 * computes the same; its times mean nothing.
 *
 * @module
 */

import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { median } from "../measure.ts";
import { MATMUL_SIZES, NOT_INSTALLED, type PeerResult, STEP_FLOPS } from "./workload.ts";

interface Peer {
  readonly name: string;
  readonly script: string;
  readonly args: readonly string[];
}

const PEERS: readonly Peer[] = [
  { name: "gmem", script: "gmem.ts", args: [] },
  { name: "jax-js, WebGPU", script: "jax.ts", args: ["webgpu"] },
  { name: "jax-js, WebAssembly", script: "jax.ts", args: ["wasm"] },
  { name: "TensorFlow.js, WebGPU", script: "tfjs.ts", args: [] },
  { name: "PyTorch, CPU", script: "pytorch.ts", args: [] },
];

/** Losses of the stacks may differ by the order of their sums, in a network of float32. */
const LOSS_TOLERANCE = 0.01;

const HELP = `Usage: deno task bench:peers [options]

Times one training step and some products on this project and on other stacks, each in a process of
its own, and compares their losses. Downloads those of JavaScript from npm; PyTorch, which has no part
in WebGPU, is compared where python3 has it. Takes some minutes.

Options:
      --steps NUMBER   Steps that are timed, after the first (default 3)
      --rounds NUMBER  Times that each product is timed (default 5)
      --quick          Check on a tiny workload that every stack runs and computes the same; its
                       times mean nothing
      --json           Print all measurements as one JSON array
  -h, --help           Print this text

Examples:
  deno task bench:peers
      Compare all on a quiet machine.
  deno task bench:peers --quick
      See whether all of them run here.`;

const { values: options } = parseArgs({
  options: {
    steps: { type: "string", default: "3" },
    rounds: { type: "string", default: "5" },
    quick: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
    help: { type: "boolean", short: "h", default: false },
  },
});
if (options.help) {
  console.log(HELP);
  Deno.exit();
}

const results: { peer: Peer; result: PeerResult | undefined }[] = [];
const missing: string[] = [];
for (const [i, peer] of PEERS.entries()) {
  console.error(`${peer.name} (${i + 1} of ${PEERS.length})`);
  const result = await run(peer);
  if (result === "not installed") missing.push(`${peer.name} is not installed here.`);
  else results.push({ peer, result });
}
if (options.json) {
  console.log(JSON.stringify(results.map(({ peer, result }) => ({ name: peer.name, ...result }))));
} else {
  for (const line of table()) console.log(line);
}

async function run({ script, args }: Peer): Promise<PeerResult | "not installed" | undefined> {
  const path = (name: string) => fileURLToPath(new URL(name, import.meta.url));
  const { code, success, stdout } = await new Deno.Command(Deno.execPath(), {
    args: [
      ...["run", "--quiet", "--allow-all", "--config", path("deno.json"), path(script)],
      ...[...args, options.steps, options.rounds],
    ],
    env: options.quick ? { GMEM_PEERS_QUICK: "1" } : {},
    stdout: "piped",
    stderr: "inherit",
  }).output();
  if (code === NOT_INSTALLED) return "not installed";
  if (!success) return undefined;
  const line = new TextDecoder().decode(stdout).trim().split("\n").at(-1)!;
  return JSON.parse(line) as PeerResult;
}

function table(): string[] {
  const own = results[0]?.result;
  const sizes = options.quick ? [] : MATMUL_SIZES;
  const timed = options.quick ? [] : ["step", "GFLOP/s", "of gmem's time", "first step"];
  const header = ["stack", ...timed, ...sizes.map((size) => `${size}³, result read`), "losses"];
  const lines = [`| ${header.join(" | ")} |`, `|${"---|".repeat(header.length)}`];
  for (const { peer, result } of results) {
    if (!result) {
      lines.push(`| ${peer.name} | failed |${" |".repeat(header.length - 2)}`);
      continue;
    }
    const step = median(result.steps);
    const times = [
      `${step.toFixed(0)} ms`,
      (STEP_FLOPS / step / 1e6).toFixed(1),
      own ? `${(step / median(own.steps)).toFixed(2)}×` : "",
      `${(result.firstStep / 1000).toFixed(1)} s`,
    ];
    const products = sizes.map((size, i) => {
      const time = median(result.matmuls[i] ?? []);
      return `${time.toFixed(1)} ms, ${(2 * size ** 3 / time / 1e6).toFixed(1)} GFLOP/s`;
    });
    const cells = [
      peer.name,
      ...(options.quick ? [] : times),
      ...products,
      result.losses.map((loss) => loss.toFixed(4)).join(", "),
    ];
    lines.push(`| ${cells.join(" | ")} |`);
  }
  return [...lines, "", ...missing, ...disagreements(own)];
}

/** A stack whose losses differ computes something else, and its time says nothing. */
function disagreements(own: PeerResult | undefined): string[] {
  if (!own) return ["gmem failed: the losses could not be compared."];
  const apart = results.filter(({ result }) =>
    result?.losses.some((loss, i) => !(Math.abs(loss / own.losses[i]! - 1) < LOSS_TOLERANCE))
  );
  const percent = 100 * LOSS_TOLERANCE;
  return apart.length === 0
    ? [`All losses agree within ${percent} %.`]
    : apart.map(({ peer }) => `The losses of ${peer.name} differ by more than ${percent} %.`);
}
