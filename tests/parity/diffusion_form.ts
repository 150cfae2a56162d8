import { DIFFUSION_FORMS, type DiffusionForm } from "../../model/interpolants/interpolant.ts";

/**
 * The diffusion form that a recording means: the official code writes "SBDM" and
 * "inccreasing-decreasing". Throws `SyntaxError` for an unknown name.
 */
export function diffusionFormOf(name: string): DiffusionForm {
  if (name === "inccreasing-decreasing") return "increasing-decreasing";
  const form = DIFFUSION_FORMS.find((known) => known === name.toLowerCase());
  if (form !== undefined) return form;
  throw new SyntaxError(
    `Cannot read a diffusion form: it is ${name}, expected one of ${DIFFUSION_FORMS.join(", ")}`,
  );
}
