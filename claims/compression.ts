/**
 * Claim d: a bank of half the rank costs almost nothing.
 *
 * @module
 */

import { cosines } from "../bank/normalize.ts";
import type { Arm } from "./arm.ts";
import {
  type Claim,
  type Findings,
  formatPercent,
  ifFollowing,
  outcomeBelow,
  type Table,
  type Verdict,
} from "./claim.ts";
import { type CoarsePixels, coarsePixels } from "./coarse_pixels.ts";
import { heldOutLevel, pointsOf, rowsOf } from "./figures.ts";
import type { Laboratory } from "./laboratory.ts";
import { derive, type Estimate, type Interval, intervalOf } from "./statistics.ts";

/** What counts as almost nothing: this share of the full bank's distance. */
const ALMOST_NOTHING = 0.1;

/** Rank that is claimed, as a share of the length of a snippet. */
const CLAIMED = 0.5;

/** Images in a row of the picture. */
const SHOWN = 12;

/** Claim d. */
export const COMPRESSION: Claim = {
  letter: "d",
  slug: "compression",
  title: "Compressed bank",
  statement: "A bank of half the rank (SVD) costs almost nothing, without training again.",
  source: "section 4.3, table 4",
  alsoWith: ({ measuresBySnippets }) => measuresBySnippets ? ["bank.whiten=false"] : undefined,
  arms: (laboratory) => [undefined, ...ranksOf(laboratory)].map((rank) => armOf(laboratory, rank)),
  conclude,
};

function ranksOf({ scale, bank }: Laboratory): number[] {
  return scale.rankShares.map((share) => Math.max(1, Math.round(share * bank.dim)));
}

function armOf(laboratory: Laboratory, rank: number | undefined): Arm {
  return laboratory.arm({ condition: { of: "train", ...(rank !== undefined && { rank }) } });
}

interface Measured {
  readonly rank: number;
  readonly energy: number;
  readonly kept: Estimate;
  readonly distance: Estimate;
  readonly pixels: Estimate;
  readonly follows: Estimate;
  readonly images: Float32Array;
}

/** Samples of every rank of one laboratory's bank, the full one first. */
async function measureRanks(laboratory: Laboratory, coarse: CoarsePixels): Promise<Measured[]> {
  const { scale, bank: { dim } } = laboratory;
  const bootstrap = laboratory.bootstrap(scale.samples);
  const whole = await laboratory.snippetsOf(armOf(laboratory, undefined));
  const measured: Measured[] = [];
  for (const rank of [undefined, ...ranksOf(laboratory)]) {
    const samples = await laboratory.samples(armOf(laboratory, rank));
    const given = await laboratory.snippetsOf(armOf(laboratory, rank));
    measured.push({
      rank: rank ?? dim,
      energy: rank === undefined ? 1 : (await laboratory.lowRank(rank)).energy,
      kept: bootstrap.mean(cosines(given, whole, { dim })),
      distance: bootstrap.frechet(samples.encodings, laboratory.trainReference),
      pixels: coarse.distanceOf(samples.images, bootstrap),
      follows: bootstrap.mean(cosines(await laboratory.snippetsIn(samples), whole, { dim })),
      images: samples.images,
    });
  }
  return measured;
}

/** What each rank costs, as a share of the full bank's distance. */
function costsOf(distances: readonly Estimate[]): Interval[] {
  return distances.map((distance) =>
    intervalOf(derive([distance, distances[0]!], (low, full) => (low - full) / full))
  );
}

function tableOf(title: string, measured: readonly Measured[], coarse: CoarsePixels): Table {
  const costs = costsOf(measured.map(({ distance }) => distance));
  const pixelCosts = costsOf(measured.map(({ pixels }) => pixels));
  return {
    title,
    columns: [
      "rank",
      "energy kept",
      "cosine of kept to whole snippets",
      "distance to the training images",
      "cost, as a share of the full bank's distance",
      `distance of ${coarse.name}`,
      "cost",
      "cosine of a sample to its whole snippet",
    ],
    rows: measured.map(({ rank, energy, kept, distance, pixels, follows }, i) => [
      i === 0 ? `${rank} (full)` : rank,
      `${(100 * energy).toFixed(1)} %`,
      intervalOf(kept),
      intervalOf(distance),
      i === 0 ? "" : costs[i]!,
      intervalOf(pixels),
      i === 0 ? "" : pixelCosts[i]!,
      intervalOf(follows),
    ]),
  };
}

async function conclude(laboratory: Laboratory): Promise<Findings> {
  const { scale, bank: { dim }, train } = laboratory;
  const coarse = coarsePixels(laboratory);
  const measured = await measureRanks(laboratory, coarse);
  const settings = COMPRESSION.alsoWith!(laboratory);
  const plain = settings && await measureRanks(await laboratory.with(settings), coarse);
  const distances = measured.map(({ distance }) => distance);
  const half = scale.rankShares.indexOf(CLAIMED) + 1;
  const ranks = measured.map(({ rank }) => rank);
  return {
    verdict: ifFollowing(
      verdictOf({ cost: costsOf(distances)[half]!, rank: ranks[half]!, dim }),
      intervalOf(measured[0]!.follows),
    ),
    tables: [
      ...(plain === undefined ? [tableOf("The bank", measured, coarse)] : [
        tableOf("The bank of the default configuration", measured, coarse),
        tableOf(
          "A bank whose directions keep their variances (`bank.whiten=false`)",
          plain,
          coarse,
        ),
      ]),
    ],
    panels: [
      {
        xTitle: "rank of the bank",
        yTitle: ["Fréchet distance to the training", `images (${laboratory.spaceName})`],
        xValues: ranks,
        curves: [{
          name: "samples",
          points: pointsOf(ranks, distances),
        }],
        levels: [heldOutLevel(laboratory)],
      },
      {
        xTitle: "rank of the bank",
        yTitle: "cosine to the whole snippet",
        xValues: ranks,
        curves: [
          {
            name: "sample",
            points: pointsOf(ranks, measured.map(({ follows }) => follows)),
          },
          {
            name: "kept snippet",
            points: pointsOf(ranks, measured.map(({ kept }) => kept)),
          },
        ],
      },
    ],
    pictures: [{
      name: "samples",
      caption: "First row: training images. Under it, from their snippets and the same noises, a " +
        `row for each rank of the bank: ${ranks.join(", ")}.`,
      columns: SHOWN,
      images: rowsOf(
        [train.read(laboratory.spread(scale.samples)), ...measured.map(({ images }) => images)],
        { count: SHOWN, samples: scale.samples },
      ),
    }],
    notes: [
      "The model is the same throughout and was trained with the full bank; only the bank that is sampled from is compressed.",
      ...(plain === undefined ? [] : [
        "The verdict is that of the default bank. Its encoder scales all directions to the same variance, so that half of the rank is little more than half of the energy: a harder test than the features of a large network, whose energy lies in few directions. The second bank is of that kind; it has a model of its own, and distances in its own encoder's space.",
        "The encoder that measures is the one that made the snippets, so what compression takes from them it counts in full. The second measure, images averaged to a few pixels, knows nothing of the encoder.",
      ]),
    ],
  };
}

/** What the relative cost of the half-rank bank says. */
export function verdictOf(
  { cost, rank, dim }: { cost: Interval; rank: number; dim: number },
): Verdict {
  return {
    outcome: outcomeBelow(cost, ALMOST_NOTHING),
    text: `rank ${rank} of ${dim} costs ${formatPercent(cost)} % of the distance ` +
      `(asked: less than ${100 * ALMOST_NOTHING} %)`,
  };
}
