import assert from "node:assert/strict";
import { ParameterStore } from "../../kernels/core/parameter_store.ts";
import { Attention } from "../../model/attention.ts";
import { LabelEmbedder } from "../../model/condition.ts";
import { GeluMlp, SwigluMlp } from "../../model/mlp.ts";
import { SiluMlp } from "../../model/silu_mlp.ts";

Deno.test("Attention refuses heads that do not divide its width", () => {
  const store = new ParameterStore(undefined);
  for (const heads of [3, 0, 0.3, -4]) {
    assert.throws(() => new Attention(store.at("attn"), { width: 32, heads }), {
      name: "RangeError",
      message: `Cannot make the attention: width 32 is no multiple of ${heads} heads`,
    });
  }
});

Deno.test("LabelEmbedder refuses a number of classes that is none", () => {
  const store = new ParameterStore(undefined);
  for (const classes of [-1, 1.5, NaN]) {
    assert.throws(() => new LabelEmbedder(store.at("y_embedder"), { classes, width: 8 }), {
      name: "RangeError",
      message:
        `Cannot make the table of classes: classes is ${classes}, expected a whole number from 0`,
    });
  }
});

Deno.test("SiluMlp takes two widths or more", () => {
  const store = new ParameterStore(undefined);
  for (const widths of [[], [8]]) {
    assert.throws(() => new SiluMlp(store.at("mlp"), widths), {
      name: "RangeError",
      message: `Cannot make layers between widths [${widths}]: expected two or more`,
    });
  }
});

Deno.test("GeluMlp and SwigluMlp refuse a ratio that leaves no hidden channels", () => {
  // SwiGLU takes two thirds of them.
  for (const [Mlp, least] of [[GeluMlp, 1 / 8], [SwigluMlp, 2 / 8]] as const) {
    const store = new ParameterStore(undefined);
    new Mlp(store.at("least"), { width: 8, ratio: least });
    for (const ratio of [least - 1 / 16, 0, -4, NaN]) {
      assert.throws(() => new Mlp(store.at("mlp"), { width: 8, ratio }), {
        name: "RangeError",
        message:
          `Cannot make the feed-forward layers: ratio ${ratio} leaves no hidden channels of width 8`,
      });
    }
  }
});
