import assert from "node:assert/strict";
import { Device } from "../../kernels/core/device.ts";
import { Tape } from "../../kernels/core/tape.ts";
import type { Tensor } from "../../kernels/core/tensor.ts";
import { ROWS } from "../../kernels/layer_norm/mod.ts";
import { supportsLayerNorm } from "../../kernels/layer_norm/variants.ts";
import { GATE, gate, modulate } from "../../kernels/modulate/mod.ts";
import { gateReference, modulateReference } from "../../kernels/modulate/reference.ts";
import {
  checkHalvedGradient,
  checkOp,
  HALF_ROUNDING,
  randomValues,
  ROUNDING,
  sumTolerance,
} from "../_check_op.ts";
import { dispatchesOf, gpuTest, lacksHalves, variantTest } from "../_gpu.ts";

// Tokens: one, less and more than a tile of 8 rows, two whole tiles, more than two of 16 rows. Widths: one, a prime,
// real ones.
const SIZES = [
  { batches: 3, tokens: 1, width: 64 },
  { batches: 2, tokens: 5, width: 5 },
  { batches: 2, tokens: 16, width: 192 },
  { batches: 2, tokens: 33, width: 64 },
  { batches: 1, tokens: 9, width: 1152 },
] as const;

/** As SiT modulates, LightningDiT without shifts, and LightningDiT. */
const LAYERS = [
  { norm: "layer", shift: 3, scale: 1 },
  { norm: "rms", scale: 2, epsilon: 0.5 },
  { norm: "rms", shift: 0, scale: 2 },
] as const;

variantTest("modulate() matches the reference", {
  op: "layerNorm",
  among: ROWS,
  async run(device, variant) {
    for (const { batches, tokens, width } of SIZES) {
      if (!supportsLayerNorm(variant, { profile: device.profile, width })) continue;
      const size = `${batches}x${tokens}x${width}`;
      const tolerance = {
        forward: sumTolerance(width),
        backward: 2 * sumTolerance(width + batches * tokens),
      };
      for (const layer of LAYERS) {
        await checkOp(device, {
          name: `modulate ${variant} ${size} as ${JSON.stringify(layer)}`,
          inputs: {
            x: [batches, tokens, width],
            modulation: [batches, 4 * width],
            ...(layer.norm === "rms" && { weight: [width] }),
          },
          op: ({ x, modulation, weight }) => modulate(x!, modulation!, { ...layer, weight }),
          reference: ({ x, modulation, weight }) =>
            modulateReference({ x: x!, modulation: modulation!, weight }, {
              batches,
              width,
              ...layer,
            }),
          tolerance,
        });
      }
    }
  },
});

variantTest("modulate() rounds its result to f16", {
  op: "layerNorm",
  among: ROWS,
  async run(device, variant) {
    for (const { batches, tokens, width } of SIZES) {
      if (!supportsLayerNorm(variant, { profile: device.profile, width })) continue;
      const size = `${variant} ${batches}x${tokens}x${width}`;
      await checkOp(device, {
        name: `modulate in f16 ${size}`,
        inputs: { x: [batches, tokens, width], modulation: [batches, 2 * width] },
        op: ({ x, modulation }) => modulate(x!, modulation!, { shift: 1, scale: 0, dtype: "f16" }),
        reference: ({ x, modulation }) =>
          modulateReference({ x: x!, modulation: modulation! }, {
            batches,
            width,
            norm: "layer",
            shift: 1,
            scale: 0,
          }),
        tolerance: {
          forward: sumTolerance(width) + HALF_ROUNDING,
          backward: 2 * sumTolerance(width + batches * tokens),
        },
      });
      // Each number is rounded to the nearest, or to one beside where it lies in the middle.
      const shape = [batches, tokens, width], values = new Float32Array(randomValues(shape, 5));
      using x = device.tensor(values, shape);
      using modulation = device.tensor(new Float32Array(batches * 2 * width), [batches, 2 * width]);
      using floats = modulate(x, modulation, { scale: 0 });
      let halves: Tensor | undefined;
      const names = dispatchesOf(device, () => {
        halves = modulate(x, modulation, { scale: 0, dtype: "f16" });
      });
      const isGpu = variant === "register" || variant === "workgroup";
      assert.equal(names.some((name) => name.startsWith("cast")), !isGpu, `${size}: ${names}`);
      const [exact, rounded] = [await floats.read(), await halves!.read()];
      halves!.dispose();
      for (const [i, value] of exact.entries()) {
        const most = HALF_ROUNDING * Math.max(Math.abs(value), 2 ** -14) + 2 ** -22;
        assert.ok(Math.abs(rounded[i]! - value) <= most, `${size}: ${rounded[i]} of ${value}`);
      }
    }
  },
});

variantTest("gate() writes the gradient of what it gates as halves where it can", {
  op: "gate",
  among: GATE,
  async run(device, variant) {
    if (lacksHalves(device)) return;
    for (const { batches, tokens, width } of SIZES) {
      const shape = [batches, tokens, width], options = { modulation: [batches, 2 * width] };
      using x = device.tensor(new Float32Array(randomValues(shape, 3)), shape);
      using modulation = device.tensor(
        new Float32Array(randomValues(options.modulation, 4)),
        options.modulation,
      );
      await checkHalvedGradient(device, {
        name: `gate ${variant} ${batches}x${tokens}x${width}`,
        shape,
        op(h) {
          // With what gates needing no gradient the two are not made together.
          device.tape!.watch(modulation);
          return gate(x, h, { modulation, gate: 1 });
        },
        halves: variant === "vector" && width % 4 === 0,
      });
    }
  },
});

variantTest("gate() matches the reference", {
  op: "gate",
  among: GATE,
  async run(device, variant) {
    for (const { batches, tokens, width } of [{ batches: 1, tokens: 1, width: 1 }, ...SIZES]) {
      await checkOp(device, {
        name: `gate ${variant} ${batches}x${tokens}x${width}`,
        inputs: {
          x: [batches, tokens, width],
          h: [batches, tokens, width],
          modulation: [batches, 3 * width],
        },
        op: ({ x, h, modulation }) => gate(x!, h!, { modulation: modulation!, gate: 2 }),
        reference: ({ x, h, modulation }) =>
          gateReference({ x: x!, h: h!, modulation: modulation! }, { batches, width, gate: 2 }),
        tolerance: { forward: 4 * ROUNDING, backward: sumTolerance(tokens) },
      });
    }
  },
});

/** Checks gradients of what all tokens share. */
async function checkSums(
  device: Device,
  options: { batches: number; tokens: number; width: number; tolerance: number },
): Promise<void> {
  const { batches, tokens, width, tolerance } = options;
  const shapes = { x: [batches, tokens, width], modulation: [batches, 2 * width] };
  const size = `${batches}x${tokens}x${width}`;
  await checkOp(device, {
    name: `modulate ${size}`,
    inputs: { ...shapes, weight: [width] },
    op: ({ x, modulation, weight }) => modulate(x!, modulation!, { shift: 0, scale: 1, weight }),
    reference: ({ x, modulation, weight }) =>
      modulateReference({ x: x!, modulation: modulation!, weight }, {
        batches,
        width,
        norm: "layer",
        shift: 0,
        scale: 1,
      }),
    gradients: ["modulation", "weight"],
    tolerance: { forward: sumTolerance(width), backward: tolerance },
  });
  await checkOp(device, {
    name: `gate ${size}`,
    inputs: { ...shapes, h: [batches, tokens, width] },
    op: ({ x, h, modulation }) => gate(x!, h!, { modulation: modulation!, gate: 0 }),
    reference: ({ x, h, modulation }) =>
      gateReference({ x: x!, h: h!, modulation: modulation! }, { batches, width, gate: 0 }),
    gradients: ["h", "modulation"],
    tolerance: { forward: 4 * ROUNDING, backward: sumTolerance(tokens) },
  });
}

gpuTest("modulate() and gate() sum gradients over more tokens than one loop", async (device) => {
  const tokens = 16_393;
  await checkSums(device, { batches: 2, tokens, width: 4, tolerance: sumTolerance(tokens) });
});

gpuTest("modulate() and gate() sum gradients over groups of 64 tokens on GPUs", async (shared) => {
  const device = new Device(shared.gpu, { profile: { ...shared.profile, driver: "gpu" } });
  // The register kernels and, where the width is no multiple of 4, the naive ones; three groups of tokens at most.
  for (const [tokens, width] of [[70, 72], [150, 68], [130, 5]] as const) {
    const batches = 3;
    // The weight's gradient sums over all entries of the batch, after the norm's own roundings.
    const tolerance = 2 * sumTolerance(batches * tokens);
    await checkSums(device, { batches, tokens, width, tolerance });
  }
  await device.settle();
});

gpuTest("modulate() and gate() sum nothing for a modulation that needs no gradient", (shared) => {
  for (const driver of ["cpu", "gpu"] as const) {
    sumsNothing(new Device(shared.gpu, { profile: { ...shared.profile, driver } }));
  }
});

function sumsNothing(device: Device): void {
  device.scope(() => {
    const x = device.empty([2, 3, 8]), modulation = device.empty([2, 16]);
    const weight = device.empty([8]);
    const tape = new Tape(device);
    tape.watch(x);
    const out = tape.record(() => {
      const h = modulate(x, modulation, { shift: 0, scale: 1, weight });
      return gate(x, h, { modulation, gate: 1 });
    });
    const names = dispatchesOf(device, () => tape.backwardFrom(out, out));
    assert.ok(names.some((name) => name.startsWith("layer_norm_backward")), names.join());
    assert.deepEqual(names.filter((name) => /sum|gate_backward/.test(name)), []);
  });
}

gpuTest("a block's stream gets its gradient from the norm and from around it", async (device) => {
  // x reaches the result by the residual path and through the norm: the norm's backward pass adds to
  // the gradient that the gate handed on.
  const batches = 2, tokens = 5, width = 8, scale = 0, chosen = 1;
  await checkOp(device, {
    name: "gated branch",
    inputs: { x: [batches, tokens, width], modulation: [batches, 2 * width] },
    op: ({ x, modulation }) =>
      gate(x!, modulate(x!, modulation!, { scale }), { modulation: modulation!, gate: chosen }),
    reference: ({ x, modulation }) => {
      const values = { x: x!, modulation: modulation! };
      const h = modulateReference(values, { batches, width, norm: "layer", scale });
      return gateReference({ ...values, h }, { batches, width, gate: chosen });
    },
    tolerance: { forward: sumTolerance(width), backward: 2 * sumTolerance(width + tokens) },
  });
});

gpuTest("modulate() and gate() name the shapes and chunks that do not fit", (device) => {
  device.scope(() => {
    const x = device.empty([2, 3, 4]), modulation = device.empty([2, 24]);
    assert.deepEqual(modulate(x, modulation, { shift: 0, scale: 5 }).shape, [2, 3, 4]);
    assert.throws(
      () => modulate(x, device.empty([3, 24]), { scale: 0 }),
      /\[2, 3, 4\] by \[3, 24\]/,
    );
    assert.throws(() => modulate(x, device.empty([2, 22]), { scale: 0 }), TypeError);
    assert.throws(() => modulate(device.empty([6, 4]), modulation, { scale: 0 }), TypeError);
    assert.throws(
      () => modulate(x, modulation, { scale: 0, weight: device.empty([5]) }),
      /weight \[5\]: expected \[4\]/,
    );
    assert.throws(() => modulate(x, modulation, { shift: 6, scale: 0 }), /chunk 6 .* for shift/);
    assert.throws(() => modulate(x, modulation, { scale: 0, epsilon: -1 }), /epsilon -1: expected/);
    assert.throws(
      () => modulate(device.empty([2, 0, 4]), modulation, { scale: 0 }),
      /^TypeError: Cannot normalise \[2, 0, 4\]: expected one row/,
    );
    assert.throws(() => gate(x, x, { modulation, gate: -1 }), RangeError);
    assert.throws(() => gate(x, device.empty([2, 3, 5]), { modulation, gate: 0 }), /\[2, 3, 5\]/);
  });
});
