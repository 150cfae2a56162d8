/**
 * Everything that is taken of images in one pass over them.
 *
 * @module
 */

import type { Encoder } from "../bank/encoders/encoder.ts";
import { toValues } from "../bank/pixels.ts";
import { counted } from "../kernels/core/counted.ts";
import { AdmBatchWriter } from "./adm_batch.ts";
import { GaussianStatistics } from "./frechet.ts";
import { type ByteBatch, type ImageStream, withChannels } from "./image_stream.ts";
import type { Inception } from "./inception.ts";
import { InceptionScore } from "./inception_score.ts";
import type { Reporter } from "./reporter.ts";

/** What {@linkcode extract} takes, and by what. */
export interface ExtractOptions {
  /** Gives the features; none without it. */
  readonly encoder?: Encoder | undefined;
  /** Gives what {@linkcode Extracted.inception} has; nothing without it. */
  readonly inception?: Pick<Inception, "run"> | undefined;
  /** Images whose pixels are kept, from the first on; none by default. */
  readonly kept?: number | undefined;
  /** The `.npz` file to write the images to; none by default. */
  readonly out?: string | undefined;
  /** What the pass is called. */
  readonly label: string;
  /** Is told how far it is. */
  readonly reporter: Reporter;
}

/** What the Inception network makes of N images. */
export interface InceptionExtract {
  /** Pooled features [N, d]. */
  readonly pool: Float32Array;
  /** Components d of a pooled feature. */
  readonly dim: number;
  /** Statistics of the spatial features; undefined if the network has none. */
  readonly spatial: GaussianStatistics | undefined;
  /** The Inception score; undefined if the network gives no classes. */
  readonly score: InceptionScore | undefined;
}

/** What is taken of the N images of a stream. */
export interface Extracted {
  /** Features of the encoder [N, d]; undefined without one. */
  readonly features: Float32Array | undefined;
  /** What Inception makes of them; undefined without the network. */
  readonly inception: InceptionExtract | undefined;
  /** Pixels [kept, C, H, W] of the first images. */
  readonly pixels: Uint8Array;
}

/**
 * Goes through a stream once.
 *
 * Throws what the stream, the encoder and the network throw, and what writing the file does.
 */
export async function extract(stream: ImageStream, options: ExtractOptions): Promise<Extracted> {
  const { encoder, inception, out, label, reporter } = options;
  const { size, imageSize, channels } = stream;
  const length = channels * imageSize ** 2, kept = Math.min(size, options.kept ?? 0);
  using writer = out === undefined ? undefined : new AdmBatchWriter(out, stream);
  const features = encoder && new Float32Array(size * encoder.dim);
  const pixels = new Uint8Array(kept * length);
  const networkParts = inception && new InceptionParts(size);
  reporter.note(
    `${label.padEnd(10)} ${counted(size, "image")} of ${imageSize} × ${imageSize} pixels`,
  );
  {
    using progress = reporter.begin(size);
    for await (const batch of stream.batches()) {
      const { first, count } = batch;
      if (first < kept) {
        const few = Math.min(count, kept - first);
        pixels.set(batch.pixels.subarray(0, few * length), first * length);
      }
      writer?.append(batch);
      if (encoder && features) {
        features.set(await encodeBatch(batch, { encoder, stream }), first * encoder.dim);
      }
      if (inception) networkParts!.add(batch, await inception.run(batch, { imageSize, channels }));
      progress.advance(first + count);
    }
  }
  writer?.commit();
  if (out !== undefined) reporter.note(`wrote      ${out}`);
  return { features, inception: networkParts?.result(), pixels };
}

async function encodeBatch(
  batch: ByteBatch,
  options: { readonly encoder: Encoder; readonly stream: ImageStream },
): Promise<Float32Array> {
  const { encoder, stream: { imageSize, channels: from } } = options;
  const channels = Number(encoder.description.preprocessing["channels"] ?? from);
  const values = toValues(withChannels(batch, { from, to: channels }));
  const { first, count } = batch;
  const shape = { count, channels, height: imageSize, width: imageSize, firstIndex: first };
  return await encoder.encode(values, shape);
}

/** What the network gave so far; how long its vectors are, the first batch tells. */
class InceptionParts {
  readonly #size: number;
  #pool: { dim: number; values: Float32Array } | undefined;
  #spatial: GaussianStatistics | undefined;
  #score: InceptionScore | undefined;

  constructor(size: number) {
    this.#size = size;
  }

  add({ first, count }: ByteBatch, made: Awaited<ReturnType<Inception["run"]>>): void {
    const { pool, spatial, probabilities } = made;
    const dim = pool.length / count;
    this.#pool ??= { dim, values: new Float32Array(this.#size * dim) };
    this.#pool.values.set(pool, first * dim);
    if (spatial) {
      this.#spatial ??= new GaussianStatistics(spatial.length / count);
      this.#spatial.add(spatial);
    }
    if (probabilities) {
      this.#score ??= new InceptionScore(probabilities.length / count);
      this.#score.add(probabilities);
    }
  }

  result(): InceptionExtract | undefined {
    return this.#pool && {
      pool: this.#pool.values,
      dim: this.#pool.dim,
      spatial: this.#spatial,
      score: this.#score,
    };
  }
}
