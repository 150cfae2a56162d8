import assert from "node:assert/strict";
import { denoisingLossOf } from "../../../train/commands/training.ts";
import { resolveConfig } from "../../../train/config.ts";

Deno.test("denoisingLossOf() names all that is in the loss of a configuration", () => {
  const of = (interpolant: Parameters<typeof resolveConfig>[0] & object) =>
    denoisingLossOf(resolveConfig(interpolant).interpolant);
  assert.equal(of({}), "mean squared error");
  assert.equal(of({ interpolant: { cosineLoss: true } }), "mean squared error + 1 − cosine");
  const noise = { prediction: "noise", weighting: "likelihood" } as const;
  assert.equal(of({ interpolant: noise }), "weighted squared error");
  const both = { ...noise, cosineLoss: true };
  assert.equal(of({ interpolant: both }), "weighted squared error + 1 − cosine");
});
