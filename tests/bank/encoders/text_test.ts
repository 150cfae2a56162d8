import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { HashedNgrams } from "../../../bank/encoders/hashed_ngrams.ts";
import { OnnxTextEncoder } from "../../../bank/encoders/onnx_text.ts";
import { openTextEncoder, textEncoderOf } from "../../../bank/encoders/open_text.ts";
import { assertClose } from "../../_check_op.ts";
import { floatBytes, onnxFile } from "../../_onnx.ts";
import { inDirectory } from "../_images.ts";

const FOLDER = new URL("../../fixtures/tiny_text_encoder/", import.meta.url);
const NETWORK = fileURLToPath(new URL("model.onnx", FOLDER));

/** Words of the fixture's vocabulary with their numbers, and the length of their vectors. */
const CLS = 2, SEP = 3, RED = 4, HEART = 5, CAT = 6, S = 7, UNKNOWN = 1, DIM = 5;

function cosine(a: Float32Array, b: Float32Array): number {
  return a.reduce((sum, value, i) => sum + value * b[i]!, 0);
}

async function vectorsOf(...texts: string[]): Promise<Float32Array[]> {
  using encoder = new HashedNgrams();
  const vectors = await encoder.encode(texts);
  return texts.map((_, i) => vectors.subarray(i * encoder.dim, (i + 1) * encoder.dim));
}

Deno.test("HashedNgrams puts FNV-1a of words and runs in place, with their signs", async () => {
  const [vector] = await vectorsOf("a");
  // FNV-1a of "a" is e40c292c, as its authors publish; the only other run of <a> is the whole.
  assert.deepEqual([...vector!.entries()].filter(([, value]) => value !== 0), [[0x12c, -1]]);
  // The hashes are 4d2505ca of "ab", 489c66e4 of "<ab" and 65485f1c of "ab>".
  const [word] = await vectorsOf("Ab");
  assert.deepEqual([...word!.entries()].filter(([, value]) => value !== 0), [
    [0x1ca, Math.fround(1 / Math.sqrt(2))],
    [0x2e4, 0.5],
    [0x31c, 0.5],
  ]);
});

Deno.test("HashedNgrams finds words in any case and place, and their parts", async () => {
  const [first, same, plural, other] = await vectorsOf(
    "Red heart!",
    "  HEART, red",
    "red hearts",
    "wastebasket",
  );
  assertClose(first!, same!, { tolerance: 1e-6, name: "order" });
  assert.ok(cosine(first!, plural!) > 0.6, `${cosine(first!, plural!)}`);
  assert.ok(Math.abs(cosine(first!, other!)) < 0.2, `${cosine(first!, other!)}`);
  assert.ok(Math.abs(cosine(first!, first!) - 1) < 1e-6);
  using encoder = new HashedNgrams();
  const refused = encoder.encode(["cat", " … "]);
  await assert.rejects(refused, /Cannot encode the text " … ": expected a word/);
  // A symbol is a word.
  await encoder.encode(["❤"]);
});

/** What the fixture's network gives for one word of a text. */
function wantedOf(ids: readonly number[], token: number): number[] {
  const at = (id: number, i: number) => Math.fround(Math.sin(id * DIM + i));
  return Array.from({ length: DIM }, (_, i) => {
    const mean = ids.reduce((sum, id) => sum + at(id, i), 0) / ids.length;
    return at(ids[token]!, i) + mean;
  });
}

Deno.test("OnnxTextEncoder runs a network on the tokens of each text", async () => {
  using encoder = await OnnxTextEncoder.open(NETWORK);
  assert.equal(encoder.dim, DIM);
  const vectors = await encoder.encode(["Red heart", "cats", "dog"]);
  const ids = [[CLS, RED, HEART, SEP], [CLS, CAT, S, SEP], [CLS, UNKNOWN, SEP]];
  assertClose(vectors, ids.flatMap((each) => wantedOf(each, 0)), { tolerance: 1e-6, name: "cls" });
  // Six tokens at most: the first ones and the last.
  const long = await encoder.encode(["red red red red red red heart"]);
  const kept = [CLS, RED, RED, RED, RED, SEP];
  assertClose(long, wantedOf(kept, 0), { tolerance: 1e-6, name: "truncated" });

  await assert.rejects(OnnxTextEncoder.open(NETWORK, { pooling: "max" as "mean" }), {
    name: "RangeError",
    message: `Cannot encode texts with ${NETWORK}: pooling is max, expected one of cls, mean`,
  });
  using mean = await OnnxTextEncoder.open(NETWORK, { pooling: "mean" });
  const wanted = Array.from(
    { length: DIM },
    (_, i) => ids[0]!.reduce((sum, _, token) => sum + wantedOf(ids[0]!, token)[i]! / 4, 0),
  );
  const averaged = await mean.encode(["red heart"]);
  assertClose(averaged, wanted, { tolerance: 1e-6, name: "mean" });
  using pooled = await OnnxTextEncoder.open(NETWORK, { output: "pooled" });
  assertClose(await pooled.encode(["red heart"]), wanted.map((value) => value / 2), {
    tolerance: 1e-6,
    name: "pooled",
  });
});

Deno.test("textEncoderOf() opens what a description says", async () => {
  using made = await openTextEncoder({ onnx: NETWORK, pooling: "mean" });
  using again = await textEncoderOf(made.description);
  assert.deepEqual(again.description, made.description);
  const settings = { ...made.description.settings, output: "none" };
  await assert.rejects(
    textEncoderOf({ ...made.description, settings }),
    /output is none, expected one of/,
  );
  const moved = { ...made.description, source: `${NETWORK}.moved` };
  await assert.rejects(textEncoderOf(moved), {
    name: "NotFound",
    message:
      `Cannot encode texts: the encoder was read from ${NETWORK}.moved, which is not there, ` +
      "expected the same network by --onnx FILE",
  });
  using found = await textEncoderOf(moved, { onnx: NETWORK });
  assert.deepEqual(found.description, made.description);
  using built = await openTextEncoder();
  using same = await textEncoderOf(built.description);
  assert.deepEqual(same.description, built.description);
  await assert.rejects(
    textEncoderOf({ ...built.description, kind: "pixel_pca" }),
    /the encoder is pixel_pca, expected hashed_ngrams or onnx_text/,
  );
  await assert.rejects(textEncoderOf(built.description, { onnx: NETWORK }), {
    name: "TypeError",
    message:
      `Cannot encode texts with ${NETWORK}: the encoder is hashed_ngrams, expected no network`,
  });
});

Deno.test("OnnxTextEncoder takes a text of one token and none without", async () => {
  await inDirectory(async (directory) => {
    const path = `${directory}/model.onnx`;
    Deno.copyFileSync(NETWORK, path);
    // Nothing is put around the tokens of a text.
    const words = JSON.parse(Deno.readTextFileSync(new URL("tokenizer.json", FOLDER)));
    Deno.writeTextFileSync(
      `${directory}/tokenizer.json`,
      JSON.stringify({ ...words, post_processor: null }),
    );
    using encoder = await OnnxTextEncoder.open(path);
    assertClose(await encoder.encode(["cat"]), wantedOf([CAT], 0), {
      tolerance: 1e-6,
      name: "one",
    });
    await assert.rejects(encoder.encode(["cat", " "]), {
      name: "RangeError",
      message: 'Cannot encode the text " ": expected a word in it',
    });
  });
});

Deno.test("OnnxTextEncoder keeps to the length in tokenizer_config.json where the tokenizer has none", async () => {
  await inDirectory(async (directory) => {
    const path = `${directory}/model.onnx`;
    Deno.copyFileSync(NETWORK, path);
    const words = JSON.parse(Deno.readTextFileSync(new URL("tokenizer.json", FOLDER)));
    const write = (truncation: unknown) =>
      Deno.writeTextFileSync(
        `${directory}/tokenizer.json`,
        JSON.stringify({ ...words, truncation }),
      );
    const configure = (text: string) =>
      Deno.writeTextFileSync(`${directory}/tokenizer_config.json`, text);
    const long = "red red red heart";
    write(null);
    using free = await OnnxTextEncoder.open(path);
    const whole = wantedOf([CLS, RED, RED, RED, HEART, SEP], 0);
    assertClose(await free.encode([long]), whole, { tolerance: 1e-6, name: "no limit" });

    configure('{ "model_max_length": 4 }');
    using limited = await OnnxTextEncoder.open(path);
    const kept = wantedOf([CLS, RED, RED, SEP], 0);
    assertClose(await limited.encode([long]), kept, { tolerance: 1e-6, name: "4 tokens" });
    assert.notDeepEqual(limited.description.preprocessing, free.description.preprocessing);

    // How tokenizers write that there is none.
    configure('{ "model_max_length": 1000000000000000019884624838656 }');
    using unlimited = await OnnxTextEncoder.open(path);
    assert.deepEqual(unlimited.description, free.description);

    configure('{ "model_max_length": 4 }');
    write(words.truncation);
    using own = await OnnxTextEncoder.open(path);
    assertClose(await own.encode([long]), whole, { tolerance: 1e-6, name: "the tokenizer's 6" });
    assert.deepEqual(Object.keys(own.description.preprocessing), ["tokenizer"]);

    configure("{");
    await assert.rejects(OnnxTextEncoder.open(path), {
      name: "TypeError",
      message: /^Cannot encode texts with .*tokenizer_config\.json: .*, expected the tokenizer of/,
    });
  });
});

Deno.test("OnnxTextEncoder gives tokens of int32 to a network that takes them", async () => {
  await inDirectory(async (directory) => {
    const path = `${directory}/model.onnx`, values = Array.from({ length: 18 }, (_, i) => i);
    Deno.copyFileSync(new URL("tokenizer.json", FOLDER), `${directory}/tokenizer.json`);
    const network = onnxFile({
      nodes: [{ op: "Gather", inputs: ["table", "input_ids"], outputs: ["tokens"] }],
      inputs: [{ name: "input_ids", type: "int32", shape: ["n", "t"] }],
      outputs: [{ name: "tokens", shape: ["n", "t", 2] }],
      weights: [{ name: "table", shape: [9, 2], bytes: floatBytes(values) }],
    });
    Deno.writeFileSync(path, network);
    using encoder = await OnnxTextEncoder.open(path, { pooling: "mean" });
    const sum = CLS + RED + SEP;
    assertClose(await encoder.encode(["red"]), [2 * sum / 3, 2 * sum / 3 + 1], {
      tolerance: 1e-6,
      name: "mean",
    });
  });
});

Deno.test("OnnxTextEncoder.open() says what does not fit", async () => {
  await inDirectory(async (directory) => {
    const at = (name: string) => `${directory}/${name}`;
    Deno.copyFileSync(NETWORK, at("model.onnx"));
    await assert.rejects(OnnxTextEncoder.open(at("model.onnx")), (error: Error) => {
      assert.ok(error instanceof Deno.errors.NotFound);
      assert.match(error.message, /there is no file .*tokenizer.json, expected an ONNX file and/);
      return true;
    });
    Deno.writeTextFileSync(at("tokenizer.json"), "{}");
    await assert.rejects(
      OnnxTextEncoder.open(at("model.onnx")),
      /Cannot encode texts with .*tokenizer.json: .*, expected the tokenizer of Hugging Face/,
    );
    const words = JSON.parse(Deno.readTextFileSync(new URL("tokenizer.json", FOLDER)));
    for (
      const wrong of [
        { truncation: { max_length: "6" } },
        { truncation: { max_length: 0 } },
        { post_processor: { ...words.post_processor, single: [null] } },
      ]
    ) {
      Deno.writeTextFileSync(at("tokenizer.json"), JSON.stringify({ ...words, ...wrong }));
      await assert.rejects(OnnxTextEncoder.open(at("model.onnx")), {
        name: "TypeError",
        message:
          /^Cannot encode texts with .*tokenizer.json: .*, expected the tokenizer of Hugging/,
      });
    }
    for (
      const [red, message] of [
        ["4", /tokenizer.json: the tokens of "red" are \[2,"4",3\], expected the tokenizer of/],
        [9999, /^Cannot encode texts with .*model.onnx: /],
      ] as const
    ) {
      const { model } = words, vocab = { ...model.vocab, red };
      Deno.writeTextFileSync(
        at("tokenizer.json"),
        JSON.stringify({ ...words, model: { ...model, vocab } }),
      );
      using encoder = await OnnxTextEncoder.open(at("model.onnx"));
      await assert.rejects(encoder.encode(["red"]), { name: "TypeError", message });
    }
    Deno.removeSync(at("tokenizer.json"));
    Deno.mkdirSync(at("tokenizer.json"));
    await assert.rejects(
      OnnxTextEncoder.open(at("model.onnx")),
      /Cannot encode texts with .*tokenizer.json: .*, expected the tokenizer of Hugging Face/,
    );
    Deno.removeSync(at("tokenizer.json"));
    Deno.copyFileSync(new URL("tokenizer.json", FOLDER), at("tokenizer.json"));
    await assert.rejects(
      OnnxTextEncoder.open(at("model.onnx"), { output: "logits" }),
      /output is logits, expected one of last_hidden_state, pooled/,
    );
    Deno.copyFileSync(new URL("../tiny_encoder.onnx", FOLDER), at("images.onnx"));
    await assert.rejects(
      OnnxTextEncoder.open(at("images.onnx")),
      /its inputs are pixel_values, expected input_ids and none but/,
    );
  });
});
