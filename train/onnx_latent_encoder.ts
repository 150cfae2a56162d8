/**
 * The encoder of a tokenizer as an ONNX file that the user brings. Of the library's entry points
 * `./onnx-latents` alone reaches this: a native library stands behind it.
 *
 * @module
 */

import { OnnxNetwork, type ProviderOptions } from "../bank/onnx_network.ts";
import type { LatentDistribution, LatentEncoder } from "./datasets/encode_latents.ts";
import type { LatentSize } from "./onnx_decoder.ts";

/** Images of the trial: more than the one that a file with a fixed number would take. */
const TRIAL = 2;

/** Side in pixels of the images of the trial, where the network takes any. */
const TRIAL_SIDE = 64;

/** Channels of an image. */
const COLOURS = 3;

/** Bounds of log σ², as in the posterior of latent diffusion (Rombach et al. 2022). */
const LOG_VARIANCE = { least: -30, most: 20 };

/**
 * An ONNX file with one input [n, 3, S, S], images from −1 to 1 for any n, run by onnxruntime.
 * Its first output are latents [n, C, H, H], or mean and log σ² of their posterior [n, 2 C, H, H], the mean
 * first, as in latent diffusion.
 *
 * @example
 * ```ts ignore
 * import { OnnxLatentEncoder } from "@gmem/gmem/onnx-latents";
 *
 * const latent = { channels: 4, imageSize: 32 };
 * using encoder = await OnnxLatentEncoder.open("sd_vae_encoder.onnx", latent);
 * const { mean, std } = await encoder.encode(new Float32Array(2 * 3 * 256 * 256));
 * console.log(encoder.imageSize, mean.length, std?.length); // 256 8192 8192
 * ```
 */
export class OnnxLatentEncoder implements LatentEncoder, Disposable {
  /** Height and width of an image in pixels (S). */
  readonly imageSize: number;
  /** Sizes of a latent. */
  readonly latent: LatentSize;
  /** SHA-256, in hexadecimal digits, of the file and of those that hold its weights. */
  readonly fingerprint: string;
  readonly #network: OnnxNetwork;

  private constructor(network: OnnxNetwork, made: { latent: LatentSize; imageSize: number }) {
    this.#network = network;
    this.latent = made.latent;
    this.imageSize = made.imageSize;
    this.fingerprint = network.fingerprint;
  }

  /**
   * Opens an encoder and runs it once, which tells how many pixels a latent stands for, and with that the
   * side of the images.
   *
   * Throws a NotFound error if there is no such file, and a TypeError if it is no network that makes latents
   * of that size of square colour images.
   */
  static async open(
    path: string,
    latent: LatentSize,
    options: ProviderOptions = {},
  ): Promise<OnnxLatentEncoder> {
    using opened = new DisposableStack();
    const network = opened.use(
      await OnnxNetwork.open(path, { ...options, purpose: "encode with" }),
    );
    network.requireOneInput("[n, 3, S, S]");
    const { channels, imageSize: rows } = latent;
    const fixed = network.inputs[0]!.shape[2];
    const side = typeof fixed === "number" && fixed > 0 ? fixed : TRIAL_SIDE;
    const { shape } = await network.tryWith([TRIAL, COLOURS, side, side], {
      what: `${TRIAL} images of 3 × ${side} × ${side}`,
    });
    const [count, made = 0, height = 0, width, ...others] = shape;
    const whole = count === TRIAL && height === width && others.length === 0 &&
      side % height === 0;
    if (!whole || (made !== channels && made !== 2 * channels)) {
      throw network.error(
        `its output for images of ${side} × ${side} is [${shape.join(", ")}] of float32, ` +
          `expected [${TRIAL}, ${channels}, H, H] for latents or ` +
          `[${TRIAL}, ${2 * channels}, H, H] for mean and log variance`,
      );
    }
    if (side === fixed && height !== rows) {
      throw network.error(
        `it makes latents of ${height} × ${height} of its images of ${side} × ${side}, ` +
          `expected ${rows} × ${rows}`,
      );
    }
    opened.move();
    return new OnnxLatentEncoder(network, { latent, imageSize: rows * side / height });
  }

  /**
   * Encodes `images` [n, 3, S, S] with values in [−1, 1], all at once.
   *
   * Throws a TypeError if the network does not take them.
   */
  async encode(images: Float32Array): Promise<LatentDistribution> {
    const side = this.imageSize, count = images.length / (COLOURS * side ** 2);
    const input = { values: images, shape: [count, COLOURS, side, side] };
    const { values } = await this.#network.apply(input);
    const { channels, imageSize } = this.latent;
    const length = channels * imageSize ** 2;
    if (values.length === count * length) return { mean: values, std: undefined };
    const mean = new Float32Array(count * length), std = new Float32Array(count * length);
    for (let image = 0; image < count; image++) {
      const middle = (2 * image + 1) * length;
      mean.set(values.subarray(middle - length, middle), image * length);
      for (let i = 0; i < length; i++) {
        const bounded = Math.min(
          Math.max(values[middle + i]!, LOG_VARIANCE.least),
          LOG_VARIANCE.most,
        );
        std[image * length + i] = Math.exp(bounded / 2);
      }
    }
    return { mean, std };
  }

  /** Lets go of the network. */
  [Symbol.dispose](): void {
    this.#network[Symbol.dispose]();
  }
}
