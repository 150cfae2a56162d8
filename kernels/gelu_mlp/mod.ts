/**
 * The feed-forward layers of a block.
 *
 * @module
 */

import { operandOf } from "../cast/mod.ts";
import { formatShape, type Tensor } from "../core/tensor.ts";
import { gelu } from "../gelu/mod.ts";
import { linear, recordAffineGradients } from "../linear/mod.ts";
import { matmulInto } from "../matmul/mod.ts";

/** Parameters of one affine layer: `weight` [O, I] and `bias` [O]. */
export interface AffineParameters {
  /** [O, I] */
  readonly weight: Tensor;
  /** [O] */
  readonly bias: Tensor;
}

/** The two affine layers of {@linkcode geluMlp}. */
export interface GeluMlpParameters {
  /** Weight [h, I], bias [h]. */
  readonly fc1: AffineParameters;
  /** Weight [O, h], bias [O]. */
  readonly fc2: AffineParameters;
}

/**
 * How {@linkcode geluMlp} is computed. `passes` is made of `linear`, `gelu` and `linear`. `fused` applies gelu and
 * its slope where the products store their results: for each hidden activation it moves 4 bytes less forward, 8
 * where no tape records, and 8 less backward; in f16 14, 16 and 18.
 */
export const GELU_MLP: Readonly<
  Record<"fused" | "passes", (x: Tensor, parameters: GeluMlpParameters) => Tensor>
> = {
  fused,
  passes: (x, { fc1, fc2 }) =>
    x.device.scope(() => linear(gelu(linear(x, fc1.weight, fc1)), fc2.weight, fc2)),
};

/**
 * fc2(gelu(fc1(x))), gelu in its tanh form: `x` [..., I] gives [..., O] through h hidden channels ("Attention is
 * all you need", Vaswani et al., 2017, eq. 2, with the activation that SiT uses). 2·rows·h·(I + O) flops forward,
 * twice that backward.
 *
 * Within `device.withPrecision("f16", …)` the operands of all products are rounded to f16 as those of `linear`
 * are. On GPUs fc1(x), its gradient and gelu(fc1(x)) then exist in f16 alone; of the gradients of biases see
 * `linear`.
 *
 * Throws `TypeError` when the sizes do not fit, and `RangeError` as `matmulInto` does.
 *
 * @example
 * ```ts
 * import { Device, geluMlp } from "@gmem/gmem/kernels";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * using x = device.tensor(Float32Array.of(1, 2), [1, 2]);
 * const fc1 = {
 *   weight: device.tensor(Float32Array.of(3, 4, -5, -6, 0, 0), [3, 2]),
 *   bias: device.tensor(Float32Array.of(0, 0, 20), [3]),
 * };
 * const fc2 = {
 *   weight: device.tensor(Float32Array.of(1, 1, 100), [1, 3]),
 *   bias: device.tensor(Float32Array.of(0.5), [1]),
 * };
 * using y = geluMlp(x, { fc1, fc2 });
 * console.log(y.shape, await y.read()); // [ 1, 1 ] Float32Array(1) [ 2011.5 ]
 * ```
 */
export function geluMlp(x: Tensor, parameters: GeluMlpParameters): Tensor {
  const { device } = x, { fc1, fc2 } = parameters;
  const inputs = x.shape.at(-1) ?? 0, hidden = fc1.bias.elements, outputs = fc2.bias.elements;
  const fits = inputs > 0 && fc1.weight.shape[0] === hidden && fc2.weight.shape[0] === outputs &&
    fc1.weight.elements === inputs * hidden && fc2.weight.elements === hidden * outputs;
  if (!fits) {
    throw new TypeError(
      `Cannot apply fc1 ${shapesOf(fc1)} and fc2 ${shapesOf(fc2)} to ${formatShape(x.shape)}: ` +
        `expected weights [h, ${inputs}] and [O, h], biases [h] and [O]`,
    );
  }
  // What a CPU driver reads and stores beside a product costs it more than passes that read in order.
  const picked = device.profile.driver === "cpu" && device.tape ? "passes" : "fused";
  return GELU_MLP[device.variant("geluMlp", picked, { among: GELU_MLP })](x, parameters);
}

function shapesOf({ weight, bias }: AffineParameters): string {
  return `${formatShape(weight.shape)} with bias ${formatShape(bias.shape)}`;
}

function fused(x: Tensor, { fc1, fc2 }: GeluMlpParameters): Tensor {
  const { device } = x, { precision: dtype, tape } = device;
  const inputs = x.shape.at(-1)!, hidden = fc1.bias.elements, outputs = fc2.bias.elements;
  const rows = x.elements / inputs;
  const needsSlope = [x, fc1.weight, fc1.bias].some((tensor) => tape?.tracks(tensor));
  return device.scope(() => {
    const out = device.empty([...x.shape.slice(0, -1), outputs]);
    const activated = device.empty([rows, hidden], { dtype });
    // Of one type with the gradient of fc1(x), which is f16 there, for fc2 alone writes it and fc1 rounds it.
    const expanded = needsSlope ? device.empty([rows, hidden], { dtype }) : undefined;
    const a = operandOf(x, dtype);
    const w1 = operandOf(fc1.weight, dtype), w2 = operandOf(fc2.weight, dtype);
    matmulInto(activated, a, w1, {
      bias: fc1.bias,
      epilogue: { of: "gelu", sums: expanded },
      size: { M: rows, N: hidden, K: inputs },
      transposeB: true,
    });
    tape?.push({
      name: "geluMlp fc1",
      inputs: [x, fc1.weight, fc1.bias],
      output: activated,
      saved: [a, w1],
      cotangentDtype: dtype,
      // The gradient is that of fc1(x): fc2 multiplies by gelu's slope.
      backward: (dy, gradients) =>
        recordAffineGradients(gradients, {
          x,
          weight: fc1.weight,
          bias: fc1.bias,
          a,
          b: w1,
          dy,
          precision: dtype,
        }),
    });
    matmulInto(out, activated, w2, {
      bias: fc2.bias,
      size: { M: rows, N: outputs, K: hidden },
      transposeB: true,
    });
    tape?.push({
      name: "geluMlp fc2",
      inputs: [activated, fc2.weight, fc2.bias],
      output: out,
      saved: [activated, w2, ...expanded ? [expanded] : []],
      cotangentDtype: dtype,
      backward: (dy, gradients) =>
        recordAffineGradients(gradients, {
          x: activated,
          weight: fc2.weight,
          bias: fc2.bias,
          a: activated,
          b: w2,
          dy,
          precision: dtype,
          epilogue: expanded && { of: "gelu_slope", sums: expanded },
        }),
    });
    return out;
  });
}
