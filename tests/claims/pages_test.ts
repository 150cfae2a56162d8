/** The pages in `claims` are those of the numbers beside them, in the words of the code. */

import assert from "node:assert/strict";
import type { Picture } from "../../claims/claim.ts";
import { claimPage, fileNameOf, type NamedResult, overviewPage } from "../../claims/pages.ts";
import { CLAIMS } from "../../claims/run.ts";
import { SCALES } from "../../claims/scales.ts";

const FOLDER = new URL("../../claims/", import.meta.url);

function read(path: string): string {
  return Deno.readTextFileSync(new URL(path, FOLDER));
}

/** The results of a scale, by their letters. */
function resultsOf(scale: string): NamedResult[] {
  return Object.values(CLAIMS).map((claim) => {
    const name = fileNameOf(claim);
    return { name, result: JSON.parse(read(`results/${scale}/${name}.json`)) };
  });
}

Deno.test("claims/README.md is the page of the results", () => {
  assert.equal(read("README.md"), overviewPage([{ folder: "tiny", results: resultsOf("tiny") }]));
});

Deno.test("results are of the claims and scales as the code has them", () => {
  for (const { result } of resultsOf("tiny")) {
    const { title, statement, source } = CLAIMS[result.letter];
    assert.deepEqual(
      [result.title, result.statement, result.source],
      [title, statement, source],
    );
    assert.deepEqual(result.scale, SCALES.tiny);
  }
});

Deno.test("the page of each claim is that of its result", () => {
  for (const { name, result } of resultsOf("tiny")) {
    const page = read(`results/tiny/${name}.md`);
    // What the numbers do not hold: names and captions of pictures.
    const pictures = [...page.matchAll(/^!\[.+: (\w+)\]\(.+\.png\)\n\n(.+)$/gm)]
      .map(([, picture, caption]): Picture => (
        { name: picture!, caption: caption!, columns: 1, images: new Float32Array() }
      ));
    const findings = { ...result, panels: [], pictures };
    assert.equal(page, claimPage(CLAIMS[result.letter], result, findings), name);
  }
});
