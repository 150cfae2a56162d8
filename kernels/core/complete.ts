/**
 * Options once their defaults are filled in.
 *
 * @module
 */

/** `Options` with all that may be left out or undefined. */
export type Complete<Options> = {
  [Key in keyof Options]-?: Exclude<Options[Key], undefined>;
};
