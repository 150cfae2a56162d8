/**
 * What samples of a model look like, whatever it makes.
 *
 * @module
 */

/** Makes images of what a model is trained on and makes: pixels as they are, or decoded latents. */
export interface Viewer extends Disposable {
  /** Channels of an image (c): 1 is grey, 3 is colour. */
  readonly channels: 1 | 3;
  /** Height and width of an image (S). */
  readonly imageSize: number;
  /** The images [n, c, S, S] in about [−1, 1] of samples or training data [n, C, H, W]. */
  view(samples: Float32Array): Promise<Float32Array>;
}
