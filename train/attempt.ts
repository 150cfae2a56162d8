/**
 * Work beside training that may fail without ending it.
 *
 * @module
 */

import { isOfDevice, messageOf } from "../kernels/core/errors.ts";

/**
 * Does what training can go on without: where it fails, a line says why, and there is no result. Without
 * its device, or memory there, training cannot go on either.
 */
export async function attempt<T>(
  what: string,
  { tell }: { tell: (line: string) => void },
  work: () => T | Promise<T>,
): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    if (isOfDevice(error)) throw error;
    tell(`skipped ${what}: ${messageOf(error)}`);
    return undefined;
  }
}
