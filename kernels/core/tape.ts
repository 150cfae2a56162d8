/**
 * Reverse-mode differentiation over recorded ops.
 *
 * @module
 */

import { blockBytes } from "./buffer_pool.ts";
import type { Device } from "./device.ts";
import { addTo, fill } from "./in_place.ts";
import {
  currentValues,
  Parameter,
  type ValuesInPlace,
  withValuesInPlace,
} from "./parameter_store.ts";
import { formatShape, onAnother, type Shape, Storage, type Tensor } from "./tensor.ts";

/**
 * Writes a gradient: into `gradient`, which has the shape of the tensor that was asked for, adding to what is
 * there when `accumulate` is 1.
 */
export type WriteGradient = (gradient: Tensor, accumulate: 0 | 1) => void;

/** What a kernel can write gradients to. */
export interface IntoOptions {
  /**
   * Whether it can assign them in f16, too: the tensor to write to is f16 where what made `tensor` rounds its
   * cotangent to f16 anyway. Default `false`.
   */
  readonly halves?: boolean | undefined;
}

/** Where an op's backward puts its gradients. Callbacks run only for tensors that need one. */
export interface Gradients {
  /** The kernel writes the whole gradient of `tensor`. */
  into(tensor: Tensor, write: WriteGradient, options?: IntoOptions): void;
  /** The kernel writes a part of it and adds; the rest is zeroed first. */
  region(tensor: Tensor, write: WriteGradient): void;
  /**
   * The gradient of `tensor` is `dy` itself, as in a residual stream; must be the last use of `dy`. Throws `TypeError`
   * where that is f16.
   */
  pass(tensor: Tensor, dy: Tensor): void;
}

/** One op on the tape. */
export interface TapeNode {
  /** The op's name, for errors. */
  readonly name: string;
  /** Tensors that may need a gradient; only these may be passed to {@linkcode Gradients}. */
  readonly inputs: readonly Tensor[];
  /** The op's result. */
  readonly output: Tensor;
  /** Tensors that the backward pass reads; kept alive until then. One that is no input gets no gradient. */
  readonly saved: readonly Tensor[];
  /**
   * Arguments that the op is not differentiated in, such as a target, even where they view an input.
   * Default none.
   */
  readonly constants?: readonly Tensor[] | undefined;
  /**
   * Element type that `backward` rounds `dy` to. Default `"f32"`. With `"f16"` it is f16 already where one op alone
   * reads the output and assigns its gradient so; see {@linkcode IntoOptions}.
   */
  readonly cotangentDtype?: "f32" | "f16" | undefined;
  /** Records the backward kernels for the cotangent `dy` of the output, of the shape of that. */
  backward(dy: Tensor, gradients: Gradients): void;
}

/**
 * A node with the inputs that need a gradient, found while all of them are alive. Storages stand for
 * tensors, whose elements nobody may need any more: only what ops save is kept.
 */
interface RecordedNode extends TapeNode {
  readonly needed: ReadonlyMap<Tensor, Storage>;
  /** The names under which it was recorded. */
  readonly path: string;
  /** What parameters read their values from. */
  readonly values: ValuesInPlace;
  readonly produced: Storage;
  /** What it holds until its backward pass: a tensor may view another storage by then. */
  readonly held: readonly Held[];
}

interface Held {
  readonly storage: Storage;
  readonly shape: Shape;
  /**
   * That of the storage when it was saved; undefined for parameters, which share one with others that may
   * be written.
   */
  readonly version: number | undefined;
}

/**
 * Records ops and runs them backwards.
 *
 * The tape decides whether a gradient kernel assigns or adds: the first writer of an activation's
 * gradient assigns, later ones add. So it is with parameters, whose first writer is that after they were zeroed, as
 * the optimiser does. Gradients are f32, but f16 where only an op that rounds them to that reads them.
 * Nothing is computed for tensors that do not need a gradient.
 *
 * @example
 * ```ts
 * import { Device, linear, meanSquare, ParameterStore, Tape } from "@gmem/gmem/kernels";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * using store = new ParameterStore(device);
 * const weight = store.parameter("weight", [1, 2], (values) => values.set([3, 4]));
 * using x = device.tensor(Float32Array.of(1, 2), [1, 2]);
 * using target = device.tensor(Float32Array.of(10), [1, 1]);
 * using tape = new Tape(device);
 * using loss = tape.record(() => meanSquare(linear(x, weight), target));
 * tape.backward(loss); // the `gradient` of each Parameter has been added to
 * console.log(await weight.gradient.read()); // Float32Array(2) [ 2, 4 ]
 * ```
 */
export class Tape implements Gradients, Disposable {
  readonly #device: Device;
  readonly #nodes: RecordedNode[] = [];
  readonly #tracked = new Set<Storage>();
  /** All that was ever tracked; of nested tapes together with their parent. */
  readonly #everTracked: WeakSet<Storage>;
  /**
   * What was made of tracked tensors and is not tracked itself, with the name of what made it; of nested tapes
   * together with their parent.
   */
  readonly #cutOff: WeakMap<Storage, string>;
  readonly #nested: boolean;
  readonly #watched = new Map<Storage, Shape>();
  /** What was made by ops that round their cotangent to f16. */
  readonly #rounding = new WeakSet<Storage>();
  /** How many inputs of ops read a tensor. */
  readonly #readers = new WeakMap<Storage, number>();
  /** Gradients so far, by the buffers of the tensors that they are of. */
  readonly #gradients: Map<Storage, Tensor>;
  #current: RecordedNode | undefined;
  #ranBackward = false;
  #disposed = false;

  /**
   * Makes an empty tape. A nested tape shares the gradients of `parent`; of what that recorded it may read
   * `inputs` alone.
   */
  constructor(
    device: Device,
    options: { parent?: Tape | undefined; inputs?: readonly Tensor[] | undefined } = {},
  ) {
    const { parent, inputs = [] } = options;
    this.#device = device;
    this.#nested = parent !== undefined;
    this.#gradients = parent ? parent.#gradients : new Map();
    this.#everTracked = parent ? parent.#everTracked : new WeakSet();
    this.#cutOff = parent ? parent.#cutOff : new WeakMap();
    for (const input of inputs) {
      if (!(input instanceof Parameter) && parent?.tracks(input)) this.#track(input.storage);
    }
  }

  /**
   * Asks for the gradient of a tensor; call before {@linkcode Tape.record}. Backward passes of one tape
   * add to it. Throws `TypeError` for a parameter, which has its own or is frozen, for a part of a buffer that others
   * share, such as `ParameterStore.view` gives, for whole numbers, and for a tensor of another device.
   */
  watch(tensor: Tensor): void {
    if (tensor instanceof Parameter) {
      throw new TypeError(
        `Cannot watch parameter ${tensor.name}: ` +
          (tensor.frozen
            ? "it is frozen, expected one that is trained or a copy of its values"
            : "its gradient is added to its own, read that"),
      );
    }
    const { storage, offset, bytes, dtype, shape } = tensor;
    if (storage.device !== this.#device) throw onAnother("watch", formatShape(shape));
    if (dtype === "u32") {
      throw new TypeError(`Cannot watch ${formatShape(shape)} of u32: expected f32 or f16`);
    }
    // Gradients are kept by buffers, whose sizes are whole blocks.
    if (offset > 0 || storage.pooled.bytes !== blockBytes(bytes)) {
      throw new TypeError(
        `Cannot watch ${formatShape(shape)}: ` +
          "it is a part of a buffer, expected a tensor of its own, copy it to one",
      );
    }
    this.#track(storage);
    this.#watched.set(storage, shape);
  }

  /**
   * The gradient of a watched tensor, in its shape, after {@linkcode Tape.backward}. The scope in which that
   * ran first releases it; outside of every scope it is the caller's to dispose, and outlives the tape.
   * Throws `ReferenceError` where there is none, and `TypeError` for a parameter, which has its own.
   */
  gradient(tensor: Tensor): Tensor {
    if (tensor instanceof Parameter) {
      throw new TypeError(
        `Cannot give the gradient of parameter ${tensor.name}: it is added to the parameter's own, ` +
          "expected parameter.gradient",
      );
    }
    const gradient = this.#gradients.get(tensor.storage);
    if (gradient) return gradient;
    throw new ReferenceError(
      `Cannot give the gradient of ${formatShape(tensor.shape)}: it was not watched or not used`,
    );
  }

  /**
   * Runs `fn` while recording its ops; `TypeError` when it is async. Tensors that it reads are not to be
   * written until the backward pass, which throws an Error where one was that an op saved; writes to
   * parameters it cannot tell. Throws `ReferenceError` once the tape is disposed of, which could not let go
   * of what it records.
   */
  record<T>(fn: () => T): T {
    if (this.#disposed) {
      throw new ReferenceError("Cannot record: the tape was disposed of, expected a new one");
    }
    this.#ranBackward = false;
    return this.#device.withTape(this, fn);
  }

  /** Whether a tensor needs a gradient: a trained parameter, or what depends on one or is watched. */
  tracks(tensor: Tensor): boolean {
    return tensor instanceof Parameter ? !tensor.frozen : this.#tracked.has(tensor.storage);
  }

  /**
   * Notes what a kernel, a copy or a write makes or changes while this tape records, so that
   * {@linkcode Tape.push} finds what no op recorded. Called by the device.
   */
  noteMade(written: readonly Tensor[], { of, by }: { of: readonly Tensor[]; by: string }): void {
    const lost = of.some((tensor) =>
      (this.tracks(tensor) || (this.#nested && this.#isGone(tensor)) ||
        this.#cutOff.has(tensor.storage)) &&
      !written.some(({ storage }) => storage === tensor.storage)
    );
    for (const { storage } of written) {
      // What an op made and is written to has other values than the op knows; what is watched may be filled.
      const spoilt = this.#tracked.has(storage) && !this.#watched.has(storage);
      if (lost || spoilt) this.#cutOff.set(storage, by);
    }
  }

  /**
   * Appends an op's node when one of its inputs needs a gradient. Called by ops. Throws `TypeError` for an
   * input or a constant that an op which is not differentiated made of what needs a gradient, or wrote to
   * since, for an input that a backward pass went back over, for a view of parameters, and for what needs a
   * gradient and is a constant, or was saved without being an input: it would be lost.
   */
  push(node: TapeNode): void {
    const { name, inputs, saved, constants = [] } = node;
    const apart = [...saved.filter((tensor) => !isPartOf(node, tensor)), ...constants];
    for (const tensor of [...inputs, ...apart]) requireNoView(tensor, `record ${name}`);
    for (const input of inputs) this.#requireThere(input, name);
    for (const tensor of apart) {
      if (this.#nested && this.#isGone(tensor)) throw notAnInput(name, tensor);
      if (this.tracks(tensor)) throw withoutGradient(tensor, node);
    }
    for (const tensor of [...inputs, ...constants]) this.#requireRecorded(tensor, `record ${name}`);
    const needed = new Map(
      node.inputs.filter((input) => this.tracks(input)).map((input) => [input, input.storage]),
    );
    if (needed.size > 0) this.#append({ ...node, needed });
  }

  /**
   * Runs `fn` without keeping its intermediate tensors and runs it again in the backward pass: less
   * memory for one more forward pass. `inputs`, which `fn` receives, are all tensors that it reads besides
   * parameters and constants; the backward pass throws a `TypeError` where it reads others that need a
   * gradient. Within `fn` of another checkpoint this is a part of that; where nothing records it runs `fn`
   * and no more.
   *
   * @example
   * ```ts
   * import { Device, multiply, Tape } from "@gmem/gmem/kernels";
   *
   * using device = await Device.open({ allowCpuDriver: true });
   * using x = device.tensor(Float32Array.of(3), [1]);
   * using tape = new Tape(device);
   * tape.watch(x);
   * using cube = tape.record(() => tape.checkpoint([x], (x) => multiply(multiply(x, x), x)));
   * tape.backward(cube);
   * using gradient = tape.gradient(x); // 3 x²
   * console.log(await gradient.read()); // Float32Array(1) [ 27 ]
   * ```
   */
  checkpoint<T extends Tensor[]>(
    inputs: readonly [...T],
    fn: (...inputs: NoInfer<T>) => Tensor,
  ): Tensor {
    const device = this.#device, { precision, tape } = device;
    const run = () => device.scope(() => fn(...inputs));
    if (!tape) return run();
    if (tape !== this) return tape.checkpoint(inputs, fn);
    for (const input of inputs) {
      requireNoView(input, "record checkpoint");
      this.#requireRecorded(input, "record checkpoint");
      this.#requireThere(input, "checkpoint");
    }
    const older = Storage.made;
    const output = device.withTape(undefined, run);
    const { storage } = output;
    if (storage.number <= older) {
      const isInput = inputs.some((input) => input.storage === storage);
      if (this.#tracked.has(storage) && !isInput) throw notAnInput("checkpoint", output);
      // An input is tracked already, and a constant is none of what was recorded.
      return output;
    }
    this.#append({
      name: "checkpoint",
      inputs,
      output,
      saved: inputs,
      // The nested tape finds what needs a gradient, and adds to the gradients of this one.
      needed: new Map(),
      backward: (dy) => {
        using inner = new Tape(device, { parent: this, inputs });
        const again = device.withPrecision(precision, () => inner.record(run));
        inner.#propagate(again, dy);
        again.dispose();
      },
    });
    return output;
  }

  /**
   * Adds the gradients of `loss` (one element), times `scale`, to all parameters it depends on. What was
   * recorded is gone afterwards, for other losses too: a second time throws a `ReferenceError`, as a disposed
   * tape does. Throws `RangeError` for a scale that is not finite, and `TypeError` for a loss
   * that this tape did not record, or that depends on nothing that needs a gradient.
   */
  backward(loss: Tensor, options: { scale?: number | undefined } = {}): void {
    if (loss.elements !== 1) {
      throw new TypeError(
        `Cannot differentiate ${formatShape(loss.shape)}: expected one element, or backwardFrom`,
      );
    }
    const { scale = 1 } = options;
    if (!Number.isFinite(scale)) {
      throw new RangeError(`Cannot differentiate times ${scale}: expected a finite number`);
    }
    this.#requireTracked(loss);
    const seed = this.#device.empty(loss.shape);
    fill(seed, scale);
    this.#device.withTape(undefined, () => this.#propagate(loss, seed));
    seed.dispose();
  }

  /** As {@linkcode Tape.backward} from a tensor of any shape and its cotangent of the same shape. */
  backwardFrom(output: Tensor, cotangent: Tensor): void {
    this.#requireTracked(output);
    const own = this.#clone(cotangent, cotangent.shape);
    this.#device.withTape(undefined, () => this.#propagate(output, own));
    own.dispose();
  }

  /** Lets go of what was recorded and not gone back over. */
  [Symbol.dispose](): void {
    this.#disposed = true;
    for (const { held } of this.#nodes.splice(0)) letGo(held);
  }

  #requireTracked(output: Tensor): void {
    if (this.#disposed) {
      throw new ReferenceError(
        `Cannot differentiate ${formatShape(output.shape)}: ` +
          "the tape was disposed of, and what it recorded is gone",
      );
    }
    if (this.#ranBackward) {
      throw new ReferenceError(
        `Cannot differentiate ${formatShape(output.shape)}: ` +
          "the tape went back over all that it recorded, record it again",
      );
    }
    this.#requireRecorded(output, "differentiate");
    if (this.tracks(output)) return;
    throw new TypeError(
      `Cannot differentiate ${formatShape(output.shape)}: expected what this tape recorded, ` +
        "made by differentiable ops from trained parameters or watched tensors",
    );
  }

  #propagate(output: Tensor, cotangent: Tensor): void {
    if (cotangent.elements !== output.elements) {
      throw new TypeError(
        `Cannot differentiate ${formatShape(output.shape)}: ` +
          `cotangent is ${formatShape(cotangent.shape)}`,
      );
    }
    this.#ranBackward = true;
    this.#begin(output, cotangent);
    for (let node = this.#nodes.pop(); node; node = this.#nodes.pop()) {
      const { produced, held } = node;
      const gradient = this.#gradients.get(produced), watched = this.#watched.has(produced);
      try {
        if (gradient) {
          requireUnchanged(node);
          const { shape } = node.output;
          // `pass` may hand the buffer on to be added to, which must not change a watched gradient.
          using dy = watched ? this.#clone(gradient, shape) : gradient.reshape(shape);
          this.#current = node;
          const run = () => withValuesInPlace(node.values, () => node.backward(dy, this));
          this.#device.named(`${node.name} backward`, run, { within: node.path });
        }
      } finally {
        letGo(held);
      }
      if (watched) continue;
      gradient?.dispose();
      this.#gradients.delete(produced);
      this.#tracked.delete(produced);
    }
    for (const [storage, shape] of this.#watched) this.#reshapeGradient(storage, shape);
  }

  /** The cotangent is the output's gradient; a parameter or what is watched may have one to add to. */
  #begin(output: Tensor, cotangent: Tensor): void {
    if (output instanceof Parameter) {
      return output.writeGradient((gradient, accumulate) =>
        this.#write(gradient, cotangent, accumulate)
      );
    }
    const { storage } = output, gradient = this.#gradients.get(storage);
    if (gradient) addTo(gradient, cotangent);
    // What a checkpoint made of constants alone has no node to take it.
    else if (this.#tracked.has(storage)) {
      this.#gradients.set(storage, cotangent.reshape(output.shape));
    }
  }

  /** The first writer made a watched gradient in the shape that its op saw. */
  #reshapeGradient(storage: Storage, shape: Shape): void {
    const gradient = this.#gradients.get(storage);
    if (!gradient || formatShape(gradient.shape) === formatShape(shape)) return;
    this.#gradients.set(storage, gradient.reshape(shape));
    gradient.dispose();
  }

  /** See {@linkcode Gradients.into}. */
  into(tensor: Tensor, write: WriteGradient, options: IntoOptions = {}): void {
    const storage = this.#needed(tensor);
    if (!storage) return;
    if (tensor instanceof Parameter) return tensor.writeGradient(write);
    const gradient = this.#gradients.get(storage);
    if (gradient) return this.#addAs(tensor.shape, gradient, write);
    const dtype = options.halves && this.#mayBeHalves(storage) ? "f16" : "f32";
    write(this.#makeGradient(storage, tensor.shape, dtype), 0);
  }

  /** See {@linkcode Gradients.region}. */
  region(tensor: Tensor, write: WriteGradient): void {
    const storage = this.#needed(tensor);
    if (!storage) return;
    if (tensor instanceof Parameter) {
      return tensor.writeGradient((gradient, accumulate) => {
        if (!accumulate) fill(gradient, 0);
        write(gradient, 1);
      });
    }
    let gradient = this.#gradients.get(storage);
    if (!gradient) fill(gradient = this.#makeGradient(storage, tensor.shape, "f32"), 0);
    this.#addAs(tensor.shape, gradient, write);
  }

  /** See {@linkcode Gradients.pass}. */
  pass(tensor: Tensor, dy: Tensor): void {
    const storage = this.#needed(tensor);
    if (!storage) return;
    if (dy.dtype === "f16") {
      throw new TypeError(
        `Cannot pass on the cotangent of ${
          this.#current!.name
        }: it is f16, expected an op without ` +
          "cotangentDtype, or a gradient by into",
      );
    }
    if (tensor instanceof Parameter || this.#gradients.has(storage)) {
      return this.into(
        tensor,
        (gradient, accumulate) => this.#write(gradient, dy, accumulate),
      );
    }
    // The stream's gradient goes on in the same buffer: later writers add to it in place.
    this.#gradients.set(storage, dy.reshape(tensor.shape));
  }

  #write(gradient: Tensor, value: Tensor, accumulate: 0 | 1): void {
    if (accumulate) addTo(gradient, value);
    else this.#device.copyInto(gradient, value);
  }

  #clone(tensor: Tensor, shape: Shape): Tensor {
    const copy = this.#device.empty(shape);
    this.#device.copyInto(copy, tensor);
    return copy;
  }

  #track(storage: Storage): void {
    this.#tracked.add(storage);
    this.#everTracked.add(storage);
  }

  /**
   * Whether a tensor needed a gradient and has no place for one: it was gone back over, or for a nested tape
   * is yet to be.
   */
  #isGone(tensor: Tensor): boolean {
    if (tensor instanceof Parameter) return false;
    const { storage } = tensor;
    return this.#everTracked.has(storage) && !this.#tracked.has(storage);
  }

  /** Throws for an input whose gradient would go no further than to it. */
  #requireThere(tensor: Tensor, name: string): void {
    if (this.#isGone(tensor)) throw this.#nested ? notAnInput(name, tensor) : gone(name, tensor);
  }

  /** Parameters share a storage with others, so that nobody can tell which of them was written. */
  #requireRecorded(tensor: Tensor, action: string): void {
    const by = tensor instanceof Parameter ? undefined : this.#cutOff.get(tensor.storage);
    if (by !== undefined) throw cutOff(tensor, { by, action });
  }

  #append(node: Omit<RecordedNode, "path" | "values" | "produced" | "held">): void {
    const produced = node.output.storage;
    this.#track(produced);
    this.#cutOff.delete(produced);
    if (node.cotangentDtype === "f16") this.#rounding.add(produced);
    for (const { storage } of node.inputs) {
      this.#readers.set(storage, (this.#readers.get(storage) ?? 0) + 1);
    }
    const held = node.saved.map((tensor): Held => {
      const { storage, shape } = tensor;
      storage.retain();
      return { storage, shape, version: tensor instanceof Parameter ? undefined : storage.version };
    });
    const { path } = this.#device, values = currentValues();
    this.#nodes.push({ ...node, path, values, produced, held });
  }

  /** The storage of an input of the current node, where that needs a gradient. */
  #needed(tensor: Tensor): Storage | undefined {
    const { name, inputs, needed } = this.#current!;
    if (!inputs.includes(tensor)) {
      throw new TypeError(`Cannot give ${name} a place for the gradient of what is no input of it`);
    }
    return needed.get(tensor);
  }

  /** Whether nothing reads the gradient of a tensor but what rounds it to f16, and one op writes it. */
  #mayBeHalves(storage: Storage): boolean {
    return this.#rounding.has(storage) && this.#readers.get(storage) === 1 &&
      !this.#watched.has(storage);
  }

  /** Adds to a gradient, whose first writer may have seen its tensor by a view of another shape. */
  #addAs(shape: Shape, gradient: Tensor, write: WriteGradient): void {
    if (gradient.dtype === "f16") {
      throw new TypeError(
        `Cannot give ${this.#current!.name} a second place for the gradient of ` +
          `${formatShape(shape)}: it is f16, expected an op that assigns all of it at once`,
      );
    }
    using view = gradient.reshape(shape);
    write(view, 1);
  }

  #makeGradient(storage: Storage, shape: Shape, dtype: "f32" | "f16"): Tensor {
    const gradient = this.#device.empty(shape, { dtype });
    this.#gradients.set(storage, gradient);
    return gradient;
  }
}

function notAnInput(name: string, tensor: Tensor): TypeError {
  return new TypeError(
    `Cannot recompute ${name}: ` +
      `${formatShape(tensor.shape)} is no input of its checkpoint, expected all tensors that it ` +
      "reads in the list, and the function to use them as it receives them",
  );
}

function gone(name: string, tensor: Tensor): TypeError {
  return new TypeError(
    `Cannot record ${name}: ` +
      `a backward pass went back over what made ${formatShape(tensor.shape)}, expected it to be ` +
      "recorded again, or as a constant a copy that is made in device.withTape(undefined, …)",
  );
}

function cutOff(tensor: Tensor, { by, action }: { by: string; action: string }): TypeError {
  return new TypeError(
    `Cannot ${action}: ${formatShape(tensor.shape)} was made by ${by} of what needs a gradient, ` +
      "and no op recorded that, expected differentiable ops alone, or device.withTape(undefined, …) around " +
      "what is to count as constant",
  );
}

/** Throws for a tensor that views trained parameters: the gradient of those would be lost. */
function requireNoView(tensor: Tensor, action: string): void {
  if (tensor instanceof Parameter || !tensor.storage.holdsParameters) return;
  throw new TypeError(
    `Cannot ${action}: ${formatShape(tensor.shape)} is a view of trained parameters, to which ` +
      "no gradient goes, expected a parameter itself, such as in a cast that can be reshaped",
  );
}

/** Whether a tensor is the output of a node or one of its inputs; parameters share a storage with others. */
function isPartOf({ inputs, output }: TapeNode, tensor: Tensor): boolean {
  if (inputs.includes(tensor)) return true;
  if (tensor instanceof Parameter) return false;
  return [...inputs, output].some(({ storage }) => storage === tensor.storage);
}

function withoutGradient(tensor: Tensor, { name }: TapeNode): TypeError {
  return new TypeError(
    `Cannot record ${name}: ${formatShape(tensor.shape)} needs a gradient, and ${name} gives it ` +
      "none, expected a constant: what is made in device.withTape(undefined, …)",
  );
}

/** Throws where the gradients would be those of other values than the op had. */
function requireUnchanged({ name, held }: RecordedNode): void {
  for (const { storage, shape, version } of held) {
    if (version === undefined || version === storage.version) continue;
    throw new Error(
      `Cannot differentiate ${name}: ${formatShape(shape)}, which it saved, was written since, ` +
        "expected no write from record to backward",
    );
  }
}

function letGo(held: readonly Held[]): void {
  for (const { storage } of held) storage.release();
}
