import assert from "node:assert/strict";
import { z } from "zod";
import { readWithSchema, requireKnownKey, schemaFields, takesText } from "../../model/schema.ts";

Deno.test("schemaFields() tells bounds, choices, lists and null", () => {
  const schema = z.strictObject({
    open: z.number().gt(0).lt(1),
    closed: z.number().min(-1).max(2.5).nullable(),
    choice: z.enum(["a", "b"]).default("b"),
    pair: z.tuple([z.number(), z.number()]),
    names: z.array(z.string()).min(1),
    inner: z.strictObject({ flag: z.boolean().default(true).describe("A flag") }).prefault({}),
    maybe: z.strictObject({ text: z.string() }).nullable().default(null),
  });
  const fields = schemaFields(schema).map(({ key, type }) => [key, type]);
  assert.deepEqual(fields, [
    ["open", "a number, above 0 and below 1"],
    ["closed", "a number, at least -1 and at most 2.5, or null"],
    ["choice", "one of a, b"],
    ["pair", "a list of 2 values"],
    ["names", "a list of 1 or more values, each text"],
    ["inner.flag", "true or false"],
    ["maybe", "a mapping, or null"],
    ["maybe.text", "text"],
  ]);
});

Deno.test("takesText() is true of any text and null alone", () => {
  const schema = z.strictObject({
    text: z.string(),
    maybe: z.string().nullable(),
    choice: z.enum(["a", "b"]),
    number: z.number(),
    either: z.union([z.string(), z.number()]),
  });
  const keys = ["text", "maybe", "choice", "number", "either", "none"];
  assert.deepEqual(keys.filter((key) => takesText(schema, [key])), ["text", "maybe"]);
});

Deno.test("readWithSchema() says what is wrong with a list or an item of it", () => {
  const schema = z.strictObject({
    names: z.array(z.string()).min(1).default(["a"]),
    pair: z.tuple([z.number(), z.number()]).nullable().default(null),
  });
  const cases: [value: unknown, problem: string][] = [
    [{ names: "b" }, 'names is "b", expected a list of 1 or more values, each text'],
    [{ names: [] }, "names is a list of 0 values, expected a list of 1 or more values, each text"],
    [{ names: ["b", 1] }, "names.1 is 1, expected text"],
    [{ pair: [1, "b"] }, 'pair.1 is "b", expected a number'],
    [{ pair: [1] }, "pair is a list of 1 values, expected a list of 2 values, or null"],
  ];
  for (const [value, problem] of cases) {
    assert.throws(() => readWithSchema(schema, value, { name: "a file" }), {
      name: "SyntaxError",
      message: `Cannot read a file: ${problem}`,
    });
  }
  for (const path of [["names", "0"], ["pair", "0"]]) {
    assert.throws(() => requireKnownKey(schema, path, { name: "a file" }), /unknown key/);
  }
});

Deno.test("readWithSchema() tells the largest whole number where one is larger", () => {
  const schema = z.strictObject({ seed: z.int().min(0).nullable(), most: z.int().max(9) });
  const problem = (value: unknown) => {
    const run = () => readWithSchema(schema, value, { name: "a file" });
    let message = "";
    assert.throws(run, (error: Error) => (message = error.message) !== "");
    return message;
  };
  assert.match(
    problem({ seed: 2 ** 64, most: 1 }),
    /seed is \d+, expected a whole number, at least 0 and at most 9007199254740991, or null$/,
  );
  assert.match(problem({ seed: -1, most: 1 }), /expected a whole number, at least 0, or null$/);
  assert.match(problem({ seed: 1, most: 2 ** 64 }), /expected a whole number, at most 9$/);
});

Deno.test("readWithSchema() keeps messages short whatever it is given", () => {
  const schema = z.strictObject({ steps: z.int() });
  assert.throws(
    () => readWithSchema(schema, { steps: "x".repeat(10_000) }, { name: "a file" }),
    (error: Error) => error instanceof SyntaxError && error.message.length < 200,
  );
  assert.throws(() => readWithSchema(schema, {}, { name: "a file" }), {
    name: "SyntaxError",
    message: "Cannot read a file: steps is missing, expected a whole number",
  });
});
