/**
 * The workload on PyTorch on the CPU, the stack that most people train with: `pytorch.ts STEPS ROUNDS`
 * prints a {@linkcode PeerResult}. It takes a `python3` with `torch`, and ends with code 3 without.
 *
 * @module
 */

import { fileURLToPath } from "node:url";
import {
  BATCH,
  DEPTH,
  FREQUENCIES,
  HEADS,
  layers,
  layerWeights,
  LEARNING_RATE,
  makeBatch,
  MATMUL_SIZES,
  NOT_INSTALLED,
  type Numbers,
  PATCH_VALUES,
  SNIPPET_DIM,
  TOKENS,
  WIDTH,
} from "./workload.ts";

/** The one that has `torch`: a machine may have several. */
async function findPython(): Promise<string | undefined> {
  for (const python of ["python3", "/usr/bin/python3"]) {
    try {
      const { success } = await new Deno.Command(python, {
        args: ["-c", "import torch"],
        stderr: "null",
      }).output();
      if (success) return python;
    } catch { /* Not there. */ }
  }
}

const python = await findPython();
if (!python) Deno.exit(NOT_INSTALLED);

const { tokens, waves, snippets, positions, target } = makeBatch();
const parameters = layers().flatMap((layer) =>
  [
    [`${layer.name}.weight`, [layer.outputs, layer.inputs], layerWeights(layer)],
    [`${layer.name}.bias`, [layer.outputs], new Float32Array(layer.outputs)],
  ] as [string, number[], Numbers][]
);
const entries: [string, number[], Numbers][] = [
  ...parameters,
  ["tokens", [BATCH, TOKENS, PATCH_VALUES], tokens],
  ["target", [BATCH, TOKENS, PATCH_VALUES], target],
  ["waves", [BATCH, FREQUENCIES], waves],
  ["snippets", [BATCH, SNIPPET_DIM], snippets],
  ["positions", [1, TOKENS, WIDTH], positions],
];
let end = 0;
const tensors = Object.fromEntries(entries.map(([name, shape, values]) => {
  const start = end;
  end += values.length;
  return [name, { shape, start, end }];
}));

const folder = await Deno.makeTempDir();
try {
  await Deno.writeTextFile(
    `${folder}/workload.json`,
    JSON.stringify({
      tensors,
      parameters: parameters.map(([name]) => name),
      tokens: TOKENS,
      width: WIDTH,
      heads: HEADS,
      depth: DEPTH,
      learningRate: LEARNING_RATE,
      matmulSizes: MATMUL_SIZES,
    }),
  );
  await Deno.writeFile(`${folder}/numbers.bin`, new Blob(entries.map(([, , v]) => v)).stream());
  const script = fileURLToPath(new URL("pytorch.py", import.meta.url));
  const { code } = await new Deno.Command(python, {
    args: [script, folder, ...Deno.args],
    stdout: "inherit",
    stderr: "inherit",
  }).spawn().status;
  Deno.exitCode = code;
} finally {
  await Deno.remove(folder, { recursive: true });
}
