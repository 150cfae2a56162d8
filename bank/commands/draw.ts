/**
 * `deno task bank add`, `interpolate` and `transfer`: samples from snippets of one's choice.
 *
 * @module
 */

import { basename } from "node:path";
import {
  lookUp,
  parseArguments,
  type ParsedArguments,
  refuseGiven,
  UsageError,
} from "../../cli/arguments.ts";
import {
  BANK_ADD_COMMAND,
  BANK_INTERPOLATE_COMMAND,
  BANK_TRANSFER_COMMAND,
} from "../../cli/commands/bank.ts";
import { requireFiles } from "../../cli/input_files.ts";
import { checkSampler, sampleOverrides } from "../../cli/model_options.ts";
import { openDevice } from "../../cli/open_device.ts";
import { prepareOutput } from "../../cli/output_file.ts";
import { openProgress } from "../../cli/progress.ts";
import { say } from "../../cli/say.ts";
import { typedPath } from "../../cli/typed_path.ts";
import { counted, listed } from "../../kernels/core/counted.ts";
import type { Device } from "../../kernels/core/device.ts";
import { imagesOfRun, placedImages } from "../../train/bank_images.ts";
import {
  imagesFor,
  pictureInterpolation,
  pictureNovel,
  pictureTransfer,
  type SamplePicture,
} from "../../train/bank_pictures.ts";
import { requireDrawable } from "../../train/drawable.ts";
import { encodeFiles, loadFiles, sideForBank } from "../../train/encode_files.ts";
import { loadImagesOf } from "../../train/load_data.ts";
import { checkNamedBank } from "../../train/named_bank.ts";
import {
  bankPathOf,
  type CheckpointConfig,
  loadTrained,
  readCheckpointConfig,
  type TrainedModel,
} from "../../train/trained.ts";
import { type Bank, checkIndices, type ImageRecords, titleOf } from "../bank.ts";
import { writeBank } from "../bank_writer.ts";
import { encoderOfBank } from "../encoders/open.ts";
import { BankFile } from "../file.ts";
import { interpolateSnippets } from "../interpolate.ts";
import { loadBank } from "../load.ts";
import { indexOfName, nearestSnippets } from "../retrieve.ts";
import { spreadIndices } from "../select_rows.ts";
import { dataOf, preparePicture, print, ROW_NEIGHBOURS, writePicture } from "./console.ts";

/** `bank add`: new images in a bank, and samples from them. */
export async function add(args: readonly string[]): Promise<void> {
  const { options, given, positionals } = parseArguments(BANK_ADD_COMMAND, args);
  const { class: className, sample, checkpoint, onnx, picture, json } = options;
  if (sample !== (checkpoint !== undefined)) {
    throw new UsageError(
      sample
        ? "Cannot draw samples without a model: expected --checkpoint DIR beside --sample"
        : "Cannot use --checkpoint alone: expected --sample beside it",
    );
  }
  if (!sample) {
    refuseGiven(
      given,
      ["any-encoder", "noises", "seed", "data", "picture", "set"],
      "without samples: expected --sample and --checkpoint DIR",
    );
  }
  requireFiles({ "--bank": options.bank });
  const found = checkpoint === undefined ? undefined : readRun(checkpoint, options);
  const path = options.bank ?? (found && bankPathOf(found));
  if (path === undefined) {
    throw new UsageError(
      "Cannot add to a bank: expected --bank FILE, or --sample and --checkpoint",
    );
  }
  const out = options.out ?? options.bank;
  if (out?.endsWith(".png")) {
    throw new UsageError(
      `Cannot write a bank to ${out}: expected --picture for the rows of samples`,
    );
  }
  // The bank of --bank is there to be written over, that of a run is not.
  const inputs = [...positionals, onnx, found && bankPathOf(found)];
  if (out !== undefined) await prepareOutput(out, { inputs });
  if (sample) {
    await preparePicture(picture, {
      inputs: [...inputs, path],
      others: [out],
      option: "--picture",
    });
  }
  using device = await openDevice(found?.config.device, say);
  if (found) requireDrawable(device, found.config);
  using trained = found && loadTrained(device, { ...found, bank: options.bank });
  const anyEncoder = options["any-encoder"];
  if (trained) checkNamedBank(trained, { bank: options.bank, anyEncoder, note });
  using loaded = trained ? undefined : loadBank(device, path);
  const bank = trained?.bank ?? loaded!;
  using encoder = await encoderOfBank(bank, {
    device,
    onnx,
    providers: found?.config.device.onnxProviders,
  });
  const imageSize = options.size ?? sideForBank(bank, encoder.description);
  const images = await loadFiles(positionals, imageSize);
  const label = labelOf(bank, className);
  const snippets = await encodeFiles(images, encoder);
  const first = bank.size;
  const near = trained &&
    await nearestImages(trained, { device, bank, snippets, data: options.data });
  const added = positionals.map((file, i) => {
    const snippet = snippets.slice(i * bank.dim, (i + 1) * bank.dim), name = basename(file);
    return { index: bank.addExternal(snippet, { name, label }), name };
  });
  // The picture comes first: a bank is written when nothing else can fail.
  let drawn: SamplePicture | undefined;
  if (trained) {
    const { noises } = options;
    using progress = openProgress(added.length * noises, { json });
    // A low-rank bank gives back what its directions hold of the new snippets.
    using kept = bank.gather(added.map(({ index }) => index));
    drawn = await pictureNovel(trained, {
      images: await imagesFor(trained.config.data, {
        device,
        images,
        indices: added.map((_, i) => i),
      }),
      snippets: await kept.read(),
      noises,
      nearest: near,
      onProgress: (done) => progress.advance(done),
    });
    progress.stop();
    await writePicture(picture, drawn.picture);
  }
  if (out !== undefined) await bank.save(out);
  const result = {
    added,
    ...(out !== undefined && { out, size: bank.size }),
    ...(drawn && { picture, evaluations: drawn.evaluations }),
  };
  const samples = counted(options.noises, "sample");
  const neighbours = near ? `, the ${counted(near.columns, "image")} nearest to it` : "";
  print(json, result, [
    ...(out === undefined ? [] : added.map(({ index, name }) => `snippet   ${index} is ${name}`)),
    ...(drawn
      ? [
        `rows      the image, ${samples} of ` +
        `${counted(drawn.evaluations, "network evaluation")} each` +
        neighbours,
        `wrote     ${picture}`,
      ]
      : []),
    out === undefined
      ? `bank      ${path} keeps ${counted(first, "snippet")}; --out FILE writes the new ones too`
      : `bank      ${out}, ${counted(bank.size, "snippet")}`,
  ]);
}

/** `bank interpolate`: snippets between two, or samples from them. */
export async function interpolate(args: readonly string[]): Promise<void> {
  const parsed = parseArguments(BANK_INTERPOLATE_COMMAND, args);
  const { options, given, positionals } = parsed;
  if (options.checkpoint !== undefined) return await drawBetween(options.checkpoint, parsed);
  refuseGiven(
    given,
    ["any-encoder", "noises", "data", "set"],
    "without a model: expected --checkpoint DIR",
  );
  const { bank, mode, steps, seed = 0, json } = options;
  const { out = typedPath("between.safetensors") } = options;
  if (bank === undefined) {
    throw new UsageError("Cannot interpolate: expected --bank FILE, or --checkpoint DIR to draw");
  }
  if (out.endsWith(".png")) {
    throw new UsageError(`Cannot draw ${out} without a model: expected --checkpoint DIR`);
  }
  await prepareOutput(out, { inputs: [bank] });
  using file = BankFile.open(bank);
  const [first, second] = pairOf(file, positionals);
  const between = interpolateSnippets(file.rows(first, 1), file.rows(second, 1), {
    mode,
    steps,
    seed,
  });
  const { encoder, encoderWeights } = file;
  const names = between.map(({ name }) => `${first} to ${second}, ${name}`);
  const snippets = new Float32Array(between.flatMap(({ snippet }) => [...snippet]));
  writeBank(out, { dim: file.dim, snippets, encoder, encoderWeights, names });
  print(json, { out, names }, [
    `bank      ${out}, ${counted(names.length, "snippet")}`,
    ...names.map((name, i) => `snippet   ${i} is ${name}`),
  ]);
}

/** Draws from the snippets between two others, in a row for each noise. */
async function drawBetween(
  checkpoint: string,
  { options, positionals }: ParsedArguments<typeof BANK_INTERPOLATE_COMMAND>,
): Promise<void> {
  const { mode, steps, noises, data, out = typedPath("between.png"), json } = options;
  const found = readRun(checkpoint, options);
  await preparePicture(out, { inputs: [options.bank] });
  using device = await openDevice(found.config.device, say);
  requireDrawable(device, found.config);
  using trained = loadTrained(device, { ...found, bank: options.bank });
  checkNamedBank(trained, { bank: options.bank, anyEncoder: options["any-encoder"], note });
  const bank = trained.bank!;
  const pair = pairOf(bank, positionals);
  const [first, second] = await Promise.all(pair.map((index) => bank.snippet(index)));
  const { seed } = trained.config.sample;
  const whole = interpolateSnippets(first!, second!, { mode, steps: steps + 2, seed });
  // The two snippets themselves are shown by their images.
  const between = whole.length === 1 ? whole : whole.slice(1, -1);
  const ends = await imagesOfRun(trained, { device, bank, indices: pair, data, note: say });
  using progress = openProgress(between.length * noises, { json });
  const { picture, evaluations } = await pictureInterpolation(trained, {
    snippets: new Float32Array(between.flatMap(({ snippet }) => [...snippet])),
    noises,
    ends: ends && [ends.subarray(0, ends.length / 2), ends.subarray(ends.length / 2)],
    onProgress: (done) => progress.advance(done),
  });
  progress.stop();
  await writePicture(out, picture);
  const names = between.map(({ name }) => name);
  const titles = pair.map((index) => titleOf(bank, index));
  const range = names.length === 1 ? names[0] : `${names[0]} … ${names.at(-1)}`;
  print(json, { out, between: pair, names, noises, evaluations }, [
    `columns   ${ends ? `the image of ${titles[0]}, ` : ""}` +
    `${counted(names.length, "sample")} (${range})` +
    `${ends ? `, the image of ${titles[1]}` : ` between ${titles.join(" and ")}`}`,
    `rows      ${counted(noises, "noise")}; ${counted(evaluations, "network evaluation")} a sample`,
    `wrote     ${out}`,
  ]);
}

/** `bank transfer`: samples from the bank of another data set. */
export async function transfer(args: readonly string[]): Promise<void> {
  const { options } = parseArguments(BANK_TRANSFER_COMMAND, args);
  const { bank: path, count, columns, data, out, json } = options;
  const found = readRun(options.checkpoint, options);
  await preparePicture(out, { inputs: [path, options.config] });
  const source = options.config === undefined && data === undefined
    ? undefined
    : await dataOf(options.config, { data, set: [] });
  using device = await openDevice(found.config.device, say);
  requireDrawable(device, found.config);
  using trained = loadTrained(device, { ...found, bank: path });
  checkNamedBank(trained, { bank: options.bank, anyEncoder: options["any-encoder"], note });
  const bank = trained.bank!;
  const shown = Math.min(count, bank.size);
  const indices = spreadIndices(shown, bank.size);
  const sources = source && await placedImages(trained, {
    device,
    bank,
    indices,
    images: await loadImagesOf(bank, { config: source, note: say }),
    expected: "--config or --data that the bank was built from",
    note: say,
  });
  using progress = openProgress(shown, { json });
  const { picture, evaluations } = await pictureTransfer(trained, {
    indices,
    columns: Math.min(columns, shown),
    sources,
    onProgress: (done) => progress.advance(done),
  });
  progress.stop();
  await writePicture(out, picture);
  print(json, { out, snippets: [...indices], evaluations }, [
    `samples   ${shown} of ${counted(bank.size, "snippet")} of ${path}, ` +
    `${counted(evaluations, "network evaluation")} each`,
    ...(sources
      ? ["rows      images of the bank, and under each the sample from its snippet"]
      : []),
    `wrote     ${out}`,
  ]);
}

/** The configuration of a run of images by snippets, with the seed of the noises and settings above it. */
function readRun(
  checkpoint: string,
  options: { readonly seed: number | undefined; readonly set: readonly string[] },
): CheckpointConfig {
  const { seed, set } = options;
  const found = readCheckpointConfig(checkpoint, {
    overrides: [...sampleOverrides({ seed }), ...set],
  });
  const { data, model, sample } = found.config;
  checkSampler(set, sample);
  if (data.kind === "latents") {
    throw new UsageError(
      `Cannot take samples of ${found.checkpoint} for images: its model makes latents, ` +
        "expected a model of images",
    );
  }
  if (model.conditioning === "label") {
    throw new UsageError(
      `Cannot draw from snippets with ${found.checkpoint}: the model is guided by labels, ` +
        "expected one with model.conditioning snippet",
    );
  }
  return found;
}

/** Tells what is not as it should be. */
function note(line: string): void {
  say(`note      ${line}`);
}

/** The images of the bank nearest to each of some snippets [k, d], as the last part of their rows. */
async function nearestImages(
  trained: TrainedModel,
  options: {
    readonly device: Device;
    readonly bank: Bank;
    readonly snippets: Float32Array;
    readonly data: string | undefined;
  },
): Promise<{ images: Float32Array; columns: number } | undefined> {
  const { device, bank, snippets, data } = options;
  const columns = Math.min(ROW_NEIGHBOURS, bank.size);
  const found = await nearestSnippets(device, { bank, queries: snippets, count: columns });
  const indices = found.flatMap((row) => row.map(({ index }) => index));
  const images = await imagesOfRun(trained, { device, bank, indices, data, note: say });
  return images && { images, columns };
}

/** The two indices that words on the command line mean: numbers, or names of images. */
function pairOf(
  bank: ImageRecords & { readonly size: number },
  words: readonly string[],
): [number, number] {
  const [first, second] = lookUp(() => {
    const indices = words.map((word) =>
      /^-?\d+$/.test(word) ? Number(word) : indexOfName(bank, word)
    );
    return checkIndices(indices, bank.size);
  });
  return [first!, second!];
}

/** The label of a class, -1 where none is asked for. */
function labelOf(bank: Bank, name: string | undefined): number {
  if (name === undefined) return -1;
  const label = bank.classes.indexOf(name);
  if (label >= 0) return label;
  throw new UsageError(
    `Cannot add to class ${name}: the bank has ` +
      (bank.classes.length === 0
        ? "no classes, leave --class out"
        : `the classes ${listed(bank.classes)}, expected one of them, or leave --class out`),
  );
}
