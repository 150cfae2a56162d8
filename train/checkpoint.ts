/**
 * Checkpoints: a folder `step_0001000/` in the run's folder with `model.safetensors`,
 * `ema.safetensors`, `optimizer.safetensors` and `state.json`.
 *
 * A checkpoint is written under a temporary name and renamed when it is whole, and renamed back before it
 * is removed, so whatever has the final name is complete; the newest is the one with the highest step,
 * never the youngest file.
 *
 * @module
 */

import { existsSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { directoryProblem } from "../bank/directory.ts";
import type { BankFingerprint } from "../bank/fingerprint.ts";
import { writeAtomically } from "../kernels/core/atomic_file.ts";
import { CheckpointError, isOfDevice, messageOf } from "../kernels/core/errors.ts";
import { isRecord, isTexts } from "../kernels/core/json.ts";
import { SafetensorsFile } from "../kernels/core/safetensors.ts";
import { isSize, show } from "../kernels/core/safetensors_format.ts";
import { SafetensorsWriter } from "../kernels/core/safetensors_writer.ts";
import { sha256Hex } from "../kernels/core/sha256.ts";
import { ELEMENT_BYTES } from "../kernels/core/tensor.ts";
import { modelSettings } from "../model/config.ts";
import type { DiffusionModel } from "../model/diffusion_model.ts";
import { INTERPOLANTS } from "../model/interpolants/named_interpolants.ts";
import { isProjector } from "../model/read_model_options.ts";
import { SiT } from "../model/sit.ts";
import { loadStateDict, readFinite, requireFinite, saveStateDict } from "../model/state_dict.ts";
import { openWeights, type OpenWeightsOptions, reverseTime } from "../model/weights.ts";
import { type Config, resolveConfig } from "./config.ts";
import { requireDiskSpace } from "./disk_space.ts";
import { AVERAGED_WEIGHTS, CHECKPOINT_NAME, stepName } from "./run_files.ts";
import type { Trainer } from "./trainer.ts";

/** What `state.json` holds. */
export interface CheckpointState {
  /** Version of this layout. */
  readonly format: 1;
  /** Optimiser steps done. */
  readonly step: number;
  /** Images that they took, each as often as it was taken. */
  readonly seen?: number;
  /** The configuration of the run with all defaults, as JSON. */
  readonly config: unknown;
  /** The network, or the path from noise to data, is a program's own, which the configuration cannot make again. */
  readonly ownModel?: true;
  /** What tells the images of the run from others, as {@linkcode imagesFingerprint} gives it. */
  readonly images?: string;
  /** What tells the snippets of the run's bank from others, if snippets guide the model. */
  readonly bank?: BankFingerprint;
  /** Names of the classes in the order of the labels that guide the model, if labels do. */
  readonly classes?: readonly string[];
  /** Number of training images of each of these classes. */
  readonly classCounts?: readonly number[];
}

/** Files of a checkpoint. */
const FILES = ["model.safetensors", AVERAGED_WEIGHTS, "optimizer.safetensors", "state.json"];

/** What `state.json` has beside format and step: all but the configuration may be left out. */
const RECORDS = {
  seen: { holds: isSize, expected: "a whole number" },
  config: { holds: isRecord, expected: "an object" },
  ownModel: { holds: (value: unknown) => value === true, expected: "true" },
  images: { holds: (value: unknown) => typeof value === "string", expected: "a text" },
  bank: {
    holds: (value: unknown) =>
      isRecord(value) && isSize(value["size"]) && typeof value["sha256"] === "string",
    expected: "an object of size and sha256",
  },
  classes: { holds: isTexts, expected: "a list of texts" },
  classCounts: {
    holds: (value: unknown) => Array.isArray(value) && value.every(isSize),
    expected: "a list of whole numbers",
  },
};

/** What a checkpoint is called while a new one of the same step takes its place. */
const REPLACED = /^(step_\d{7,})\.old$/;
/** What is no checkpoint yet, or no longer, once those are back in their places that were replaced. */
const LEFT = /^step_\d{7,}\.(?:partial|old)$/;
/** Tensors that are read from the GPU at a time: each wait for it takes some milliseconds. */
const READ_TOGETHER = 16;

/** The checkpoint folders in a run's folder with their steps, oldest first. */
export function listCheckpoints(runDirectory: string): { step: number; path: string }[] {
  const found: { step: number; path: string }[] = [];
  for (const entry of readDirectory(runDirectory)) {
    const match = CHECKPOINT_NAME.exec(entry.name);
    if (match && entry.isDirectory) {
      found.push({ step: Number(match[1]), path: join(runDirectory, entry.name) });
    }
  }
  return found.sort((a, b) => a.step - b.step);
}

/** The newest checkpoint in a run's folder; undefined where there is none, or no folder that can be read. */
export function lastCheckpoint(runDirectory: string): string | undefined {
  try {
    return listCheckpoints(runDirectory).at(-1)?.path;
  } catch {
    return undefined; // There is no such folder, yet or any more.
  }
}

/**
 * The checkpoint that a path means: itself, or the newest one in a run's folder. Throws
 * `CheckpointError` when there is none.
 *
 * @example
 * ```ts
 * import { findCheckpoint } from "@gmem/gmem";
 *
 * const run = Deno.makeTempDirSync();
 * for (const name of ["step_0000500", "step_0001000"]) {
 *   Deno.mkdirSync(`${run}/${name}`);
 *   Deno.writeTextFileSync(`${run}/${name}/state.json`, "{}");
 * }
 * console.log(findCheckpoint(run).slice(-12), findCheckpoint(`${run}/step_0000500`).slice(-12));
 * // step_0001000 step_0000500
 * Deno.removeSync(run, { recursive: true });
 * ```
 */
export function findCheckpoint(path: string): string {
  const state = join(path, "state.json");
  // Without a slash at its end, so that the folders of files in it are this path.
  if (existsSync(state)) return dirname(state);
  restoreReplaced(path);
  const newest = listCheckpoints(path).at(-1);
  if (!newest) {
    throw new CheckpointError(
      `Cannot find a checkpoint in ${path}: it has no step_… folder, expected a checkpoint or the folder of ` +
        "a run that has saved one",
      { path },
    );
  }
  return newest.path;
}

/**
 * Reads `state.json` of a checkpoint; `CheckpointError` when it is not there or holds anything else.
 *
 * @example
 * ```ts
 * import { readCheckpointState } from "@gmem/gmem";
 *
 * const path = Deno.makeTempDirSync();
 * Deno.writeTextFileSync(`${path}/state.json`, '{ "format": 1, "step": 500, "config": {} }');
 * console.log(readCheckpointState(path).step); // 500
 * Deno.removeSync(path, { recursive: true });
 * ```
 */
export function readCheckpointState(path: string): CheckpointState {
  const file = join(path, "state.json");
  let state: CheckpointState;
  try {
    state = JSON.parse(Deno.readTextFileSync(file));
  } catch (cause) {
    throw new CheckpointError(`Cannot read ${file}: ${messageOf(cause)}`, {
      path: file,
      cause,
    });
  }
  if (state?.format !== 1 || !Number.isSafeInteger(state.step) || state.step < 0) {
    throw new CheckpointError(
      `Cannot read ${file}: format ${show(state?.format)} at step ${show(state?.step)}, ` +
        "expected format 1",
      { path: file },
    );
  }
  for (const [key, { holds, expected }] of Object.entries(RECORDS)) {
    const value = state[key as keyof CheckpointState];
    if (holds(value) || (value === undefined && key !== "config")) continue;
    throw new CheckpointError(
      `Cannot read ${file}: its ${key} is ${show(value)}, expected ${expected}`,
      { path: file },
    );
  }
  return state;
}

/**
 * As {@linkcode readCheckpointState}, where the configuration is to make the network again: throws
 * `CheckpointError` also for one that only the program which saved it can make.
 */
export function readStateOfSiT(path: string): CheckpointState {
  const state = readCheckpointState(path);
  if (!state.ownModel) return state;
  throw new CheckpointError(
    `Cannot open ${path}: its network, or its path from noise to data, is a program's own, which its ` +
      "configuration does not make again, expected that program to load it by loadCheckpoint() or loadWeights()",
    { path },
  );
}

/** What the checkpoint of {@linkcode loadCheckpoint} must have been trained on. */
export interface LoadCheckpointOptions {
  /** What tells the images from others, as {@linkcode imagesFingerprint} gives it; left out, any will do. */
  readonly imagesFingerprint?: string | undefined;
  /** What tells the bank's snippets from others, as `bankFingerprint` gives it; left out, any will do. */
  readonly bankFingerprint?: BankFingerprint | undefined;
}

/** What {@linkcode saveCheckpoint} writes beside the trainer. */
export interface SaveCheckpointOptions extends LoadCheckpointOptions {
  /** What tells the images from others. Default: what {@linkcode imagesFingerprint} gives for the trainer's. */
  readonly imagesFingerprint?: string | undefined;
  /**
   * The configuration of the run, as `resolveConfig` gives it, by which commands and `loadTrained` make the
   * model again: its sections `data` and `model` have to say what the model was made with. Default: that, and
   * the path that the trainer trains on. A model that is no {@linkcode SiT}, or a path of one's own, they cannot
   * make: only {@linkcode loadCheckpoint} and {@linkcode loadWeights} take such checkpoints.
   */
  readonly config?: unknown;
  /** The images where labels guide the model, whose classes are remembered by name. */
  readonly dataset?:
    | { readonly labels: Uint32Array; readonly classes: readonly string[] }
    | undefined;
}

/**
 * Writes a checkpoint of a trainer and returns its path. An existing checkpoint of the same step is
 * kept until the new one is in its place; on failure nothing is left behind. The trainer must wait
 * meanwhile.
 *
 * Throws a {@linkcode CheckpointError} when the disk refuses, when the trainer took a step meanwhile, or when a
 * weight or a moment is no finite number, with which no checkpoint loads, and what
 * {@linkcode Trainer.requireSound} throws.
 *
 * @example
 * ```ts
 * import { Device, loadEmoji, ParameterStore, saveCheckpoint, SiT, Trainer } from "@gmem/gmem";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * using store = new ParameterStore(device, { seed: 0 });
 * const model = new SiT(store, {
 *   inputSize: 8, channels: 3, patchSize: 4, width: 32, depth: 1, heads: 2,
 *   condition: { classes: 9 },
 * });
 * using trainer = new Trainer({ model, dataset: await loadEmoji({ imageSize: 8 }), batchSize: 4 });
 * for await (const _ of trainer.run({ steps: 1 }));
 * const run = Deno.makeTempDirSync();
 * const path = await saveCheckpoint(run, trainer);
 * console.log(path.slice(run.length)); // /step_0000001
 * Deno.removeSync(run, { recursive: true });
 * ```
 */
export async function saveCheckpoint(
  runDirectory: string,
  trainer: Trainer,
  options: SaveCheckpointOptions = {},
): Promise<string> {
  const { config = configOf(trainer), bankFingerprint, dataset } = options;
  const { imagesFingerprint: images = imagesFingerprint(trainer.dataset) } = options;
  trainer.requireSound();
  const { model, step, seen, optimizer } = trainer, { condition } = model.options;
  const path = join(runDirectory, stepName(step));
  const partial = `${path}.partial`, old = `${path}.old`;
  Deno.mkdirSync(runDirectory, { recursive: true });
  removeLeft(runDirectory);
  try {
    Deno.mkdirSync(partial);
    const store = model.parameters;
    await saveStateDict(join(partial, "model.safetensors"), store);
    await saveStateDict(join(partial, AVERAGED_WEIGHTS), store, { slabs: optimizer.averages });
    await saveTensors(join(partial, "optimizer.safetensors"), [
      ...optimizer.stateEntries(),
      ...trainer.lossScaleEntries(),
    ]);
    if (trainer.step !== step) {
      throw new CheckpointError(
        `Cannot write checkpoint ${path}: the trainer went on to step ${trainer.step} meanwhile, ` +
          "expected it to wait until the checkpoint is written",
        { path },
      );
    }
    const state: CheckpointState = {
      format: 1,
      step,
      seen,
      config,
      ...((!(model instanceof SiT) || hasOwnPath(trainer)) && { ownModel: true }),
      images,
      ...(bankFingerprint && { bank: bankFingerprint }),
      ...("classes" in condition && dataset && {
        classes: dataset.classes,
        classCounts: countLabels(dataset.labels, condition.classes),
      }),
    };
    writeAtomically(join(partial, "state.json"), JSON.stringify(state, null, 2));
    if (existsSync(path)) Deno.renameSync(path, old);
    Deno.renameSync(partial, path);
    removeDirectory(old);
  } catch (cause) {
    removeLeft(runDirectory);
    if (cause instanceof CheckpointError || isOfDevice(cause)) throw cause;
    throw new CheckpointError(`Cannot write checkpoint ${path}: ${messageOf(cause)}`, {
      path,
      cause,
    });
  }
  return path;
}

/** The configuration that makes a {@linkcode SiT} again, with the path that a model was trained on. */
function configOf({ path, model }: Trainer): Config {
  const { inputSize: imageSize, channels } = model.options;
  return resolveConfig({
    data: { imageSize, channels },
    // The section says nothing of a program's own network, but has to fit the images.
    model: model instanceof SiT ? modelSettings(model.options) : { patchSize: 1 },
    interpolant: { path: path.interpolant.name, prediction: path.prediction },
  });
}

/** Whether a trainer trains on another path than the one that a configuration means by its name. */
function hasOwnPath({ path: { interpolant } }: Trainer): boolean {
  return INTERPOLANTS[interpolant.name] !== interpolant;
}

/** Number of labels of each class [classes]. */
function countLabels(labels: Uint32Array, classes: number): number[] {
  const counts = Array<number>(classes).fill(0);
  for (const label of labels) counts[label]!++;
  return counts;
}

/**
 * Removes the oldest checkpoints in a run's folder, but for the newest `keep`. A checkpoint with any other
 * file in it, such as an `evaluation.json`, is not counted and stays.
 *
 * Throws whatever the disk refuses with.
 */
export function removeOldCheckpoints(runDirectory: string, keep: number): void {
  removeLeft(runDirectory);
  const removable = removableCheckpoints(runDirectory);
  for (const path of removable.slice(0, Math.max(0, removable.length - keep))) {
    // Under its own name it must never lie there in parts.
    const partial = `${path}.partial`;
    Deno.renameSync(path, partial);
    removeDirectory(partial);
  }
}

/** The checkpoints in a run's folder with no file of anybody else's in them, oldest first. */
function removableCheckpoints(runDirectory: string): string[] {
  return listCheckpoints(runDirectory).map(({ path }) => path).filter((path) => {
    const names = readDirectory(path).map(({ name }) => name);
    return names.length === FILES.length && FILES.every((file) => names.includes(file));
  });
}

/** Number of checkpoints that a run which has come to `step` is still to write, the last one included. */
export function checkpointsAfter(
  step: number,
  { steps, checkpointEvery }: { steps: number; checkpointEvery: number | null },
): number {
  const every = checkpointEvery ?? steps;
  return step < steps ? Math.ceil(steps / every) - Math.floor(step / every) : 0;
}

/**
 * Throws `CheckpointError` unless the disk has room for as many of the `coming` checkpoints of a run as will
 * lie there at a time, where {@linkcode removeOldCheckpoints} keeps `keep`, or all if that is null: a disk
 * that is full at the end of a run would cost all of it.
 */
export function requireSpace(
  runDirectory: string,
  parameters: Iterable<readonly [name: string, parameter: { readonly elements: number }]>,
  { coming, keep }: { coming: number; keep: number | null },
): void {
  let elements = 0;
  for (const [, { elements: each }] of parameters) elements += each;
  // One is removed only when the next is written.
  const more = keep === null
    ? Infinity
    : Math.max(1, keep + 1 - removableCheckpoints(runDirectory).length);
  const count = Math.min(coming, more);
  // Weights, their average and two moments.
  const bytes = count * 4 * ELEMENT_BYTES.f32 * elements;
  const elsewhere = listCheckpoints(runDirectory).length === 0
    ? "another disk by train.runDirectory"
    : "the run's folder moved to another disk";
  // Of two one is removed when the other is written.
  const fewer = keep === 1
    ? ", or the last one alone by train.checkpointEvery=null"
    : ", or fewer by train.keepCheckpoints=1";
  requireDiskSpace(runDirectory, bytes, {
    problem: `Cannot keep a run in ${runDirectory}: ` +
      (count === 1 ? "a checkpoint takes" : `${count} checkpoints take`),
    expected: `room or ${elsewhere}` + (count === 1 ? "" : fewer),
  });
}

/**
 * Restores a trainer from a checkpoint, or from the newest one in a run's folder, exactly: weights, average,
 * moments, step.
 *
 * Throws a {@linkcode CheckpointError} when it cannot be read or does not fit, or when its images are known
 * and not those of `imagesFingerprint`, or its bank's snippets and not those of `bankFingerprint`.
 *
 * @example
 * ```ts
 * import {
 *   Device, loadCheckpoint, loadEmoji, ParameterStore, saveCheckpoint, SiT, Trainer,
 * } from "@gmem/gmem";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * using store = new ParameterStore(device, { seed: 0 });
 * const model = new SiT(store, {
 *   inputSize: 8, channels: 3, patchSize: 4, width: 32, depth: 1, heads: 2,
 *   condition: { classes: 9 },
 * });
 * using trainer = new Trainer({ model, dataset: await loadEmoji({ imageSize: 8 }), batchSize: 4 });
 * const run = Deno.makeTempDirSync();
 * const path = await saveCheckpoint(run, trainer);
 * for await (const _ of trainer.run({ steps: 1 }));
 * console.log(trainer.step, loadCheckpoint(path, trainer).step, trainer.step); // 1 0 0
 * Deno.removeSync(run, { recursive: true });
 * ```
 */
export function loadCheckpoint(
  checkpointOrRun: string,
  trainer: Trainer,
  options: LoadCheckpointOptions = {},
): CheckpointState {
  const path = findCheckpoint(checkpointOrRun);
  restoreWeights(path, { ...options, model: trainer.model });
  return restoreTrainer(path, trainer);
}

/**
 * The first half of {@linkcode loadCheckpoint}, which needs no trainer yet: checks that the data are those of
 * the checkpoint, and loads its weights into a model. Throws what that throws.
 */
export function restoreWeights(
  path: string,
  { model, imagesFingerprint: images, bankFingerprint: bank }: LoadCheckpointOptions & {
    readonly model: DiffusionModel;
  },
): void {
  const state = readCheckpointState(path);
  if (images !== undefined) requireTrainingImages(path, { images });
  if (bank && state.bank && (bank.size !== state.bank.size || bank.sha256 !== state.bank.sha256)) {
    throw new CheckpointError(
      `Cannot go on from ${path}: the snippets of the bank are not those that it was trained with, ` +
        "expected the same bank, or a new run that starts from its weights (init)",
      { path },
    );
  }
  loadWeights(join(path, "model.safetensors"), model);
}

/**
 * The second half of {@linkcode loadCheckpoint}: average, moments and step of the trainer of a model that has
 * the checkpoint's weights. Throws what that throws.
 */
export function restoreTrainer(path: string, trainer: Trainer): CheckpointState {
  const state = readCheckpointState(path), { optimizer } = trainer;
  trainer.spoil();
  withFile(join(path, AVERAGED_WEIGHTS), (file) => {
    for (const [name, tensor] of optimizer.averageEntries()) tensor.write(readFinite(file, name));
  });
  withFile(join(path, "optimizer.safetensors"), (file) => {
    optimizer.loadState((key) => readFinite(file, key));
    const [first] = trainer.lossScaleEntries();
    // A run that goes on in f16 after f32 has none yet.
    if (first && file.has(first[0])) trainer.loadLossScale((key) => file.readFloat32(key));
  });
  trainer.step = state.step;
  // Those steps may have had batches of another size.
  if (state.seen !== undefined) trainer.seen = state.seen;
  return state;
}

/**
 * Throws `CheckpointError` where the images of a checkpoint are known and not `images`, which is what
 * {@linkcode imagesFingerprint} gives of so many as `size` says.
 */
export function requireTrainingImages(
  path: string,
  { images, size }: { readonly images: string; readonly size?: number },
): void {
  const state = readCheckpointState(path), { images: own = images } = state;
  if (images === own) return;
  const before = trainedImages(state);
  const numbers = size === undefined || before === undefined || before === size
    ? ""
    : ` (${size} now, ${before} then)`;
  throw new CheckpointError(
    `Cannot go on from ${path}: the images, or which of them are held out, are not those that it ` +
      `was trained on${numbers}, expected the same files, data.heldOut and train.seed, or a new ` +
      "run that starts from its weights (init)",
    { path },
  );
}

/** How many images a checkpoint was trained on, by its bank or its classes; undefined where it has neither. */
export function trainedImages({ bank, classCounts = [] }: {
  readonly bank?: BankFingerprint | undefined;
  readonly classCounts?: readonly number[] | undefined;
}): number | undefined {
  return bank?.size ?? (classCounts.reduce((sum, count) => sum + count, 0) || undefined);
}

/**
 * What tells a set of N images to train on from others: the SHA-256, in hexadecimal digits, of N and of their
 * names and labels [N], where they have some. Pixels are not in it.
 *
 * @example
 * ```ts
 * import { imagesFingerprint } from "@gmem/gmem";
 *
 * const images = { size: 2, names: ["cat.png", "dog.png"], labels: Uint32Array.of(0, 1) };
 * const other = { ...images, labels: Uint32Array.of(0, 0) };
 * console.log(imagesFingerprint(images).length, imagesFingerprint(images) === imagesFingerprint(other));
 * // 64 false
 * ```
 */
export function imagesFingerprint(
  images: {
    readonly size: number;
    readonly names?: readonly string[] | undefined;
    readonly labels?: Uint32Array | undefined;
  },
): string {
  const { size, names = [], labels = [] } = images;
  return sha256Hex(JSON.stringify([size, names, [...labels]]));
}

/** How {@linkcode loadWeights} reads a file. */
export interface LoadWeightsOptions extends OpenWeightsOptions {
  /** The file's time runs from data to noise (REPA, first GMem release). Default `false`. */
  readonly reversed?: boolean | undefined;
  /** Pass over REPA's projector, which is for training alone. Default `false`. */
  readonly withoutProjector?: boolean | undefined;
}

/**
 * Loads the weights in a `.safetensors`, `.pt` or `.pth` file into a model.
 *
 * Throws a `CheckpointError` when the file cannot be read or has a number that is not finite, or when they do
 * not fit, which leaves the model as it was.
 *
 * @example
 * ```ts
 * import { Device, loadWeights, ParameterStore, saveStateDict, SiT } from "@gmem/gmem";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * using store = new ParameterStore(device, { seed: 0 });
 * const model = new SiT(store, {
 *   inputSize: 8, channels: 3, patchSize: 4, width: 32, depth: 1, heads: 2,
 *   condition: { classes: 9 },
 * });
 * const folder = Deno.makeTempDirSync(), path = `${folder}/model.safetensors`;
 * await saveStateDict(path, store);
 * const bias = store.get("final_layer.linear.bias"); // [48], zeros
 * bias.write(new Float32Array(48).fill(1));
 * loadWeights(path, model);
 * console.log((await bias.read())[0]); // 0
 * Deno.removeSync(folder, { recursive: true });
 * ```
 */
export function loadWeights(
  path: string,
  model: DiffusionModel,
  options: LoadWeightsOptions = {},
): void {
  const { reversed = false, withoutProjector = false } = options;
  using weights = openWeights(path, options);
  loadStateDict(reversed ? reverseTime(weights) : weights, model.parameters, {
    filter: (key) => !(withoutProjector && isProjector(key)),
  });
}

/**
 * Starts a trainer from the weights in a file, as {@linkcode loadWeights} reads it. The moving average
 * begins at them; moments and step stay what they are.
 *
 * Throws what {@linkcode loadWeights} throws.
 *
 * @example
 * ```ts
 * import {
 *   Device, initializeFrom, loadEmoji, ParameterStore, saveStateDict, SiT, Trainer,
 * } from "@gmem/gmem";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * using store = new ParameterStore(device, { seed: 0 });
 * const model = new SiT(store, {
 *   inputSize: 8, channels: 3, patchSize: 4, width: 32, depth: 1, heads: 2,
 *   condition: { classes: 9 },
 * });
 * using trainer = new Trainer({ model, dataset: await loadEmoji({ imageSize: 8 }), batchSize: 4 });
 * store.get("final_layer.linear.bias").write(new Float32Array(48).fill(1));
 * const folder = Deno.makeTempDirSync(), path = `${folder}/model.safetensors`;
 * await saveStateDict(path, store);
 * initializeFrom(path, trainer);
 * const averages = new Map(trainer.optimizer.averageEntries());
 * console.log((await averages.get("final_layer.linear.bias")!.read())[0]); // 1 it was 0
 * Deno.removeSync(folder, { recursive: true });
 * ```
 */
export function initializeFrom(
  path: string,
  trainer: Trainer,
  options: LoadWeightsOptions = {},
): void {
  loadWeights(path, trainer.model, options);
  trainer.optimizer.resetAverages();
}

function withFile(path: string, use: (file: SafetensorsFile) => void): void {
  using file = SafetensorsFile.open(path);
  try {
    use(file);
  } catch (cause) {
    if (cause instanceof CheckpointError || isOfDevice(cause)) throw cause;
    throw new CheckpointError(`Cannot load ${path}: ${messageOf(cause)}`, { path, cause });
  }
}

async function saveTensors(
  path: string,
  entries: Iterable<[string, { readonly shape: readonly number[]; read(): Promise<Float32Array> }]>,
): Promise<void> {
  const tensors = [...entries];
  const declared = tensors.map(([name, { shape }]) => [name, { dtype: "F32", shape }] as const);
  using writer = new SafetensorsWriter(path, declared);
  for (let first = 0; first < tensors.length; first += READ_TOGETHER) {
    const part = tensors.slice(first, first + READ_TOGETHER);
    const values = await Promise.all(part.map(([, tensor]) => tensor.read()));
    for (const [i, [key]] of part.entries()) {
      requireFinite(values[i]!, { verb: "write", path, key });
      writer.append(key, values[i]!);
    }
  }
  writer.commit();
}

function readDirectory(path: string): Deno.DirEntry[] {
  try {
    return [...Deno.readDirSync(path)];
  } catch (cause) {
    throw new CheckpointError(
      `Cannot find a checkpoint: ${directoryProblem(path, cause)}, ` +
        "expected a run's folder such as runs/emoji_tiny, or a checkpoint in one",
      { path, cause },
    );
  }
}

/** Puts checkpoints back in their places whose successor did not get there. */
function restoreReplaced(runDirectory: string): void {
  for (const { name } of readDirectory(runDirectory)) {
    const path = join(runDirectory, REPLACED.exec(name)?.[1] ?? name);
    if (REPLACED.test(name) && !existsSync(path)) Deno.renameSync(join(runDirectory, name), path);
  }
}

/** Removes what a failure or a kill left of checkpoints that were written, replaced or removed. */
function removeLeft(runDirectory: string): void {
  restoreReplaced(runDirectory);
  for (const { name } of readDirectory(runDirectory)) {
    if (LEFT.test(name)) removeDirectory(join(runDirectory, name));
  }
}

function removeDirectory(path: string): void {
  rmSync(path, { recursive: true, force: true });
}
