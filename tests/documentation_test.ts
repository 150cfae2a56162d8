/** What the documentation of exports has: names of one meaning, examples, and what `--help` says. */

import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import configuration from "../deno.json" with { type: "json" };
import { schemaFields } from "../model/schema.ts";
import { configSchema } from "../train/config.ts";

/** Entry points whose functions and classes all have an example, which `deno test --doc` runs. */
const ENTRIES = ["kernels/mod.ts", "mod.ts"];

/** Their examples are not run: they take a file of PyTorch that a reader brings. */
const NOT_RUN = new Set(["TorchFile", "TorchTensor", "TorchOpaque", "importTorchBank"]);

/** What a compiler can be asked to be strict in besides what `strict` means. */
const STRICT_OPTIONS = [
  "erasableSyntaxOnly",
  "exactOptionalPropertyTypes",
  "isolatedDeclarations",
  "noFallthroughCasesInSwitch",
  "noImplicitOverride",
  "noImplicitReturns",
  "noPropertyAccessFromIndexSignature",
  "noUncheckedIndexedAccess",
  "noUnusedLocals",
  "noUnusedParameters",
  "verbatimModuleSyntax",
];

/** Of what `deno doc --json` prints, what is read here. */
interface Documentation {
  readonly nodes: Readonly<Record<string, { readonly symbols: readonly DocumentedSymbol[] }>>;
}

interface DocumentedSymbol {
  readonly name: string;
  readonly declarations: readonly {
    readonly kind: string;
    readonly location: { readonly filename: string; readonly line: number };
    readonly jsDoc?: {
      readonly tags?: readonly { readonly kind: string; readonly doc?: string }[];
    };
    readonly def?: {
      readonly properties?: readonly DocumentedProperty[];
      readonly params?: unknown;
      readonly constructors?: readonly { readonly params: unknown }[];
      readonly methods?: readonly {
        readonly isStatic?: boolean;
        readonly functionDef?: { readonly params: unknown };
      }[];
    };
  }[];
}

interface DocumentedProperty {
  readonly name: string;
  readonly optional?: boolean;
  readonly jsDoc?: { readonly doc?: string };
  readonly tsType?: DocumentedType;
}

/** A type as it is printed: `repr` is its name, a union has its parts in `value`. */
interface DocumentedType {
  readonly kind: string;
  readonly repr?: string;
  readonly value?: unknown;
}

async function documentationOf(entry: string): Promise<readonly DocumentedSymbol[]> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["doc", "--json", entry],
    cwd: new URL("../", import.meta.url),
  }).output();
  assert.equal(code, 0, new TextDecoder().decode(stderr));
  const { nodes }: Documentation = JSON.parse(new TextDecoder().decode(stdout));
  return Object.values(nodes).flatMap(({ symbols }) => symbols);
}

async function documentationOfAll(): Promise<readonly DocumentedSymbol[]> {
  const entries = Object.values(configuration.exports);
  return (await Promise.all(entries.map(documentationOf))).flat();
}

for (const entry of ENTRIES) {
  Deno.test(`every function and class of ${entry} has an example that runs`, async () => {
    const without: string[] = [];
    let documented = 0;
    for (const { name, declarations } of await documentationOf(entry)) {
      for (const { kind, location, jsDoc } of declarations) {
        if (kind !== "function" && kind !== "class") continue;
        documented++;
        const runs = jsDoc?.tags?.some((tag) =>
          tag.kind === "example" && /^```ts$/m.test(tag.doc!)
        );
        if (!runs && !NOT_RUN.has(name)) {
          without.push(`${name} (${location.filename}:${location.line})`);
        }
      }
    }
    assert.ok(documented > 0, `deno doc tells of no function or class of ${entry}`);
    assert.deepEqual(without, []);
  });
}

Deno.test("the program of README type-checks in a project of its own, however strict", async () => {
  const root = fileURLToPath(new URL("../", import.meta.url));
  const readme = Deno.readTextFileSync(join(root, "README.md"));
  const [program, settings] = ["ts", "json"].map((language) =>
    readme.split("```" + language + "\n")[1]!.split("```")[0]!
  );
  const project = JSON.parse(settings!);
  assert.deepEqual(project.links, ["../gmem"]);
  const folder = await Deno.makeTempDir();
  try {
    // A project does not inherit what the clone sets for its own types, and a linked package is held to those that
    // the project sets.
    const compilerOptions = Object.fromEntries(STRICT_OPTIONS.map((name) => [name, true]));
    Deno.writeTextFileSync(
      join(folder, "deno.json"),
      JSON.stringify({ ...project, links: [root], compilerOptions }),
    );
    const entries = Object.keys(configuration.exports).map((entry) =>
      `@gmem/gmem${entry.slice(1)}`
    );
    const imports = entries.map((entry) => `import ${JSON.stringify(entry)};\n`).join("");
    Deno.writeTextFileSync(join(folder, "first.ts"), imports + program!);
    const { code, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["check", "first.ts"],
      cwd: folder,
    }).output();
    assert.equal(code, 0, new TextDecoder().decode(stderr));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("what kernels throw can be told by names of the main entry point", async () => {
  const names = new Set((await documentationOf("mod.ts")).map(({ name }) => name));
  const errors = (await documentationOf("kernels/mod.ts")).map(({ name }) => name)
    .filter((name) => name.endsWith("Error"));
  assert.ok(errors.length > 0);
  assert.deepEqual(errors.filter((name) => !names.has(name)), []);
});

Deno.test("a name means the same in every entry point", async () => {
  const places = new Map<string, string>();
  for (const entry of ENTRIES) {
    for (const { name, declarations } of await documentationOf(entry)) {
      const { filename, line } = declarations[0]!.location, place = `${filename}:${line}`;
      assert.equal(place, places.get(name) ?? place, name);
      places.set(name, place);
    }
  }
});

Deno.test("types of signatures are exports of the same entry point, or of the main one", async () => {
  const entries = Object.values(configuration.exports),
    symbols = new Map(
      await Promise.all(
        entries.map(async (entry) => [entry, await documentationOf(entry)] as const),
      ),
    );
  const namesIn = (entry: string) => new Set(symbols.get(entry)!.map(({ name }) => name));
  const exported = new Set(entries.flatMap((entry) => [...namesIn(entry)]));
  const main = namesIn("./mod.ts");
  for (const [entry, those] of symbols) {
    const own = namesIn(entry);
    // What the main entry point takes over of the kernels is described by their own.
    const described = those.filter(({ declarations }) =>
      entry !== "./mod.ts" || !declarations[0]!.location.filename.includes("/kernels/")
    );
    const used = JSON.stringify(described).matchAll(/"typeName":"(\w+)"/g);
    const missing = new Set(
      Array.from(used, ([, name]) => name!).filter((name) =>
        exported.has(name) && !own.has(name) && (!main.has(name) || entry === "./kernels/mod.ts")
      ),
    );
    assert.deepEqual([...missing], [], entry);
  }
});

/** The op `attention` has `AttentionOptions`, and a method takes those of `splitIndices` as well. */
const NAMED_OTHERWISE = new Set(["AttentionLayerOptions", "SplitOptions"]);

Deno.test("options of one function or class are named after it", async () => {
  const takers = new Map<string, Set<string>>();
  for (const { name, declarations } of await documentationOfAll()) {
    for (const { kind, def } of declarations) {
      const taken = kind === "function" ? [def?.params] : [
        ...(def?.constructors ?? []).map(({ params }) => params),
        ...(def?.methods ?? []).map((method) => method.isStatic && method.functionDef?.params),
      ];
      for (const [, type] of JSON.stringify(taken).matchAll(/"typeName":"(\w+Options)"/g)) {
        takers.set(type!, (takers.get(type!) ?? new Set()).add(name));
      }
    }
  }
  assert.ok(takers.size > 50);
  const wrong = [...takers].filter(([type, [taker, ...others]]) =>
    others.length === 0 && !NAMED_OTHERWISE.has(type) &&
    type !== `${taker![0]!.toUpperCase()}${taker!.slice(1)}Options`
  );
  assert.deepEqual(wrong, []);
});

Deno.test("options that may be left out may be undefined", async () => {
  const strict: string[] = [];
  let options = 0;
  for (const { name, declarations } of await documentationOfAll()) {
    for (const { def } of declarations.filter(() => name.endsWith("Options"))) {
      for (const { name: key, optional, tsType } of def?.properties ?? []) {
        if (!optional) continue;
        options++;
        const { repr, kind, value } = tsType!;
        const types = kind === "union" ? value as DocumentedType[] : [];
        const free = repr === "unknown" || types.some((type) => type.repr === "undefined");
        if (!free) strict.push(`${name}.${key}`);
      }
    }
  }
  assert.ok(options > 100);
  assert.deepEqual(strict, []);
});

Deno.test("links in the documentation of exports lead to exports, or to members of the same", async () => {
  const symbols = (await Promise.all(ENTRIES.map(documentationOf))).flat();
  const names = new Set(symbols.map(({ name }) => name));
  const astray = symbols.flatMap((symbol) => {
    const text = JSON.stringify(symbol);
    const links = Array.from(text.matchAll(/\{@link(?:code)? (\w+)/g), ([, to]) => to!);
    return links.filter((to) => !names.has(to) && !text.includes(`"name":"${to}"`))
      .map((to) => `${symbol.name}: ${to}`);
  });
  assert.ok(names.size > 0);
  assert.deepEqual(astray, []);
});

Deno.test("the type of a configuration says of each key what --help says", async () => {
  const symbols = await documentationOf("mod.ts");
  const propertiesOf = (type: string) =>
    symbols.find(({ name }) => name === type)?.declarations[0]?.def?.properties ?? [];
  const typesOf = ({ kind, repr = "", value }: DocumentedType): string[] =>
    kind === "union" ? (value as DocumentedType[]).flatMap(typesOf) : [repr];
  const texts = (type: string, path: readonly string[]): [key: string, text: string][] =>
    propertiesOf(type).flatMap(({ name, jsDoc, tsType }) => {
      const key = [...path, name], parts = typesOf(tsType!).flatMap((part) => texts(part, key));
      const text = jsDoc?.doc?.replaceAll(/\s+/g, " ").replace(/\.$/, "") ?? "";
      return [[key.join("."), text], ...parts];
    });
  const said = new Map(texts("Config", []));
  const fields = schemaFields(configSchema("test.yaml"));
  assert.ok(fields.length > 50);
  for (const { key, description } of fields) assert.equal(said.get(key), description, key);
});
