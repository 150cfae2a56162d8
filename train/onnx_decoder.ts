/**
 * The decoder of a tokenizer as an ONNX file that the user brings. It imports onnxruntime-node, a native
 * library; nothing that the library's entry points reach imports this.
 *
 * @module
 */

import { InferenceSession, Tensor } from "onnxruntime-node";

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
 * onnxruntime on the CPU.
 *
 * @example
 * ```ts ignore
 * using decoder = await OnnxDecoder.open("sd_vae_decoder.onnx", { channels: 4, imageSize: 32 });
 * const images = await decoder.decode(latents); // [n, 3, 256, 256]
 * ```
 */
export class OnnxDecoder implements Disposable {
  /** Channels of an image (c): 1 is grey, 3 is colour. */
  readonly channels: 1 | 3;
  /** Height and width of an image (S). */
  readonly imageSize: number;
  readonly #session: InferenceSession;
  readonly #latent: LatentSize;

  private constructor(
    session: InferenceSession,
    made: { latent: LatentSize; channels: 1 | 3; imageSize: number },
  ) {
    this.#session = session;
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
  static async open(path: string, latent: LatentSize): Promise<OnnxDecoder> {
    const fail = (state: string, cause?: unknown) => {
      throw new TypeError(`Cannot decode with ${path}: ${state}`, { cause });
    };
    const bytes = await Deno.readFile(path).catch((cause) => {
      if (!(cause instanceof Deno.errors.NotFound)) throw cause;
      throw new Deno.errors.NotFound(
        `Cannot decode with ${path}: there is no such file, expected an ONNX file`,
        { cause },
      );
    });
    const session = await InferenceSession.create(bytes)
      .catch((cause) => fail(`${oneLine(cause)}, expected an ONNX file`, cause));
    const { channels, imageSize } = latent, { inputNames } = session;
    if (inputNames.length !== 1) {
      fail(`its inputs are ${inputNames.join(", ")}, expected one [n, C, H, W]`);
    }
    const zeros = new Float32Array(TRIAL * channels * imageSize ** 2);
    const probe = await run(session, zeros, latent).catch((cause) =>
      fail(
        `it does not take ${TRIAL} latents of ${channels} × ${imageSize} × ${imageSize}, ` +
          oneLine(cause),
        cause,
      )
    );
    const [count, colours, height, width, ...others] = probe.dims;
    const whole = count === TRIAL && height !== undefined && height === width &&
      others.length === 0;
    if (!whole || (colours !== 1 && colours !== 3) || !(probe.data instanceof Float32Array)) {
      return fail(
        `its output is [${probe.dims.join(", ")}] of ${probe.type}, expected ` +
          `[${TRIAL}, 3, S, S] or [${TRIAL}, 1, S, S] of float32`,
      );
    }
    return new OnnxDecoder(session, { latent, channels: colours, imageSize: height });
  }

  /**
   * Decodes `latents` [n, C, H, W] on the scale of their tokenizer to images [n, c, S, S] in about
   * [−1, 1], 4 at a time.
   */
  async decode(latents: Float32Array): Promise<Float32Array> {
    const length = this.#latent.channels * this.#latent.imageSize ** 2;
    const pixels = this.channels * this.imageSize ** 2, count = latents.length / length;
    const images = new Float32Array(count * pixels);
    for (let first = 0; first < count; first += BATCH) {
      const batch = latents.slice(first * length, (first + BATCH) * length);
      const { data } = await run(this.#session, batch, this.#latent);
      images.set(data as Float32Array, first * pixels);
    }
    return images;
  }

  /** Lets go of the network. */
  [Symbol.dispose](): void {
    this.#session.release();
  }
}

async function run(
  session: InferenceSession,
  latents: Float32Array,
  { channels, imageSize }: LatentSize,
): Promise<Tensor> {
  const shape = [latents.length / (channels * imageSize ** 2), channels, imageSize, imageSize];
  const [output] = session.outputNames;
  const input = new Tensor("float32", latents, shape);
  const results = await session.run({ [session.inputNames[0]!]: input }, [output!]);
  return results[output!]!;
}

/** What onnxruntime says, which takes several lines, as one. */
function oneLine(cause: unknown): string {
  return (cause as Error).message.split("\n").map((line) => line.trim()).join(" ")
    .replace(/\.$/, "");
}
