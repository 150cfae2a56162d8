import assert from "node:assert/strict";
import type { SafetensorsFile } from "../../kernels/core/safetensors.ts";
import { elementsOf } from "../../kernels/core/tensor.ts";
import { sumTolerance } from "../_check_op.ts";
import { goldenTest } from "../_goldens.ts";
import {
  type NdArray,
  type ReferenceConfig,
  type ReferenceInputs,
  referenceSit,
  rotateByPosition,
  sinCosPositions,
  timeFeatures,
  type Weights,
} from "./reference_sit.ts";

/** Half the distance from 1 to the next float32: the relative error of one float32 operation. */
const UNIT = 2 ** -24;

/** The official constructors' arguments, as the files record them; each repository has its own. */
interface OfficialConfig {
  readonly patch_size: number;
  readonly depth: number;
  readonly num_heads: number;
  readonly learn_sigma?: boolean;
  readonly use_qknorm?: boolean;
  readonly use_swiglu?: boolean;
  readonly use_rope?: boolean;
  readonly use_rmsnorm?: boolean;
  readonly wo_shift?: boolean;
  readonly encoder_depth?: number;
}

function readTensors(golden: SafetensorsFile): Weights {
  return new Map(
    golden.keys().map((key) => {
      return [key, { shape: golden.entry(key).shape, data: golden.readFloat64(key) }];
    }),
  );
}

function readConfig(golden: SafetensorsFile): ReferenceConfig {
  const official: OfficialConfig = JSON.parse(golden.metadata.config!);
  return {
    patchSize: official.patch_size,
    depth: official.depth,
    heads: official.num_heads,
    conditioning: golden.has("input.s") ? "snippet" : "label",
    snippetEmbedding: golden.has("y_embedder.net.0.weight") ? "mlp3" : "linear",
    learnSigma: official.learn_sigma ?? false,
    qkNorm: official.use_qknorm ?? false,
    swiglu: official.use_swiglu ?? false,
    rope: official.use_rope ?? false,
    rmsNorm: official.use_rmsnorm ?? false,
    noShift: official.wo_shift ?? false,
    repa: official.encoder_depth === undefined ? null : { depth: official.encoder_depth },
  };
}

function readInputs(tensors: Weights): ReferenceInputs {
  let condition = tensors.get("input.s") ?? tensors.get("input.y")!;
  const mask = tensors.get("input.s_mask")?.data;
  if (mask !== undefined) {
    // Dropout of 0.4 rescales what it keeps.
    const data = condition.data.map((value, i) => value * mask[i]! / 0.6);
    condition = { shape: condition.shape, data };
  }
  return { weights: tensors, x: tensors.get("input.x")!, t: tensors.get("input.t")!, condition };
}

/**
 * Asserts that a recorded float32 tensor is the reference's float64 tensor but for float32
 * rounding.
 *
 * Recordings are the end of chains of float32 sums with at most 256 terms. The largest error may be
 * that of one such sum, and the mean error four roundings, both relative to the largest value; what
 * occurs is below a quarter of the first bound and half of the second.
 */
function assertRecorded(actual: NdArray, recorded: NdArray, label: string): void {
  assert.deepEqual(actual.shape, recorded.shape, label);
  const errors = actual.data.map((value, i) => Math.abs(value - recorded.data[i]!));
  const scale = recorded.data.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0);
  const largest = Math.max(...errors) / scale;
  const mean = errors.reduce((sum, value) => sum + value, 0) / errors.length / scale;
  assert.ok(largest <= sumTolerance(256), `${label}: largest relative error ${largest}`);
  assert.ok(mean <= 4 * UNIT, `${label}: mean relative error ${mean}`);
}

function assertWithin(actual: Float64Array, recorded: Float64Array, bound: number): void {
  assert.equal(actual.length, recorded.length);
  for (const [index, value] of actual.entries()) {
    const error = Math.abs(value - recorded[index]!);
    assert.ok(error <= bound, `element ${index}: ${value}, recorded ${recorded[index]}`);
  }
}

const NETWORKS = [
  "sit_tiny",
  "sit_tiny_nosigma",
  "repa_sit_label",
  "gmem_sit_linear",
  "gmem_sit_mlp3",
  "gmem_sit_v1",
  "lightningdit_default",
  "lightningdit_full",
  "lightningdit_lnqk_gelu",
  "lightningdit_woshift",
  "gmem_lightningdit",
  "gmem_lightningdit_masked",
];

for (const name of NETWORKS) {
  goldenTest(`referenceSit() reproduces output and activations of ${name}`, {
    golden: name,
    fn(golden) {
      const tensors = readTensors(golden), config = readConfig(golden);
      const { output, projected, activations } = referenceSit(config, readInputs(tensors));
      assertRecorded(output, tensors.get("output.out")!, "output");
      assert.equal(projected !== undefined, config.repa !== null);
      if (projected !== undefined) {
        assertRecorded(projected, tensors.get("output.z_tilde")!, "projected");
      }
      let compared = 0;
      for (const [key, recorded] of tensors) {
        if (!key.startsWith("act.")) continue;
        const official = key.slice("act.".length);
        const isCondition = official === "y_embedder" || official === "condition_projection";
        assertRecorded(activations.get(isCondition ? "condition" : official)!, recorded, key);
        compared++;
      }
      assert.equal(compared, activations.size);
    },
  });
}

goldenTest("referenceSit() rises as fast as the recorded gradient says", {
  golden: "sit_tiny",
  fn(golden) {
    const tensors = readTensors(golden), config = readConfig(golden);
    const target = tensors.get("output.out")!.shape, goal = tensors.get("input.target")!.data;
    const gradients = new Map<string, Float64Array>();
    for (const [key, { data }] of tensors) {
      if (key.startsWith("grad.") && key !== "grad.input.x") gradients.set(key.slice(5), data);
    }
    assert.equal(gradients.size, 31);
    let square = 0;
    for (const gradient of gradients.values()) for (const value of gradient) square += value ** 2;
    const length = Math.sqrt(square);

    function lossAt(distance: number): number {
      const weights = new Map(tensors);
      for (const [key, gradient] of gradients) {
        const { shape, data } = tensors.get(key)!;
        const moved = data.map((value, i) => value + distance * gradient[i]! / length);
        weights.set(key, { shape, data: moved });
      }
      const { output } = referenceSit(config, { ...readInputs(tensors), weights });
      assert.deepEqual(output.shape, target);
      const errors = output.data.map((value, i) => (value - goal[i]!) ** 2);
      return errors.reduce((sum, value) => sum + value, 0) / errors.length;
    }
    const loss = lossAt(0), recorded = golden.readFloat64("output.loss")[0]!;
    assert.ok(Math.abs(loss - recorded) <= sumTolerance(256) * recorded, `loss ${loss}`);

    // Richardson's extrapolation cancels the differences' h^2 term, which leaves the error of the
    // float32 gradient.
    const h = 1e-3;
    const coarse = (lossAt(2 * h) - lossAt(-2 * h)) / (4 * h);
    const fine = (lossAt(h) - lossAt(-h)) / (2 * h);
    const slope = (4 * fine - coarse) / 3;
    assert.ok(Math.abs(slope - length) <= 1e-6 * length, `slope ${slope}, gradient ${length}`);
  },
});

goldenTest("timeFeatures() reproduces the recorded features, odd widths too", {
  golden: "transport_losses",
  fn(golden) {
    // A frequency exp(-9.2 k / half) in float32 is off by up to 30 roundings, and so is t f_k.
    const t = golden.readFloat64("timestep.t");
    for (const width of [32, 33, 256]) {
      const recorded = golden.readFloat64(`timestep.D${width}`);
      for (const [row, time] of t.entries()) {
        const features = timeFeatures({ shape: [1], data: Float64Array.of(time) }, width);
        const expected = recorded.subarray(row * width, (row + 1) * width);
        assertWithin(features.data, expected, (30 * time + 2) * UNIT);
      }
    }
  },
});

goldenTest("sinCosPositions() reproduces the recorded embeddings", {
  golden: "transport_losses",
  fn(golden) {
    for (const [width, grid] of [[16, 4], [24, 5], [64, 8]] as const) {
      const recorded = golden.readFloat64(`pos_embed.D${width}.grid${grid}`);
      // Computed in float64 and rounded once.
      assertWithin(sinCosPositions(grid, width).data, recorded, UNIT);
    }
  },
});

goldenTest("sinCosPositions() is the stored pos_embed of every network", {
  golden: "sit_tiny",
  fn(golden) {
    assertWithin(sinCosPositions(4, 64).data, golden.readFloat64("pos_embed"), UNIT);
  },
});

goldenTest("rotateByPosition() reproduces the recorded rotations", {
  golden: "transport_losses",
  fn(golden) {
    for (const name of ["rope.hd16.grid4", "rope.hd24.grid5", "rope.hd8.grid3"]) {
      const { shape } = golden.entry(`${name}.in`), data = golden.readFloat64(`${name}.in`);
      const largest = data.reduce((peak, value) => Math.max(peak, Math.abs(value)), 0);
      // The angle, at most 4, is off by up to 30 roundings; then four operations on two terms.
      const bound = 2 * (4 * 30 + 4) * UNIT * largest;
      const rotated = rotateByPosition({ shape, data });
      assertWithin(rotated.data, golden.readFloat64(`${name}.out`), bound);
    }
  },
});

Deno.test("timeFeatures() puts cosines first and pads an odd width", () => {
  const t = { shape: [1], data: Float64Array.of(0.5) };
  const expected = [Math.cos(0.5), Math.cos(0.005), Math.sin(0.5), Math.sin(0.005), 0];
  assertWithin(timeFeatures(t, 5).data, Float64Array.from(expected), 1e-15);
});

Deno.test("sinCosPositions() puts the column before the row", () => {
  const { shape, data } = sinCosPositions(2, 4);
  assert.deepEqual(shape, [4, 4]);
  const s = Math.sin(1), c = Math.cos(1);
  const expected = [0, 1, 0, 1, s, c, 0, 1, 0, 1, s, c, s, c, s, c];
  assertWithin(data, Float64Array.from(expected), 0);
});

Deno.test("rotateByPosition() turns the first half by the row and the second by the column", () => {
  const ones = { shape: [4, 4], data: Float64Array.from({ length: 16 }, (_, i) => (i + 1) % 2) };
  const s = Math.sin(1), c = Math.cos(1);
  const expected = [1, 0, 1, 0, 1, 0, c, s, c, s, 1, 0, c, s, c, s];
  assertWithin(rotateByPosition(ones).data, Float64Array.from(expected), 0);
});

const PLAIN: ReferenceConfig = {
  patchSize: 2,
  depth: 1,
  heads: 2,
  conditioning: "label",
  snippetEmbedding: "linear",
  learnSigma: false,
  qkNorm: false,
  swiglu: false,
  rope: false,
  rmsNorm: false,
  noShift: false,
  repa: null,
};

/** A network of width 4 on images [1, 2, 4, 4] with two classes; weights not given are zero. */
function tinyInputs(given: Record<string, number[]>): ReferenceInputs {
  const shapes: Record<string, number[]> = {
    "x_embedder.proj.weight": [4, 2, 2, 2],
    "x_embedder.proj.bias": [4],
    "pos_embed": [1, 4, 4],
    "t_embedder.mlp.0.weight": [4, 256],
    "t_embedder.mlp.0.bias": [4],
    "t_embedder.mlp.2.weight": [4, 4],
    "t_embedder.mlp.2.bias": [4],
    "y_embedder.embedding_table.weight": [3, 4],
    "blocks.0.adaLN_modulation.1.weight": [24, 4],
    "blocks.0.adaLN_modulation.1.bias": [24],
    "blocks.0.attn.qkv.weight": [12, 4],
    "blocks.0.attn.qkv.bias": [12],
    "blocks.0.attn.proj.weight": [4, 4],
    "blocks.0.attn.proj.bias": [4],
    "blocks.0.mlp.fc1.weight": [16, 4],
    "blocks.0.mlp.fc1.bias": [16],
    "blocks.0.mlp.fc2.weight": [4, 16],
    "blocks.0.mlp.fc2.bias": [4],
    "final_layer.adaLN_modulation.1.weight": [8, 4],
    "final_layer.adaLN_modulation.1.bias": [8],
    "final_layer.linear.weight": [8, 4],
    "final_layer.linear.bias": [8],
  };
  const weights = new Map(
    Object.entries(shapes).map(([name, shape]) => {
      const size = elementsOf(shape);
      const values = given[name];
      const data = values === undefined ? new Float64Array(size) : Float64Array.from(values);
      return [name, { shape, data }];
    }),
  );
  return {
    weights,
    x: { shape: [1, 2, 4, 4], data: Float64Array.from({ length: 32 }, (_, i) => i) },
    t: { shape: [1], data: Float64Array.of(0.5) },
    condition: { shape: [1], data: Float64Array.of(2) },
  };
}

Deno.test("referenceSit() lays the last layer's features out as (py, px, channel)", () => {
  const inputs = tinyInputs({ "final_layer.linear.bias": [0, 1, 2, 3, 4, 5, 6, 7] });
  const { output } = referenceSit(PLAIN, inputs);
  assert.deepEqual(output.shape, [1, 2, 4, 4]);
  const even = [0, 2, 0, 2], odd = [4, 6, 4, 6];
  const first = [...even, ...odd, ...even, ...odd];
  assert.deepEqual(Array.from(output.data), [...first, ...first.map((value) => value + 1)]);
});

Deno.test("referenceSit() reads patches as (channel, py, px) in rows from the top left", () => {
  const picks = Array.from(
    { length: 32 },
    (_, i) => Number(i === 0 || i === 8 + 1 || i === 16 + 6),
  );
  const { activations } = referenceSit(PLAIN, tinyInputs({ "x_embedder.proj.weight": picks }));
  // Feature 0 is the patch's first pixel, 1 the one right of it, 2 the third of channel 1.
  const expected = [0, 1, 20, 0, 2, 3, 22, 0, 8, 9, 28, 0, 10, 11, 30, 0];
  assert.deepEqual(Array.from(activations.get("x_embedder")!.data), expected);
});

Deno.test("referenceSit() leaves the tokens alone where the gates are zero", () => {
  const inputs = tinyInputs({
    "x_embedder.proj.bias": [1, 2, 3, 4],
    "blocks.0.attn.proj.bias": [5, 5, 5, 5],
    "blocks.0.mlp.fc2.bias": [7, 7, 7, 7],
  });
  const { activations } = referenceSit(PLAIN, inputs);
  assert.deepEqual(Array.from(activations.get("blocks.0.attn")!.data.subarray(0, 4)), [5, 5, 5, 5]);
  assert.deepEqual(Array.from(activations.get("blocks.0")!.data.subarray(0, 4)), [1, 2, 3, 4]);
});

Deno.test("referenceSit() names the weight that is missing", () => {
  const inputs = tinyInputs({});
  const weights = new Map(inputs.weights);
  weights.delete("blocks.0.mlp.fc1.bias");
  assert.throws(() => referenceSit(PLAIN, { ...inputs, weights }), {
    name: "RangeError",
    message: 'Cannot find weight "blocks.0.mlp.fc1.bias": it is missing',
  });
});
