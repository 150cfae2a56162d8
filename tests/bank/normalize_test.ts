import assert from "node:assert/strict";
import {
  cosines,
  findSnippetProblem,
  normalizeSnippets,
  snippetNorms,
} from "../../bank/normalize.ts";

Deno.test("normalizeSnippets() divides each row by its norm and leaves its argument", () => {
  const values = Float32Array.of(3, 4, 0, 2);
  const snippets = normalizeSnippets(values, { dim: 2 });
  assert.deepEqual([...snippets], [Math.fround(0.6), Math.fround(0.8), 0, 1]);
  assert.deepEqual([...values], [3, 4, 0, 2]);
});

Deno.test("normalizeSnippets() keeps norms at 1 for values at both ends of float32", () => {
  const values = Float32Array.of(3e38, 3e38, 3e38, 1e-44, 0, 0, 1e-30, 1e30, 1);
  for (const norm of snippetNorms(normalizeSnippets(values, { dim: 3 }), 3)) {
    // Each element is rounded once, by at most 2^-24 of itself.
    assert.ok(Math.abs(norm - 1) <= 2 ** -24, `norm ${norm}`);
  }
});

Deno.test("normalizeSnippets() names the row that has no direction", () => {
  for (const [row, norm] of [[[0, 0], 0], [[NaN, 1], NaN], [[Infinity, 1], Infinity]] as const) {
    assert.throws(() => normalizeSnippets(Float32Array.of(1, 0, ...row), { dim: 2 }), {
      name: "RangeError",
      message: `Cannot normalise snippet 1: its norm is ${norm}, expected a positive number`,
    });
  }
  assert.throws(
    () => normalizeSnippets(Float32Array.of(0, 0), { dim: 2, firstIndex: 300 }),
    /snippet 300/,
  );
});

Deno.test("normalizeSnippets() throws on values that are not whole rows", () => {
  assert.throws(() => normalizeSnippets(new Float32Array(5), { dim: 2 }), {
    name: "TypeError",
    message: "Cannot read snippets from 5 values: expected a multiple of the length 2",
  });
});

Deno.test("findSnippetProblem() finds norms beyond the tolerance and values that are no numbers", () => {
  assert.equal(findSnippetProblem(Float32Array.of(0.6, 0.8, 1.0009, 0), { dim: 2 }), undefined);
  for (const row of [[1.0011, 0], [0.9989, 0], [NaN, 0], [0, 0], [Infinity, 0]]) {
    const problem = findSnippetProblem(Float32Array.of(1, 0, ...row), { dim: 2, firstIndex: 7 });
    assert.match(problem ?? "none", /^snippet 8 has norm .*, expected 1 within 0.001$/);
  }
});

Deno.test("cosines() pairs rows at an offset around the end", () => {
  const x = Float32Array.of(1, 0, 0, 1, 0.6, 0.8), y = x;
  assert.deepEqual(Array.from(cosines(x, y, { dim: 2 }), (c) => Number(c.toFixed(6))), [1, 1, 1]);
  const next = cosines(x, y, { dim: 2, offset: 1 });
  assert.deepEqual(Array.from(next, (c) => Number(c.toFixed(6))), [0, 0.8, 0.6]);
});
