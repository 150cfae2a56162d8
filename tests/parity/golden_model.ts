/**
 * The network that a file of recordings holds the weights of.
 *
 * @module
 */

import type { Device } from "../../kernels/core/device.ts";
import { ParameterStore } from "../../kernels/core/parameter_store.ts";
import { type ConditionOptions, SiT, type SiTOptions } from "../../model/sit.ts";
import { canonicalName, loadStateDict } from "../../model/state_dict.ts";
import type { Golden } from "./golden.ts";
import type { Report } from "./report.ts";
import { FORWARD } from "./tolerances.ts";

const LABEL_TABLE = "y_embedder.embedding_table.weight";
const SNIPPET_LAYER = /^(?:condition_projection|y_embedder)\.(linear|net\.0)\.weight$/;

/**
 * Makes the network that the file's configuration describes and loads its weights. The tables that we
 * compute ourselves (positions) are compared with the recorded ones first. The caller disposes of the
 * model's parameters.
 */
export async function loadModel(device: Device, golden: Golden, report: Report): Promise<SiT> {
  const store = new ParameterStore(device);
  try {
    const model = new SiT(store, modelOptions(golden));
    const weights = new Map(golden.keys().map((key) => [canonicalName(key), key]));
    for (const [name, parameter] of store.entries()) {
      const key = weights.get(name);
      if (!parameter.frozen || key === undefined) continue;
      report.compare({
        quantity: key,
        kind: "values",
        got: await parameter.read(),
        recorded: golden.values(key),
        tolerance: FORWARD,
      });
    }
    const filter = (key: string) => store.has(canonicalName(key));
    loadStateDict(golden.source(), store, { filter });
    return model;
  } catch (error) {
    store.dispose();
    throw error;
  }
}

function modelOptions(golden: Golden): SiTOptions {
  const config = golden.fields("config");
  const projector = projectorOptions(golden);
  return {
    inputSize: config.number("input_size"),
    patchSize: config.number("patch_size"),
    channels: config.number("in_channels"),
    width: config.number("hidden_size"),
    depth: config.number("depth"),
    heads: config.number("num_heads"),
    mlpRatio: config.number("mlp_ratio", 4),
    condition: conditionOptions(golden),
    learnSigma: config.flag("learn_sigma"),
    qkNorm: config.flag("use_qknorm") || config.flag("qk_norm"),
    swiglu: config.flag("use_swiglu"),
    rope: config.flag("use_rope"),
    rmsNorm: config.flag("use_rmsnorm"),
    noShift: config.flag("wo_shift"),
    ...(projector && { projector }),
  };
}

function conditionOptions(golden: Golden): ConditionOptions {
  // The last row stands for "no class".
  if (golden.has(LABEL_TABLE)) return { classes: golden.shape(LABEL_TABLE)[0]! - 1 };
  for (const key of golden.keys()) {
    const layer = SNIPPET_LAYER.exec(key);
    if (!layer) continue;
    const snippetDim = golden.shape(key)[1]!;
    return { snippetDim, embedding: layer[1] === "linear" ? "linear" : "mlp3" };
  }
  throw new SyntaxError(
    `Cannot make the model of ${golden.path}: no label table, no snippet layer`,
  );
}

function projectorOptions(golden: Golden): SiTOptions["projector"] {
  const first = golden.keys().find((key) => canonicalName(key) === "projectors.0.0.weight");
  const last = golden.keys().find((key) => canonicalName(key) === "projectors.0.4.weight");
  if (first === undefined || last === undefined) return undefined;
  return {
    depth: golden.fields("config").number("encoder_depth"),
    width: golden.shape(first)[0]!,
    targetWidth: golden.shape(last)[0]!,
  };
}
