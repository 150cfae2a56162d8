/**
 * Numbers of things, and lists of names: in texts for people, and from callers.
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

/** Names that {@linkcode listed} gives, at most. */
const MOST_LISTED = 10;

/**
 * Names in a text: the first ten, and how many more there are.
 *
 * @example
 * ```ts
 * console.log(listed(["cat", "dog"])); // cat, dog
 * ```
 */
export function listed(names: readonly string[]): string {
  const shown = names.slice(0, MOST_LISTED).join(", "), more = names.length - MOST_LISTED;
  return more > 0 ? `${shown} and ${more} more` : shown;
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
