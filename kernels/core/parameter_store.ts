/**
 * Named parameters in a few large buffers: the state dict is the storage.
 *
 * @module
 */

import { ALIGNMENT_BYTES } from "./buffer_pool.ts";
import type { Device } from "./device.ts";
import { fill } from "./in_place.ts";
import { requireRecorded } from "./recorder.ts";
import {
  formatShape,
  requireWholeSizes,
  type Shape,
  type Storage,
  Tensor,
  viewOf,
} from "./tensor.ts";

/** Each parameter is bound by itself. */
const ALIGNMENT_ELEMENTS = ALIGNMENT_BYTES / 4;
/** Elements that are read at once, unless one parameter has more: reading takes three times their memory. */
const READ_ELEMENTS = 2 ** 24;

/**
 * Fills a new parameter's values; `seed` and `name` make the draw independent of all others, as in `normal`
 * and `xavierUniform` of `@gmem/gmem`. It must not be async: the first use of a parameter throws `TypeError`
 * then.
 */
export type Initializer = (
  values: Float32Array,
  context: { readonly name: string; readonly shape: Shape; readonly seed: number },
) => void;

/** Where a parameter lies in its slab. */
export interface Place {
  /** Number of the slab. */
  readonly slab: number;
  /** Elements from the slab's start. */
  readonly first: number;
}

/**
 * A trained (or frozen) tensor with a name and a gradient.
 *
 * @example
 * ```ts
 * import { Device, ParameterStore } from "@gmem/gmem/kernels";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * using store = new ParameterStore(device);
 * const bias = store.at("head").parameter("bias", [2], (values) => values.fill(0.5));
 * using gradient = bias.gradient;
 * console.log(bias.name, await bias.read()); // head.bias Float32Array(2) [ 0.5, 0.5 ]
 * console.log(await gradient.read()); // Float32Array(2) [ 0, 0 ]
 * ```
 */
export class Parameter extends Tensor {
  /** Full name in the official state dict: `blocks.3.attn.qkv.weight`. */
  readonly name: string;
  /** A frozen parameter is saved and loaded but has no gradient and is not trained. */
  readonly frozen: boolean;
  readonly #store: ParameterStore;

  /** Made by {@linkcode ParameterScope.parameter}. */
  constructor(
    store: ParameterStore,
    options: { name: string; shape: Shape; frozen: boolean },
  ) {
    super(undefined, { shape: options.shape, dtype: "f32" });
    this.#store = store;
    this.name = options.name;
    this.frozen = options.frozen;
  }

  /** The slab that holds the values; the first use of any parameter allocates all. */
  override get storage(): Storage {
    return this.#store.slabOf(this).storage;
  }

  /** Bytes from the start of the slab. */
  override get offset(): number {
    return this.#store.placeOf(this).first * 4;
  }

  /**
   * The gradient, of the same shape; `TypeError` for a frozen parameter. It is to be asked for again once gradients
   * were zeroed, as by a step of an optimiser: what held it shows and takes numbers that do not count.
   */
  get gradient(): Tensor {
    if (this.frozen) throw new TypeError(`Cannot give the gradient of ${this.name}: it is frozen`);
    return this.#store.view(this.#store.gradients, this);
  }

  /** Has `write` add to the gradient, or assign where it is zero. Called by the tape. */
  writeGradient(write: (gradient: Tensor, accumulate: 0 | 1) => void): void {
    this.#store.writeGradient(this, write);
  }

  /** Refused: a parameter keeps its official shape. */
  override reshape(_shape: Shape): Tensor {
    throw new TypeError(`Cannot reshape parameter ${this.name}: expected a plain tensor`);
  }
}

/** Slabs from which the trained parameters of stores read their values, in place of the stores' own. */
export type ValuesInPlace = ReadonlyMap<ParameterStore, readonly Tensor[]>;

/** Functions that change it end before anything else runs, so that there is one for all. */
let valuesInPlace: ValuesInPlace = new Map();

/** What {@linkcode ParameterStore.withValues} has put in place now. */
export function currentValues(): ValuesInPlace {
  return valuesInPlace;
}

/** Runs `fn` with values in place that {@linkcode currentValues} gave, and no others. */
export function withValuesInPlace<T>(values: ValuesInPlace, fn: () => T): T {
  const outer = valuesInPlace;
  valuesInPlace = values;
  try {
    return requireRecorded(fn());
  } finally {
    valuesInPlace = outer;
  }
}

/** Where the parameters of a module are born: a store and the prefix of their names. */
export interface ParameterScope {
  /** The scope of a part, its names prefixed by `part.` as well. */
  at(part: string): ParameterScope;
  /** A new trained parameter, or a frozen one where the store freezes its name. */
  parameter(name: string, shape: Shape, init: Initializer): Parameter;
  /** A new frozen parameter, such as a table of positions. */
  frozen(name: string, shape: Shape, init: Initializer): Parameter;
}

/**
 * All parameters of a model, side by side in slabs of at most the adapter's binding size.
 *
 * Modules declare parameters; the first use of one allocates and initialises all, unless
 * {@linkcode ParameterStore.fill} set them before. Gradients,
 * optimiser moments and the moving average are parallel slabs ({@linkcode ParameterStore.parallel}),
 * so an optimiser step is one dispatch for each slab.
 *
 * @example
 * ```ts
 * import { Device, ParameterStore } from "@gmem/gmem/kernels";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * using store = new ParameterStore(device, { seed: 0 });
 * const weight = store.at("blocks.0").parameter("weight", [2, 2], (values) => values.fill(1));
 * console.log(weight.name, await weight.read()); // blocks.0.weight Float32Array(4) [ 1, 1, 1, 1 ]
 * ```
 */
export class ParameterStore implements ParameterScope, Disposable {
  readonly #device: Device | undefined;
  readonly #seed: number;
  readonly #freezes: (name: string) => boolean;
  readonly #parameters = new Map<string, Parameter>();
  readonly #initializers = new Map<string, Initializer>();
  readonly #places = new Map<Parameter, Place>();
  #trained: readonly Tensor[] = [];
  #frozen: readonly Tensor[] = [];
  #gradients: readonly Tensor[] = [];
  /** Trained parameters whose gradients are zero, whatever lies there: nothing wrote to them since. */
  readonly #zeroed = new Set<Parameter>();
  #allocated = false;
  #disposed = false;

  /**
   * Makes an empty store; `seed` decides all initial values. Parameters whose full name `freezes` holds for
   * are frozen, as for the training of a few layers. Without a device the store only knows names and shapes,
   * which is enough to count the parameters of a model.
   */
  constructor(
    device: Device | undefined,
    options: { seed?: number | undefined; freezes?: ((name: string) => boolean) | undefined } = {},
  ) {
    this.#device = device;
    this.#seed = options.seed ?? 0;
    this.#freezes = options.freezes ?? (() => false);
  }

  /** The device that holds the slabs; `TypeError` when the store was made without one. */
  get device(): Device {
    if (this.#device) return this.#device;
    throw new TypeError("Cannot use parameters: their store was made without a device");
  }

  /** See {@linkcode ParameterScope.at}. */
  at(part: string): ParameterScope {
    return new PrefixedScope(this, `${part}.`);
  }

  /** See {@linkcode ParameterScope.parameter}. */
  parameter(name: string, shape: Shape, init: Initializer): Parameter {
    return this.#declare(name, shape, { init, frozen: this.#freezes(name) });
  }

  /** See {@linkcode ParameterScope.frozen}. */
  frozen(name: string, shape: Shape, init: Initializer): Parameter {
    return this.#declare(name, shape, { init, frozen: true });
  }

  /** The parameter of a name; `RangeError` when there is none. */
  get(name: string): Parameter {
    const parameter = this.#parameters.get(name);
    if (!parameter) {
      throw new RangeError(`Cannot find parameter ${name}: the model has none so named`);
    }
    return parameter;
  }

  /** Whether there is a parameter of that name. */
  has(name: string): boolean {
    return this.#parameters.has(name);
  }

  /** All parameters with their names, in the order of declaration. */
  entries(): IterableIterator<[string, Parameter]> {
    return this.#parameters.entries();
  }

  /**
   * Sets every parameter to the values that `valuesOf` gives for it. In a store that was not used yet
   * nothing is initialised first, which takes long for a large model. Throws `TypeError` when the number of
   * values is not that of the parameter's elements, and what `valuesOf` throws; a store that was not used
   * yet is left so.
   */
  fill(valuesOf: (parameter: Parameter) => Float32Array): void {
    if (!this.#allocated) return this.#allocate(valuesOf);
    for (const parameter of this.#parameters.values()) parameter.write(valuesOf(parameter));
  }

  /** Number of trained elements. */
  get trainedElements(): number {
    let sum = 0;
    for (const parameter of this.#parameters.values()) {
      if (!parameter.frozen) sum += parameter.elements;
    }
    return sum;
  }

  /** Slabs with the trained values. */
  get values(): readonly Tensor[] {
    this.#allocate();
    return valuesInPlace.get(this) ?? this.#trained;
  }

  /**
   * Slabs with the gradients, parallel to {@linkcode ParameterStore.values}, to be asked for again once they were
   * zeroed. Records zeros for all that is zero and was not written since.
   */
  get gradients(): readonly Tensor[] {
    if (this.#gradients.length === 0) return this.#gradients = this.parallel();
    for (const parameter of this.#zeroed) {
      using gradient = this.#gradientOf(parameter);
      fill(gradient, 0);
    }
    this.#zeroed.clear();
    return this.#gradients;
  }

  /**
   * Makes all gradients zero, for the price of what nothing writes to before they are read next: a tape assigns
   * where it would add.
   */
  zeroGradients(): void {
    // Those that nobody asked for yet are made zero.
    if (this.#gradients.length === 0) return;
    for (const parameter of this.#parameters.values()) {
      if (!parameter.frozen) this.#zeroed.add(parameter);
    }
  }

  /** Has `write` add to a gradient, or assign where it is zero; `TypeError` for a frozen parameter. */
  writeGradient(
    parameter: Parameter,
    write: (gradient: Tensor, accumulate: 0 | 1) => void,
  ): void {
    if (parameter.frozen) {
      throw new TypeError(`Cannot write the gradient of ${parameter.name}: it is frozen`);
    }
    if (this.#gradients.length === 0) {
      this.#gradients = this.parallel();
      this.zeroGradients();
    }
    using gradient = this.#gradientOf(parameter);
    write(gradient, this.#zeroed.has(parameter) ? 0 : 1);
    // Not before: where it throws, what was written of an assignment counts for nothing.
    this.#zeroed.delete(parameter);
  }

  #gradientOf(parameter: Parameter): Tensor {
    const { slab, first } = this.placeOf(parameter);
    return viewOf(this.#gradients[slab]!, { first, shape: parameter.shape });
  }

  /** New zeroed slabs, parallel to {@linkcode ParameterStore.values}; the caller owns them. */
  parallel(): Tensor[] {
    return this.values.map((slab) => zeroed(this.device, slab.elements));
  }

  /**
   * The part of parallel slabs that belongs to a trained parameter, as a tensor of its shape. Throws
   * `TypeError` for slabs that are not parallel, and for a frozen parameter or one of another store.
   */
  view(slabs: readonly Tensor[], parameter: Parameter): Tensor {
    const { slab, first } = this.placeOf(parameter);
    if (parameter.frozen) {
      throw new TypeError(`Cannot view slabs at ${parameter.name}: it is frozen, in none of them`);
    }
    this.#requireParallel(slabs);
    return this.device.adopt(viewOf(slabs[slab]!, { first, shape: parameter.shape }));
  }

  /**
   * Runs `fn` with all trained parameters reading their values from parallel slabs, such as the
   * moving average, which is how a model samples with its averaged weights. What a tape records in it has
   * the gradients at those values, wherever the backward pass runs. `TypeError` when `fn` is async or the
   * slabs are not parallel.
   */
  withValues<T>(slabs: readonly Tensor[], fn: () => T): T {
    this.#requireParallel(slabs);
    return withValuesInPlace(new Map(valuesInPlace).set(this, slabs), fn);
  }

  /**
   * Reads all parameters to the CPU, some 64 MiB at a time: the trained ones from `slabs`, by default their
   * values, and the frozen ones. Throws `TypeError` for slabs that are not parallel.
   */
  async *read(
    slabs: readonly Tensor[] = this.values,
  ): AsyncGenerator<[parameter: Parameter, values: Float32Array]> {
    this.#requireParallel(slabs);
    for (const [frozen, tensors] of [[false, slabs], [true, this.#frozen]] as const) {
      for (const [index, tensor] of tensors.entries()) {
        const inSlab = [...this.#places].filter(([parameter, { slab }]) =>
          parameter.frozen === frozen && slab === index
        );
        while (inSlab.length > 0) {
          const start = inSlab[0]![1].first;
          const further = inSlab.findIndex(([{ elements }, { first }], i) =>
            i > 0 && first + elements - start > READ_ELEMENTS
          );
          const part = inSlab.splice(0, further < 0 ? inSlab.length : further);
          const [last, { first: lastFirst }] = part.at(-1)!;
          using view = viewOf(tensor, { first: start, shape: [lastFirst + last.elements - start] });
          const data = await view.read();
          for (const [parameter, { first }] of part) {
            yield [parameter, data.subarray(first - start, first - start + parameter.elements)];
          }
        }
      }
    }
  }

  /** Where a parameter lies; `TypeError` for one of another store. */
  placeOf(parameter: Parameter): Place {
    this.#allocate();
    const place = this.#places.get(parameter);
    if (place) return place;
    throw new TypeError(`Cannot find parameter ${parameter.name}: it belongs to another store`);
  }

  /** The slab that holds a parameter's values. */
  slabOf(parameter: Parameter): Tensor {
    const { slab } = this.placeOf(parameter);
    return (parameter.frozen ? this.#frozen : this.values)[slab]!;
  }

  /** Releases all slabs; the parameters throw `ReferenceError` from then on. */
  dispose(): void {
    this.#disposed = true;
    this.#release();
  }

  #release(): void {
    for (const slab of [...this.#trained, ...this.#frozen, ...this.#gradients]) slab.dispose();
  }

  /** As {@linkcode ParameterStore.dispose}, for `using`. */
  [Symbol.dispose](): void {
    this.dispose();
  }

  #requireParallel(slabs: readonly Tensor[]): void {
    const { values } = this;
    const fit = slabs.length === values.length &&
      slabs.every(({ device, elements }, i) =>
        device === this.device && elements === values[i]!.elements
      );
    if (fit) return;
    const [found, wanted] = [slabs, values].map((each) => each.map(({ elements }) => elements));
    throw new TypeError(
      `Cannot take slabs of [${found}] elements for values: expected [${wanted}] on the same device, as ` +
        "`parallel` makes them",
    );
  }

  #declare(
    name: string,
    shape: Shape,
    { init, frozen }: { init: Initializer; frozen: boolean },
  ): Parameter {
    if (this.#allocated) {
      throw new TypeError(
        `Cannot declare parameter ${name}: the store is in use already, expected all to be declared ` +
          "before the first is used",
      );
    }
    if (this.#parameters.has(name)) {
      throw new TypeError(
        `Cannot declare parameter ${name}: there is one of that name, expected another name, or a ` +
          "store for each model",
      );
    }
    requireWholeSizes(shape);
    const parameter = new Parameter(this, { name, shape, frozen });
    this.#parameters.set(name, parameter);
    this.#initializers.set(name, init);
    return parameter;
  }

  /** What a new parameter starts from. */
  #initialValues(parameter: Parameter): Float32Array {
    const { name, shape, elements } = parameter, values = new Float32Array(elements);
    requireRecorded(this.#initializers.get(name)!(values, { name, shape, seed: this.#seed }));
    return values;
  }

  #allocate(valuesOf = (parameter: Parameter) => this.#initialValues(parameter)): void {
    if (this.#disposed) {
      throw new ReferenceError(
        "Cannot use parameters: their store was disposed of, expected it to outlive the model",
      );
    }
    if (this.#allocated) return;
    this.#allocated = true;
    try {
      const all = [...this.#parameters.values()];
      this.#trained = this.#makeSlabs(all.filter(({ frozen }) => !frozen));
      for (const { storage } of this.#trained) storage.holdsParameters = true;
      this.#frozen = this.#makeSlabs(all.filter(({ frozen }) => frozen));
      for (const parameter of all) parameter.write(valuesOf(parameter));
    } catch (error) {
      // Nobody must find parameters that were never set.
      this.#release();
      this.#trained = this.#frozen = [];
      this.#places.clear();
      this.#allocated = false;
      throw error;
    }
    this.#initializers.clear();
  }

  #makeSlabs(parameters: readonly Parameter[]): Tensor[] {
    const limit = Math.floor(this.device.profile.maxBindingBytes / 4);
    const sizes: number[] = [];
    for (const parameter of parameters) {
      const { elements } = parameter;
      if (elements > limit) {
        throw new RangeError(
          `Cannot hold parameter ${parameter.name} ${formatShape(parameter.shape)}: ` +
            `${elements * 4} bytes, expected at most ${limit * 4} on this adapter`,
        );
      }
      const padded = Math.ceil(elements / ALIGNMENT_ELEMENTS) * ALIGNMENT_ELEMENTS;
      let slab = sizes.length - 1;
      if (slab < 0 || sizes[slab]! + padded > limit) slab = sizes.push(0) - 1;
      this.#places.set(parameter, { slab, first: sizes[slab]! });
      sizes[slab]! += padded;
    }
    return sizes.map((size) => zeroed(this.device, size));
  }
}

/** Slabs outlive every scope, hence they are made outside of the current one. */
function zeroed(device: Device, elements: number): Tensor {
  const slab = device.unscoped(() => device.empty([elements]));
  fill(slab, 0);
  return slab;
}

class PrefixedScope implements ParameterScope {
  readonly #store: ParameterStore;
  readonly #prefix: string;

  constructor(store: ParameterStore, prefix: string) {
    this.#store = store;
    this.#prefix = prefix;
  }

  at(part: string): ParameterScope {
    return new PrefixedScope(this.#store, `${this.#prefix}${part}.`);
  }

  parameter(name: string, shape: Shape, init: Initializer): Parameter {
    return this.#store.parameter(this.#prefix + name, shape, init);
  }

  frozen(name: string, shape: Shape, init: Initializer): Parameter {
    return this.#store.frozen(this.#prefix + name, shape, init);
  }
}
