/**
 * Reading and writing a model's parameters under their official names.
 *
 * @module
 */

import { CheckpointError } from "../kernels/core/errors.ts";
import type { ParameterStore } from "../kernels/core/parameter_store.ts";
import { SafetensorsWriter } from "../kernels/core/safetensors_writer.ts";
import { formatShape, type Shape, type Tensor } from "../kernels/core/tensor.ts";
import { withoutWrappers } from "./torch_file.ts";

/** Named tensors in a file, such as those that `openWeights` of `model/weights.ts` opens. */
export interface TensorSource {
  /** The file, for errors. */
  readonly path: string;
  /** Names of the tensors. */
  keys(): Iterable<string>;
  /** Shape of a tensor. */
  shape(key: string): Shape;
  /** Elements of a tensor as float32. */
  readFloat32(key: string): Float32Array;
}

/**
 * Views an open safetensors file as a {@linkcode TensorSource}, which can be read until the file is closed.
 *
 * @example
 * ```ts
 * import { safetensorsSource, SafetensorsFile } from "@gmem/gmem";
 *
 * const header = new TextEncoder().encode(
 *   '{"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}',
 * );
 * const bytes = new Uint8Array(8 + header.length + 8);
 * bytes[0] = header.length;
 * bytes.set(header, 8);
 * using file = SafetensorsFile.from(bytes);
 * const source = safetensorsSource(file);
 * console.log([...source.keys()], source.shape("x")); // [ "x" ] [ 2 ]
 * ```
 */
export function safetensorsSource(
  file: {
    readonly path: string;
    keys(): Iterable<string>;
    entry(key: string): { readonly shape: Shape };
    readFloat32(key: string): Float32Array;
  },
): TensorSource {
  return {
    path: file.path,
    keys: () => file.keys(),
    shape: (key) => file.entry(key).shape,
    readFloat32: (key) => file.readFloat32(key),
  };
}

/**
 * Other names of the same parameters: REPA-based code keeps the snippet embedding under the label's
 * name, the second GMem release has one projector without a list.
 */
const ALIASES: readonly (readonly [RegExp, string])[] = [
  [/^y_embedder\.(linear|net)\./, "condition_projection.$1."],
  [/^projector\.0\./, "projectors.0."],
];

/** The name in this project of a parameter of an official file. */
export function canonicalName(name: string): string {
  return ALIASES.reduce(
    (text, [pattern, by]) => text.replace(pattern, by),
    withoutWrappers(name),
  );
}

/** The name in a store of a parameter of a file: its own before one that it has in official files. */
function nameIn(store: ParameterStore, key: string): string {
  return [key, withoutWrappers(key)].find((name) => store.has(name)) ?? canonicalName(key);
}

/** How strictly a file must match the model. */
export interface LoadStateDictOptions {
  /** Also refuse names that the model has not; those that the file has not are refused anyway. Default `true`. */
  readonly strict?: boolean | undefined;
  /** Whether a name in the file is to be looked at; others are passed over. Default all. */
  readonly filter?: ((key: string) => boolean) | undefined;
}

/** Problems that an error lists; a model of another width has one for each tensor. */
const MOST_PROBLEMS = 8;

/**
 * Copies a file's tensors into the parameters of the same names. Nothing is changed unless all fit:
 * missing, unexpected, doubled and mis-shaped names are listed in one `CheckpointError`, the first of
 * them where they are many. Another one, in the midst of it, names a number that is not finite.
 *
 * @example
 * ```ts
 * import { Device, loadStateDict, ParameterStore } from "@gmem/gmem";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * using store = new ParameterStore(device);
 * const bias = store.at("proj").parameter("bias", [2], (values) => values.fill(0));
 * loadStateDict({
 *   path: "memory",
 *   keys: () => ["module.proj.bias"], // what DataParallel put before a name is passed over
 *   shape: () => [2],
 *   readFloat32: () => Float32Array.of(3, 4),
 * }, store);
 * console.log(await bias.read()); // Float32Array(2) [ 3, 4 ]
 * ```
 */
export function loadStateDict(
  source: TensorSource,
  store: ParameterStore,
  options: LoadStateDictOptions = {},
): void {
  const found = matchStateDict(source, store, options);
  store.fill(({ name }) => readFinite(source, found.get(name)!));
}

/** Elements of a tensor; throws a `CheckpointError` that names the first which is no finite number. */
export function readFinite(
  source: Pick<TensorSource, "path" | "readFloat32">,
  key: string,
): Float32Array {
  const values = source.readFloat32(key);
  requireFinite(values, { verb: "load", path: source.path, key });
  return values;
}

/** Throws a `CheckpointError` that names the first element of a tensor of a file which is no finite number. */
export function requireFinite(
  values: Float32Array,
  { verb, path, key }: {
    readonly verb: "load" | "write";
    readonly path: string;
    readonly key: string;
  },
): void {
  // A loop takes a tenth of the time of findIndex, and weights can be hundreds of millions.
  let wrong = 0;
  while (wrong < values.length && Number.isFinite(values[wrong])) wrong++;
  if (wrong === values.length) return;
  throw new CheckpointError(
    `Cannot ${verb} ${path}: ${key} holds ${values[wrong]} at ${wrong}, expected finite numbers`,
    { path, key },
  );
}

/**
 * The file's name for each parameter, by the names in this project.
 *
 * Throws a `CheckpointError` where not all fit, as {@linkcode loadStateDict} says. A store without a device
 * will do.
 */
export function matchStateDict(
  source: TensorSource,
  store: ParameterStore,
  options: LoadStateDictOptions = {},
): ReadonlyMap<string, string> {
  const { strict = true, filter = () => true } = options;
  const found = new Map<string, string>();
  const problems: string[] = [];
  for (const key of source.keys()) {
    if (!filter(key)) continue;
    const name = nameIn(store, key), before = found.get(name);
    if (before !== undefined) problems.push(`both ${before} and ${key} are ${name}`);
    found.set(name, key);
  }
  for (const [name, { shape }] of store.entries()) {
    const key = found.get(name);
    if (key === undefined) problems.push(`missing ${name} ${formatShape(shape)}`);
    else if (formatShape(source.shape(key)) !== formatShape(shape)) {
      problems.push(`${key} is ${formatShape(source.shape(key))}, expected ${formatShape(shape)}`);
    }
  }
  if (strict) {
    for (const [name, key] of found) if (!store.has(name)) problems.push(`unexpected ${key}`);
  }
  if (problems.length > 0) {
    const rest = problems.length - MOST_PROBLEMS;
    const listed = problems.slice(0, MOST_PROBLEMS).join("; ") + (rest > 0 ? `; ${rest} more` : "");
    throw new CheckpointError(
      `Cannot load ${source.path} into this model: ${listed}`,
      { path: source.path },
    );
  }
  return found;
}

/**
 * Writes all parameters to a safetensors file, the trained ones from `slabs` if given (a moving
 * average). The texts of `metadata` go into the header. Waits for the GPU.
 *
 * Throws a `CheckpointError` if the disk refuses, and one that names a number that is not finite, as loading does;
 * a file that was there stays as it was.
 *
 * @example
 * ```ts
 * import { Device, ParameterStore, SafetensorsFile, saveStateDict } from "@gmem/gmem";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * using store = new ParameterStore(device);
 * store.parameter("bias", [2], (values) => values.fill(0.5));
 * const folder = Deno.makeTempDirSync(), path = `${folder}/model.safetensors`;
 * await saveStateDict(path, store, { metadata: { run: "mine" } });
 * {
 *   using file = SafetensorsFile.open(path);
 *   console.log(file.readFloat32("bias"), file.metadata.run); // Float32Array(2) [ 0.5, 0.5 ] mine
 * }
 * Deno.removeSync(folder, { recursive: true });
 * ```
 */
export async function saveStateDict(
  path: string,
  store: ParameterStore,
  options: {
    slabs?: readonly Tensor[] | undefined;
    metadata?: Record<string, string> | undefined;
  } = {},
): Promise<void> {
  const entries = [...store.entries()].map(([name, { shape }]) =>
    [name, { dtype: "F32", shape }] as const
  );
  const metadata = { format: "pt", ...options.metadata };
  using writer = new SafetensorsWriter(path, entries, { metadata });
  for await (const [parameter, values] of store.read(options.slabs)) {
    requireFinite(values, { verb: "write", path, key: parameter.name });
    writer.append(parameter.name, values);
  }
  writer.commit();
}
