/**
 * What no kernel may exceed, whatever the adapter.
 *
 * @module
 */

/** Workgroups along one axis of a dispatch. */
export const MAX_WORKGROUPS = 65_535;

/**
 * Rounds of all loops of one invocation together, nested ones included: the CPU driver of Mesa 22.3 ends
 * them after so many, without an error (that of 25.0 does not). A loop of n rounds takes one more where
 * others follow it, or another round of the loop around it: leaving it counts.
 */
export const MAX_LOOP_ROUNDS = 65_535;

/** Whether a value is a whole number from 0 to `most`. */
export function isWhole(value: number, most: number): boolean {
  return Number.isInteger(value) && value >= 0 && value <= most;
}
