/**
 * The affine layer.
 *
 * @module
 */

import { operandOf, widened } from "../cast/mod.ts";
import half from "../common/half.wgsl.ts";
import loadFloats from "../common/load_floats.wgsl.ts";
import loadHalves from "../common/load_halves.wgsl.ts";
import texelOf from "../common/texel_of.wgsl.ts";
import { type Precision, spreadWorkgroups } from "../core/device.ts";
import { Kernel } from "../core/kernel.ts";
import { stagedVariant } from "../core/staged_variant.ts";
import type { Gradients } from "../core/tape.ts";
import { formatShape, type Tensor } from "../core/tensor.ts";
import { type Epilogue, matmulInto, matmulWithRowSumsInto } from "../matmul/mod.ts";
import columnSumSource from "./column_sum.wgsl.ts";
import columnSumTextureSource from "./column_sum_texture.wgsl.ts";
import columnSumVectorSource from "./column_sum_vector.wgsl.ts";

/** Kernels of the column sum with the columns that one workgroup takes. */
export const COLUMN_SUMS: Readonly<
  Record<"scalar" | "texture" | "vector", { readonly kernel: Kernel; readonly width: number }>
> = {
  scalar: { kernel: new Kernel({ source: columnSumSource }), width: 64 },
  texture: {
    kernel: new Kernel({ source: columnSumTextureSource, includes: [texelOf] }),
    width: 64,
  },
  vector: {
    kernel: new Kernel({ source: columnSumVectorSource, includes: [loadFloats] }),
    width: 64,
  },
};
/** `vector` for halves. */
const COLUMN_SUM_OF_HALVES = new Kernel({
  source: columnSumVectorSource,
  includes: [loadHalves, half],
});

/** Rows that one invocation sums; a CPU driver has two workers to feed, a GPU thousands. */
const CHUNK = { cpu: 16384, gpu: 128 } as const;

/**
 * y = x Wᵀ + b: `x` [..., I], `weight` [O, I] (a convolution's [O, C, p, p] counts as [O, C·p·p]),
 * `bias` [O] or none, result [..., O]. 2·rows·I·O flops forward, twice that backward.
 *
 * Within `device.withPrecision("f16", …)` both operands of all three products are rounded to f16:
 * `x` (which is kept so for the backward pass), `weight` and the gradient of the result. Sums, the
 * bias and all results stay f32 (Micikevicius et al., "Mixed precision training", 2018, sections 3.1 and 3.3), but
 * GPUs sum each eight products in f16: see `matmulInto`. The gradient of the bias is an f32 sum: of rounded numbers
 * where the gradient of the result is f16 already, and where GPUs make it along with that of the weight.
 *
 * Throws `TypeError` when the sizes do not fit, and `RangeError` as `matmulInto` does.
 *
 * @example
 * ```ts
 * import { Device, linear } from "@gmem/gmem/kernels";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * using x = device.tensor(Float32Array.of(1, 2), [1, 2]);
 * using weight = device.tensor(Float32Array.of(3, 4, 5, 6, 7, 8), [3, 2]); // a row for each output
 * using bias = device.tensor(Float32Array.of(100, 200, 300), [3]);
 * using y = linear(x, weight, { bias });
 * console.log(y.shape, await y.read()); // [ 1, 3 ] Float32Array(3) [ 111, 217, 323 ]
 * ```
 */
export function linear(
  x: Tensor,
  weight: Tensor,
  options: { bias?: Tensor | undefined } = {},
): Tensor {
  const { bias } = options;
  const { device } = x;
  const inputs = x.shape.at(-1) ?? 0, outputs = weight.shape[0] ?? 0;
  if (weight.elements !== inputs * outputs || (bias && bias.elements !== outputs)) {
    const withBias = bias ? ` and bias ${formatShape(bias.shape)}` : "";
    throw new TypeError(
      `Cannot apply weight ${formatShape(weight.shape)}${withBias} to ${formatShape(x.shape)}: ` +
        `expected weight [O, ${inputs}] and bias [O]`,
    );
  }
  const rows = x.elements / inputs;
  const { precision } = device;
  return device.scope(() => {
    const out = device.empty([...x.shape.slice(0, -1), outputs]);
    const size = { M: rows, N: outputs, K: inputs };
    const a = operandOf(x, precision), b = operandOf(weight, precision);
    matmulInto(out, a, b, { bias, size, transposeB: true });
    device.tape?.push({
      name: "linear",
      inputs: bias ? [x, weight, bias] : [x, weight],
      output: out,
      saved: [a, b],
      cotangentDtype: precision,
      backward(dy, gradients) {
        recordAffineGradients(gradients, { x, weight, bias, a, b, dy, precision });
      },
    });
    return out;
  });
}

/** What the backward pass of an affine layer takes: `x`, `weight` and `bias` are to get gradients. */
export interface AffineBackward {
  /** [rows, I] */
  readonly x: Tensor;
  /** [O, I] */
  readonly weight: Tensor;
  /** [O] */
  readonly bias?: Tensor | undefined;
  /** `x` as the forward product took it. */
  readonly a: Tensor;
  /** `weight` as the forward product took it. */
  readonly b: Tensor;
  /** The gradient of the result [rows, O], f32 or f16. */
  readonly dy: Tensor;
  /** What `dy` is rounded to for the products. */
  readonly precision: Precision;
  /** What the gradient of `x` is stored with. */
  readonly epilogue?: Epilogue | undefined;
}

/** Records dx = dy W, dW = dyᵀ x and db = Σ dy, those that are needed: 4·rows·I·O flops. */
export function recordAffineGradients(gradients: Gradients, layer: AffineBackward): void {
  const { x, weight, bias, a, b, dy, precision, epilogue } = layer;
  const outputs = weight.shape[0]!, inputs = weight.elements / outputs;
  const rows = dy.elements / outputs, c = operandOf(dy, precision);
  gradients.into(
    x,
    (dx, accumulate) =>
      matmulInto(dx, c, b, { epilogue, size: { M: rows, N: inputs, K: outputs }, accumulate }),
    { halves: true },
  );
  let sums: Tensor | undefined;
  gradients.into(weight, (dw, accumulate) => {
    const size = { M: outputs, N: inputs, K: rows };
    const options = { transposeA: true, size, accumulate };
    if (bias) sums = matmulWithRowSumsInto(dw, c, a, options);
    else matmulInto(dw, c, a, options);
  });
  if (bias) gradients.into(bias, (db, accumulate) => columnSumInto(db, sums ?? dy, { accumulate }));
  sums?.dispose();
  if (c !== dy) c.dispose();
}

/**
 * Records the sum of the rows of `x` [..., columns], f32 or f16, in `out` [columns], or added to it where
 * `accumulate` is 1, not by default: the gradient of a bias. A row has as many columns as `out` has
 * elements. Each stage leaves a row for every chunk of rows; one stage is enough up to 16,384 rows on
 * CPU drivers and 128 on GPUs. Not differentiated.
 *
 * Throws `TypeError` when `x` is not one or more whole rows.
 *
 * @example
 * ```ts
 * import { columnSumInto, Device } from "@gmem/gmem/kernels";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * using x = device.tensor(Float32Array.of(1, 2, 3, 4), [2, 2]);
 * using out = device.tensor(Float32Array.of(100, 200), [2]);
 * columnSumInto(out, x, { accumulate: 1 });
 * console.log(await out.read()); // Float32Array(2) [ 104, 206 ]
 * ```
 */
export function columnSumInto(
  out: Tensor,
  x: Tensor,
  options: { accumulate?: 0 | 1 | undefined } = {},
): void {
  const { accumulate = 0 } = options;
  const { device } = out;
  const columns = out.elements, rows = x.elements / columns;
  if (!Number.isInteger(rows) || rows === 0) {
    throw new TypeError(
      `Cannot sum the rows of ${formatShape(x.shape)} into ${formatShape(out.shape)}: ` +
        "expected [..., columns] and [columns]",
    );
  }
  const chunk = CHUNK[device.profile.driver], chunks = Math.ceil(rows / chunk);
  if (chunks <= 1) return sumChunks(out, { x, rows, chunk, accumulate });
  device.scope(() => {
    const partial = device.empty([chunks, columns]);
    sumChunks(partial, { x, rows, chunk, accumulate: 0 });
    columnSumInto(out, partial, { accumulate });
  });
}

function sumChunks(
  out: Tensor,
  options: { x: Tensor; rows: number; chunk: number; accumulate: 0 | 1 },
): void {
  const { x, rows, chunk, accumulate } = options;
  const { device } = out;
  const columns = x.elements / rows, chunks = Math.ceil(rows / chunk);
  const variant = stagedVariant(device, "columnSum", {
    among: COLUMN_SUMS,
    otherwise: "vector",
    only: columns % 4 === 0 ? undefined : "scalar",
  });
  const { kernel, width } = COLUMN_SUMS[variant], halves = x.dtype === "f16";
  if (halves && variant !== "vector") {
    return device.scope(() => sumChunks(out, { ...options, x: widened(x) }));
  }
  device.dispatch(halves ? COLUMN_SUM_OF_HALVES : kernel, {
    tensors: { x, out },
    params: { rows, columns, chunk, accumulate },
    workgroups: spreadWorkgroups(Math.ceil(columns / width) * chunks),
  });
}
