import assert from "node:assert/strict";
import { checkReversed, checkSampler } from "../../cli/model_options.ts";

const NONE = { scale: 1 };

Deno.test("checkSampler() refuses settings of the SDE and steps where a sampler does not heed them", () => {
  const noise = ["sample.diffusion.norm=2", "sample.diffusion={norm: 2}", "sample.lastStep = mean"];
  for (const setting of [...noise, "sample.lastStepSize=0.1"]) {
    const key = setting.split("=")[0]!.trim();
    for (const sampler of ["heun", "dopri5"] as const) {
      assert.throws(() => checkSampler(["sample.count=3", setting], { sampler, guidance: NONE }), {
        name: "UsageError",
        message:
          `Cannot take ${key} with ${sampler}: it is about samplers of the SDE, expected one as ` +
          "sample.sampler, such as sde-heun, or the key left out",
      });
    }
    checkSampler([setting], { sampler: "sde-heun", guidance: NONE });
  }
  assert.throws(() => checkSampler(["sample.steps=5"], { sampler: "dopri5", guidance: NONE }), {
    name: "UsageError",
    message: "Cannot take sample.steps with dopri5: its steps follow from the error, expected it " +
      "left out",
  });
  for (const sampler of ["euler", "euler-maruyama"] as const) {
    checkSampler(["sample.steps=5"], { sampler, guidance: NONE });
  }
});

Deno.test("checkSampler() refuses to say where guidance acts that there is not", () => {
  for (
    const setting of ["sample.guidance.interval=[0.2, 0.8]", "sample.guidance.channels = first3"]
  ) {
    const key = setting.split("=")[0]!.trim();
    assert.throws(() => checkSampler([setting], { sampler: "heun", guidance: NONE }), {
      name: "UsageError",
      message:
        `Cannot take ${key}: nothing is guided at sample.guidance.scale 1, expected another scale, or ` +
        "the key left out",
    });
    checkSampler(["sample.guidance.scale=2", setting], { sampler: "heun", guidance: { scale: 2 } });
  }
});

Deno.test("checkReversed() refuses to turn weights of a network that predicts no velocity", () => {
  for (const prediction of ["noise", "score"] as const) {
    checkReversed(false, prediction);
    assert.throws(() => checkReversed(true, prediction), {
      name: "UsageError",
      message: new RegExp(
        `^Cannot take --reversed with interpolant.prediction ${prediction}: .*, expected velocity$`,
      ),
    });
  }
  checkReversed(true, "velocity");
});
