import assert from "node:assert/strict";
import { RecordStore } from "../../bank/records.ts";

Deno.test("RecordStore.add() copies no label and no frequency of those before, but now and then", () => {
  const size = 1000, classes = ["cat", "dog"];
  const given = { labels: new Int32Array(size), frequencies: new Float32Array(size).fill(2) };
  const store = new RecordStore({ classes, ...given }, { size, dim: 1 });
  const memories = new Set<ArrayBufferLike>();
  for (let i = 0; i < 500; i++) {
    store.add(size + i, { label: i % 2 });
    for (const values of [store.labels!, store.frequencies!]) memories.add(values.buffer);
  }
  assert.ok(memories.size < 10, `${memories.size} times`);
  const before = store.labels!;
  store.add(1500, {});
  assert.deepEqual([before.length, store.labels!.length, store.frequencies!.length], [
    1500,
    1501,
    1501,
  ]);
  assert.deepEqual(store.labels!.slice(998), Int32Array.from([0, 0, ...before.slice(1000), -1]));
  assert.deepEqual([...store.labels!.slice(1498)], [0, 1, -1]);
  assert.deepEqual([...store.frequencies!.slice(998, 1002)], [2, 2, 1, 1]);
  assert.deepEqual([given.labels.length, given.frequencies.length], [size, size]);
});
