/**
 * Claim c: hiding 0.4 of the snippets in training helps with snippets never seen.
 *
 * @module
 */

import { cosines } from "../bank/normalize.ts";
import type { Arm, ModelArm } from "./arm.ts";
import { type Claim, type Findings, formatInterval, outcomeBelow, type Verdict } from "./claim.ts";
import { pointsOf, rowsOf } from "./figures.ts";
import type { Laboratory } from "./laboratory.ts";
import { difference, type Estimate, type Interval, intervalOf } from "./statistics.ts";

/** The ratio that the paper takes, and the one without a mask. */
const CLAIMED = 0.4, NONE = 0;

/** Images in a row of the picture. */
const SHOWN = 12;

/** Claim c. */
export const MASKING: Claim = {
  letter: "c",
  slug: "masking",
  title: "Masked snippets",
  statement:
    "A model that was trained with 0.4 of each snippet hidden draws better from snippets " +
    "never seen than one trained with whole snippets.",
  source: "appendix A.2, table 4",
  arms: (laboratory) => laboratory.scale.maskRatios.map((ratio) => armOf(laboratory, ratio)),
  conclude,
};

function armOf(laboratory: Laboratory, maskRatio: number): Arm {
  return heldOutArm(laboratory, { maskRatio });
}

/** One sample of a model for each held-out image. */
export function heldOutArm(laboratory: Laboratory, model: ModelArm): Arm {
  return laboratory.arm({ model, condition: { of: "heldOut" }, count: laboratory.heldOut.size });
}

async function conclude(laboratory: Laboratory): Promise<Findings> {
  const { scale: { maskRatios: ratios }, heldOut, heldOutSnippets, bank: { dim } } = laboratory;
  const bootstrap = laboratory.bootstrap(heldOut.size);
  const distances: Estimate[] = [], follows: Estimate[] = [], images: Float32Array[] = [];
  for (const ratio of ratios) {
    const samples = await laboratory.samples(armOf(laboratory, ratio));
    distances.push(bootstrap.frechet(samples.encodings, laboratory.heldOutReference));
    const snippets = await laboratory.snippetsIn(samples);
    follows.push(bootstrap.mean(cosines(snippets, heldOutSnippets, { dim })));
    images.push(samples.images);
  }
  const none = ratios.indexOf(NONE), claimed = ratios.indexOf(CLAIMED);
  const distance = intervalOf(difference(distances[claimed]!, distances[none]!));
  const cosine = intervalOf(difference(follows[claimed]!, follows[none]!));
  return {
    verdict: verdictOf({ distance, cosine }),
    tables: [{
      columns: [
        "mask ratio",
        "distance to the held-out images",
        "more than without a mask",
        "cosine of a sample to its snippet",
      ],
      rows: ratios.map((ratio, i) => [
        ratio,
        intervalOf(distances[i]!),
        ratio === NONE ? "" : intervalOf(difference(distances[i]!, distances[none]!)),
        intervalOf(follows[i]!),
      ]),
    }],
    panels: [
      {
        xTitle: "mask ratio in training",
        yTitle: ["Fréchet distance to the held-out", `images (${laboratory.spaceName})`],
        xValues: ratios,
        zero: false,
        curves: [{ name: "samples", points: pointsOf(ratios, distances) }],
      },
      {
        xTitle: "mask ratio in training",
        yTitle: ["cosine of a sample", "to its snippet"],
        xValues: ratios,
        zero: false,
        curves: [{ name: "samples", points: pointsOf(ratios, follows) }],
      },
    ],
    pictures: [{
      name: "samples",
      caption:
        `First row: held-out images. Under it, from their snippets and the same noises, a row ` +
        `for each mask ratio: ${ratios.join(", ")}.`,
      columns: SHOWN,
      images: rowsOf(
        [heldOut.read(Uint32Array.from({ length: heldOut.size }, (_, i) => i)), ...images],
        { count: SHOWN, samples: heldOut.size },
      ),
    }],
    notes: [
      `One sample for the snippet of each of the ${heldOut.size} held-out images, which neither the models nor the encoder saw. Whole snippets are given when samples are drawn.`,
      "Zero masks, which scale up what they leave, as in the official code. One training for each ratio: the intervals hold what other samples would change, not what another training would.",
      "What a mask can win is what a snippet costs that was never seen, which claim (f) measures.",
      ...(laboratory.measuresBySnippets
        ? [
          "The numbers of these snippets hardly correlate: no other says what a hidden one did, as some of the features of a large network do.",
        ]
        : []),
    ],
  };
}

/** What changes from ratio 0 to 0.4 says: that of the distance alone, which the paper reports. */
export function verdictOf({ distance, cosine }: { distance: Interval; cosine: Interval }): Verdict {
  return {
    outcome: outcomeBelow(distance, 0),
    text: `from ratio ${NONE} to ${CLAIMED} the distance changes by ${formatInterval(distance)} ` +
      `(asked: less than 0), and the cosine by ${formatInterval(cosine)}`,
  };
}
