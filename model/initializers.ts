/**
 * Initial values of parameters, drawn by Philox from the seed and the parameter's name, so that
 * adding a parameter leaves all others as they were.
 *
 * @module
 */

import type { Initializer } from "../kernels/core/parameter_store.ts";
import { Random, Stream } from "../kernels/core/random.ts";
import { elementsOf, formatShape } from "../kernels/core/tensor.ts";

function draw(context: { name: string; seed: number }): { random: Random; sample: number } {
  return { random: new Random(context.seed, Stream.Init), sample: hash(context.name) };
}

/** FNV-1a: a stable 32-bit number for a name. */
function hash(name: string): number {
  let value = 0x811c9dc5;
  for (let i = 0; i < name.length; i++) value = Math.imul(value ^ name.charCodeAt(i), 0x01000193);
  return value >>> 0;
}

/**
 * Zeros.
 *
 * @example
 * ```ts
 * import { Device, Linear, ParameterStore, zeros } from "@gmem/gmem";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * using store = new ParameterStore(device);
 * // What it adds to a residual stream is nothing at first:
 * const last = new Linear(store.at("last"), { inputs: 2, outputs: 1, init: zeros });
 * console.log(await last.weight.read()); // Float32Array(2) [ 0, 0 ]
 * ```
 */
export const zeros: Initializer = (values) => {
  values.fill(0);
};

/**
 * Ones.
 *
 * @example
 * ```ts
 * import { Device, ones, ParameterStore } from "@gmem/gmem";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * using store = new ParameterStore(device);
 * const weight = store.parameter("norm.weight", [2], ones);
 * console.log(await weight.read()); // Float32Array(2) [ 1, 1 ]
 * ```
 */
export const ones: Initializer = (values) => {
  values.fill(1);
};

/**
 * Given values, for tables that are computed; `TypeError`, when the parameters are first used, for another
 * number of them than the parameter has.
 *
 * @example
 * ```ts
 * import { constant, Device, ParameterStore } from "@gmem/gmem";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * using store = new ParameterStore(device);
 * const scale = store.parameter("scale", [2], constant([1, 10]));
 * console.log(await scale.read()); // Float32Array(2) [ 1, 10 ]
 * ```
 */
export function constant(table: ArrayLike<number>): Initializer {
  return (values, { name, shape }) => {
    if (table.length !== values.length) {
      throw new TypeError(
        `Cannot initialise ${name} ${formatShape(shape)}: ` +
          `${table.length} values are given, expected ${values.length}`,
      );
    }
    values.set(table);
  };
}

/**
 * Initial values from N(0, `deviation`²).
 *
 * @example
 * ```ts
 * import { Device, normal, ParameterStore } from "@gmem/gmem";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * using store = new ParameterStore(device, { seed: 0 });
 * const table = store.parameter("positions", [16, 64], normal(0.02));
 * // Seven deviations:
 * console.log(Math.max(...await table.read()) < 0.14); // true
 * ```
 */
export function normal(deviation: number): Initializer {
  return (values, context) => {
    const { random, sample } = draw(context);
    random.fillNormal(values, { step: 0, sample });
    for (let i = 0; i < values.length; i++) values[i]! *= deviation;
  };
}

/**
 * Initial values uniform on ±√(6 / (inputs + outputs)), inputs being all axes but the first (Glorot and Bengio
 * 2010); a convolution [O, C, p, p] counts as a matrix [O, C·p·p], as the official code does.
 *
 * @example
 * ```ts
 * import { Device, ParameterStore, xavierUniform } from "@gmem/gmem";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * using store = new ParameterStore(device, { seed: 0 });
 * const weight = store.parameter("weight", [4, 2], xavierUniform);
 * // √(6 / (2 + 4)):
 * console.log(Math.max(...await weight.read()) <= 1); // true
 * ```
 */
export const xavierUniform: Initializer = (values, context) => {
  const [outputs = 1, ...rest] = context.shape;
  const inputs = elementsOf(rest);
  const bound = Math.sqrt(6 / (inputs + outputs));
  const { random, sample } = draw(context);
  random.fillUniform(values, { step: 0, sample });
  for (let i = 0; i < values.length; i++) values[i] = (2 * values[i]! - 1) * bound;
};
