/**
 * Command-line arguments: a program declares its options once, and gets typed values, `--help`, and
 * refusals that name the nearest option.
 *
 * @module
 */

import { parseArgs } from "node:util";
import { didYouMean, expectedOneOf, nearestName } from "../kernels/core/nearest_name.ts";
import { typedPath } from "./typed_path.ts";

/** One option of a command, such as `--steps NUMBER`. */
export interface OptionDefinition {
  /** What the option takes; a boolean takes nothing and is false when left out. */
  readonly type: "string" | "number" | "integer" | "boolean";
  /** One sentence for `--help`. */
  readonly description: string;
  /** One letter that stands for the option. */
  readonly short?: string;
  /**
   * What `--help` calls the value, such as `DIR`; the type in capitals when left out. `FILE`, `DIR`,
   * `PATH`, `IMAGE` and `PREFIX` are paths, which are read as `typedPath` says.
   */
  readonly value?: string;
  /** Words that are no paths, of an option that takes paths. */
  readonly words?: readonly string[];
  /** Keys whose value is such a path, where the value is `KEY=VALUE`. */
  readonly pathKeys?: readonly string[];
  /** The option may be given several times and gives a list. */
  readonly multiple?: boolean;
  /** The value may be several ones between commas, such as `4,8`, and gives a list. */
  readonly list?: boolean;
  /** The option has to be given. */
  readonly required?: boolean;
  /** Value where the option is left out. */
  readonly default?: string | number;
  /** The only values taken. */
  readonly choices?: readonly string[];
  /** Least value of a number. */
  readonly minimum?: number;
  /** What a number must be above. */
  readonly above?: number;
  /** Largest value of a number. */
  readonly maximum?: number;
}

/** One positional argument. */
export interface PositionalDefinition {
  /** Name in the usage line. */
  readonly name: string;
  /** One sentence for `--help`. */
  readonly description: string;
  /** The argument is a path, which is read as `typedPath` says. */
  readonly path?: boolean;
  /** The argument has to be given. */
  readonly required?: boolean;
  /** Takes all that is left; only for the last. */
  readonly multiple?: boolean;
}

/** One command line that `--help` shows, with what it does. */
export interface ExampleDefinition {
  /** The command line as one would type it. */
  readonly command: string;
  /** What it does, in one sentence. */
  readonly description: string;
}

/** A command: its name, arguments and options. */
export interface CommandDefinition {
  /** How the command is called, such as `deno task train`. */
  readonly name: string;
  /** What the command does, in one sentence. */
  readonly summary: string;
  /** Positional arguments, in order. */
  readonly positionals?: readonly PositionalDefinition[];
  /** Options by name, without hyphens. */
  readonly options: Readonly<Record<string, OptionDefinition>>;
  /** Command lines to learn from. */
  readonly examples: readonly ExampleDefinition[];
}

/** A program of several commands, such as `bank build` and `bank inspect`. */
export interface ProgramDefinition {
  /** How the program is called, such as `deno task bank`. */
  readonly name: string;
  /** What the program is for, in one sentence. */
  readonly summary: string;
  /** Command lines to learn from; none by default. */
  readonly examples?: readonly ExampleDefinition[];
  /** Commands by their word on the command line. */
  readonly commands: Readonly<Record<string, CommandDefinition>>;
}

/** One value of an option, before `list`, `multiple`, `required` and `default` are looked at. */
export type SingleValue<O extends OptionDefinition> = O extends
  { readonly choices: readonly (infer C)[] } ? C
  : O["type"] extends "boolean" ? boolean
  : O["type"] extends "string" ? string
  : number;

/** The value that an option gives where it stands once. */
export type GivenValue<O extends OptionDefinition> = O extends { readonly list: true }
  ? readonly SingleValue<O>[]
  : SingleValue<O>;

/** The value that an option gives. */
export type OptionValue<O extends OptionDefinition> = O extends { readonly multiple: true }
  ? readonly SingleValue<O>[]
  : O extends
    { readonly required: true } | { readonly default: string | number } | { type: "boolean" }
    ? GivenValue<O>
  : GivenValue<O> | undefined;

/** What {@linkcode parseArguments} gives back. */
export interface ParsedArguments<C extends CommandDefinition> {
  /** Options by name. */
  readonly options: { readonly [K in keyof C["options"]]: OptionValue<C["options"][K]> };
  /** Names of the options that stand on the command line, whatever their values. */
  readonly given: ReadonlySet<keyof C["options"]>;
  /** Positional arguments in order; those left out are missing at the end. */
  readonly positionals: readonly string[];
}

/** The command line cannot be used as it stands. The program ends with exit code 2. */
export class UsageError extends Error {
  /** Name of the class, by which other modules may know it. */
  override readonly name = "UsageError";
}

/**
 * What `find` gives for words and numbers of the command line that the program alone can judge, such as the
 * snippet of a name.
 *
 * @throws {UsageError} with the message of a RangeError that it throws, as for a name that is not there.
 *
 * @example
 * ```ts ignore
 * const indices = lookUp(() => indicesOfName(bank, options.name));
 * ```
 */
export function lookUp<T>(find: () => T): T {
  try {
    return find();
  } catch (cause) {
    throw cause instanceof RangeError ? new UsageError(cause.message, { cause }) : cause;
  }
}

/** `--help` was given: {@linkcode text} is to be printed and the program to end with exit code 0. */
export class HelpRequest extends Error {
  /** Name of the class, by which other modules may know it. */
  override readonly name = "HelpRequest";
  /** The whole help text, without a newline at its end. */
  readonly text: string;

  /** Makes the request from the text to print. */
  constructor(text: string) {
    super("Help was asked for");
    this.text = text;
  }
}

/** Values of options that are paths. */
const PATHS: ReadonlySet<string> = new Set(["FILE", "DIR", "PATH", "IMAGE", "PREFIX"]);

const STANDARD_OPTIONS: Readonly<Record<string, OptionDefinition>> = {
  debug: { type: "boolean", description: "Print the stack of an error" },
  help: { type: "boolean", short: "h", description: "Print this text" },
};

/**
 * Reads the arguments of one command. `--help` and `--debug`, on which `runCommand`
 * acts, are understood by every command.
 *
 * @throws {UsageError} on an unknown option, a value that is missing or of the wrong type, a required
 * argument left out or one too many.
 * @throws {HelpRequest} on `--help`; `details` then stand at the end of the text.
 *
 * @example
 * ```ts
 * const command = {
 *   name: "train",
 *   summary: "Trains a model",
 *   options: { steps: { type: "integer", description: "Number of steps", default: 100 } },
 *   examples: [],
 * } as const;
 * console.log(parseArguments(command, ["--steps", "5"]).options.steps); // 5
 * ```
 */
export function parseArguments<const C extends CommandDefinition>(
  command: C,
  args: readonly string[],
  { details = () => "" }: { details?: () => string } = {},
): ParsedArguments<C> {
  const known = { ...command.options, ...STANDARD_OPTIONS };
  const { tokens } = tokenize(known, args);
  // Before all else: who asks for help may well have written something wrong.
  if (tokens.some((token) => token.kind === "option" && token.name === "help")) {
    throw new HelpRequest(helpText(command, details()));
  }
  const given = new Map<string, ReadValue[]>();
  const positionals: string[] = [];
  for (const token of tokens) {
    if (token.kind === "positional") positionals.push(token.value);
    if (token.kind !== "option") continue;
    const option = Object.hasOwn(known, token.name) ? known[token.name] : undefined;
    if (option === undefined) {
      throw new UsageError(unknownOption(token.rawName, { name: token.name, known, command }));
    }
    const value = readValue(option, token);
    given.set(token.name, [...(given.get(token.name) ?? []), value]);
  }
  checkPositionals(command, positionals);
  const definitions = command.positionals ?? [];
  const read = positionals.map((value, index) => {
    const { name, path } = (definitions[index] ?? definitions.at(-1))!;
    if (!path) return value;
    if (value.trim() === "") {
      throw new UsageError(`Cannot run ${command.name}: ${name} is empty, expected a path`);
    }
    return typedPath(value);
  });
  const options = Object.fromEntries(
    Object.entries(command.options).map(([name, option]) => [
      name,
      optionValue(option, { name, given: given.get(name) ?? [], command }),
    ]),
  );
  return {
    options: options as ParsedArguments<C>["options"],
    given: new Set(given.keys()),
    positionals: read,
  };
}

/**
 * Checks that none of some options stands on the command line, such as those that are about something else which
 * does not.
 *
 * @throws {UsageError} that names the first which does; `problem` says with or without what it cannot be taken,
 * and what is expected.
 *
 * @example
 * ```ts ignore
 * refuseGiven(given, ["noises", "data"], "without a model: expected --checkpoint DIR");
 * ```
 */
export function refuseGiven<Name extends PropertyKey>(
  given: ReadonlySet<Name>,
  names: readonly Name[],
  problem: string,
): void {
  const name = names.find((name) => given.has(name));
  if (name !== undefined) throw new UsageError(`Cannot take --${String(name)} ${problem}`);
}

/**
 * Splits the arguments of a program of several commands into the command's word and what follows
 * it.
 *
 * @throws {UsageError} when the first argument names no command.
 * @throws {HelpRequest} when there are no arguments, or the first one is `--help`.
 *
 * @example
 * ```ts
 * const build = { name: "build", summary: "Builds a bank", options: {}, examples: [] } as const;
 * const program = { name: "bank", summary: "Works on banks", commands: { build } } as const;
 * console.log(selectCommand(program, ["build", "--help"]).args); // ["--help"]
 * ```
 */
export function selectCommand<const P extends ProgramDefinition>(
  program: P,
  args: readonly string[],
): { command: keyof P["commands"] & string; args: string[] } {
  const [word, ...rest] = args;
  if (word === undefined || word === "--help" || word === "-h") {
    throw new HelpRequest(programHelp(program));
  }
  if (!Object.hasOwn(program.commands, word)) {
    const words = Object.keys(program.commands);
    throw new UsageError(
      `Cannot read the arguments of ${program.name}: unknown command ${word}` +
        expectedOneOf(words, nearestName(word, words)),
    );
  }
  return { command: word, args: rest };
}

/**
 * The text of `--help`: usage, arguments, options with their defaults, examples, then `details`.
 *
 * @example
 * ```ts
 * const command = { name: "verify", summary: "Checks files", options: {}, examples: [] } as const;
 * console.log(helpText(command).startsWith("Usage: verify [options]")); // true
 * ```
 */
export function helpText(command: CommandDefinition, details = ""): string {
  const positionals = command.positionals ?? [];
  const words = positionals.map(({ name, required, multiple }) => {
    const word = multiple ? `${name}...` : name;
    return required ? word : `[${word}]`;
  });
  const sections = [
    `Usage: ${[command.name, ...words, "[options]"].join(" ")}`,
    wrapped(command.summary, 0),
  ];
  if (positionals.length > 0) {
    const rows = positionals.map(({ name, description }) => [name, description] as const);
    sections.push(`Arguments:\n${table(rows)}`);
  }
  const rows = Object.entries({ ...command.options, ...STANDARD_OPTIONS })
    .map(([name, option]) => [optionUsage(name, option), optionNotes(option)] as const);
  sections.push(`Options:\n${table(rows)}`);
  sections.push(...exampleSection(command.examples));
  if (details !== "") sections.push(details);
  return sections.join("\n\n");
}

function programHelp(program: ProgramDefinition): string {
  const rows = Object.entries(program.commands)
    .map(([word, command]) => [word, command.summary] as const);
  return [
    `Usage: ${program.name} COMMAND [options]`,
    wrapped(program.summary, 0),
    `Commands:\n${table(rows)}`,
    ...exampleSection(program.examples ?? []),
    `Run ${program.name} COMMAND --help for the options of a command.`,
  ].join("\n\n");
}

/** The examples as one section, or none. */
function exampleSection(examples: readonly ExampleDefinition[]): string[] {
  if (examples.length === 0) return [];
  // A shell reads lines that end in a backslash as one; an option and its value stay in one line.
  const lines = examples.map(({ command, description }) => {
    const typed = wrapped(command, 4, / (?=-)/).trimStart().replaceAll("\n", " \\\n");
    return `  ${typed}\n${wrapped(description, 6)}`;
  });
  return [`Examples:\n${lines.join("\n")}`];
}

/** What one option on the command line says. */
type ReadValue = string | number | true | readonly (string | number)[];

type Token = NonNullable<ReturnType<typeof tokenize>["tokens"]>[number];

function tokenize(known: Readonly<Record<string, OptionDefinition>>, args: readonly string[]) {
  const options = Object.fromEntries(
    Object.entries(known).map(([name, { type, short }]) => [name, {
      type: type === "boolean" ? "boolean" as const : "string" as const,
      ...(short === undefined ? {} : { short }),
    }]),
  );
  return parseArgs({
    args: [...args],
    options,
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
}

function readValue(
  option: OptionDefinition,
  token: Extract<Token, { kind: "option" }>,
): ReadValue {
  const { rawName, value, inlineValue } = token;
  if (option.type === "boolean") {
    if (value === undefined) return true;
    throw new UsageError(`Cannot read ${rawName}=${value}: the option takes no value`);
  }
  // The next option is not a value, a negative number is; an empty path, as a shell makes of a variable
  // that is not set, would be the folder that one is in.
  const missing = value === undefined || (!inlineValue && /^-(?![\d.])/.test(value)) ||
    (value.trim() === "" && PATHS.has(option.value ?? ""));
  const expected = expectation(option);
  if (missing) {
    // What looks like the next option may be a text.
    const hint = value?.startsWith("-") && option.type === "string"
      ? `, or --${token.name}=${value} where that is the value`
      : "";
    throw new UsageError(`Cannot read ${rawName}: no value, expected ${expected}${hint}`);
  }
  const refusal = `Cannot read ${rawName} ${value}: expected ${expected}`;
  return option.list
    ? value.split(",").map((part) => readSingle(option, { value: part, refusal }))
    : readSingle(option, { value, refusal });
}

function readSingle(
  option: OptionDefinition,
  { value, refusal }: { value: string; refusal: string },
): string | number {
  if (option.type === "string") {
    if (option.choices === undefined) return readText(option, value);
    if (option.choices.includes(value)) return value;
    throw new UsageError(refusal + didYouMean(value, option.choices));
  }
  const number = value.trim() === "" ? NaN : Number(value);
  const whole = option.type === "number" || Number.isSafeInteger(number);
  const { minimum = -Infinity, above = -Infinity, maximum = Infinity } = option;
  if (!whole && Number.isInteger(number) && number > 0 && maximum === Infinity) {
    throw new UsageError(`${refusal}, at most ${Number.MAX_SAFE_INTEGER}`);
  }
  const within = number >= minimum && number > above && number <= maximum;
  if (!Number.isFinite(number) || !whole || !within) throw new UsageError(refusal);
  return number;
}

/** A value as it was typed, or the path that it means. */
function readText(
  { value = "", words = [], pathKeys = [] }: OptionDefinition,
  text: string,
): string {
  if (PATHS.has(value)) return words.includes(text) ? text : typedPath(text);
  const key = pathKeys.find((key) => text.startsWith(`${key}=`));
  if (key === undefined) return text;
  const path = text.slice(key.length + 1);
  // What stands for no path, and what is quoted, is not for the shell to read.
  return /^(?:$|null$|~$|["'])/.test(path) ? text : `${key}=${typedPath(path)}`;
}

function expectation(option: OptionDefinition): string {
  if (option.choices !== undefined) return `one of ${option.choices.join(", ")}`;
  if (option.type === "string") return placeholder(option);
  const kind = option.type === "integer" ? "a whole number" : "a number";
  const bounds = Object.entries({
    "at least": option.minimum,
    above: option.above,
    "at most": option.maximum,
  }).flatMap(([words, bound]) => bound === undefined ? [] : [`${words} ${bound}`]);
  const one = bounds.length === 0 ? kind : `${kind}, ${bounds.join(" and ")}`;
  return option.list ? `${one}, or several between commas` : one;
}

function optionValue(
  option: OptionDefinition,
  { name, given, command }: {
    name: string;
    given: readonly ReadValue[];
    command: CommandDefinition;
  },
): unknown {
  if (option.required && given.length === 0) {
    throw new UsageError(
      `Cannot run ${command.name}: --${name} is missing, expected ${expectation(option)}`,
    );
  }
  if (option.multiple) return given;
  return given.at(-1) ?? defaultValue(option);
}

function defaultValue({ type, value, default: standard }: OptionDefinition): unknown {
  // A file that is written goes where it would if it had been named.
  if (value === "FILE" && typeof standard === "string") return typedPath(standard);
  return standard ?? (type === "boolean" ? false : undefined);
}

function checkPositionals(command: CommandDefinition, given: readonly string[]): void {
  const positionals = command.positionals ?? [];
  const absent = positionals[given.length];
  if (absent?.required) {
    throw new UsageError(
      `Cannot run ${command.name}: ${absent.name} is missing (${absent.description})`,
    );
  }
  if (given.length > positionals.length && !positionals.at(-1)?.multiple) {
    const expected = positionals.length === 0
      ? "no arguments"
      : positionals.map(({ name }) => name).join(" ");
    throw new UsageError(
      `Cannot run ${command.name}: unexpected argument ${given[positionals.length]}, ` +
        `expected ${expected}`,
    );
  }
}

function unknownOption(
  rawName: string,
  { name, known, command }: {
    name: string;
    known: Readonly<Record<string, OptionDefinition>>;
    command: CommandDefinition;
  },
): string {
  const near = nearestName(name, Object.keys(known));
  const names = Object.keys(known).map((option) => `--${option}`);
  return `Cannot run ${command.name}: unknown option ${rawName}` +
    expectedOneOf(names, near && `--${near}`);
}

function placeholder(option: OptionDefinition): string {
  return option.value ?? (option.type === "string" ? "TEXT" : "NUMBER");
}

function optionUsage(name: string, option: OptionDefinition): string {
  const short = option.short === undefined ? "    " : `-${option.short}, `;
  return `${short}--${name}${option.type === "boolean" ? "" : ` ${placeholder(option)}`}`;
}

function optionNotes(option: OptionDefinition): string {
  const notes = [];
  if (option.choices !== undefined) notes.push(`one of ${option.choices.join(", ")}`);
  if (option.required) notes.push("required");
  if (option.multiple) notes.push("may be given several times");
  if (option.list) notes.push("one, or several between commas");
  if (option.default !== undefined) notes.push(`default ${option.default}`);
  return notes.length === 0 ? option.description : `${option.description} (${notes.join("; ")})`;
}

const LINE_WIDTH = 88;

function table(rows: readonly (readonly [left: string, right: string])[]): string {
  const indent = Math.max(...rows.map(([left]) => left.length)) + 4;
  return rows.map(([left, right]) => {
    const lines = wrapped(right, indent);
    return `  ${left.padEnd(indent - 2)}${lines.slice(indent)}`;
  }).join("\n");
}

/** Breaks a text between words, or where else it may be, with every line `indent` spaces in. */
function wrapped(text: string, indent: number, breaks: RegExp = / /): string {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(breaks)) {
    if (line !== "" && indent + line.length + 1 + word.length > LINE_WIDTH) {
      lines.push(line);
      line = word;
    } else {
      line = line === "" ? word : `${line} ${word}`;
    }
  }
  return [...lines, line].map((part) => " ".repeat(indent) + part).join("\n");
}
