/**
 * Claim a: with the bank, a given distance is reached in far fewer steps.
 *
 * @module
 */

import { type Arm, type ModelArm, nameOf } from "./arm.ts";
import { type Claim, type Findings, outcomeAbove, type Verdict } from "./claim.ts";
import { coarsePixels } from "./coarse_pixels.ts";
import { type Factor, factorOf, formatFactor, rangeOf } from "./factor.ts";
import { heldOutLevel, pointsOf, rowsOf } from "./figures.ts";
import type { Laboratory } from "./laboratory.ts";
import { difference, type Estimate, intervalOf } from "./statistics.ts";

/** Fewer steps by this factor count as far fewer. */
const FAR_FEWER = 2;

/** Samples in a row of the picture. */
const SHOWN = 12;

/** Claim a. */
export const TRAINING_SPEED: Claim = {
  letter: "a",
  slug: "training_speed",
  title: "Training speed",
  statement:
    "With the bank, the distance that the label-conditioned SiT of the same size reaches " +
    "is reached in far fewer steps.",
  source: "section 5.2, table 2",
  arms: (laboratory) => [...armsOf(laboratory, "label"), ...armsOf(laboratory, laboratory.gmem)],
  conclude,
};

function armsOf(laboratory: Laboratory, model: ModelArm): Arm[] {
  return laboratory.scale.checkpoints.map((step) => laboratory.arm({ model, step }));
}

async function conclude(laboratory: Laboratory): Promise<Findings> {
  const { scale, gmem, trainReference, train, config } = laboratory;
  const steps = scale.checkpoints;
  const bootstrap = laboratory.bootstrap(scale.samples);
  const coarse = coarsePixels(laboratory);
  const measure = async (model: ModelArm) => {
    const curve: Estimate[] = [],
      pixels: Estimate[] = [],
      images: Float32Array[] = [];
    for (const arm of armsOf(laboratory, model)) {
      const samples = await laboratory.samples(arm);
      curve.push(bootstrap.frechet(samples.encodings, trainReference));
      pixels.push(coarse.distanceOf(samples.images, bootstrap));
      images.push(samples.images);
    }
    return { curve, pixels, images };
  };
  const label = await measure("label"), memory = await measure(gmem);
  const speedUp = speedUpOf({ steps, label: label.curve, memory: memory.curve });
  const pixelSpeedUp = speedUpOf({ steps, label: label.pixels, memory: memory.pixels });
  const dropped = Math.round(100 * config.model.classDropout);
  const hidden = Math.round(100 * config.bank.mask.ratio);
  const row = (i: number) => [
    steps[i]!,
    intervalOf(label.curve[i]!),
    intervalOf(memory.curve[i]!),
    intervalOf(difference(label.curve[i]!, memory.curve[i]!)),
    intervalOf(label.pixels[i]!),
    intervalOf(memory.pixels[i]!),
  ];
  return {
    verdict: verdictOf(speedUp, steps),
    tables: [{
      columns: [
        "steps",
        "label: distance",
        "GMem: distance",
        "label − GMem",
        `label: distance of ${coarse.name}`,
        `GMem: the same`,
      ],
      rows: steps.map((_, i) => row(i)),
    }, {
      title: "Steps that the label model needs for one step of GMem",
      columns: ["measured by", "factor"],
      rows: [
        [
          laboratory.measuresBySnippets ? "the bank's encoder" : "`pixel_pca`",
          formatFactor(speedUp),
        ],
        [coarse.name, formatFactor(pixelSpeedUp)],
      ],
    }],
    panels: [{
      xTitle: "training steps",
      yTitle: ["Fréchet distance to the training", `images (${laboratory.spaceName})`],
      xValues: steps,
      curves: [
        { name: "SiT, labels", points: pointsOf(steps, label.curve) },
        { name: nameOf(gmem), points: pointsOf(steps, memory.curve) },
      ],
      levels: [heldOutLevel(laboratory)],
    }],
    pictures: [{
      name: "samples",
      caption:
        `From the same noises: for each of ${steps.join(", ")} steps a row of the label model ` +
        "and under it a row of GMem, given the snippets of the same images.",
      columns: SHOWN,
      images: rowsOf(
        steps.flatMap((_, i) => [label.images[i]!, memory.images[i]!]),
        { count: SHOWN, samples: scale.samples },
      ),
    }],
    notes: [
      `Both models have the same size and saw the same images, noises and times; the label model has the ${train.classes.length} subcategories of the emoji and drops ${dropped} % of them, GMem hides ${hidden} % of a snippet. Neither is guided when samples are drawn.`,
      ...(laboratory.measuresBySnippets
        ? [
          "The encoder that measures is the one that made the snippets, so GMem is told in part what is asked of it. The second measure, images averaged to a few pixels, knows nothing of the encoder.",
        ]
        : []),
      "A step between two checkpoints at which a distance is reached is read off the line between them, over the logarithm of the steps. Where GMem is there at the first checkpoint already, the factor is a lower bound.",
    ],
  };
}

/**
 * How many steps of the label model one step of GMem is worth: the steps after which the label model
 * has its least distance, over those after which GMem has come as near.
 */
export function speedUpOf(
  { steps, label, memory }: {
    steps: readonly number[];
    label: readonly Estimate[];
    memory: readonly Estimate[];
  },
): Factor {
  return factorOf({
    costs: steps,
    label,
    memory,
    reach: (curve, target) => crossing(curve, { steps, target }),
  });
}

/** The step at which a curve first comes down to a target; undefined where it does not. */
export function crossing(
  curve: readonly number[],
  { steps, target }: { steps: readonly number[]; target: number },
): number | undefined {
  const after = curve.findIndex((value) => value <= target);
  if (after <= 0) return after === 0 ? steps[0] : undefined;
  const [high, low] = [curve[after - 1]!, curve[after]!];
  const [from, to] = [steps[after - 1]!, steps[after]!].map(Math.log);
  return Math.exp(from! + (to! - from!) * (high - target) / (high - low));
}

/** What a factor of steps says: far fewer where all of its interval is above {@linkcode FAR_FEWER}. */
export function verdictOf(speedUp: Factor, steps: readonly number[]): Verdict {
  const outcome = outcomeAbove(rangeOf(speedUp), FAR_FEWER);
  if (speedUp.least.value === 0) {
    return {
      outcome,
      text: `GMem does not reach the distance of the label model within ${steps.at(-1)} steps`,
    };
  }
  return {
    outcome,
    text: `to reach its best distance, the label model takes ${formatFactor(speedUp)} times the ` +
      `steps that GMem takes to reach the same (asked: more than ${FAR_FEWER})`,
  };
}
