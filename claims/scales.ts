/**
 * How large the claims are tested: one object for each scale.
 *
 * @module
 */

/** What is trained and drawn to test the claims. */
export interface Scale {
  /** Name on the command line. */
  readonly name: string;
  /** One line for people: data, network, machine. */
  readonly description: string;
  /** Configuration that all models share, by its path. */
  readonly config: string;
  /** Settings that take the place of the file's; one of them is `train.steps`. */
  readonly overrides: readonly string[];
  /** Steps at which claim a looks at the label and the GMem model, rising; the last is the end. */
  readonly checkpoints: readonly number[];
  /**
   * Mask ratios of claim c, 0 and 0.4 among them. The model of the other claims has that of the
   * configuration.
   */
  readonly maskRatios: readonly number[];
  /** Samples behind a distance to the training images. */
  readonly samples: number;
  /** Evaluations of the network for a sample (NFE), except where claims b and e vary them; even. */
  readonly evaluations: number;
  /** The evaluations that claims b and e compare, rising; each is even, and 4 or more. */
  readonly budgets: readonly number[];
  /** Ranks of claim d as shares of the length of a snippet, falling, 0.5 among them. */
  readonly rankShares: readonly number[];
  /** Pairs of snippets that claim g goes between. */
  readonly pairs: number;
  /** Resamplings behind each interval. */
  readonly replicates: number;
  /** Images that are drawn at once. */
  readonly batch: number;
  /** Steps between two checkpoints that a killed training goes on from. */
  readonly checkpointEvery: number;
}

/** What all scales have alike. */
const ALIKE = {
  maskRatios: [0, 0.2, 0.4, 0.6],
  rankShares: [0.75, 0.5, 0.25, 0.125],
  replicates: 200,
} as const;

/** The scales by their names, smallest first. */
export const SCALES: Readonly<Record<"tiny" | "small" | "laptop" | "gpu", Scale>> = {
  tiny: {
    ...ALIKE,
    name: "tiny",
    description:
      "emoji at 16 × 16, a network of 2.9 million parameters, 600 steps; for two CPU cores",
    config: "configs/emoji_tiny.yaml",
    overrides: ["train.steps=600"],
    checkpoints: [100, 200, 400, 600],
    samples: 256,
    evaluations: 16,
    budgets: [4, 8, 16, 32],
    pairs: 32,
    batch: 32,
    checkpointEvery: 100,
  },
  small: {
    ...ALIKE,
    name: "small",
    description:
      "emoji at 16 × 16, a network of 2.9 million parameters, 3,000 steps; for some hours of two CPU cores",
    config: "configs/emoji_tiny.yaml",
    overrides: ["train.steps=3000", "train.emaDecay=0.998", "optimizer.learningRate=1e-3"],
    checkpoints: [100, 200, 400, 800, 1500, 3000],
    samples: 1024,
    evaluations: 16,
    budgets: [4, 8, 16, 32],
    pairs: 64,
    batch: 32,
    checkpointEvery: 250,
  },
  laptop: {
    ...ALIKE,
    name: "laptop",
    description:
      "emoji at 32 × 32, a network of 9 million parameters, 6,000 steps; for the GPU of a laptop",
    config: "configs/emoji_tiny.yaml",
    overrides: [
      "data.imageSize=32",
      "model.width=256",
      "model.depth=8",
      "model.heads=4",
      "train.steps=6000",
      "train.batchSize=64",
      "train.emaDecay=0.998",
      "optimizer.learningRate=5e-4",
      "bank.mask.ratio=0.4",
    ],
    checkpoints: [250, 500, 1000, 2000, 4000, 6000],
    samples: 1024,
    evaluations: 32,
    budgets: [4, 8, 16, 32, 64],
    pairs: 64,
    batch: 128,
    checkpointEvery: 500,
  },
  gpu: {
    ...ALIKE,
    name: "gpu",
    description:
      "emoji at 32 × 32 in 256 tokens, 32 million parameters, 20,000 steps; for a large GPU",
    config: "configs/emoji.yaml",
    overrides: ["train.steps=20000"],
    checkpoints: [500, 1000, 2000, 5000, 10000, 20000],
    samples: 4096,
    evaluations: 50,
    budgets: [4, 8, 16, 32, 64, 128, 250],
    pairs: 64,
    batch: 256,
    checkpointEvery: 1000,
  },
};
