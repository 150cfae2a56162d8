/**
 * Numbers of things: in texts for people, and from callers.
 *
 * @module
 */

/**
 * A number with its noun.
 *
 * @example
 * ```ts
 * console.log(counted(1, "image"), counted(2, "image")); // 1 image 2 images
 * ```
 */
export function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

/**
 * Throws a `RangeError` that begins with `subject` unless a value is a whole number, from `least` on.
 *
 * @example
 * ```ts
 * requireCount("Cannot draw: count", 16); // -1: Cannot draw: count is -1, expected a whole number from 0
 * ```
 */
export function requireCount(subject: string, value: number, least = 0): void {
  if (Number.isInteger(value) && value >= least) return;
  throw new RangeError(`${subject} is ${value}, expected a whole number from ${least}`);
}
