import assert from "node:assert/strict";
import { Kernel } from "../../../kernels/core/kernel.ts";
import { testProfile } from "../../_gpu.ts";

const SOURCE = /* wgsl */ `
// out = x in a comment that names @binding(9) var<storage, read> ghost: array<f32>;
override TILE: u32 = 8;
override FLAG: bool = false;
struct Params {
  rows: u32, // of x
  offset: i32,
  scale: f32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(3) var<storage, read_write> out: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2)
var image: texture_storage_2d<rgba32float, read>;
var<workgroup> tile: array<f32, 64>;
@compute @workgroup_size(8, 8)
fn example(@builtin(global_invocation_id) id: vec3u) { out[id.x] = vec4f(x[id.x]); }
`;

function shader(parts: { params?: string; bindings?: string; entry?: string }): string {
  const {
    params = "",
    bindings = "@group(0) @binding(1) var<storage, read_write> out: array<f32>;",
    entry = "@compute @workgroup_size(1) fn example() { out[0] = 1.0; }",
  } = parts;
  return [params, bindings, entry].join("\n");
}

const PROFILE = testProfile({ subgroupEnable: "enable subgroups;" });

Deno.test("Kernel reads name, bindings by index, params by offset and overrides from the shader", () => {
  const kernel = new Kernel({ source: SOURCE });
  assert.equal(kernel.name, "example");
  assert.deepEqual(kernel.bindings, [
    { name: "x", index: 1, access: "read", dtype: "f32" },
    { name: "image", index: 2, access: "texture", dtype: "f32" },
    { name: "out", index: 3, access: "write", dtype: "f32" },
  ]);
  assert.deepEqual(kernel.params, [
    { name: "rows", type: "u32", offset: 0 },
    { name: "offset", type: "i32", offset: 4 },
    { name: "scale", type: "f32", offset: 8 },
  ]);
  assert.deepEqual([...kernel.overrides], ["TILE", "FLAG"]);
});

Deno.test("Kernel knows the names that a shader gives to types", () => {
  const { bindings } = new Kernel({
    includes: ["alias Stored = vec4<f16>;"],
    source: `alias Mask = u32;
      @group(0) @binding(1) var<storage, read> x: array<Stored>;
      @group(0) @binding(2) var<storage, read_write> y: array<Mask, 4>;
      @compute @workgroup_size(1) fn main() {}`,
  });
  assert.deepEqual(bindings.map(({ dtype }) => dtype), ["f16", "u32"]);
});

Deno.test("Kernel tells the element types of its storage bindings", () => {
  const types = ["vec4f", "vec4<f16>", "vec2u", "u32", "vec4u", "f32, 8", "mat2x4<f32>", "mat3x3f"];
  types.push("atomic<u32>", "vec3u", "vec2< u32 >", "f16", "vec4h");
  const bindings = types.map((type, i) =>
    `@group(0) @binding(${i + 1}) var<storage, read_write> x${i}: array<${type}>;`
  ).join("\n");
  const entry = "@compute @workgroup_size(1) fn example() { x0[0] = 1.0; }";
  const kernel = new Kernel({ source: shader({ bindings, entry }) });
  assert.equal(
    kernel.bindings.map(({ dtype }) => dtype).join(" "),
    "f32 f16 f16 u32 u32 f32 f32 f32 u32 u32 u32 f16 f16",
  );
});

Deno.test("Kernel without Params has no params", () => {
  assert.deepEqual(new Kernel({ source: shader({}) }).params, []);
});

Deno.test("Kernel puts includes after the shader, whose lines stay its own, and reads them too", () => {
  const kernel = new Kernel({
    source: shader({
      entry: "@compute @workgroup_size(1)\nfn example() { out[0] = two() + f32(f16(1.0)); }",
    }),
    includes: ["override WIDTH: u32 = 1;", "fn two() -> f32 { return 2.0; }"],
  });
  const lines = kernel.code(PROFILE).split("\n");
  assert.equal(lines[0], "enable f16;");
  assert.match(lines[3]!, /^fn example/);
  assert.deepEqual(lines.slice(4), ["override WIDTH: u32 = 1;", "fn two() -> f32 { return 2.0; }"]);
  assert.ok(kernel.overrides.has("WIDTH"));
  assert.equal(kernel.name, "example");
});

Deno.test("Kernel.code() enables subgroups exactly for shaders that use them", () => {
  const body = (text: string) => `@compute @workgroup_size(8) fn example() { ${text} }`;
  const uses = new Kernel({ source: shader({ entry: body("out[0] = subgroupAdd(1.0);") }) });
  assert.ok(uses.code(PROFILE).startsWith("enable subgroups;"));
  assert.ok(!uses.code({ ...PROFILE, subgroupEnable: "" }).includes("enable"));
  const mentions = new Kernel({
    source: shader({ entry: body("// no subgroupAdd here\n out[0] = 1.0;") }),
  });
  assert.ok(!mentions.code(PROFILE).includes("enable"));
});

Deno.test("Kernel refuses shaders that it cannot bind", () => {
  for (
    const [source, message] of [
      [shader({ entry: "fn example() {}" }), /no @compute entry point/],
      [
        shader({}) + "@workgroup_size(8) @compute fn another() {}",
        /kernel example: its text has 2 @compute entry points, expected one$/,
      ],
      [
        shader({ bindings: "@group(0) @binding(0) var<uniform> settings: Params;" }),
        /kernel example: uniform settings: Params at 0, expected params: Params at 0$/,
      ],
      [
        shader({ bindings: "@group(0) @binding(1) var<uniform> params: Params;" }),
        /uniform params: Params at 1, expected/,
      ],
      [
        shader({ bindings: "@group(0) @binding(0) var<uniform> params: Config;" }),
        /uniform params: Config at 0, expected/,
      ],
      [
        shader({ bindings: "@group(0) @binding(1) var image: texture_2d<f32>;" }),
        /binding image of type texture_2d<f32>/,
      ],
      [shader({ bindings: "@group(0) @binding(1) var s: sampler;" }), /binding s of type sampler/],
      ...["array<i32>", "array<vec4i>", "array<Row>", "array<vec2<bool>>", "f32"].map((type) =>
        [
          shader({ bindings: `@group(0) @binding(1) var<storage, read> x: ${type};` }),
          new RegExp(`binding x of type ${type}, expected an array of f32, u32, f16, or vectors`),
        ] as const
      ),
      ...[
        "@binding(1) @group(0) var<storage>",
        "@group(1) @binding(1) var<storage>",
        "@group(0) @binding(ONE) var",
      ]
        .map((start) =>
          [
            shader({ bindings: `${start} x: array<f32>;` }),
            /example: 1 of its bindings in another form, expected @group\(0\) @binding/,
          ] as const
        ),
      [shader({ params: "struct Params { size: vec2u, x: f32 }" }), /field size: vec2u of Params/],
      [shader({ params: "struct Params { @align(16) x: f32 }" }), /field @align\(16\) x: f32/],
    ] as const
  ) {
    assert.throws(() => new Kernel({ source }), { name: "SyntaxError", message });
  }
});

Deno.test("Kernel knows overrides with a type and without", () => {
  const overrides = "override SIZE: u32 = 4u;\noverride COUNT = 8u;\n@id(3) override\nFLAG: bool;";
  const kernel = new Kernel({ source: `${overrides}\n${shader({})}` });
  assert.deepEqual([...kernel.overrides], ["SIZE", "COUNT", "FLAG"]);
});

Deno.test("Kernel takes attributes in either order, and passes comments over", () => {
  const kernel = new Kernel({
    source: shader({
      params: "struct Params { n: u32, /* struct Params { m: u32 } // */ m: f32 }",
      entry: "@workgroup_size(8, 8)\n@compute /* fn other() */ fn example() { out[0] = 1.0; }",
    }),
  });
  assert.equal(kernel.name, "example");
  assert.deepEqual(kernel.params.map(({ name }) => name), ["n", "m"]);
});
