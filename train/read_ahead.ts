/**
 * Data that are read while the GPU works on those before them.
 *
 * @module
 */

/**
 * Reads numbered things, one of which may be read while the one before it is used.
 *
 * @example
 * ```ts ignore
 * await using ahead = new ReadAhead(readBatch);
 * for (let i = 0; i < count; i++) {
 *   const batch = await ahead.take(i);
 *   train(batch);
 *   if (i + 1 < count) ahead.begin(i + 1);
 * }
 * ```
 */
export class ReadAhead<T> implements AsyncDisposable {
  readonly #read: (number: number) => Promise<T>;
  #begun: { readonly number: number; readonly result: Promise<T> } | undefined;

  /** `read` reads the thing of a number. */
  constructor(read: (number: number) => Promise<T>) {
    this.#read = read;
  }

  /** Begins to read; what goes wrong is told when the thing is taken. */
  begin(number: number): void {
    const result = this.#read(number);
    result.catch(() => {});
    this.#begun = { number, result };
  }

  /** What was begun, if it has this number, or else is read now; it throws what reading throws. */
  async take(number: number): Promise<T> {
    const begun = this.#begun;
    this.#begun = undefined;
    return await (begun?.number === number ? begun.result : this.#read(number));
  }

  /** Waits for the reading that was begun, which may use what is closed next. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#begun?.result.catch(() => {});
  }
}
