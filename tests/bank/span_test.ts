import assert from "node:assert/strict";
import { spanOf } from "../../bank/span.ts";
import { assertClose, randomValues } from "../_check_op.ts";

/** Products of the rows of a matrix with each other. */
function gram(rows: ArrayLike<number>, width: number): number[] {
  const count = rows.length / width, out: number[] = [];
  for (let a = 0; a < count; a++) {
    for (let b = 0; b < count; b++) {
      let sum = 0;
      for (let i = 0; i < width; i++) sum += rows[a * width + i]! * rows[b * width + i]!;
      out.push(sum);
    }
  }
  return out;
}

/** The columns of a basis [d, r] and the mean [d] as rows. */
function columnsOf(factors: { basis: Float32Array; mean: Float32Array }): number[] {
  const { basis, mean } = factors, rank = basis.length / mean.length;
  const columns = Array.from({ length: rank }, (_, k) => basis.filter((_, i) => i % rank === k));
  return [...columns.flatMap((column) => [...column]), ...mean];
}

Deno.test("spanOf() keeps all products of basis and mean on orthonormal axes", () => {
  for (const [dim, rank, found] of [[13, 6, 7], [6, 5, 6], [4, 9, 4], [9, 1, 2]] as const) {
    const basis = new Float32Array(randomValues([dim, rank], 1));
    const mean = new Float32Array(randomValues([dim], 2));
    const span = spanOf({ basis, mean });
    const width = span.mean.length;
    assert.equal(width, 4 * Math.ceil(found / 4));
    const identity = Array.from(
      { length: width * width },
      (_, i) => Number(i % (width + 1) === 0 && i < found * width),
    );
    assertClose(gram(span.axes, dim), identity, { tolerance: 1e-14, name: "axes" });
    assertClose(gram(columnsOf(span), width), gram(columnsOf({ basis, mean }), dim), {
      tolerance: 1e-6,
      name: `${dim} by ${rank}`,
    });
  }
});

Deno.test("spanOf() has no axes for what lies in the span of the rest", () => {
  // The second column is nearly the first, the third twice it, and the mean is their sum.
  const first = [1, 2, 3, 4, 5, 6, 7, 8], second = first.map((x, i) => x + (i === 2 ? 1e-3 : 0));
  const basis = new Float32Array(first.flatMap((x, i) => [x, second[i]!, 2 * x]));
  const mean = new Float32Array(8).map((_, i) => 2 * basis[3 * i]! + 2 * basis[3 * i + 1]!);
  const { axes } = spanOf({ basis, mean });
  const lengths = gram(axes, 8).filter((_, i) => i % (axes.length / 8 + 1) === 0);
  assertClose(lengths, [1, 1, 0, 0], { tolerance: 1e-14, name: "lengths" });
  const none = spanOf({ basis: new Float32Array(8), mean: new Float32Array(8) });
  assert.deepEqual([...none.axes], new Array<number>(32).fill(0));
});
