/**
 * Which images a step sees.
 *
 * @module
 */

import { permutation } from "../kernels/core/random.ts";

/**
 * The order in which images are seen: a fresh permutation of all images each epoch, decided by the
 * seed alone, so that a resumed run continues it and the batch size does not change it.
 */
export class DataOrder {
  readonly #size: number;
  readonly #seed: number;
  #epoch = -1;
  #order: Uint32Array = new Uint32Array();

  /** Makes the order of `size` images. */
  constructor(options: { size: number; seed: number }) {
    this.#size = options.size;
    this.#seed = options.seed;
  }

  /** Indices of the images at places `first` to `first + count − 1` of the endless sequence. */
  take(first: number, count: number): Uint32Array {
    return Uint32Array.from({ length: count }, (_, i) => this.#at(first + i));
  }

  #at(place: number): number {
    const epoch = Math.floor(place / this.#size);
    if (epoch !== this.#epoch) {
      this.#order = permutation(this.#size, this.#seed, epoch);
      this.#epoch = epoch;
    }
    return this.#order[place % this.#size]!;
  }
}
