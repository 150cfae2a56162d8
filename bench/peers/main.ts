/**
 * `deno task bench:peers`: see `PEERS_COMMAND`. Prints a Markdown table of medians.
 *
 * @module
 */

import { fileURLToPath } from "node:url";
import { parseArguments, type ParsedArguments } from "../../cli/arguments.ts";
import { PEERS_COMMAND } from "../../cli/commands/bench.ts";
import { runCommand } from "../../cli/run_command.ts";
import { say } from "../../cli/say.ts";
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

type Options = ParsedArguments<typeof PEERS_COMMAND>["options"];

interface Measured {
  readonly peer: Peer;
  /** Undefined where the stack failed. */
  readonly result: PeerResult | undefined;
}

await runCommand(main);

async function main(): Promise<void> {
  const { options } = parseArguments(PEERS_COMMAND, Deno.args);
  const results: Measured[] = [], missing: string[] = [];
  for (const [i, peer] of PEERS.entries()) {
    say(`${peer.name} (${i + 1} of ${PEERS.length})`);
    const result = await run(peer, options);
    if (result === "not installed") missing.push(`${peer.name} is not installed here.`);
    else results.push({ peer, result });
  }
  if (options.json) {
    const named = results.map(({ peer, result }) => ({ name: peer.name, ...result }));
    return console.log(JSON.stringify(named));
  }
  const own = results[0]?.result;
  for (const line of [...table(results, options), "", ...missing, ...disagreements(results, own)]) {
    console.log(line);
  }
}

async function run(
  { script, args }: Peer,
  { steps, rounds, quick }: Options,
): Promise<PeerResult | "not installed" | undefined> {
  const path = (name: string) => fileURLToPath(new URL(name, import.meta.url));
  const { code, success, stdout } = await new Deno.Command(Deno.execPath(), {
    args: [
      ...["run", "--quiet", "--allow-all", "--config", path("deno.json"), path(script)],
      ...[...args, `${steps}`, `${rounds}`],
    ],
    env: quick ? { GMEM_PEERS_QUICK: "1" } : {},
    stdout: "piped",
    stderr: "inherit",
  }).output();
  if (code === NOT_INSTALLED) return "not installed";
  if (!success) return undefined;
  const line = new TextDecoder().decode(stdout).trim().split("\n").at(-1)!;
  return JSON.parse(line) as PeerResult;
}

function table(results: readonly Measured[], { quick }: Options): string[] {
  const own = results[0]?.result;
  const sizes = quick ? [] : MATMUL_SIZES;
  const timed = quick ? [] : ["step", "GFLOP/s", "of gmem's time", "first step"];
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
      ...(quick ? [] : times),
      ...products,
      result.losses.map((loss) => loss.toFixed(4)).join(", "),
    ];
    lines.push(`| ${cells.join(" | ")} |`);
  }
  return lines;
}

/** A stack whose losses differ computes something else, and its time says nothing. */
function disagreements(results: readonly Measured[], own: PeerResult | undefined): string[] {
  if (!own) return ["gmem failed: the losses could not be compared."];
  const apart = results.filter(({ result }) =>
    result?.losses.some((loss, i) => !(Math.abs(loss / own.losses[i]! - 1) < LOSS_TOLERANCE))
  );
  const percent = 100 * LOSS_TOLERANCE;
  return apart.length === 0
    ? [`All losses agree within ${percent} %.`]
    : apart.map(({ peer }) => `The losses of ${peer.name} differ by more than ${percent} %.`);
}
