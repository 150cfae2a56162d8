import assert from "node:assert/strict";
import { joinRows, selectRows, spreadIndices } from "../../bank/select_rows.ts";

Deno.test("spreadIndices() takes the middles of equal parts", () => {
  assert.deepEqual([...spreadIndices(3, 12)], [2, 6, 10]);
  assert.deepEqual([...spreadIndices(5, 5)], [0, 1, 2, 3, 4]);
  assert.deepEqual([...spreadIndices(4, 2)], [0, 0, 1, 1]);
  assert.deepEqual([...spreadIndices(0, 9)], []);
});

Deno.test("selectRows() takes rows in the order of their indices, some twice", () => {
  const table = Float32Array.of(0, 1, 10, 11, 20, 21);
  assert.deepEqual(
    selectRows(table, { indices: [2, 0, 2], width: 2 }),
    Float32Array.of(20, 21, 0, 1, 20, 21),
  );
});

Deno.test("joinRows() puts tables of any size behind each other", () => {
  const tables = [Float32Array.of(1, 2), new Float32Array(), Float32Array.of(3)];
  assert.deepEqual(joinRows(tables), Float32Array.of(1, 2, 3));
  assert.deepEqual(joinRows([]), new Float32Array());
});
