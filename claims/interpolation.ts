/**
 * Claim g: snippets between two others give smooth transitions.
 *
 * @module
 */

import { cosines } from "../bank/normalize.ts";
import { joinRows, swapAxes } from "../bank/select_rows.ts";
import type { Arm } from "./arm.ts";
import {
  type Claim,
  type Findings,
  formatInterval,
  ifFollowing,
  outcomeBelow,
  outcomeOfAll,
  type Verdict,
} from "./claim.ts";
import { pointsOf } from "./figures.ts";
import type { Laboratory } from "./laboratory.ts";
import { derive, type Interval, intervalOf } from "./statistics.ts";

/** Images from the first snippet to the second, both counted. */
const STEPS = 9;

/** A smooth way is at most this many times as long as the straight one. */
const LONGEST_PATH = 2;

/** The largest jump on a smooth way is at most this many mean jumps; a sudden switch makes 8. */
const LARGEST_JUMP = 3;

/** Pairs in the picture. */
const SHOWN = 4;

/** Claim g. */
export const INTERPOLATION: Claim = {
  letter: "g",
  slug: "interpolation",
  title: "Interpolated snippets",
  statement: "Snippets between two others give smooth transitions between their images.",
  source: "appendix C.3, figures 7 and 8",
  arms: (laboratory) => [...betweenArms(laboratory), ...randomArms(laboratory)],
  conclude,
};

function betweenArms(laboratory: Laboratory): Arm[] {
  return Array.from({ length: STEPS }, (_, step) =>
    laboratory.arm({
      condition: { of: "pairs", share: step / (STEPS - 1) },
      count: laboratory.scale.pairs,
    }));
}

function randomArms(laboratory: Laboratory): Arm[] {
  return Array.from({ length: STEPS }, (_, step) =>
    laboratory.arm({
      condition: { of: "random", seed: laboratory.seed + step },
      count: laboratory.scale.pairs,
    }));
}

/** A way of nine images for each pair: images [pairs, 9, …] and encodings [pairs, 9, d]. */
interface Ways {
  readonly images: Float32Array;
  readonly encodings: Float32Array;
}

async function conclude(laboratory: Laboratory): Promise<Findings> {
  const { scale: { pairs }, bank, measuring: { dim } } = laboratory;
  const bootstrap = laboratory.bootstrap(pairs);
  const between = await waysOf(laboratory, betweenArms(laboratory));
  const random = await waysOf(laboratory, randomArms(laboratory));
  const [firstArm] = betweenArms(laboratory) as [Arm];
  const first = await laboratory.samples(firstArm), given = await laboratory.snippetsOf(firstArm);
  const fadedImages = crossFade(between.images, pairs);
  const faded = { images: fadedImages, encodings: await laboratory.encode(fadedImages) };
  const kinds = [
    ["interpolated snippets", between],
    ["cross-fade of the two ends", faded],
    ["nine random snippets", random],
  ] as const;
  const measured = kinds.map(([name, ways]) => {
    const each = Array.from({ length: pairs }, (_, pair) => wayOf(ways.encodings, { pair, dim }));
    const straight = bootstrap.mean(each.map((way) => way.straight));
    // Means over means: the ends of a single pair may happen to be near each other.
    const inStraightWays = (lengths: number[]) =>
      derive([bootstrap.mean(lengths), straight], (length, whole) => length / whole);
    return {
      name,
      path: inStraightWays(each.map(({ path }) => path)),
      jump: bootstrap.mean(each.map(({ path, largest }) => largest / (path / (STEPS - 1)))),
      largest: inStraightWays(each.map(({ largest }) => largest)),
      away: Array.from(
        { length: STEPS },
        (_, step) => inStraightWays(each.map(({ away }) => away[step]!)),
      ),
      middle: bootstrap.frechet(
        middleOf(ways.encodings, { pairs, dim }),
        laboratory.trainReference,
      ),
    };
  });
  const steps = Array.from({ length: STEPS }, (_, step) => step + 1);
  const shown = Math.min(SHOWN, pairs);
  const shownOf = (images: Float32Array) => images.subarray(0, images.length / pairs * shown);
  return {
    verdict: ifFollowing(
      verdictOf({
        path: intervalOf(measured[0]!.path),
        jump: intervalOf(measured[0]!.jump),
        random: intervalOf(measured[2]!.path),
      }),
      intervalOf(
        bootstrap.mean(cosines(await laboratory.snippetsIn(first), given, { dim: bank.dim })),
      ),
    ),
    tables: [{
      columns: [
        "",
        "length of the way, in straight ways",
        "largest jump, in mean jumps",
        "largest jump, in straight ways",
        "distance of the images between to the training images",
      ],
      rows: measured.map(({ name, path, jump, largest, middle }) => [
        name,
        intervalOf(path),
        intervalOf(jump),
        intervalOf(largest),
        intervalOf(middle),
      ]),
    }],
    panels: [{
      xTitle: "image of the row",
      yTitle: ["distance from the first image,", `in straight ways (${laboratory.spaceName})`],
      xValues: steps,
      curves: measured.map(({ name, away }) => ({ name, points: pointsOf(steps, away) })),
    }],
    pictures: [{
      name: "rows",
      caption: "For each pair a row from interpolated snippets, all from one noise, and under it " +
        "the cross-fade of its two ends.",
      columns: STEPS,
      images: inTurn([between.images, faded.images].map(shownOf), shown),
    }],
    notes: [
      `${pairs} random pairs of training snippets, ${STEPS} images each along the great circle between them, by the ODE from one noise for a pair. The straight way is the distance between the encodings of the first and the last image.`,
      "Resampled are the pairs. The images between are those of all pairs together; a cross-fade is smooth by its making, but shows both images at once.",
    ],
  };
}

/** The images of arms that draw a step each for all pairs, put together pair by pair. */
async function waysOf(laboratory: Laboratory, arms: readonly Arm[]): Promise<Ways> {
  const { scale: { pairs } } = laboratory, sets = [];
  for (const arm of arms) sets.push(await laboratory.samples(arm));
  return {
    images: inTurn(sets.map(({ images }) => images), pairs),
    encodings: inTurn(sets.map(({ encodings }) => encodings), pairs),
  };
}

/** The first of `count` rows of each table, then the second of each, and so on. */
function inTurn(tables: readonly Float32Array[], count: number): Float32Array {
  const length = tables[0]!.length / count;
  return swapAxes(joinRows(tables), { rows: tables.length, columns: count, length });
}

/** Rows that go from the first image of each to its last by mixing pixels. */
function crossFade(images: Float32Array, pairs: number): Float32Array {
  const length = images.length / (pairs * STEPS);
  return images.map((_, i) => {
    const row = Math.floor(i / length),
      pair = Math.floor(row / STEPS),
      share = row % STEPS;
    const first = images[pair * STEPS * length + i % length]!;
    const last = images[((pair + 1) * STEPS - 1) * length + i % length]!;
    return first + (last - first) * share / (STEPS - 1);
  });
}

/** What is measured of one way, in units of the encoder's space. */
export interface Way {
  /** Sum of the jumps. */
  readonly path: number;
  /** Largest jump. */
  readonly largest: number;
  /** Distance of the ends. */
  readonly straight: number;
  /** Distance of each image from the first. */
  readonly away: readonly number[];
}

/** Measures the way of a pair in encodings [pairs, 9, dim]. */
export function wayOf(encodings: Float32Array, { pair, dim }: { pair: number; dim: number }): Way {
  const row = (step: number) => {
    const first = (pair * STEPS + step) * dim;
    return encodings.subarray(first, first + dim);
  };
  const jumps = Array.from({ length: STEPS - 1 }, (_, i) => apart(row(i), row(i + 1)));
  return {
    path: jumps.reduce((sum, jump) => sum + jump, 0),
    largest: Math.max(...jumps),
    straight: apart(row(0), row(STEPS - 1)),
    away: Array.from({ length: STEPS }, (_, step) => apart(row(0), row(step))),
  };
}

function apart(x: Float32Array, y: Float32Array): number {
  return Math.hypot(...x.map((value, i) => value - y[i]!));
}

/** The encodings of all images but the first and the last of each way. */
function middleOf(
  encodings: Float32Array,
  { pairs, dim }: { pairs: number; dim: number },
): Float32Array {
  const way = STEPS * dim;
  return joinRows(
    Array.from(
      { length: pairs },
      (_, pair) => encodings.subarray(pair * way + dim, (pair + 1) * way - dim),
    ),
  );
}

/** What length and jumps of the ways say; both have to be small. */
export function verdictOf(
  { path, jump, random }: { path: Interval; jump: Interval; random: Interval },
): Verdict {
  return {
    outcome: outcomeOfAll([outcomeBelow(path, LONGEST_PATH), outcomeBelow(jump, LARGEST_JUMP)]),
    text: `the way is ${formatInterval(path)} times the straight one (asked: less than ` +
      `${LONGEST_PATH}; random snippets: ${formatInterval(random)}), its largest jump ` +
      `${formatInterval(jump)} mean jumps (asked: less than ${LARGEST_JUMP})`,
  };
}
