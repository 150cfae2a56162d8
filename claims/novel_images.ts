/**
 * Claim f: the snippet of an image outside the training set gives images like it.
 *
 * @module
 */

import { cosines } from "../bank/normalize.ts";
import { nearestSnippets } from "../bank/retrieve.ts";
import { joinRows, selectRows } from "../bank/select_rows.ts";
import type { Arm } from "./arm.ts";
import {
  type Claim,
  type Findings,
  formatInterval,
  formatPercent,
  outcomeAbove,
  type Verdict,
} from "./claim.ts";
import { cumulative, rowsOf } from "./figures.ts";
import type { Laboratory } from "./laboratory.ts";
import { heldOutArm } from "./masking.ts";
import { derive, difference, type Interval, intervalOf } from "./statistics.ts";

/** What held-out snippets must keep of the likeness that snippets from training give. */
const KEPT_LIKENESS = 0.8;

/** Images in the picture, and noises for each. */
const SHOWN = 12, NOISES = 3;

/** Claim f. */
export const NOVEL_IMAGES: Claim = {
  letter: "f",
  slug: "novel_images",
  title: "Images outside the training set",
  statement: "The snippet of an image outside the training set gives images like it, without " +
    "training.",
  source: "section 5.3, figure 4",
  arms: (laboratory) => [
    heldOutArm(laboratory, laboratory.gmem),
    laboratory.arm(),
    ...noiseArms(laboratory),
  ],
  conclude,
};

/** The held-out images again, from other noises. */
function noiseArms(laboratory: Laboratory): Arm[] {
  return Array.from({ length: NOISES - 1 }, (_, i) => ({
    ...heldOutArm(laboratory, laboratory.gmem),
    // Enough for the picture.
    count: Math.min(SHOWN, laboratory.heldOut.size),
    seed: laboratory.seed + i + 1,
  }));
}

async function conclude(laboratory: Laboratory): Promise<Findings> {
  const { heldOut, heldOutSnippets, train, scale, bank, bank: { dim } } = laboratory;
  const novelArm = heldOutArm(laboratory, laboratory.gmem);
  const novel = await laboratory.samples(novelArm);
  const known = await laboratory.samples(laboratory.arm());
  const knownSnippets = await laboratory.snippetsOf(laboratory.arm());
  const nearest = (await nearestSnippets(laboratory.device, {
    bank,
    queries: heldOutSnippets,
    count: 1,
  })).map(([neighbour]) => neighbour!);
  const ofNovel = laboratory.bootstrap(heldOut.size);
  const ofKnown = laboratory.bootstrap(scale.samples);
  const novelSnippets = await laboratory.snippetsIn(novel);
  const compare = (x: Float32Array, y: Float32Array) => ({
    own: cosines(x, y, { dim }),
    shuffled: cosines(x, y, { dim, offset: Math.floor(x.length / dim / 2) }),
  });
  const novelCosines = compare(novelSnippets, heldOutSnippets);
  const knownCosines = compare(await laboratory.snippetsIn(known), knownSnippets);
  const neighbourCosines = Float64Array.from(nearest, ({ cosine }) => cosine);
  const neighbourIndices = Uint32Array.from(nearest, ({ index }) => index);
  const neighbourSnippets = selectRows(laboratory.trainSnippets, {
    indices: neighbourIndices,
    width: dim,
  });
  const novelOwn = ofNovel.mean(novelCosines.own),
    novelOther = ofNovel.mean(novelCosines.shuffled);
  const knownOwn = ofKnown.mean(knownCosines.own),
    knownOther = ofKnown.mean(knownCosines.shuffled);
  const kept = intervalOf(
    derive(
      [novelOwn, novelOther, knownOwn, knownOther],
      (own, other, trained, shuffled) => (own - other) / (trained - shuffled),
    ),
  );
  const gap = intervalOf(difference(novelOwn, novelOther));
  const toNeighbour = cosines(novelSnippets, neighbourSnippets, { dim });
  const nearerOwn = ofNovel.mean(novelCosines.own.map((own, i) => own > toNeighbour[i]! ? 1 : 0));
  const found = ofNovel.mean(ranksFirst(novelSnippets, { candidates: heldOutSnippets, dim }));
  const shown = { count: Math.min(SHOWN, heldOut.size), samples: heldOut.size };
  const rows = rowsOf([
    heldOut.read(Uint32Array.from({ length: heldOut.size }, (_, i) => i)),
    train.read(neighbourIndices),
    novel.images,
  ], shown);
  const noises = [];
  for (const arm of noiseArms(laboratory)) noises.push((await laboratory.samples(arm)).images);
  return {
    verdict: verdictOf({ gap, kept }),
    tables: [{
      columns: ["samples from snippets of", "cosine to the own snippet", "to another's", "samples"],
      rows: [
        ["held-out images", intervalOf(novelOwn), intervalOf(novelOther), heldOut.size],
        ["training images", intervalOf(knownOwn), intervalOf(knownOther), scale.samples],
      ],
    }, {
      title: "Held-out images",
      columns: ["", "share"],
      rows: [
        ["likeness kept of what training images give", kept],
        [`own image found first among all ${heldOut.size}`, intervalOf(found)],
        ["the same by chance", 1 / heldOut.size],
        ["nearer to the own snippet than to its nearest training snippet", intervalOf(nearerOwn)],
        [
          "cosine of a held-out snippet to its nearest training snippet",
          intervalOf(ofNovel.mean(neighbourCosines)),
        ],
      ],
    }],
    panels: [{
      xTitle: "cosine of a sample to a snippet",
      yTitle: "share of the samples at or below",
      marked: false,
      curves: [
        { name: "held out: own", points: cumulative(novelCosines.own) },
        {
          name: "held out: another's",
          points: cumulative(novelCosines.shuffled),
        },
        { name: "training: own", points: cumulative(knownCosines.own) },
        {
          name: "nearest training image",
          points: cumulative(neighbourCosines),
        },
      ],
    }],
    pictures: [{
      name: "rows",
      caption: "First row: held-out images. Second: the training images nearest to them. Under " +
        `them: samples from the snippets of the first row, from ${NOISES} noises.`,
      columns: shown.count,
      images: joinRows([rows, ...noises]),
    }],
    notes: [
      `${heldOut.size} images of the emoji, chosen at random, were kept from the models and from the fit of the encoder. Some look much like an image of the training set (other hours on the same clock): the row "nearer to the own snippet than to its nearest training snippet" tells whether samples are more than copies of that image.`,
      "Likeness is the cosine to the own snippet less the cosine to another image's.",
    ],
  };
}

/** 1 for each row [n, dim] whose own candidate [n, dim] has the largest cosine of all, else 0. */
export function ranksFirst(
  rows: Float32Array,
  { candidates, dim }: { candidates: Float32Array; dim: number },
): Uint8Array {
  const count = rows.length / dim;
  const best = new Float64Array(count).fill(-Infinity),
    own = new Float64Array(count);
  for (let offset = 0; offset < count; offset++) {
    for (const [i, cosine] of cosines(rows, candidates, { dim, offset }).entries()) {
      if (offset === 0) own[i] = cosine;
      best[i] = Math.max(best[i]!, cosine);
    }
  }
  return Uint8Array.from(own, (cosine, i) => cosine >= best[i]! ? 1 : 0);
}

/** What the likeness of samples to held-out images says. */
export function verdictOf({ gap, kept }: { gap: Interval; kept: Interval }): Verdict {
  const likeness = outcomeAbove(gap, 0);
  return {
    outcome: likeness === "shown" ? outcomeAbove(kept, KEPT_LIKENESS) : likeness,
    text: `samples are nearer to their own held-out image than to another by a cosine of ` +
      `${formatInterval(gap)}, ${formatPercent(kept)} % of what training images give ` +
      `(asked: more than ${100 * KEPT_LIKENESS} %)`,
  };
}
