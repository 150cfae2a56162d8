import assert from "node:assert/strict";
import { InceptionScore, softmaxRows } from "../../evaluate/inception_score.ts";
import { testNumbers } from "../_check_op.ts";
import { rowsOf, scoreReference } from "./_reference.ts";

const CLASSES = 7;

Deno.test("InceptionScore matches the definition split by split, the last one short", () => {
  const next = testNumbers(1);
  const logits = Float32Array.from({ length: 53 * CLASSES }, () => 4 * next());
  const probabilities = softmaxRows(logits, CLASSES);
  const rows = rowsOf(probabilities, CLASSES), want = scoreReference(rows, 20);
  const scores = [0, 20, 40].map((first) => scoreReference(rows.slice(first, first + 20), 20));
  const variance = scores.reduce((sum, score) => sum + (score - want) ** 2 / 3, 0);
  const score = new InceptionScore(CLASSES, { split: 20 });
  for (let first = 0; first < 53; first += 9) {
    score.add(probabilities.subarray(first * CLASSES, (first + 9) * CLASSES));
  }
  const { mean, deviation, splits } = score.result();
  assert.ok(Math.abs(mean - want) < 1e-12 * want, `${mean} against ${want}`);
  assert.equal(splits, 3);
  assert.ok(Math.abs(deviation - Math.sqrt(variance)) < 1e-12 * want, `${deviation}`);
});

Deno.test("InceptionScore is 1 for equal rows and the number of classes for sure ones", () => {
  const equal = new InceptionScore(4).add(Float32Array.of(0.1, 0.2, 0.3, 0.4, 0.1, 0.2, 0.3, 0.4));
  assert.ok(Math.abs(equal.result().mean - 1) < 1e-7);
  const sure = new InceptionScore(3).add(Float32Array.of(1, 0, 0, 0, 1, 0, 0, 0, 1));
  assert.ok(Math.abs(sure.result().mean - 3) < 1e-12);
  // A class that no sample has counts for nothing.
  const two = new InceptionScore(3).add(Float32Array.of(1, 0, 0, 0, 1, 0));
  assert.ok(Math.abs(two.result().mean - 2) < 1e-12);
});

Deno.test("softmaxRows() takes large logits, and InceptionScore refuses what is no probability", () => {
  assert.deepEqual([...softmaxRows(Float32Array.of(1000, 1000, -1000, 0), 2)], [0.5, 0.5, 0, 1]);
  assert.throws(() => new InceptionScore(2).add(Float32Array.of(0.5, -0.5)), RangeError);
  assert.throws(() => new InceptionScore(2).add(Float32Array.of(NaN, 1)), RangeError);
  assert.throws(() => new InceptionScore(2).add(Float32Array.of(1)), TypeError);
  assert.throws(() => new InceptionScore(2).result(), /0 samples/);
  for (const split of [0, -1, 2.5]) {
    assert.throws(() => new InceptionScore(2, { split }), {
      name: "RangeError",
      message: `Cannot score: split is ${split}, expected a whole number from 1`,
    });
  }
  for (const classes of [0, -1, 2.5]) {
    const wrong = `classes is ${classes}, expected a whole number from 1`;
    const logits = new Float32Array(5);
    assert.throws(() => new InceptionScore(classes), { message: `Cannot score: ${wrong}` });
    assert.throws(() => softmaxRows(logits, classes), {
      name: "RangeError",
      message: `Cannot take a softmax: ${wrong}`,
    });
  }
  assert.throws(() => softmaxRows(new Float32Array(5), 2), {
    name: "TypeError",
    message: "Cannot take a softmax of 5 logits: expected rows of 2",
  });
});
