import assert from "node:assert/strict";
import { joinRows, selectRows, spreadIndices, swapAxes } from "../../bank/select_rows.ts";

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

Deno.test("swapAxes() turns rows of each matrix into columns, whole blocks at a time", () => {
  const images = Float32Array.of(0, 1, 10, 11, 20, 21, 30, 31, 40, 41, 50, 51);
  assert.deepEqual(
    [...swapAxes(images, { rows: 2, columns: 3, length: 2 })],
    [0, 1, 30, 31, 10, 11, 40, 41, 20, 21, 50, 51],
  );
  const pixels = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12); // two of [3, 2]
  const turned = swapAxes(pixels, { rows: 3, columns: 2 });
  assert.deepEqual(turned, Uint8Array.of(1, 3, 5, 2, 4, 6, 7, 9, 11, 8, 10, 12));
  assert.deepEqual(swapAxes(turned, { rows: 2, columns: 3 }), pixels);
});
