/**
 * The error of settings that were given above a configuration, by which programs know what the command line
 * says wrong from what a file does.
 *
 * @module
 */

/** A configuration that could be read but for the settings above it, such as those of `--set`. */
export class SettingError extends SyntaxError {
  /** Name of the class, by which other modules may know it. */
  override readonly name = "SettingError";
}
