/**
 * What `deno task train` was told.
 *
 * @module
 */

import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { bankFiles } from "../../bank/config.ts";
import { requireFit } from "../../bank/encoders/pixel_pca.ts";
import { BankFile } from "../../bank/file.ts";
import type { ImageSource } from "../../bank/image_source.ts";
import { lookUp, type ParsedArguments, UsageError } from "../../cli/arguments.ts";
import type { TRAIN_COMMAND } from "../../cli/commands/train.ts";
import { requireFiles } from "../../cli/input_files.ts";
import { checkReversed } from "../../cli/model_options.ts";
import { shellWord } from "../../cli/shell_word.ts";
import { clonePath } from "../../cli/typed_path.ts";
import { ParameterStore } from "../../kernels/core/parameter_store.ts";
import { modelOptions } from "../../model/config.ts";
import { readModelOptions } from "../../model/read_model_options.ts";
import { SiT } from "../../model/sit.ts";
import { matchStateDict } from "../../model/state_dict.ts";
import { openWeights } from "../../model/weights.ts";
import {
  findCheckpoint,
  lastCheckpoint,
  listCheckpoints,
  readCheckpointState,
  readStateOfSiT,
} from "../checkpoint.ts";
import type { Config } from "../config.ts";
import { LatentShards } from "../datasets/latent_shards.ts";
import { configToGoOn } from "../fixed_keys.ts";
import { DEFAULT_CONFIG, loadConfig } from "../load_config.ts";
import { folderOverrides } from "../overrides.ts";
import { AVERAGED_WEIGHTS } from "../run_files.ts";

/** The arguments of the command. */
type Arguments = ParsedArguments<typeof TRAIN_COMMAND>;

/** What the command was told. */
export interface Settings {
  readonly config: Config;
  /** The folder of the run. */
  readonly directory: string;
  /** The checkpoint that the run goes on from; undefined for a fresh one. */
  readonly resumed: string | undefined;
  /** The file of weights that a fresh run starts from; undefined for random ones. */
  readonly weights: { readonly path: string; readonly reversed: boolean } | undefined;
  /** Write results as JSON. */
  readonly json: boolean;
}

/** Throws a UsageError where arguments do not go together. */
export function checkUsage({ options: { resume, init, reversed }, positionals }: Arguments): void {
  if (init !== undefined && resume !== undefined) {
    throw new UsageError("Cannot take weights from --init: --resume has those of the run already");
  }
  if (reversed && init === undefined) {
    throw new UsageError("Cannot reverse the time of a new network: expected --init FILE");
  }
  if (resume !== undefined && positionals.length > 0) {
    throw new UsageError(
      `Cannot resume with ${positionals[0]}: a run keeps its configuration, expected --set for ` +
        "keys to change",
    );
  }
}

/** Reads the configuration that arguments name and change, or that of the checkpoint to go on from. */
export async function readSettings(
  { options, positionals }: Arguments,
  { resumed }: Pick<Settings, "resumed">,
): Promise<Settings> {
  const { init, reversed, json } = options;
  const overrides = [
    ...folderOverrides(options.data),
    ...(options.steps ? [`train.steps=${options.steps}`] : []),
    ...(options.recompute ? ["train.recompute=true"] : []),
    ...options.set,
  ];
  const config = resumed
    ? configToGoOn({ checkpoint: resumed, stored: readStateOfSiT(resumed).config, overrides })
    : await loadConfig(positionals[0] ?? DEFAULT_CONFIG, { overrides });
  return {
    config,
    directory: resumed ? dirname(resumed) : clonePath(config.train.runDirectory),
    resumed,
    weights: init === undefined ? undefined : { path: init, reversed },
    json,
  };
}

/** Throws where the command cannot do what it was told, as far as can be seen without device and images. */
export function checkSettings({ config, resumed, weights }: Settings): void {
  if (resumed) requireData(resumed, config.data);
  else refuseHome(config.train);
  requireUsed(config);
  checkReversed(weights?.reversed === true, config.interpolant.prediction);
  if (weights) refuseFolder(weights.path);
  requireFiles({
    "--init": weights?.path,
    "bank.path": config.bank.path,
    ...(makesBank({ config, resumed }) && bankFiles(config.bank)),
    "data.decoder": config.data.decoder,
  });
  if (weights) requireNetwork(weights.path, config);
  if (config.bank.path !== null) BankFile.open(config.bank.path)[Symbol.dispose]();
}

/** Whether a run encodes its images to a bank of its own. */
function makesBank({ config, resumed }: Pick<Settings, "config" | "resumed">): boolean {
  return !resumed && config.bank.path === null && config.model.conditioning === "snippet";
}

/** Throws where the images are too few for the snippets that a run is to make of them. */
export function checkImages(settings: Settings, images: ImageSource | LatentShards): void {
  const { bank } = settings.config;
  if (images instanceof LatentShards || bank.encoder !== "pixel_pca" || !makesBank(settings)) {
    return;
  }
  lookUp(() => requireFit({ ...bank, images }));
}

/** Throws where a run would come among checkpoints that its own do not follow. */
export function checkCheckpoints({ directory, resumed }: Settings): void {
  if (resumed) requireNewest(resumed);
  else requireNoCheckpoint(directory);
}

/** Throws where the folder of a run is in a home folder by its short name. */
function refuseHome({ runDirectory }: Config["train"]): void {
  if (!/^~(?:[\\/]|$)/.test(runDirectory)) return;
  throw new UsageError(
    `Cannot keep a run in ${runDirectory}: a configuration knows no home folder, ` +
      "expected the whole path",
  );
}

/** Throws where the data of a run are no longer where they were. */
function requireData(checkpoint: string, { path }: Config["data"]): void {
  if (path === null || existsSync(path)) return;
  throw new Deno.errors.NotFound(
    `Cannot go on from ${checkpoint}: its data were in ${path}, which does not exist, expected it, or ` +
      "--set data.path=DIR for where they are now",
  );
}

/**
 * Throws where training would have no use for what a configuration says. The schema takes it, since it is also
 * that of weights whose data are not known, and of runs that are drawn with.
 */
function requireUsed({ data, model, bank }: Config): void {
  if (model.repa !== null && data.kind !== "latents") {
    throw new UsageError(
      `Cannot align tokens as model.repa says: data.kind is ${data.kind}, whose images have none of an ` +
        "encoder, expected model.repa null, or data.kind latents",
    );
  }
  if (model.conditioning !== "label") return;
  const guided =
    "model.conditioning is label, and labels guide the network in place of snippets, expected ";
  if (bank.path !== null) throw new UsageError(`Cannot take bank.path: ${guided}bank.path null`);
  if (bank.encoder !== "pixel_pca") {
    throw new UsageError(`Cannot take bank.encoder ${bank.encoder}: ${guided}pixel_pca`);
  }
  if (model.snippetEmbedding !== "linear") {
    throw new UsageError(
      `Cannot take model.snippetEmbedding ${model.snippetEmbedding}: ${guided}linear`,
    );
  }
  // The kind by default says nothing: many configurations have it.
  if (bank.mask.kind === "zero" || bank.mask.kind === "none") return;
  throw new UsageError(`Cannot take bank.mask.kind ${bank.mask.kind}: ${guided}none`);
}

/** Throws where weights are to come from a folder, and names those of the checkpoint there. */
function refuseFolder(weights: string): void {
  if (!existsSync(weights) || !Deno.statSync(weights).isDirectory) return;
  throw new UsageError(
    `Cannot take weights from ${weights}: it is a folder, expected a file such as ` +
      join(findCheckpoint(weights), AVERAGED_WEIGHTS),
  );
}

/**
 * Throws where the weights in a file are not those of a configuration's network, whatever the number of its
 * classes or the length of its snippets: those only data and bank tell.
 */
function requireNetwork(path: string, { model, data }: Config): void {
  using weights = openWeights(path);
  const { condition } = readModelOptions(weights, {
    heads: model.heads,
    nullClass: model.classDropout > 0,
  });
  const guide = "classes" in condition ? "label" : "snippet";
  if (guide !== model.conditioning) {
    throw new TypeError(
      `Cannot take weights from ${path}: a ${guide} guides their network, expected a ` +
        `${model.conditioning}, as model.conditioning says`,
    );
  }
  const ends = { classes: 1, snippetDim: 1, ...condition };
  const { parameters } = new SiT(
    new ParameterStore(undefined),
    modelOptions(model, { ...data, ...ends }),
  );
  matchStateDict(weights, parameters);
}

/** Two ways on from an earlier step would end up in one folder, and the older one be taken for newest. */
function requireNewest(checkpoint: string): void {
  const directory = dirname(checkpoint), { step } = readCheckpointState(checkpoint);
  const newest = listCheckpoints(directory).at(-1);
  if (newest === undefined || newest.step <= step) return;
  throw new UsageError(
    `Cannot go on from ${checkpoint}: its folder has later checkpoints, up to ${newest.path}. ` +
      `Go on from that one by --resume ${shellWord(directory)}, or move the later ones away first`,
  );
}

/** A fresh run among the checkpoints of another would later be resumed from the wrong one. */
function requireNoCheckpoint(directory: string): void {
  const last = lastCheckpoint(directory);
  if (last === undefined) return;
  throw new UsageError(
    `Cannot start a run in ${directory}: it holds ${last}, expected a folder without checkpoints. ` +
      `Go on with that run by --resume ${shellWord(directory)}, ` +
      "or choose another folder by --set train.runDirectory=DIR",
  );
}
