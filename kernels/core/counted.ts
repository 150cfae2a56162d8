/**
 * Numbers of things in texts for people.
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
