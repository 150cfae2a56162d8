import assert from "node:assert/strict";
import { expectedOneOf, nearestName, requireOneOf } from "../../../kernels/core/nearest_name.ts";

Deno.test("nearestName() finds swaps, slips, other spellings and initials", () => {
  const names = ["steps", "seed", "learningRate", "batchSize"];
  assert.equal(nearestName("stpes", names), "steps");
  assert.equal(nearestName("step", names), "steps");
  assert.equal(nearestName("sed", names), "seed");
  assert.equal(nearestName("learning_rate", names), "learningRate");
  assert.equal(nearestName("LEARNING-RATE", names), "learningRate");
  assert.equal(nearestName("lr", names), "learningRate");
  // Two of seven letters and three of six: a third may be wrong.
  assert.equal(nearestName("btchsze", names), "batchSize");
  assert.equal(nearestName("btchze", names), undefined);
});

Deno.test("nearestName() takes the nearest of several and gives up on strangers", () => {
  assert.equal(nearestName("depht", ["width", "deaths", "depth"]), "depth");
  assert.equal(nearestName("depth", ["dpeth", "depth"]), "depth");
  assert.equal(nearestName("depth", ["width", "heads"]), undefined);
  assert.equal(nearestName("", ["steps"]), undefined);
  assert.equal(nearestName("steps", []), undefined);
});

Deno.test("nearestName() looks no further into a name than tells that another is nearer", () => {
  // Of a thousand letters each, and all of them other ones.
  const name = "a".repeat(1000), others = Array<string>(2000).fill("b".repeat(1000));
  const { charCodeAt } = String.prototype;
  let looks = 0;
  String.prototype.charCodeAt = function (place) {
    // A million pairs for the first name in full, and two thousand times as many for all of them.
    assert.ok(++looks < 1e7, "looks at too many letters");
    return charCodeAt.call(this, place);
  };
  try {
    assert.equal(nearestName(name, [`${name}s`, ...others]), `${name}s`);
  } finally {
    Object.assign(String.prototype, { charCodeAt });
  }
  assert.ok(looks > 0);
  // Some letters in between others, at either end, and swapped.
  assert.equal(
    nearestName("depth of blocks", ["blocks", "pethd fo blcosk", "dpth of blokcs"]),
    "dpth of blokcs",
  );
});

Deno.test("expectedOneOf() asks before it lists", () => {
  assert.equal(expectedOneOf(["a", "b"], undefined), ", expected one of a, b");
  assert.equal(expectedOneOf(["a", "b"], "b"), ", did you mean b? Expected one of a, b");
});

Deno.test("requireOneOf() takes what is listed, as it is written, and nothing else", () => {
  for (const name of ["f32", "f16"]) requireOneOf("precision", name, ["f32", "f16"]);
  const refused = (name: unknown, message: string) =>
    assert.throws(() => requireOneOf("precision", name as string, ["f32", "f16"]), {
      name: "RangeError",
      message,
    });
  refused("F16", "precision is F16, did you mean f16? Expected one of f32, f16");
  refused("double", "precision is double, expected one of f32, f16");
  refused(undefined, "precision is undefined, expected one of f32, f16");
  refused(16, "precision is 16, did you mean f16? Expected one of f32, f16");
});
