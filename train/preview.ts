/**
 * What a run shows of its samples while it trains.
 *
 * @module
 */

import { join } from "node:path";
import { requireFiniteImages } from "../bank/pixels.ts";
import { spreadIndices } from "../bank/select_rows.ts";
import { writeAtomically } from "../kernels/core/atomic_file.ts";
import type { Viewer } from "../sample/viewer.ts";
import type { Config } from "./config.ts";
import { pictureScale, tileImages } from "./datasets/picture.ts";
import { pairRows } from "./datasets/picture_rows.ts";
import { encodePng } from "./datasets/png.ts";
import { drawSpread } from "./draw_spread.ts";
import type { Run } from "./run.ts";
import { stepName } from "./run_files.ts";

/**
 * Pictures of samples in the course of a run, always from the same snippets (or labels) and noise:
 * rows of training images alternate with rows of samples that were given their snippets.
 */
export class Preview {
  readonly #run: Run;
  readonly #config: Config;
  readonly #viewer: Viewer;
  readonly #directory: string;
  readonly #indices: Uint32Array;

  /** Chooses images evenly spread over the data set; pictures go to `directory`. */
  constructor(options: { run: Run; config: Config; viewer: Viewer; directory: string }) {
    const { run, config } = options;
    this.#run = run;
    this.#config = config;
    this.#viewer = options.viewer;
    this.#directory = options.directory;
    const { size } = run.dataset, count = Math.min(config.sample.count, size);
    this.#indices = spreadIndices(count, size);
  }

  /** Draws the picture with the averaged weights and returns its path. */
  async write(): Promise<string> {
    const { trainer, dataset } = this.#run;
    const config = this.#config, { columns } = config.sample, count = this.#indices.length;
    const { images } = await drawSpread(this.#run, { count, config, sample: config.sample });
    const { channels, imageSize } = this.#viewer;
    const seen = await this.#viewer.view(await dataset.read(this.#indices));
    requireFiniteImages(seen, { first: 0, count, what: "training image" });
    const samples = await this.#viewer.view(images);
    requireFiniteImages(samples, { first: 0, count, what: "sample" });
    const pairs = pairRows(seen, samples, columns * channels * imageSize ** 2);
    const scale = pictureScale({ columns, imageSize });
    const picture = tileImages(pairs, { columns, imageSize, channels, scale });
    await Deno.mkdir(this.#directory, { recursive: true });
    const path = join(this.#directory, `${stepName(trainer.step)}.png`);
    writeAtomically(path, encodePng(picture));
    return path;
  }
}
