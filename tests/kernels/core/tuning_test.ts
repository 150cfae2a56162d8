import assert from "node:assert/strict";
import { Device } from "../../../kernels/core/device.ts";
import {
  type AskedVariant,
  type ForcedVariants,
  OPS_WITH_VARIANTS,
  parseTuning,
  shapeKey,
  type TuningTable,
} from "../../../kernels/core/tuning.ts";
import { matmulInto } from "../../../kernels/matmul/mod.ts";
import { gpuTest, NO_ADAPTER, openDevice } from "../../_gpu.ts";
import { sourceFiles, sourceText } from "../../_source_files.ts";

const VERSION = { version: "1.2.3" };

function asJson(adapters: unknown, version: unknown = VERSION.version): string {
  return JSON.stringify({ version, adapters });
}

Deno.test("shapeKey() writes the sizes in their order", () => {
  assert.equal(shapeKey({ M: 2048, N: 768, K: 256 }), "M=2048 N=768 K=256");
  assert.equal(shapeKey({}), "");
  assert.notEqual(shapeKey({ M: 1, N: 2 }), shapeKey({ M: 2, N: 1 }));
});

Deno.test("OPS_WITH_VARIANTS are those that ask for one, in the order of their names", () => {
  const ops = new Set<string>();
  for (const path of sourceFiles()) {
    if (!/^kernels\/\w+\/mod\.ts$/.test(path)) continue;
    const questions =
      /(?:device\.variant\(|stagedVariant\(device, |: ElementwiseOp = \{\s+name: )"(\w+)"/g;
    for (const [, op] of sourceText(path).matchAll(questions)) ops.add(op!);
  }
  assert.deepEqual(OPS_WITH_VARIANTS, [...ops].sort());
});

Deno.test("each variant of every op has a test", () => {
  const ops = new Set<string>();
  for (const path of sourceFiles()) {
    if (!/^tests\/kernels\/\w+_test\.ts$/.test(path)) continue;
    const tests = /variantTest\(.+\{\s+op: "(\w+)",\s+among: [\w.]+,/g;
    for (const [, op] of sourceText(path).matchAll(tests)) ops.add(op!);
  }
  assert.deepEqual([...ops].sort(), OPS_WITH_VARIANTS);
});

Deno.test("parseTuning() reads what it wrote and refuses what is no tuning", () => {
  const adapters = { "A GPU": { matmul: { "M=1": "naive" } }, "Another": {} };
  assert.deepEqual(parseTuning(asJson(adapters), VERSION), { ...VERSION, adapters });
  const wrong = [
    "",
    "{",
    "null",
    "[]",
    '"1.2.3"',
    "{}",
    asJson({}, 1),
    asJson([]),
    asJson(null),
    asJson({ "A GPU": [] }),
    asJson({ "A GPU": { matmul: "naive" } }),
    asJson({ "A GPU": { matmul: { "M=1": 7 } } }),
  ];
  for (const text of wrong) {
    assert.throws(() => parseTuning(text, VERSION), SyntaxError, JSON.stringify(text));
  }
});

Deno.test("parseTuning() refuses what another version measured, both named", () => {
  assert.throws(
    () => parseTuning(asJson({}, "1.2.2"), VERSION),
    (error) => error instanceof RangeError && /"1\.2\.2".*1\.2\.3/.test(error.message),
  );
});

gpuTest("variant() takes the forced one, then the measured one, then the picked one", (opened) => {
  const { gpu, profile } = opened;
  const table: TuningTable = { matmul: { "M=1": "fast", "M=2": "gone" } };
  const tuning = { ...VERSION, adapters: { [profile.label]: table } };
  const notes: string[] = [];
  const tuned = new Device(gpu, { profile, tuning, note: (line) => notes.push(line) });
  const ask = (device: Device, M: number) =>
    device.variant<string>("matmul", "picked", {
      among: { picked: 0, fast: 1, forced: 2, gone: 3 },
      shape: { M },
      supports: (name) => name !== "gone",
    });
  assert.equal(ask(tuned, 1), "fast");
  assert.equal(ask(tuned, 3), "picked");
  assert.equal(tuned.variant("gelu", "picked", { among: { picked: 0 } }), "picked");
  assert.deepEqual(notes, []);
  for (let i = 0; i < 2; i++) assert.equal(ask(tuned, 2), "picked");
  assert.equal(notes.length, 1, "an unusable variant is named once");
  assert.match(notes[0]!, /^ignored a measured variant: matmul \(M=2\).*"gone".*picked/);
  const force = (variant: string, given: string[] = []) =>
    new Device(gpu, {
      profile,
      tuning,
      variants: { matmul: variant },
      note: (line) => given.push(line),
    });
  assert.equal(ask(force("forced"), 1), "forced");
  const given: string[] = [], refused = force("gone", given);
  for (let i = 0; i < 2; i++) assert.equal(ask(refused, 1), "picked");
  assert.deepEqual(given, [
    "ignored a forced variant: matmul gone cannot compute all sizes here, using picked",
  ]);
  const only = { among: { picked: 0, forced: 1 }, only: "picked" } as const;
  assert.equal(force("forced", given).variant("matmul", "picked", only), "picked");
  assert.equal(given.length, 2);
  const elsewhere = new Device(gpu, {
    profile: { ...profile, label: "another adapter" },
    tuning,
  });
  assert.equal(ask(elsewhere, 1), "picked");
});

gpuTest("Device refuses to force a variant of what is no op with variants", ({ gpu, profile }) => {
  const variants = { layernorm: "naive" } as ForcedVariants;
  assert.throws(() => new Device(gpu, { profile, variants }), {
    name: "RangeError",
    message: `Cannot force a variant of layernorm: expected one of ${OPS_WITH_VARIANTS.join(", ")}`,
  });
});

Deno.test("a measured variant computes the product, and onVariant() sees its sizes", {
  ignore: NO_ADAPTER,
}, async () => {
  using device = await openDevice();
  const asked: AskedVariant[] = [];
  device.onVariant = (question) => asked.push(question);
  using a = device.tensor(Float32Array.of(1, 2, 3, 4, 5, 6), [2, 3]);
  using b = device.tensor(Float32Array.of(1, 0, 1, 0, 1, 1), [3, 2]);
  using out = device.empty([2, 2]);
  matmulInto(out, a, b);
  assert.equal(asked.length, 1);
  const { op, shape } = asked[0]!;
  assert.deepEqual([op, shape.M, shape.N, shape.K], ["matmul", 2, 2, 3]);
  const expected = [...await out.read()];
  assert.deepEqual(expected, [6, 3, 15, 6]);
  device.tuning = { [op]: { [shapeKey(shape)]: "naive" } };
  matmulInto(out, a, b);
  assert.deepEqual([...await out.read()], expected);
});
