import assert from "node:assert/strict";
import cosSin from "../../../kernels/common/cos_sin.wgsl.ts";
import philoxSource from "../../../kernels/common/philox.wgsl.ts";
import { philox, Random, Stream } from "../../../kernels/core/random.ts";
import { NO_ADAPTER } from "../../_gpu.ts";

const SHADER = /* wgsl */ `
@group(0) @binding(0) var<storage, read> inputs: array<vec4u>;
@group(0) @binding(1) var<storage, read_write> bits: array<vec4u>;
@group(0) @binding(2) var<storage, read_write> uniforms: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> normals: array<vec4f>;

// Each row is a counter, a key and four words to be mapped as they are.
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= arrayLength(&bits)) { return; }
  bits[id.x] = philox(inputs[3u * id.x], inputs[3u * id.x + 1u].xy);
  uniforms[id.x] = uniform_open(inputs[3u * id.x + 2u]);
  normals[id.x] = normal4(inputs[3u * id.x + 2u]);
}
`;

interface Row {
  counter: [number, number, number, number];
  key: [number, number];
  words: [number, number, number, number];
}

interface Answers {
  bits: Uint32Array;
  uniforms: Float32Array;
  normals: Float32Array;
}

async function evaluate(device: GPUDevice, rows: Row[]): Promise<Answers> {
  const bytes = rows.length * 16;
  const inputs = device.createBuffer({
    size: 3 * bytes,
    usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST,
  });
  device.queue.writeBuffer(
    inputs,
    0,
    Uint32Array.from(rows.flatMap((row) => [...row.counter, ...row.key, 0, 0, ...row.words])),
  );
  const outputs = [0, 1, 2].map(() =>
    device.createBuffer({
      size: bytes,
      usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC,
    })
  );
  const result = device.createBuffer({
    size: 3 * bytes,
    usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST,
  });
  device.pushErrorScope("validation");
  const pipeline = device.createComputePipeline({
    layout: "auto",
    compute: { module: device.createShaderModule({ code: cosSin + philoxSource + SHADER }) },
  });
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  pass.setPipeline(pipeline);
  pass.setBindGroup(
    0,
    device.createBindGroup({
      layout: pipeline.getBindGroupLayout(0),
      entries: [inputs, ...outputs].map((buffer, binding) => ({ binding, resource: { buffer } })),
    }),
  );
  pass.dispatchWorkgroups(Math.ceil(rows.length / 64));
  pass.end();
  outputs.forEach((buffer, index) =>
    encoder.copyBufferToBuffer(buffer, 0, result, index * bytes, bytes)
  );
  device.queue.submit([encoder.finish()]);
  assert.equal((await device.popErrorScope())?.message, undefined);
  await result.mapAsync(GPUMapMode.READ);
  const copy = result.getMappedRange().slice(0);
  return {
    bits: new Uint32Array(copy, 0, bytes / 4),
    uniforms: new Float32Array(copy, bytes, bytes / 4),
    normals: new Float32Array(copy, 2 * bytes, bytes / 4),
  };
}

/** Words at the ends of the range and at roundings, then random ones. */
function makeRows(): Row[] {
  const edges = [0, 1, 2, 0x7fffffff, 0x80000000, 0xfffffeff, 0xffffff7f, 0xffffff80, 0xffffffff];
  const rows: Row[] = [];
  for (const first of edges) {
    for (const second of edges) {
      rows.push({
        counter: [first, second, first, second],
        key: [second, first],
        words: [first, second, second, first],
      });
    }
  }
  const random = new Random(20, Stream.Init);
  for (let sample = 0; sample < 1000; sample++) {
    const draw = Array.from({ length: 10 }, (_, element) => random.bits(0, sample, element));
    rows.push({
      counter: draw.slice(0, 4) as Row["counter"],
      key: draw.slice(4, 6) as Row["key"],
      words: draw.slice(6, 10) as Row["words"],
    });
  }
  return rows;
}

Deno.test({
  name: "philox.wgsl gives the bits, uniforms and normals of the CPU",
  ignore: NO_ADAPTER,
  async fn() {
    const adapter = await navigator.gpu.requestAdapter();
    const device = await adapter!.requestDevice();
    const rows = makeRows();
    const { bits, uniforms, normals } = await evaluate(device, rows);
    rows.forEach(({ counter, key, words }, row) => {
      assert.deepEqual([...bits.subarray(4 * row, 4 * row + 4)], philox(counter, key));
      const exact = words.map((word) => (word + 0.5) / 2 ** 32);
      exact.forEach((expected, lane) => {
        const got = uniforms[4 * row + lane]!;
        assert.ok(got > 0 && got < 1, `uniform ${got} of ${words[lane]} is not inside (0, 1)`);
        // Two roundings of f32: the conversion, at most one unit, and the sum.
        assert.ok(Math.abs(got - expected) <= 2 ** -23 * expected, `${got} for ${expected}`);
      });
      for (const pair of [0, 2]) {
        const first = exact[pair]!;
        const radius = Math.sqrt(-2 * Math.log(first));
        const angle = 2 * Math.PI * exact[pair + 1]!;
        // The uniform is off by 2^-23, the angle by 2 pi times that, its cosine and sine by two units
        // in the last place more. WGSL bounds log by 2^-21 absolutely in [0.5, 2], which makes the
        // square of the radius off by 2^-19 (log near 1, and the uniform's own rounding there).
        const bound = radius * 2 ** -20 +
          Math.min(2 ** -19 / Math.max(radius, 1e-30), Math.sqrt(2 ** -19));
        [radius * Math.cos(angle), radius * Math.sin(angle)].forEach((expected, part) => {
          const got = normals[4 * row + pair + part]!;
          assert.ok(
            Math.abs(got - expected) <= bound,
            `normal ${got} of ${words} lane ${pair + part}, expected ${expected} within ${bound}`,
          );
        });
      }
    });
    device.destroy();
  },
});
