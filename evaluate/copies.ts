/**
 * Are samples copies of training images? Their nearest ones, and how near those lie to each other.
 *
 * @module
 */

import { meanRow } from "../bank/projection.ts";
import { selectRows } from "../bank/select_rows.ts";
import { counted, requireCount } from "../kernels/core/counted.ts";
import { permutation } from "../kernels/core/random.ts";
import type { Device } from "../kernels/core/device.ts";
import { quantile } from "./bootstrap.ts";
import { distanceDevice, nearestRows } from "./distances.ts";

/** Shares for which {@linkcode CopyDistances.quantiles} are given. */
export const COPY_QUANTILES: readonly number[] = [0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99];

/** Distances of one set of images to their nearest training image. */
export interface CopyDistances {
  /** All of them, in the order of the images. */
  readonly distances: Float64Array;
  /** Their quantiles at {@linkcode COPY_QUANTILES}. */
  readonly quantiles: readonly number[];
}

/** What {@linkcode findCopies} finds in one space. */
export interface CopyFindings {
  /** Indices [shown, k] of the training images nearest to the first samples. */
  readonly neighbours: Uint32Array;
  /** Their distances [shown, k]. */
  readonly neighbourDistances: Float64Array;
  /** Of the samples. */
  readonly samples: CopyDistances;
  /** Of training images to the nearest other one that is no twin. */
  readonly training: CopyDistances;
  /** The distance within which 5 % of the training images, or more with ties, have such another one. */
  readonly threshold: number;
  /** Share of the samples within that distance of a training image. */
  readonly nearer: number;
  /** Share of the training images within that distance of another one that is no twin. */
  readonly byChance: number;
  /** Share of the training images that have a twin. */
  readonly twins: number;
  /** The share that chance does not exceed: `byChance` and three standard errors. */
  readonly mostByChance: number;
}

/** How {@linkcode findCopies} compares. */
export interface FindCopiesOptions {
  /** Components d of a vector. */
  readonly dim: number;
  /** Number that distances are multiplied by; 1 by default. */
  readonly scale?: number | undefined;
  /** Samples whose neighbours are wanted; 8 by default. */
  readonly shown?: number | undefined;
  /** Neighbours k of each; 5 by default. */
  readonly neighbours?: number | undefined;
  /** Seed of the choice of training images; 0 by default. */
  readonly seed?: number | undefined;
  /** Takes the products where there are many. */
  readonly device?: Device | undefined;
  /** Called with how much is done, and 1, which is all of it. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
}

/** Training images whose distance to the others is taken: enough for the 5 % quantile. */
const MOST_TRAINING = 2000;

/** The quantile that counts as near. */
const NEAR = 0.05;

/** Standard errors that a share may be above that of chance. */
const STANDARD_ERRORS = 3;

/** Training images with a squared distance below this share of the mean one are twins. */
const TWINS = 1e-6;

/**
 * Finds the training images [N, d] nearest to samples [n, d], pixels or snippets of both, and compares the
 * samples' nearest distances with those of training images to their nearest other one. Of more than 2,000
 * training images, 2,000 chosen by the seed are measured, against all.
 *
 * Twins are left out of the second: training images that are equal, or nearer than 1/1000 of the root
 * mean square distance between training images, which is what rounding makes. A set with twins would
 * otherwise call nothing near but them.
 *
 * A sample is near where it lies within the distance that 5 % of the measured training images have to
 * another one. Of them a share p has, which is more than 5 % where many are equally far; a p near 1 tells no
 * copies. Images as different from the training images as those are from each other have a share near that is
 * above p by three standard errors, `3 √(p (1 − p) (1/n + 1/m))` for n samples and m measured training images,
 * in less than 1 % of cases where n is 100 or more. That does not hold for training images with twins: images
 * that recur among them may recur among the samples too, and nothing tells those from copies.
 *
 * Throws a RangeError if there are fewer training images than neighbours, if those are all alike, if
 * there are no samples, or if a value is not finite.
 *
 * @example
 * ```ts
 * import { findCopies } from "@gmem/gmem";
 *
 * const training = Float32Array.of(0, 1, 2, 4, 8, 16); // six images of one pixel
 * const samples = Float32Array.of(4, 11);
 * const found = await findCopies({ samples, training }, { dim: 1, neighbours: 2 });
 * console.log(found.neighbours, found.samples.distances);
 * // Uint32Array(4) [ 3, 2, 4, 5 ] Float64Array(2) [ 0, 3 ]
 * ```
 */
export async function findCopies(
  sets: { readonly samples: Float32Array; readonly training: Float32Array },
  options: FindCopiesOptions,
): Promise<CopyFindings> {
  const { samples, training } = sets;
  const { dim, scale = 1, neighbours: count = 5, seed = 0, onProgress } = options;
  const size = training.length / dim, n = samples.length / dim;
  if (n === 0) throw new RangeError("Cannot look for copies among 0 samples: expected some");
  const shown = Math.min(options.shown ?? 8, n);
  requireCount("Cannot look for copies: shown", shown);
  const device = distanceDevice(options.device, { rows: n, columns: size, dim });
  const found = await nearestRows(samples, training, {
    dim,
    count,
    device,
    onProgress: (done, total) => onProgress?.(done / total / 2, 1),
  });
  const { squares: others, twins } = await nearestOthers(training, {
    dim,
    seed,
    device,
    onProgress: (done, total) => onProgress?.((1 + done / total) / 2, 1),
  });
  const distance = (square: number) => scale * Math.sqrt(square);
  const own = distancesOf(others.map(distance));
  const near = distancesOf(
    found.squares.filter((_, i) => i % count === 0).map(distance),
  );
  const threshold = quantile(own.distances, NEAR), m = own.distances.length;
  const byChance = own.distances.filter((each) => each <= threshold).length / m;
  return {
    neighbours: found.indices.slice(0, shown * count),
    neighbourDistances: found.squares.slice(0, shown * count).map(distance),
    samples: near,
    training: own,
    threshold,
    nearer: near.distances.filter((each) => each <= threshold).length / n,
    byChance,
    twins: twins.filter(Boolean).length / m,
    mostByChance: byChance +
      STANDARD_ERRORS * Math.sqrt(byChance * (1 - byChance) * (1 / n + 1 / m)),
  };
}

/** Squared distances of some training images to the nearest other one that is no twin, and which have twins. */
async function nearestOthers(
  training: Float32Array,
  options: {
    readonly dim: number;
    readonly seed: number;
    readonly device: Device | undefined;
    readonly onProgress: (done: number, total: number) => void;
  },
): Promise<{ readonly squares: Float64Array; readonly twins: readonly boolean[] }> {
  const { dim, seed } = options;
  const size = training.length / dim;
  const measured = permutation(size, seed, 0).slice(0, MOST_TRAINING).sort();
  const vectors = selectRows(training, { indices: measured, width: dim });
  const beyond = TWINS * meanSquareDistance(training, dim);
  const { squares } = await nearestRows(vectors, training, { ...options, count: 1, own: measured });
  const twins = Array.from(squares, (square) => square <= beyond);
  // Those with a twin are few: they are looked at again, past it.
  const places = Uint32Array.from(twins.flatMap((twin, i) => twin ? [i] : []));
  const again = await nearestRows(selectRows(vectors, { indices: places, width: dim }), training, {
    ...options,
    onProgress: undefined,
    count: 1,
    own: measured.filter((_, i) => twins[i]),
    beyond,
  });
  for (const [i, place] of places.entries()) squares[place] = again.squares[i]!;
  if (squares.includes(Infinity)) {
    throw new RangeError(
      `Cannot look for copies of ${counted(size, "training image")}: ` +
        "they are all alike, expected different ones",
    );
  }
  return { squares, twins };
}

/** The mean of |a − b|² over all pairs of vectors: twice the sum of the variances. */
function meanSquareDistance(vectors: Float32Array, dim: number): number {
  const count = vectors.length / dim;
  const means = meanRow(vectors, dim), variances = new Float64Array(dim);
  for (let i = 0; i < vectors.length; i++) {
    variances[i % dim]! += (vectors[i]! - means[i % dim]!) ** 2 / count;
  }
  return 2 * variances.reduce((sum, each) => sum + each, 0);
}

/**
 * Says in one line whether samples lie near a training image more often than by chance: `nearer` is
 * above `mostByChance` in any of the spaces. Where it is, and there are twins, it says how many: they may be
 * why.
 *
 * @example
 * ```ts
 * import { copyVerdict, findCopies } from "@gmem/gmem";
 *
 * const training = Float32Array.from({ length: 100 }, (_, i) => i * i);
 * const pixel = await findCopies({ samples: training, training }, { dim: 1 });
 * const verdict = copyVerdict({ pixel }, { picture: "copies.png" });
 * console.log(verdict.split(":")[0]);
 * // samples lie near a training image more often than by chance
 * ```
 */
export function copyVerdict(
  findings: Readonly<Record<string, CopyFindings>>,
  options: { readonly picture: string },
): string {
  const suspicious = Object.values(findings).some((found) => found.nearer > found.mostByChance);
  const percent = (share: number) => `${(100 * share).toFixed(1)} %`;
  const shares = Object.entries(findings)
    .map(([space, { nearer }]) => `${percent(nearer)} by ${space}`)
    .join(" and ");
  const own = Object.values(findings).map(({ byChance }) => percent(byChance)).join(" and ");
  const often = suspicious ? "more often" : "no more often";
  const twins = Math.max(...Object.values(findings).map((found) => found.twins));
  return `samples lie near a training image ${often} than by chance: ${shares}, ` +
    `against ${own} of the training images` +
    (suspicious ? `: look at ${options.picture}` : "") +
    (suspicious && twins > 0
      ? ` (${percent(twins)} of the training images have a twin, and new images like them ` +
        "may have one too)"
      : "");
}

/** A picture of bytes [height, width, 3]. */
export interface CopyPicture {
  /** Width in pixels. */
  readonly width: number;
  /** Height in pixels. */
  readonly height: number;
  /** Bytes of a pixel: RGB. */
  readonly channels: 3;
  /** Pixels [height, width, 3]. */
  readonly data: Uint8Array;
}

/** Colours of the two rows in the picture, and of the frame of what is near. */
export const COPY_COLOURS: {
  readonly pixel: readonly [number, number, number];
  readonly encoder: readonly [number, number, number];
  readonly near: readonly [number, number, number];
} = { pixel: [76, 120, 168], encoder: [245, 133, 24], near: [214, 39, 40] };

/** Side in picture pixels that an image should about have. */
const TILE = 64;
/** White pixels between images, of which a frame takes two. */
const GAP = 6;
/** Width of the bar that tells the row. */
const BAR = 4;
/** Samples beside each other. */
const BLOCKS = 2;

/**
 * Draws each sample, twice as large, and at its right its nearest training images: by pixels above,
 * with a blue bar, by the encoder below, with an orange one. One that is nearer than the threshold has
 * a red frame.
 *
 * `samples` [n, C, H, W] and `read(index)` [C, H, W] are bytes of one or three channels; n is the number
 * of samples that both findings show.
 *
 * @example
 * ```ts
 * import { drawCopies, findCopies } from "@gmem/gmem";
 *
 * const pixels = Uint8Array.of(0, 64, 128, 192, 255); // five grey images of one pixel
 * const samples = Uint8Array.of(120), dim = 1, neighbours = 2;
 * const vectors = { samples: Float32Array.from(samples), training: Float32Array.from(pixels) };
 * const found = await findCopies(vectors, { dim, neighbours });
 * const picture = drawCopies({ pixel: found, encoder: found }, {
 *   samples, imageSize: 1, channels: 1, read: (index) => pixels.subarray(index, index + 1),
 * });
 * console.log(picture.width, picture.height); // 296 158
 * ```
 */
export function drawCopies(
  findings: { readonly pixel: CopyFindings; readonly encoder: CopyFindings },
  images: {
    readonly samples: Uint8Array;
    readonly imageSize: number;
    readonly channels: number;
    read(index: number): Uint8Array;
  },
): CopyPicture {
  const { samples, imageSize, channels, read } = images;
  const length = channels * imageSize ** 2, shown = samples.length / length;
  const count = findings.pixel.neighbours.length / shown;
  const scale = Math.max(1, Math.round(TILE / imageSize)), tile = scale * imageSize;
  const block = {
    width: 2 * tile + GAP + BAR + GAP + count * (tile + GAP),
    height: 2 * tile + 3 * GAP,
  };
  const columns = Math.min(BLOCKS, shown), rows = Math.ceil(shown / columns);
  const width = columns * block.width + (columns - 1) * 3 * GAP + 2 * GAP;
  const height = rows * block.height + 2 * GAP;
  const data = new Uint8Array(width * height * 3).fill(255);
  const fill = (
    place: { x: number; y: number; width: number; height: number },
    colourAt: (x: number, y: number) => readonly [number, number, number],
  ) => {
    for (let y = 0; y < place.height; y++) {
      for (let x = 0; x < place.width; x++) {
        data.set(colourAt(x, y), ((place.y + y) * width + place.x + x) * 3);
      }
    }
  };
  const paint = (pixels: Uint8Array, place: { x: number; y: number; size: number }) => {
    const plane = imageSize ** 2, enlargement = place.size / imageSize;
    fill({ ...place, width: place.size, height: place.size }, (x, y) => {
      const pixel = Math.floor(y / enlargement) * imageSize + Math.floor(x / enlargement);
      const at = (channel: number) => pixels[Math.min(channel, channels - 1) * plane + pixel]!;
      return [at(0), at(1), at(2)];
    });
  };
  for (let sample = 0; sample < shown; sample++) {
    const left = GAP + (sample % columns) * (block.width + 3 * GAP);
    const top = GAP + Math.floor(sample / columns) * block.height;
    paint(samples.subarray(sample * length, (sample + 1) * length), {
      x: left,
      y: top,
      size: 2 * tile + GAP,
    });
    for (const [row, space] of (["pixel", "encoder"] as const).entries()) {
      const { neighbours, neighbourDistances, threshold } = findings[space];
      const y = top + row * (tile + GAP), bar = left + 2 * tile + 2 * GAP;
      fill({ x: bar, y, width: BAR, height: tile }, () => COPY_COLOURS[space]);
      for (let k = 0; k < count; k++) {
        const x = bar + BAR + GAP + k * (tile + GAP), place = sample * count + k;
        if (neighbourDistances[place]! <= threshold) {
          const frame = { x: x - 3, y: y - 3, width: tile + 6, height: tile + 6 };
          fill(frame, () => COPY_COLOURS.near);
        }
        paint(read(neighbours[place]!), { x, y, size: tile });
      }
    }
  }
  return { width, height, channels: 3, data };
}

function distancesOf(distances: Float64Array): CopyDistances {
  return { distances, quantiles: COPY_QUANTILES.map((share) => quantile(distances, share)) };
}
