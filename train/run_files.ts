/**
 * What the files and folders in a run's folder are called.
 *
 * @module
 */

/** The bank that a run built of its images. */
export const RUN_BANK = "bank.safetensors";

/** The averaged weights in the folder of a checkpoint, with which samples are drawn. */
export const AVERAGED_WEIGHTS = "ema.safetensors";

/** Names of the folders of checkpoints, with the step in digits. */
export const CHECKPOINT_NAME: RegExp = /^step_(\d{7,})$/;

/** The name of what belongs to a step, such as `step_0001000`. */
export function stepName(step: number): string {
  return `step_${String(step).padStart(7, "0")}`;
}
