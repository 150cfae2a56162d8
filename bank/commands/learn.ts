/**
 * `deno task bank learn-text` and `learn-features`: mappers to a bank's snippets.
 *
 * @module
 */

import { dirname, join } from "node:path";
import { parseArguments, refuseGiven, UsageError } from "../../cli/arguments.ts";
import { BANK_LEARN_FEATURES_COMMAND, BANK_LEARN_TEXT_COMMAND } from "../../cli/commands/bank.ts";
import { openDevice } from "../../cli/open_device.ts";
import { prepareOutput } from "../../cli/output_file.ts";
import { openProgress } from "../../cli/progress.ts";
import { say } from "../../cli/say.ts";
import { watchWork } from "../../cli/watch_work.ts";
import { counted } from "../../kernels/core/counted.ts";
import type { Device } from "../../kernels/core/device.ts";
import { imageOf } from "../../train/bank_images.ts";
import { imagesFor } from "../../train/bank_pictures.ts";
import { splitIndices } from "../../train/datasets/image_set.ts";
import { pictureOfRows } from "../../train/datasets/picture_rows.ts";
import { loadImagesOf, type NamedImages } from "../../train/load_data.ts";
import { type MapperEnds, saveMapper } from "../../train/mapper_file.ts";
import {
  type MappingPairs,
  mapVectors,
  type RetrievalAccuracy,
  retrievalAccuracy,
  trainMapper,
  type TrainMapperOptions,
} from "../../train/mapper_training.ts";
import { type Bank, captionOf, type EncoderRecords } from "../bank.ts";
import type { EncoderDescription } from "../encoders/encoder.ts";
import { openTextEncoder } from "../encoders/open_text.ts";
import type { TextVectorEncoder } from "../encoders/text_encoder.ts";
import { openFeatures } from "../features.ts";
import { BankFile } from "../file.ts";
import { loadBank } from "../load.ts";
import { nearestSnippets } from "../retrieve.ts";
import { selectRows, spreadIndices } from "../select_rows.ts";
import { dataOf, preparePicture, print, ROW_NEIGHBOURS, writePicture } from "./console.ts";

/** Held-out texts that the picture of `bank learn-text` shows. */
const TEXT_ROWS = 8;

/** Texts that are encoded between two signs of life, and whose snippets are one tensor. */
const PAIRS_AT_ONCE = 1000;

/** Held-out pairs at most where a share is held out: comparing them grows with the square. */
const MOST_HELD_OUT = 2000;

/** Endings of the names of mappers, which no picture has. */
const MAPPER_ENDINGS = [".safetensors"];

/** `bank learn-text`: a mapper from the texts of a bank to its snippets. */
export async function learnText(args: readonly string[]): Promise<void> {
  const { options, given } = parseArguments(BANK_LEARN_TEXT_COMMAND, args);
  const { onnx, output, pooling, out, picture = join(dirname(out), "texts.png"), json } = options;
  if (onnx === undefined) {
    refuseGiven(given, ["output", "pooling"], "without a network: expected --onnx FILE");
  }
  const inputs = [options.bank, onnx, options.config];
  await prepareOutput(out, { inputs, endings: MAPPER_ENDINGS });
  await preparePicture(picture, { inputs, others: [out], option: "--picture" });
  const config = await dataOf(options.config, options);
  using device = await openDevice(config.device, say);
  using bank = loadBank(device, options.bank);
  const { dim, texts = [] } = bank;
  const indices = [...texts.keys()].filter((index) => texts[index]!.trim() !== "");
  if (indices.length < 2) {
    throw new TypeError(
      `Cannot learn texts of ${options.bank}: it has ${indices.length}, expected a bank with a ` +
        "text for each image, such as that of the built-in emoji",
    );
  }
  const target = targetOf(bank, options.bank), split = splitPairs(indices.length, options);
  const images = await loadImagesOf(bank, { config, note: say });
  using encoder = await openTextEncoder({
    onnx,
    output,
    pooling,
    providers: config.device.onnxProviders,
  });
  say(`texts     ${indices.length}, encoded by ${encoder.description.kind}`);
  const learned = await learn(device, {
    ...options,
    pairs: await pairsOf(bank, { indices, encoder, json }),
    loss: "contrastive",
    ends: { source: encoder.description, target },
    split,
  });
  const { length } = learned.heldOut;
  const shown = [...spreadIndices(Math.min(TEXT_ROWS, length), length)];
  const found = shown.length === 0 ? [] : await nearestSnippets(device, {
    bank,
    queries: selectRows(learned.mapped, { indices: shown, width: dim }),
    count: ROW_NEIGHBOURS,
  });
  const rows = shown.map((at, row) => {
    const index = indices[learned.heldOut[at]!]!;
    return { index, text: texts[index]!, nearest: found[row]!.map((near) => near.index) };
  });
  const drawn = rows.length > 0 && await pictureOfTexts(picture, { rows, device, bank, images });
  const { accuracy, loss } = learned;
  print(json, { out, loss, accuracy, rows, ...(drawn && { picture }) }, [
    ...describeLearned(learned),
    ...rows.map(({ text, nearest }) =>
      `text      ${text}: finds ${nearest.map((index) => captionOf(bank, index)).join(", ")}`
    ),
    ...(drawn
      ? [
        "rows      the image of each of these held-out texts, and the images that it finds",
        `wrote     ${picture}`,
      ]
      : []),
    `wrote     ${out}`,
  ]);
}

/** The vectors of texts of a bank beside its snippets, made and read some at a time. */
async function pairsOf(
  bank: Bank,
  { indices, encoder, json }: {
    readonly indices: readonly number[];
    readonly encoder: TextVectorEncoder;
    readonly json: boolean;
  },
): Promise<MappingPairs> {
  const size = indices.length, { dim: snippetDim, texts } = bank;
  const inputs = new Float32Array(size * encoder.dim),
    snippets = new Float32Array(size * snippetDim);
  const encoding = watchWork({ what: "texts     encoding", json });
  try {
    for (let first = 0; first < size; first += PAIRS_AT_ONCE) {
      const some = indices.slice(first, first + PAIRS_AT_ONCE);
      using rows = bank.gather(some);
      snippets.set(await rows.read(), first * snippetDim);
      inputs.set(await encoder.encode(some.map((index) => texts![index]!)), first * encoder.dim);
      encoding.advance(first + some.length, size);
    }
  } finally {
    encoding.stop();
  }
  return { inputs, snippets, snippetDim };
}

/** Draws for each text its image and those that it finds; false if none of the images is there. */
async function pictureOfTexts(
  path: string,
  options: {
    readonly rows: readonly { readonly index: number; readonly nearest: readonly number[] }[];
    readonly device: Device;
    readonly bank: Bank;
    readonly images: NamedImages;
  },
): Promise<boolean> {
  const { rows, device, bank, images } = options;
  const { imageSize } = images, channels = images.channels as 1 | 3;
  const placed = [rows.map(({ index }) => [index]), rows.map(({ nearest }) => nearest)]
    .map((lists) => ({
      indices: lists.flat().map((index) => imageOf(images, { index, bank })),
      columns: lists[0]!.length,
    }));
  if (placed.every(({ indices }) => indices.every((index) => index < 0))) {
    say("note      without a picture: expected --config or --data that the bank was built from");
    return false;
  }
  const parts = [];
  for (const { indices, columns } of placed) {
    parts.push({ images: await imagesFor(images, { device, images, indices }), columns });
  }
  await writePicture(path, pictureOfRows(parts, { imageSize, channels }));
  return true;
}

/** `bank learn-features`: a mapper from the vectors of another encoder. */
export async function learnFeatures(args: readonly string[]): Promise<void> {
  const { options, positionals } = parseArguments(BANK_LEARN_FEATURES_COMMAND, args);
  const { key, encoder, out, json } = options;
  const path = positionals[0]!;
  await prepareOutput(out, { inputs: [path, options.bank], endings: MAPPER_ENDINGS });
  using bank = BankFile.open(options.bank);
  using features = openFeatures(path, { key });
  const { size, dim } = features;
  if (size !== bank.size) {
    throw new TypeError(
      `Cannot learn from ${path}: it has ${counted(size, "vector")}, ` +
        `expected one for each of the ${counted(bank.size, "snippet")} of ${options.bank}`,
    );
  }
  const target = targetOf(bank, options.bank), split = splitPairs(size, options);
  using device = await openDevice(undefined, say);
  const source: EncoderDescription = {
    kind: "features",
    dim,
    fingerprint: "",
    preprocessing: {},
    settings: { encoder },
  };
  const learned = await learn(device, {
    ...options,
    pairs: {
      inputs: features.rows(0, size),
      snippets: bank.rows(0, size),
      snippetDim: bank.dim,
    },
    loss: "cosine",
    ends: { source, target },
    split,
  });
  const { accuracy, loss } = learned;
  print(json, { out, loss, accuracy }, [...describeLearned(learned), `wrote     ${out}`]);
}

/** Places of the pairs to learn from, and of those that are held out, in rising order. */
type PairSplit = ReturnType<typeof splitIndices>;

/** Chooses the pairs that `--held-out` means, a share or their number. */
function splitPairs(
  size: number,
  options: { readonly "held-out": number; readonly seed: number },
): PairSplit {
  const share = options["held-out"], { seed } = options;
  const heldOut = share < 1 ? Math.min(Math.round(share * size), MOST_HELD_OUT) : share;
  if (heldOut === 0) {
    return { train: Uint32Array.from({ length: size }, (_, i) => i), heldOut: new Uint32Array() };
  }
  if (!Number.isInteger(heldOut) || heldOut >= size) {
    throw new UsageError(
      `Cannot hold out ${share} of ${counted(size, "pair")}: expected a share below 1, or a ` +
        `whole number below ${size}, for --held-out`,
    );
  }
  return splitIndices(size, { heldOut, seed });
}

/** What was learned, and what became of the pairs that were held out. */
interface Learned {
  /** Mean loss of the last epoch. */
  readonly loss: number;
  /** Places of the held-out pairs [h]. */
  readonly heldOut: Uint32Array;
  /** Snippets [h, d] that their vectors map to. */
  readonly mapped: Float32Array;
  /** How well these find the right images; null without any. */
  readonly accuracy: RetrievalAccuracy | null;
}

/** Trains a mapper, writes it, and measures it on the pairs that are held out. */
async function learn(
  device: Device,
  options: Pick<TrainMapperOptions, "pairs" | "loss" | "width" | "epochs" | "seed"> & {
    readonly ends: MapperEnds;
    readonly split: PairSplit;
    readonly batch: number;
    readonly "learning-rate": number;
    readonly out: string;
    readonly json: boolean;
  },
): Promise<Learned> {
  const { pairs, ends, split: { train, heldOut }, epochs, out, json } = options;
  const { snippetDim } = pairs, { dim } = ends.source;
  const part = (indices: Uint32Array) => ({
    inputs: selectRows(pairs.inputs, { indices, width: dim }),
    snippets: selectRows(pairs.snippets, { indices, width: snippetDim }),
    snippetDim,
  });
  using progress = openProgress(epochs, { json });
  let last = NaN;
  using owned = await trainMapper(device, {
    ...options,
    pairs: part(train),
    batchSize: options.batch,
    learningRate: options["learning-rate"],
    onEpoch: (step, loss) => {
      last = loss;
      progress.record({ step, loss });
    },
  });
  progress.stop();
  await saveMapper(out, owned.mapper, ends);
  if (heldOut.length === 0) {
    return { loss: last, heldOut, mapped: new Float32Array(), accuracy: null };
  }
  const { inputs, snippets } = part(heldOut);
  const mapped = await mapVectors(owned.mapper, inputs);
  const accuracy = retrievalAccuracy(mapped, snippets, { dim: snippetDim });
  return { loss: last, heldOut, mapped, accuracy };
}

function describeLearned({ loss, accuracy }: Learned): string[] {
  const percent = (share: number) => `${(100 * share).toFixed(1)} %`;
  if (accuracy === null) return [`loss      ${loss.toFixed(4)}; nothing was held out`];
  const { images, top1, top5, cosine } = accuracy;
  return [
    `loss      ${loss.toFixed(4)}; cosine to the right snippet ${cosine.toFixed(3)} on ` +
    counted(images, "held-out pair"),
    `found     the right one of ${counted(images, "image")} first ${percent(top1)}, among five ` +
    `${percent(top5)}; by chance ${percent(1 / images)} and ${percent(Math.min(1, 5 / images))}`,
  ];
}

/** The encoder of a bank that a mapper is to serve. */
function targetOf(bank: EncoderRecords, path: string): EncoderDescription {
  if (bank.encoder !== undefined) return bank.encoder;
  throw new TypeError(
    `Cannot learn to map to ${path}: the bank does not name its encoder, expected one that does`,
  );
}
