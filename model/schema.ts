/**
 * Reading plain objects (parsed YAML or JSON) against a schema, with error messages that name the
 * key, what was given and what is expected. The schemas themselves stand in the `config.ts` of the
 * folder whose section they describe.
 *
 * @module
 */

import { z } from "zod";
import { expectedOneOf, nearestName } from "../kernels/core/nearest_name.ts";

/**
 * Any of the keys of a configuration or of one of its sections, and of what is in them: what is left out is the
 * default.
 *
 * @example
 * ```ts
 * import { type Config, type DeepPartial, resolveConfig } from "@gmem/gmem";
 *
 * const small: DeepPartial<Config> = { model: { patchSize: 4, width: 192, depth: 4, heads: 3 } };
 * console.log(resolveConfig(small).model.mlpRatio); // 4
 * ```
 */
export type DeepPartial<T> = T extends readonly unknown[] ? T
  : T extends object ? { readonly [Key in keyof T]?: DeepPartial<T[Key]> | undefined }
  : T;

/** One key of a schema, as `--help` lists it. */
export interface SchemaField {
  /** Full name of the key, such as `train.batchSize`. */
  readonly key: string;
  /** What the key takes, such as `a whole number, at least 1`. */
  readonly type: string;
  /** Value that stands where the key is left out; undefined where it follows from other keys. */
  readonly default: unknown;
  /** What the key means. */
  readonly description: string;
}

/** How {@linkcode readWithSchema} names what it reads. */
export interface ReadOptions {
  /** What is read, as the user knows it: a file name, most often. */
  readonly name: string;
  /** Full names of keys that were given as settings above the file. */
  readonly overrides?: ReadonlySet<string> | undefined;
}

/** The part of JSON Schema that the schemas of this project come out as. */
interface SchemaNode {
  readonly type?: string | readonly string[];
  readonly enum?: readonly unknown[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly exclusiveMinimum?: number;
  readonly exclusiveMaximum?: number;
  readonly properties?: Readonly<Record<string, SchemaNode>>;
  readonly additionalProperties?: boolean | SchemaNode;
  readonly propertyNames?: SchemaNode;
  /** What a list of fixed length takes, item by item. */
  readonly prefixItems?: readonly SchemaNode[];
  /** What each item of any other list is. */
  readonly items?: SchemaNode | false;
  readonly minItems?: number;
  readonly anyOf?: readonly SchemaNode[];
  readonly default?: unknown;
  readonly description?: string;
}

/**
 * Reads `value` against `schema`, fills in defaults, and freezes the result all the way down.
 *
 * @throws {SyntaxError} with every problem found: unknown keys (and the nearest known one), values of
 * the wrong type or out of range.
 *
 * @example
 * ```ts
 * import { z } from "zod";
 * const schema = z.strictObject({ steps: z.int().min(1).default(100) });
 * console.log(readWithSchema(schema, {}, { name: "example" }).steps); // 100
 * ```
 */
export function readWithSchema<T>(
  schema: z.ZodType<T>,
  value: unknown,
  options: ReadOptions,
): T {
  const result = schema.safeParse(value, { reportInput: true });
  if (result.success) return deepFreeze(result.data);
  const root = jsonSchema(schema);
  const problems = result.error.issues.flatMap((issue) =>
    describeIssue(issue, { root, overrides: options.overrides ?? new Set() })
  );
  // A value may break several rules that are told as one.
  throw new SyntaxError(`Cannot read ${options.name}: ${joinProblems([...new Set(problems)])}`);
}

/**
 * Lists the keys of `schema` in order, those of nested sections under their full names.
 *
 * @example
 * ```ts
 * import { z } from "zod";
 * const schema = z.strictObject({ steps: z.int().min(1).default(100).describe("How many steps") });
 * console.log(schemaFields(schema)[0]?.type); // a whole number, at least 1
 * ```
 */
export function schemaFields(schema: z.ZodType): SchemaField[] {
  return fieldsOf(jsonSchema(schema), []);
}

/**
 * Refuses a key path that `schema` does not know.
 *
 * @throws {SyntaxError} when the path leads nowhere, naming the nearest known key.
 */
export function requireKnownKey(
  schema: z.ZodType,
  path: readonly string[],
  options: ReadOptions,
): void {
  const root = jsonSchema(schema);
  let node: SchemaNode = root;
  for (const [depth, key] of path.entries()) {
    // A list is set as a whole.
    const child = listIn(node) === undefined ? childNode(node, key) : undefined;
    if (child === undefined) {
      const problem = unknownKey(key, { root, parent: path.slice(0, depth), node });
      throw new SyntaxError(`Cannot read ${options.name}: ${problem}`);
    }
    node = child;
  }
}

/** Whether any text, and nothing else but null, may stand for a key that `schema` knows. */
export function takesText(schema: z.ZodType, path: readonly string[]): boolean {
  const node = nodeAt(jsonSchema(schema), path) ?? {};
  const choices = node.anyOf ?? [node], types = choices.flatMap(({ type = [] }) => type);
  return choices.every((choice) => choice.enum === undefined) && types.includes("string") &&
    types.every((type) => type === "string" || type === "null");
}

function jsonSchema(schema: z.ZodType): SchemaNode {
  return z.toJSONSchema(schema, { io: "input" }) as SchemaNode;
}

function deepFreeze<T>(value: T): T {
  if (typeof value === "object" && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const part of Object.values(value)) deepFreeze(part);
  }
  return value;
}

function joinProblems(problems: readonly string[]): string {
  if (problems.length === 1) return problems[0]!;
  return `${problems.length} problems\n${problems.map((problem) => `  ${problem}`).join("\n")}`;
}

function describeIssue(
  issue: z.core.$ZodIssue,
  { root, overrides }: { root: SchemaNode; overrides: ReadonlySet<string> },
): string[] {
  const path = issue.path.map(String);
  if (issue.code === "unrecognized_keys") {
    const node = nodeAt(root, path);
    return issue.keys.map((key) => unknownKey(key, { root, parent: path, node }));
  }
  const key = path.join(".") || "the top level";
  const origin = overrides.has(key) ? " (given as a setting)" : "";
  if (issue.code === "custom") return [`${key}${origin} ${issue.message}`];
  const expected = expectation(nodeAt(root, path) ?? {}, issue.input);
  return [`${key}${origin} is ${formatValue(issue.input)}, expected ${expected}`];
}

function unknownKey(
  key: string,
  { root, parent, node }: {
    root: SchemaNode;
    parent: readonly string[];
    node: SchemaNode | undefined;
  },
): string {
  const name = [...parent, key].join(".");
  const siblings = node === undefined ? [] : namesIn(node);
  if (siblings.length === 0) return `unknown key ${name}, ${parent.join(".")} holds no keys`;
  const near = nearestName(key, siblings);
  const suggestion = near !== undefined
    ? [...parent, near].join(".")
    : nearestElsewhere(key, fieldsOf(root, []));
  return `unknown key ${name}${expectedOneOf(siblings, suggestion)}`;
}

/** A key of another section by the same or nearly the same last name. */
function nearestElsewhere(key: string, fields: readonly SchemaField[]): string | undefined {
  const lastNames = new Map(fields.map((field) => [field.key.split(".").at(-1)!, field.key]));
  const near = nearestName(key, lastNames.keys());
  return near === undefined ? undefined : lastNames.get(near);
}

/** What a node takes in place of a value, as it stands behind "expected". */
function expectation(node: SchemaNode, value?: unknown): string {
  const eachOf = (nodes: readonly SchemaNode[]) =>
    nodes.map((each) => expectation(each, value)).join(", or ");
  if (Array.isArray(node.type)) return eachOf(node.type.map((type) => ({ ...node, type })));
  if (node.anyOf !== undefined) return eachOf(node.anyOf);
  if (node.enum !== undefined) return `one of ${node.enum.join(", ")}`;
  switch (node.type) {
    case "null":
      return "null";
    case "boolean":
      return "true or false";
    case "integer":
      return `a whole number${bounds(node, value)}`;
    case "number":
      return `a number${bounds(node)}`;
    case "string":
      return "text";
    case "array":
      return node.prefixItems === undefined
        ? `a list of ${node.minItems ?? 0} or more values, each ${expectation(node.items || {})}`
        : `a list of ${node.prefixItems.length} values`;
    default:
      return node.properties === undefined
        ? "a mapping from names to text"
        : `a mapping of ${Object.keys(node.properties).join(", ")}`;
  }
}

function bounds(node: SchemaNode, value?: unknown): string {
  const parts: string[] = [];
  // Whole numbers come with the largest safe integers as bounds: worth telling where one is passed.
  const passed = typeof value === "number" && value > Number.MAX_SAFE_INTEGER;
  if (node.minimum !== undefined && node.minimum > Number.MIN_SAFE_INTEGER) {
    parts.push(`at least ${node.minimum}`);
  }
  if (node.exclusiveMinimum !== undefined) parts.push(`above ${node.exclusiveMinimum}`);
  if (node.maximum !== undefined && (passed || node.maximum < Number.MAX_SAFE_INTEGER)) {
    parts.push(`at most ${node.maximum}`);
  }
  if (node.exclusiveMaximum !== undefined) parts.push(`below ${node.exclusiveMaximum}`);
  return parts.length === 0 ? "" : `, ${parts.join(" and ")}`;
}

/** A value as it stands in a message: containers by kind alone, for they may be of any size. */
function formatValue(value: unknown): string {
  if (value === undefined) return "missing";
  if (Array.isArray(value)) return `a list of ${value.length} values`;
  if (typeof value === "object" && value !== null) return "a mapping";
  if (typeof value !== "string") return String(value);
  return JSON.stringify(value.length > 60 ? `${value.slice(0, 60)}…` : value);
}

function propertiesOf(node: SchemaNode): Readonly<Record<string, SchemaNode>> {
  if (node.properties !== undefined) return node.properties;
  return node.anyOf?.find((choice) => choice.properties !== undefined)?.properties ?? {};
}

/** The names that a mapping takes, where it does not take all. */
function namesIn(node: SchemaNode): readonly string[] {
  return node.propertyNames?.enum?.map(String) ?? Object.keys(propertiesOf(node));
}

function childNode(node: SchemaNode, key: string): SchemaNode | undefined {
  const properties = propertiesOf(node);
  if (Object.hasOwn(properties, key)) return properties[key];
  if (typeof node.additionalProperties === "object") {
    return node.propertyNames?.enum?.includes(key) === false
      ? undefined
      : node.additionalProperties;
  }
  const list = listIn(node);
  return list?.prefixItems?.[Number(key)] ?? (list?.items || undefined);
}

/** The list that a node takes, also where it takes null as well. */
function listIn(node: SchemaNode): SchemaNode | undefined {
  return [node, ...(node.anyOf ?? [])].find(({ type }) => type === "array");
}

function nodeAt(root: SchemaNode, path: readonly string[]): SchemaNode | undefined {
  let node: SchemaNode | undefined = root;
  for (const key of path) node = node === undefined ? undefined : childNode(node, key);
  return node;
}

function fieldsOf(node: SchemaNode, path: readonly string[]): SchemaField[] {
  return Object.entries(propertiesOf(node)).flatMap(([name, child]) => {
    const childPath = [...path, name];
    const field: SchemaField = {
      key: childPath.join("."),
      type: child.anyOf?.some((choice) => choice.properties !== undefined)
        ? "a mapping, or null"
        : expectation(child),
      default: child.default,
      description: child.description ?? "",
    };
    if (child.properties !== undefined) return fieldsOf(child, childPath);
    return [field, ...fieldsOf(child, childPath)];
  });
}
