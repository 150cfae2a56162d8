/**
 * The decoder of a tokenizer as an ONNX file that the user brings. Of the library's entry points
 * `./onnx-latents` alone reaches this: a native library stands behind it.
 *
 * @module
 */

import { OnnxNetwork, type ProviderOptions } from "../bank/onnx_network.ts";

/** Latents that go through the network at once: images are large, and so are their activations. */
const BATCH = 4;

/** Latents of the trial: more than the one that a file with a fixed number would take. */
const TRIAL = 2;

/** Sizes of the latents that a decoder takes. */
export interface LatentSize {
  /** Channels of a latent (C). */
  readonly channels: number;
  /** Height and width of a latent. */
  readonly imageSize: number;
}

/**
 * An ONNX file with one input [n, C, H, W], for any n, and a first output [n, c, S, S], run by
 * onnxruntime.
 *
 * @example
 * ```ts ignore
 * import { OnnxDecoder } from "@gmem/gmem/onnx-latents";
 *
 * using decoder = await OnnxDecoder.open("sd_vae_decoder.onnx", { channels: 4, imageSize: 32 });
 * const images = await decoder.decode(new Float32Array(2 * 4 * 32 * 32)); // [2, 3, 256, 256]
 * console.log(decoder.channels, decoder.imageSize, images.length); // 3 256 393216
 * ```
 */
export class OnnxDecoder implements Disposable {
  /** Channels of an image (c): 1 is grey, 3 is colour. */
  readonly channels: 1 | 3;
  /** Height and width of an image (S). */
  readonly imageSize: number;
  readonly #network: OnnxNetwork;
  readonly #latent: LatentSize;

  private constructor(
    network: OnnxNetwork,
    made: { latent: LatentSize; channels: 1 | 3; imageSize: number },
  ) {
    this.#network = network;
    this.#latent = made.latent;
    this.channels = made.channels;
    this.imageSize = made.imageSize;
  }

  /**
   * Opens a decoder and runs it once, which tells the size of its images.
   *
   * Throws a NotFound error if there is no such file, and a TypeError if it is no network that takes
   * latents of that size and gives square images of 1 or 3 channels.
   */
  static async open(
    path: string,
    latent: LatentSize,
    options: ProviderOptions = {},
  ): Promise<OnnxDecoder> {
    using opened = new DisposableStack();
    const network = opened.use(
      await OnnxNetwork.open(path, { ...options, purpose: "decode with" }),
    );
    network.requireOneInput("[n, C, H, W]");
    const { channels, imageSize } = latent;
    const { shape } = await network.tryWith([TRIAL, channels, imageSize, imageSize], {
      what: `${TRIAL} latents of ${channels} × ${imageSize} × ${imageSize}`,
    });
    const [count, colours, height, width, ...others] = shape;
    const whole = count === TRIAL && height !== undefined && height === width &&
      others.length === 0;
    if (!whole || (colours !== 1 && colours !== 3)) {
      throw network.error(
        `its output is [${shape.join(", ")}] of float32, expected ` +
          `[${TRIAL}, 3, S, S] or [${TRIAL}, 1, S, S] of float32`,
      );
    }
    opened.move();
    return new OnnxDecoder(network, { latent, channels: colours, imageSize: height });
  }

  /**
   * Decodes `latents` [n, C, H, W] on the scale of their tokenizer to images [n, c, S, S] in about
   * [−1, 1], 4 at a time.
   *
   * Throws a TypeError if the network does not take them.
   */
  async decode(latents: Float32Array): Promise<Float32Array> {
    const { channels, imageSize } = this.#latent, length = channels * imageSize ** 2;
    const pixels = this.channels * this.imageSize ** 2, count = latents.length / length;
    const images = new Float32Array(count * pixels);
    for (let first = 0; first < count; first += BATCH) {
      const batch = latents.slice(first * length, (first + BATCH) * length);
      const shape = [batch.length / length, channels, imageSize, imageSize];
      const { values } = await this.#network.apply({ values: batch, shape });
      images.set(values, first * pixels);
    }
    return images;
  }

  /** Lets go of the network. */
  [Symbol.dispose](): void {
    this.#network[Symbol.dispose]();
  }
}
