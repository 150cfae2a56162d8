import assert from "node:assert/strict";
import { decodeTexts, encodeTexts } from "../../../kernels/core/json.ts";

const TEXTS = ["", ",", '","', "a\\", '\\"', '"', "\\\\", "[", "]", "é€😀", "\ud800", "a, b", "\n"];

Deno.test("decodeTexts() gives what encodeTexts() wrote, wherever it cuts", () => {
  const bytes = encodeTexts(TEXTS);
  assert.equal(new TextDecoder().decode(bytes), JSON.stringify(TEXTS));
  const spaced = new TextEncoder().encode(` ${JSON.stringify(TEXTS, null, 2)}\n`);
  for (let atOnce = 1; atOnce <= spaced.length; atOnce++) {
    assert.deepEqual(decodeTexts(bytes, atOnce), TEXTS, `${atOnce}`);
    assert.deepEqual(decodeTexts(spaced, atOnce), TEXTS, `${atOnce}, spaced`);
  }
  const many = Array.from({ length: 10_000 }, (_, i) => TEXTS[i % TEXTS.length]! + i);
  assert.deepEqual(decodeTexts(encodeTexts(many)), many);
  assert.deepEqual(decodeTexts(encodeTexts(many), 1000), many);
  assert.deepEqual(decodeTexts(encodeTexts([])), []);
});

Deno.test("decodeTexts() gives nothing for what is no list of texts in UTF-8", () => {
  for (
    const text of [
      "",
      "[",
      '["a"',
      '["a","b]',
      '["a",1]',
      '["a",["b","c"]]',
      '["a"],"b"]',
      '{"a":"b"}',
    ]
  ) {
    const bytes = new TextEncoder().encode(text);
    for (const atOnce of [1, 4, 100]) assert.equal(decodeTexts(bytes, atOnce), undefined, text);
  }
  const torn = Uint8Array.from(
    [...encodeTexts(["a", "b"])].map((byte) => byte === 0x62 ? 255 : byte),
  );
  for (const atOnce of [1, 100]) assert.throws(() => decodeTexts(torn, atOnce), TypeError);
});
