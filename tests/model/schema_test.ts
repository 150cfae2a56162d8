import assert from "node:assert/strict";
import { z } from "zod";
import { readWithSchema, schemaFields } from "../../model/schema.ts";

Deno.test("schemaFields() tells bounds, choices, lists and null", () => {
  const schema = z.strictObject({
    open: z.number().gt(0).lt(1),
    closed: z.number().min(-1).max(2.5).nullable(),
    choice: z.enum(["a", "b"]).default("b"),
    pair: z.tuple([z.number(), z.number()]),
    inner: z.strictObject({ flag: z.boolean().default(true).describe("A flag") }).prefault({}),
    maybe: z.strictObject({ text: z.string() }).nullable().default(null),
  });
  const fields = schemaFields(schema).map(({ key, type }) => [key, type]);
  assert.deepEqual(fields, [
    ["open", "a number, above 0 and below 1"],
    ["closed", "a number, at least -1 and at most 2.5, or null"],
    ["choice", "one of a, b"],
    ["pair", "a list of 2 values"],
    ["inner.flag", "true or false"],
    ["maybe", "a mapping, or null"],
    ["maybe.text", "text"],
  ]);
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
