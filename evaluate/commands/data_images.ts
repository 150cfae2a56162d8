/**
 * The images of the data that `deno task evaluate` measures against.
 *
 * @module
 */

import { dirname } from "node:path";
import type { LabelledImages } from "../../bank/image_source.ts";
import { UsageError } from "../../cli/arguments.ts";
import { missingDecoder } from "../../cli/model_options.ts";
import { say } from "../../cli/say.ts";
import { watchWork } from "../../cli/watch_work.ts";
import { counted } from "../../kernels/core/counted.ts";
import type { Viewer } from "../../sample/viewer.ts";
import { imagesFingerprint } from "../../train/checkpoint.ts";
import { LatentShards } from "../../train/datasets/latent_shards.ts";
import { decodeLatents } from "../../train/decoded_latents.ts";
import { loadData } from "../../train/load_data.ts";
import { latentScaling } from "../../train/run.ts";
import { openViewer } from "../../train/viewer.ts";
import type { Reporter } from "../reporter.ts";
import type { Options, Settings } from "./settings.ts";

/** Latents that are decoded to measure against, at most: as many as ADM's batches have images. */
const MOST_DECODED = 10_000;

/** The images of the data, made when they are first asked for. */
export interface DataImages {
  /** Shows what the model makes. */
  readonly viewer: () => Promise<Viewer>;
  /** The images to train on. */
  readonly training: () => Promise<LabelledImages>;
  /** Images that training never sees; refused when none are held out. */
  readonly heldOut: () => Promise<LabelledImages>;
}

/** The images of the data; of latents those that the decoder makes of some. */
export function dataImages(
  { options, config, found }: Settings,
  parts: { opened: DisposableStack; reporter: Reporter },
): DataImages {
  const { opened, reporter } = parts,
    { data: section, device, train: { seed, runDirectory } } = config;
  const directory = found ? dirname(found.checkpoint) : runDirectory;
  const viewer = lazily(async () => {
    const viewer = await openViewer(section, directory, { providers: device.onnxProviders });
    if (viewer !== undefined) return opened.use(viewer);
    const source = found?.checkpoint ?? options.config ?? "images";
    throw missingDecoder(source, { instead: "images by --samples PATH and --reference PATH" });
  });
  const data = lazily(async () => {
    const decoding = watchWork({ what: "data       decoding the images", json: options.json });
    const loading = loadData(section, { seed, note: say, onProgress: decoding.advance });
    const loaded = opened.use(await loading.finally(decoding.stop));
    const expected = found?.imagesFingerprint;
    if (expected !== undefined && imagesFingerprint(loaded.train) !== expected) {
      refuseOtherImages(options, found!.checkpoint);
      reporter.warn(`the training images are not those that ${found!.checkpoint} was trained on`);
    }
    return loaded;
  });
  const imagesOf = async (
    part: LabelledImages | LatentShards,
    name: string,
  ): Promise<LabelledImages> => {
    if (!(part instanceof LatentShards)) return part;
    const decoder = await viewer(), count = Math.min(part.size, MOST_DECODED);
    reporter.note(`decoding   ${count} of ${counted(part.size, `${name} latent`)}`);
    reporter.warn(
      `the ${name} images are ${counted(count, "decoded latent")}, ` +
        `of ${part.size}: what the tokenizer loses does not count`,
    );
    using progress = reporter.begin(count);
    return await decodeLatents(part.scaled(latentScaling(section, directory)), {
      viewer: decoder,
      most: MOST_DECODED,
      onProgress: (done) => progress.advance(done),
    });
  };
  return {
    viewer,
    training: lazily(async () => await imagesOf((await data()).train, "training")),
    heldOut: lazily(async () => {
      const { heldOut } = await data();
      if (heldOut !== undefined) return await imagesOf(heldOut, "held-out");
      throw new UsageError(
        `Cannot measure against held-out images: data.heldOut is ${section.heldOut}, expected some ` +
          "held out",
      );
    }),
  };
}

/** Throws where images of another set than that of a run would give a wrong answer, unless they were named. */
function refuseOtherImages({ reference, copies, data, set }: Options, checkpoint: string): void {
  const named = data !== undefined || set.some((setting) => /^data\.path=/.test(setting));
  if (named || (reference !== "held-out" && copies === undefined)) return;
  const task = copies === undefined ? "measure against held-out images" : "look for copies";
  throw new RangeError(
    `Cannot ${task}: the images, or which of them are held out, are not those that ${checkpoint} was ` +
      "trained on, expected the same files, data.heldOut and train.seed, or --data DIR with them",
  );
}

function lazily<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => made ??= make();
}
