/**
 * The search for copies of training images among samples, in pixels and in an encoder's space.
 *
 * @module
 */

import type { ImageSource } from "../bank/image_source.ts";
import { averageBlocks, toBytes } from "../bank/pixels.ts";
import { counted } from "../kernels/core/counted.ts";
import type { Device } from "../kernels/core/device.ts";
import { quantile } from "./bootstrap.ts";
import { type CopyFindings, type CopyPicture, drawCopies, findCopies } from "./copies.ts";
import { type NamedStream, requireOneSize, streamOf, withChannels } from "./image_stream.ts";
import { inPercent, type Reporter } from "./reporter.ts";

/** Samples whose nearest training images are drawn. */
const SHOWN = 8;
/** Training images drawn beside each. */
const NEIGHBOURS = 5;
/** Side to which images are shrunk, by whole factors, before their pixels are compared. */
const COMPARED_SIDE = 32;
/** Points of a curve. */
const CURVE_POINTS = 100;

/** What {@linkcode searchCopies} compares. */
export interface CopySearchSets {
  /** The samples. */
  readonly samples: {
    /** Channels C of their pixels. */
    readonly channels: number;
    /** Pixels [n, C, H, W], 0 to 255. */
    readonly pixels: Uint8Array;
    /** Features of the encoder [n, d]. */
    readonly features: Float32Array;
  };
  /** The training images. */
  readonly training: {
    /** The images [N, C, H, W], as large as the samples. */
    readonly images: ImageSource;
    /** Features of the encoder [N, d]. */
    readonly features: Float32Array;
  };
}

/** Options of {@linkcode searchCopies}. */
export interface CopySearchOptions {
  /** Components d of the encoder's features. */
  readonly dim: number;
  /** Seed of the choice of training images. */
  readonly seed: number;
  /** Takes the products where there are many. */
  readonly device: Device;
  /** Is told how far it is. */
  readonly reporter: Reporter;
}

/** The nearest training images of samples in both spaces. */
export interface CopiesBySpace {
  /** By pixels, in levels of 256: the root of the mean square over all values. */
  readonly pixel: CopyFindings;
  /** By the encoder. */
  readonly encoder: CopyFindings;
}

/** What {@linkcode searchCopies} finds. */
export interface CopySearch {
  /** The numbers. */
  readonly findings: CopiesBySpace;
  /** The first samples with their nearest training images. */
  readonly picture: CopyPicture;
}

/**
 * Checks that {@linkcode searchCopies} can compare samples with training images, before they are measured.
 *
 * Throws a RangeError if their sizes differ, or if there are fewer training images than are drawn beside a
 * sample.
 */
export function requireSearchable(samples: NamedStream, training: ImageSource): void {
  requireOneSize(samples, { stream: streamOf(training), source: "the training images" });
  if (training.size >= NEIGHBOURS) return;
  throw new RangeError(
    `Cannot look for copies of ${counted(training.size, "training image")}: expected at least ` +
      `${NEIGHBOURS}`,
  );
}

/**
 * Compares samples with training images. Pixels of images above 32 × 32 are averaged in blocks first.
 *
 * Throws what `findCopies` and `withChannels` throw.
 */
export async function searchCopies(
  sets: CopySearchSets,
  options: CopySearchOptions,
): Promise<CopySearch> {
  const { samples, training } = sets;
  const { images } = training, { imageSize, channels } = images;
  const { seed, device, reporter } = options;
  const count = samples.pixels.length / (samples.channels * imageSize ** 2);
  const pixels = withChannels({ first: 0, count, pixels: samples.pixels }, {
    from: samples.channels,
    to: channels,
  });
  const common = { seed, device, shown: SHOWN, neighbours: NEIGHBOURS };
  const blocks = { imageSize, factor: Math.ceil(imageSize / COMPARED_SIDE) };
  const own = averageBlocks(pixels, blocks), dim = own.length / count;
  const other = new Float32Array(images.size * dim);
  reporter.note(`pixels     ${counted(images.size, "training image")}`);
  {
    using progress = reporter.begin(images.size);
    for await (const { first, count, pixels } of streamOf(images).batches()) {
      other.set(averageBlocks(pixels, blocks), first * dim);
      progress.advance(first + count);
    }
  }
  const findings = await inPercent(async (onProgress) => ({
    pixel: await findCopies({ samples: own, training: other }, {
      ...common,
      dim,
      // Root of the mean square over all values, in levels of 256.
      scale: 1 / Math.sqrt(dim),
      onProgress: (done, total) => onProgress(done, 2 * total),
    }),
    encoder: await findCopies({ samples: samples.features, training: training.features }, {
      ...common,
      dim: options.dim,
      onProgress: (done, total) => onProgress(total + done, 2 * total),
    }),
  }), { label: "copies     in percent", reporter });
  const length = channels * imageSize ** 2;
  const near = [...new Set([...findings.pixel.neighbours, ...findings.encoder.neighbours])];
  const nearPixels = toBytes(await images.read(Uint32Array.from(near)));
  const picture = drawCopies(findings, {
    samples: pixels.subarray(0, SHOWN * length),
    imageSize,
    channels,
    read: (index) => {
      const place = near.indexOf(index);
      return nearPixels.subarray(place * length, (place + 1) * length);
    },
  });
  return { findings, picture };
}

/**
 * The panels of the plot that goes with the picture, one for each space: the share of images within a
 * distance of a training image, over the distance.
 */
export function copyPanels(findings: CopiesBySpace) {
  const titles = {
    pixel: "distance to the nearest training image (pixels, levels of 256)",
    encoder: "distance to the nearest training image (encoder)",
  };
  return (["pixel", "encoder"] as const).map((space) => ({
    xTitle: titles[space],
    yTitle: "share of images at most that far",
    // Points are too many.
    marked: false,
    curves: [
      curveOf("samples", findings[space].samples.distances),
      curveOf("training images", findings[space].training.distances),
    ],
  }));
}

function curveOf(name: string, distances: Float64Array) {
  return {
    name,
    points: Array.from({ length: CURVE_POINTS + 1 }, (_, i) => ({
      x: quantile(distances, i / CURVE_POINTS),
      y: i / CURVE_POINTS,
    })),
  };
}
