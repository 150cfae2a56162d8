/**
 * The version of this project, from its one place.
 *
 * @module
 */

import configuration from "../deno.json" with { type: "json" };

/** The version, such as `1.2.3`. */
export const VERSION: string = configuration.version;
