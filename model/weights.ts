/**
 * Files of weights, of this project and of the official PyTorch code.
 *
 * @module
 */

import { CheckpointError } from "../kernels/core/errors.ts";
import { SafetensorsFile } from "../kernels/core/safetensors.ts";
import { canonicalName, safetensorsSource, type TensorSource } from "./state_dict.ts";
import { TorchFile } from "./torch_file.ts";

/** An open file of weights; its tensors are read one by one, when they are asked for. */
export interface WeightsFile extends TensorSource, Disposable {}

/** Options of {@linkcode openWeights}. */
export interface OpenWeightsOptions {
  /**
   * The part of a PyTorch file that is wanted, such as `model`; by default the moving average `ema`
   * where there is one. A safetensors file has no parts.
   */
  readonly select?: string | undefined;
}

/**
 * Opens weights in a `.safetensors`, `.pt` or `.pth` file for `loadStateDict`: released checkpoints
 * of SiT, REPA, LightningDiT and GMem, and those of this project.
 *
 * Throws a `CheckpointError` that says what is wrong when the file is of another kind or damaged, or
 * does not have the selected part.
 *
 * @example
 * ```ts
 * import { openWeights, writeSafetensors } from "@gmem/gmem";
 *
 * const folder = Deno.makeTempDirSync(), path = `${folder}/model.safetensors`;
 * writeSafetensors(path, [["bias", { dtype: "F32", shape: [2], data: Float32Array.of(1, 2) }]]);
 * {
 *   using weights = openWeights(path);
 *   console.log([...weights.keys()], weights.readFloat32("bias"));
 *   // [ "bias" ] Float32Array(2) [ 1, 2 ]
 * }
 * Deno.removeSync(folder, { recursive: true });
 * ```
 */
export function openWeights(path: string, options: OpenWeightsOptions = {}): WeightsFile {
  const { select } = options;
  if (/\.pth?$/i.test(path)) return openTorchWeights(path, select);
  if (!/\.safetensors$/i.test(path)) {
    throw new CheckpointError(
      `Cannot open weights ${JSON.stringify(path)}: its kind is not known, ` +
        "expected .safetensors, .pt or .pth",
      { path },
    );
  }
  if (select !== undefined) {
    throw new CheckpointError(
      `Cannot select ${JSON.stringify(select)} of ${JSON.stringify(path)}: ` +
        "a safetensors file has no parts, expected a .pt or .pth file",
      { path },
    );
  }
  const file = SafetensorsFile.open(path);
  return { ...safetensorsSource(file), [Symbol.dispose]: () => file[Symbol.dispose]() };
}

function openTorchWeights(path: string, select: string | undefined): WeightsFile {
  using opened = new DisposableStack();
  const file = opened.use(TorchFile.open(path));
  const tensors = file.stateDict({ select });
  opened.move();
  return {
    path,
    keys: () => tensors.keys(),
    shape: (key) => tensors.get(key)!.shape,
    readFloat32: (key) => tensors.get(key)!.readFloat32(),
    [Symbol.dispose]: () => file[Symbol.dispose](),
  };
}

const TIME_LAYER = "t_embedder.mlp.0.weight";
const OUTPUT_LAYER = /^final_layer\.linear\.(?:weight|bias)$/;

/**
 * Weights of a network whose time runs the other way, turned to ours (t = 1 is data). REPA and the
 * first GMem release count from data to noise, so that their velocity is v(x, t) = −v′(x, 1 − t).
 *
 * The network itself is changed: cos((1 − t) f) and sin((1 − t) f) are sums of cos(t f) and sin(t f),
 * which the first layer of the time embedding takes up, and the last layer changes its sign. Reading
 * throws what reading `source` throws.
 *
 * @example
 * ```ts
 * import { reverseTime } from "@gmem/gmem";
 *
 * const source = {
 *   path: "memory",
 *   keys: () => ["final_layer.linear.bias"],
 *   shape: () => [2],
 *   readFloat32: () => Float32Array.of(1, -2),
 * };
 * const reversed = reverseTime(source);
 * console.log(reversed.readFloat32("final_layer.linear.bias")); // Float32Array(2) [ -1, 2 ]
 * ```
 */
export function reverseTime(source: TensorSource): TensorSource {
  return {
    path: source.path,
    keys: () => source.keys(),
    shape: (key) => source.shape(key),
    readFloat32: (key) => {
      const values = source.readFloat32(key), name = canonicalName(key);
      if (name === TIME_LAYER) return reverseTimeLayer(values, source.shape(key)[1]!);
      return OUTPUT_LAYER.test(name) ? values.map((value) => -value) : values;
    },
  };
}

/** `weight` [D, inputs] on half as many cosines, then the sines of the same frequencies. */
function reverseTimeLayer(weight: Float32Array, inputs: number): Float32Array {
  const half = inputs / 2;
  return weight.map((own, i) => {
    const k = i % inputs, ofCosine = k < half;
    const frequency = 10000 ** (-(k % half) / half);
    const other = weight[ofCosine ? i + half : i - half]!;
    const [cosine, sine] = [Math.cos(frequency), Math.sin(frequency)];
    return ofCosine ? own * cosine + other * sine : other * sine - own * cosine;
  });
}
