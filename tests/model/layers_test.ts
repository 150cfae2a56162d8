import assert from "node:assert/strict";
import { ParameterStore } from "../../kernels/core/parameter_store.ts";
import { Attention } from "../../model/attention.ts";
import { SiluMlp } from "../../model/silu_mlp.ts";

Deno.test("Attention refuses heads that do not divide its width", () => {
  const store = new ParameterStore(undefined);
  for (const heads of [3, 0, 0.3]) {
    assert.throws(() => new Attention(store.at("attn"), { width: 32, heads }), {
      name: "RangeError",
      message: `Cannot make the attention: width 32 is no multiple of ${heads} heads`,
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
