/**
 * `deno task inspect`: see `INSPECT_COMMAND`.
 *
 * @module
 */

import { join } from "node:path";
import { lookUp, parseArguments, UsageError } from "../cli/arguments.ts";
import { INSPECT_BATCH, INSPECT_COMMAND } from "../cli/commands/inspect.ts";
import { runCommand } from "../cli/run_command.ts";
import { typedPath } from "../cli/typed_path.ts";
import { elementsOf } from "../kernels/core/tensor.ts";
import { findCheckpoint } from "../train/checkpoint.ts";
import { alignmentSchema, projectorOf } from "./config.ts";
import { describeCost, describeSizes, learnedCount, modelCost, totalCount } from "./inspect.ts";
import { namedModel } from "./named_models.ts";
import { isFixedTable, type ParameterSize, parameterSizes } from "./parameter_sizes.ts";
import { openWeights } from "./weights.ts";

/** The name of a published network; that of a released file may begin like one. */
const NETWORK = /^(?:SiT|LightningDiT)-/;
const WEIGHTS = /\.(?:safetensors|pth?)$/i;

await runCommand(main);

function main(): void {
  const { options, positionals } = parseArguments(INSPECT_COMMAND, Deno.args);
  const model = positionals[0]!, { json, ...given } = options;
  if (!NETWORK.test(model) || WEIGHTS.test(model)) {
    const path = typedPath(model);
    refuseChoices(path, given);
    return show(fileSizes(path), json);
  }
  const { batch = INSPECT_BATCH, size, channels, snippets, repa } = given;
  const condition = snippets === undefined ? undefined : { snippetDim: snippets };
  const projector = repa === undefined
    ? undefined
    : projectorOf(alignmentSchema.parse({ targetWidth: repa }));
  const network = lookUp(() =>
    namedModel(model, { inputSize: size, channels, condition, projector })
  );
  const sizes = lookUp(() => parameterSizes(network)), cost = modelCost(network, { batch });
  if (json) console.log(JSON.stringify({ model, network, ...cost, parameters: sizes }));
  else console.log([...describeSizes(sizes), "", ...describeCost(cost)].join("\n"));
}

/** Throws where options would choose what a network that is stored has already, or what it would cost. */
function refuseChoices(path: string, given: Readonly<Record<string, unknown>>): void {
  const option = Object.keys(given).find((name) => given[name] !== undefined);
  if (option === undefined) return;
  throw new UsageError(
    `Cannot take --${option} with ${path}: its sizes are those that it has, expected a published network ` +
      "such as SiT-B/2",
  );
}

function show(sizes: readonly ParameterSize[], json: boolean): void {
  const counts = { count: totalCount(sizes), trainedCount: learnedCount(sizes) };
  console.log(
    json ? JSON.stringify({ ...counts, parameters: sizes }) : describeSizes(sizes).join("\n"),
  );
}

/** The tensors in a file of weights, or in that of a checkpoint. */
function fileSizes(path: string): ParameterSize[] {
  const file = WEIGHTS.test(path) ? path : join(findCheckpoint(path), "model.safetensors");
  using weights = openWeights(file);
  return Array.from(weights.keys(), (name) => {
    const shape = weights.shape(name);
    return { name, shape, count: elementsOf(shape), frozen: isFixedTable(name) };
  });
}
