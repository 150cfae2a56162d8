/**
 * A JSON object of a recording's metadata, read field by field.
 *
 * @module
 */

/** Named values of unknown types. */
export class Fields {
  readonly #values: Readonly<Record<string, unknown>>;
  readonly #name: string;

  /** Reads from `values`, which errors call `name`. */
  constructor(values: Readonly<Record<string, unknown>>, name: string) {
    this.#values = values;
    this.#name = name;
  }

  /** Reads a JSON text; throws `SyntaxError` when it is no object. */
  static parse(text: string, name: string): Fields {
    const value: unknown = JSON.parse(text);
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
      throw new SyntaxError(`Cannot read ${name}: it is ${text.slice(0, 40)}, expected an object`);
    }
    return new Fields({ ...value }, name);
  }

  /** The names of all fields. */
  names(): string[] {
    return Object.keys(this.#values);
  }

  /** Whether there is a field of that name that is not null. */
  has(name: string): boolean {
    return (this.#values[name] ?? undefined) !== undefined;
  }

  /** A number; `fallback` where there is none. */
  number(name: string, fallback?: number): number {
    const value = this.#values[name] ?? fallback;
    if (typeof value !== "number") throw this.#error(name, "a number");
    return value;
  }

  /** A text; `fallback` where there is none. */
  text(name: string, fallback?: string): string {
    const value = this.#values[name] ?? fallback;
    if (typeof value !== "string") throw this.#error(name, "a text");
    return value;
  }

  /** Whether a switch is on; off where there is none. */
  flag(name: string): boolean {
    return this.#values[name] === true;
  }

  /** A list of numbers. */
  numbers(name: string): number[] {
    const value = this.#values[name];
    if (!Array.isArray(value) || !value.every((item) => typeof item === "number")) {
      throw this.#error(name, "a list of numbers");
    }
    return value;
  }

  /** A field that is an object of its own. */
  fields(name: string): Fields {
    const value = this.#values[name];
    if (typeof value !== "object" || value === null) throw this.#error(name, "an object");
    return new Fields({ ...value }, `${this.#name}.${name}`);
  }

  #error(name: string, expected: string): SyntaxError {
    const text = JSON.stringify(this.#values[name]) ?? "missing";
    return new SyntaxError(
      `Cannot read ${this.#name}.${name}: it is ${text}, expected ${expected}`,
    );
  }
}
