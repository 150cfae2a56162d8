/** The pages in `claims` are those of the numbers beside them, in the words of the code. */

import assert from "node:assert/strict";
import type { Picture } from "../../claims/claim.ts";
import {
  claimPage,
  fileNameOf,
  folderOf,
  type NamedResult,
  overviewPage,
  resultLines,
} from "../../claims/pages.ts";
import { CLAIMS } from "../../claims/run.ts";
import { SCALES } from "../../claims/scales.ts";

const FOLDER = new URL("../../claims/", import.meta.url);

function read(path: string): string {
  return Deno.readTextFileSync(new URL(path, FOLDER));
}

/** The folders of results, smallest scale first. */
const TESTED = ["tiny", "small", "small_efficientnet_lite0"];

/** The results in a folder, by their letters. */
function resultsOf(folder: string): NamedResult[] {
  return Object.values(CLAIMS).map(fileNameOf)
    .map((name) => ({ name, result: JSON.parse(read(`results/${folder}/${name}.json`)) }));
}

Deno.test("claims/README.md is the page of the results", () => {
  const scales = TESTED.map((folder) => ({ folder, results: resultsOf(folder) }));
  assert.equal(read("README.md"), overviewPage(scales));
});

Deno.test("results are of the claims and scales as the code has them", () => {
  for (const folder of TESTED) {
    for (const { result } of resultsOf(folder)) {
      const { title, statement, source } = CLAIMS[result.letter];
      assert.deepEqual(
        [result.title, result.statement, result.source],
        [title, statement, source],
      );
      const { scale, encoder } = result;
      assert.deepEqual(scale, SCALES[scale.name as keyof typeof SCALES]);
      assert.equal(folderOf(scale, encoder?.bank), folder);
    }
  }
});

Deno.test("the page of each claim is that of its result", () => {
  for (const { name, result } of TESTED.flatMap(resultsOf)) {
    const page = read(`results/${folderOf(result.scale, result.encoder?.bank)}/${name}.md`);
    // What the numbers do not hold: names and captions of pictures.
    const pictures = [...page.matchAll(/^!\[.+: (\w+)\]\(.+\.png\)\n\n(.+)$/gm)]
      .map(([, picture, caption]): Picture => (
        { name: picture!, caption: caption!, columns: 1, images: new Float32Array() }
      ));
    const findings = { ...result, panels: [], pictures };
    assert.equal(page, claimPage(CLAIMS[result.letter], result, findings), name);
  }
});

Deno.test("resultLines() tell the verdict and every row of the tables, in line", () => {
  for (const { result } of resultsOf("tiny")) {
    const { letter, title, verdict, tables } = result;
    const [first, ...lines] = resultLines(result);
    assert(first!.startsWith(`(${letter}) ${title}: `) && first!.endsWith(verdict.text), first);
    const rows = lines.filter((line) => line.startsWith("|"));
    // Each table has its head and a rule besides.
    assert.equal(rows.length, tables.reduce((sum, table) => sum + table.rows.length + 2, 0));
    const widths = tables.map((table) => {
      const own = rows.splice(0, table.rows.length + 2);
      return new Set(own.map(({ length }) => length)).size;
    });
    assert.deepEqual(widths, tables.map(() => 1), letter);
  }
});
