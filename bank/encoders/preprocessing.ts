/**
 * What encoders that are files of their own do to images and texts, as data. The library's entry points may
 * import this; the encoders themselves need a native library.
 *
 * @module
 */

/** Names of the filters that make pixels of pixels. */
export const INTERPOLATIONS = ["bicubic", "bilinear", "torch-bicubic"] as const;

/**
 * Filter that makes pixels of pixels. `bicubic` (Catmull and Rom, a = −1/2) and `bilinear` widen when
 * an image shrinks, as Pillow and torchvision do with antialiasing; `torch-bicubic` (a = −3/4) never
 * widens, as `torch.nn.functional.interpolate`, which REPA and GMem use.
 */
export type Interpolation = typeof INTERPOLATIONS[number];

/** Names of the ways in which tokens become one vector. */
export const POOLINGS = ["cls", "mean", "patch-mean"] as const;

/** How tokens [n, T, d] become [n, d]: the first token, the mean of all, or of all but the first. */
export type Pooling = typeof POOLINGS[number];

/** What makes one vector of those of all tokens of a text: that of the first token, or their mean. */
export type TextPooling = "cls" | "mean";

/** Every {@linkcode TextPooling}. */
export const TEXT_POOLINGS: readonly TextPooling[] = ["cls", "mean"];

/** What is done to an image before the network sees it, and what is taken of its output. */
export interface OnnxPreprocessing {
  /** Height and width r in pixels of what the network sees. */
  readonly size: number;
  /** Share of either side of the image that is kept around its centre; 1, all, by default. */
  readonly crop?: number | undefined;
  /** Filter of the resizing; `bicubic` by default. */
  readonly interpolation?: Interpolation | undefined;
  /** What black and white become before mean and deviation; [0, 1] by default. */
  readonly range?: readonly [low: number, high: number] | undefined;
  /** Mean of each channel, of values in the range; 0 by default. */
  readonly mean?: readonly number[] | undefined;
  /** Standard deviation of each channel, of values in the range; 1 by default. */
  readonly std?: readonly number[] | undefined;
  /** Name of the output; the first by default. */
  readonly output?: string | undefined;
  /**
   * How an output of tokens [n, T, d] becomes [n, d]: `cls`, the first token, by default; `mean` of all;
   * `patch-mean` of all but the first.
   */
  readonly pooling?: Pooling | undefined;
}

/** Mean and standard deviation of the three colours, of values in [0, 1]. */
export interface ColourStatistics {
  /** Of red, green and blue. */
  readonly mean: readonly [red: number, green: number, blue: number];
  /** Of red, green and blue. */
  readonly std: readonly [red: number, green: number, blue: number];
}

/** ImageNet's statistics, with which DINOv2 and most networks were trained. */
export const IMAGENET_STATISTICS: ColourStatistics = {
  mean: [0.485, 0.456, 0.406],
  std: [0.229, 0.224, 0.225],
};

/** The statistics with which CLIP was trained. */
export const CLIP_STATISTICS: ColourStatistics = {
  mean: [0.48145466, 0.4578275, 0.40821073],
  std: [0.26862954, 0.26130258, 0.27577711],
};
