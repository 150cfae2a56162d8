import assert from "node:assert/strict";
import { writeBank } from "../../bank/bank_writer.ts";
import { BankFile } from "../../bank/file.ts";
import { mapSnippets } from "../../bank/snippet_map.ts";
import { assertClose } from "../_check_op.ts";
import { inDirectory } from "./_images.ts";

Deno.test("mapSnippets() keeps the distances of evenly spread snippets of a plane", async () => {
  // More than 4000, so that every second one is shown; on a third of a circle, wider than it is high.
  const size = 4001;
  const snippets = Float32Array.from({ length: 2 * size }, (_, i) => {
    const angle = 2 * (i >> 1) / size;
    return i % 2 === 0 ? Math.cos(angle) : Math.sin(angle);
  });
  await inDirectory(async (directory) => {
    const path = `${directory}/bank.safetensors`;
    const labels = Array.from({ length: size }, (_, i) => i % 3 - 1);
    writeBank(path, { dim: 2, snippets, labels, classes: ["cat", "dog"] });
    using file = BankFile.open(path);
    const points = await mapSnippets(file);
    assert.equal(points.length, 2001);
    for (const [i, { className }] of points.slice(0, 6).entries()) {
      assert.equal(className, ["", "dog", "cat"][i % 3], `point ${i}`);
    }
    const lengths = (of: (i: number) => [number, number]) =>
      Array.from({ length: 2000 }, (_, i) => {
        const [x, y] = of(i), [u, v] = of(2000);
        return Math.hypot(x - u, y - v);
      });
    // A plane has no other directions; its coordinates are f32.
    assertClose(
      lengths((i) => [points[i]!.x, points[i]!.y]),
      lengths((i) => [snippets[4 * i]!, snippets[4 * i + 1]!]),
      { tolerance: 1e-6, name: "distances" },
    );
    const spread = (values: number[]) => Math.max(...values) - Math.min(...values);
    assert.ok(spread(points.map(({ x }) => x)) > 2 * spread(points.map(({ y }) => y)));
  });
});
