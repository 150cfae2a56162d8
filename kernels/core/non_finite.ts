/**
 * Finds the kernel that first wrote a number which is infinite or NaN, on a device that was opened to debug.
 *
 * @module
 */

import { type Device, spreadWorkgroups } from "./device.ts";
import { NonFiniteResultError } from "./errors.ts";
import source from "./find_non_finite.wgsl.ts";
import { Kernel } from "./kernel.ts";
import { type Tensor, viewOf } from "./tensor.ts";

const FIND = new Kernel({ source });
/** What the GPU holds as long as nothing was found. */
const NOTHING = 2 ** 32 - 1;
/** Where the exponent stands in the bits of an element. */
const FORMATS = {
  f32: { per_word: 1, exponent: 0x7f800000 },
  f16: { per_word: 2, exponent: 0x7c00 },
};

/**
 * Looks through results on the GPU and keeps the number of the first that holds such a value. They are
 * numbered in the order in which they are recorded.
 */
export class NonFiniteSearch {
  readonly #device: Device;
  /** The number of the first result with such a value, [1]. */
  readonly #found: Tensor;
  /** Of the results that were recorded since the last wait. */
  readonly #names: string[] = [];
  /** The number of the first of `#names`. */
  #first = 0;

  /** Begins with nothing found, and takes one small buffer of the device for as long as that is open. */
  constructor(device: Device) {
    this.#device = device;
    this.#found = device.tensor(Uint32Array.of(NOTHING), [1]);
  }

  /** Whether a kernel belongs to the search. */
  isOwn(kernel: Kernel): boolean {
    return kernel === FIND;
  }

  /** Records the search through `x`, which an error calls `name`. Whole numbers are always finite. */
  record(x: Tensor, name: string): void {
    const { dtype, elements } = x;
    if (dtype === "u32") return;
    const format = FORMATS[dtype];
    const shape = [Math.ceil(elements / format.per_word)];
    using bits = viewOf(x, { shape, dtype: "u32" });
    const number = this.#first + this.#names.push(name) - 1;
    this.#device.dispatch(FIND, {
      tensors: { bits, found: this.#found },
      params: { elements, number, ...format },
      workgroups: spreadWorkgroups(Math.ceil(elements / 64)),
    });
  }

  /**
   * Throws a `NonFiniteResultError` where something was found since the last wait. `read` copies a tensor
   * from the GPU; what is found after that copy and before the error goes unnoticed.
   */
  async throwFound(read: (tensor: Tensor) => Promise<ArrayBuffer>): Promise<void> {
    if (this.#names.length === 0) return;
    const end = this.#first + this.#names.length;
    const [number = NOTHING] = new Uint32Array(await read(this.#found));
    const name = this.#names[number - this.#first];
    // Another wait may have gone on beside this one, begun later and come here first.
    this.#names.splice(0, Math.max(0, end - this.#first));
    this.#first = Math.max(this.#first, end);
    if (name === undefined) return;
    this.#found.write(Uint32Array.of(NOTHING));
    throw new NonFiniteResultError(name);
  }
}
