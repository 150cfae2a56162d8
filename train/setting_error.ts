/**
 * The error of a configuration that someone has to change before a command can do anything.
 *
 * @module
 */

/**
 * A configuration that could be read but for the settings above it, such as those of `--set`, by which programs
 * know what the command line says wrong from what a file does; or one that the data do not fit, whoever is wrong.
 */
export class SettingError extends SyntaxError {
  /** Name of the class, by which other modules may know it. */
  override readonly name = "SettingError";
}
