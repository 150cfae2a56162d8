/**
 * The samplers by the names that configurations and commands know.
 *
 * @module
 */

import { sampleDopri5 } from "./dopri5.ts";
import { type OdeSampler, sampleEuler, sampleHeun, sampleMidpoint, sampleRk4 } from "./ode.ts";
import { sampleEulerMaruyama, sampleSdeHeun, type SdeSampler } from "./sde.ts";

/** Name of a sampler. */
export type SamplerName =
  | "euler"
  | "heun"
  | "midpoint"
  | "rk4"
  | "dopri5"
  | "euler-maruyama"
  | "sde-heun";

/** A sampler: of the ODE or the SDE in fixed steps, or of the ODE in steps that follow from the error. */
export type NamedSampler =
  | { readonly kind: "ode"; readonly sample: OdeSampler }
  | { readonly kind: "sde"; readonly sample: SdeSampler }
  | { readonly kind: "adaptive"; readonly sample: typeof sampleDopri5 };

/** Every sampler by its name. */
export const SAMPLERS: Readonly<Record<SamplerName, NamedSampler>> = {
  euler: { kind: "ode", sample: sampleEuler },
  heun: { kind: "ode", sample: sampleHeun },
  midpoint: { kind: "ode", sample: sampleMidpoint },
  rk4: { kind: "ode", sample: sampleRk4 },
  dopri5: { kind: "adaptive", sample: sampleDopri5 },
  "euler-maruyama": { kind: "sde", sample: sampleEulerMaruyama },
  "sde-heun": { kind: "sde", sample: sampleSdeHeun },
};

/** The names of all samplers, in the order in which people are told of them. */
export const SAMPLER_NAMES = Object.keys(SAMPLERS) as readonly SamplerName[];
