/**
 * The paths by the names that configurations know.
 *
 * @module
 */

import { gvpInterpolant } from "./gvp.ts";
import type { Interpolant, InterpolantName } from "./interpolant.ts";
import { linearInterpolant } from "./linear.ts";
import { vpInterpolant } from "./vp.ts";

/** Every path by its name. */
export const INTERPOLANTS: Readonly<Record<InterpolantName, Interpolant>> = {
  linear: linearInterpolant,
  gvp: gvpInterpolant,
  vp: vpInterpolant,
};
