/**
 * The forward pass of SiT and LightningDiT in float64 and plain loops, as the oracle of the network
 * tests.
 *
 * Every function does what its formula says and nothing else. Shapes in comments: B batch, C
 * channels, S side of the image, P patch side, G = S / P patches a side, T = G^2 tokens, D width, H
 * heads, d = D / H.
 *
 * The network knows nothing of a time convention: it gets t as the caller's checkpoint means it.
 *
 * @module
 */

/** A row-major float64 array with its sizes, outermost first. */
export interface NdArray {
  readonly shape: readonly number[];
  readonly data: Float64Array;
}

/** Parameters under their official names; linear weights are [out, in]. */
export type Weights = ReadonlyMap<string, NdArray>;

/** The network's switches, named as in the `model` section of a configuration. */
export interface ReferenceConfig {
  readonly patchSize: number;
  readonly depth: number;
  readonly heads: number;
  readonly conditioning: "label" | "snippet";
  readonly snippetEmbedding: "linear" | "mlp3";
  readonly learnSigma: boolean;
  readonly qkNorm: boolean;
  readonly swiglu: boolean;
  readonly rope: boolean;
  readonly rmsNorm: boolean;
  readonly noShift: boolean;
  /** Block whose output the projector reads, counted from 1; null without a projector. */
  readonly repa: { readonly depth: number } | null;
}

/** What the network is evaluated on. */
export interface ReferenceInputs {
  readonly weights: Weights;
  /** Noisy images [B, C, S, S]. */
  readonly x: NdArray;
  /** Times [B]. */
  readonly t: NdArray;
  /** Labels [B], where the number of classes stands for no class, or snippets [B, N]. */
  readonly condition: NdArray;
}

/** What the network puts out, and what it computed on the way. */
export interface ReferenceOutputs {
  /** The prediction [B, C, S, S]. */
  readonly output: NdArray;
  /** The projector's tokens [B, T, Z], if there is a projector. */
  readonly projected: NdArray | undefined;
  /**
   * Intermediate results: `x_embedder` (before positions) and `blocks.i` [B, T, D], `blocks.i.attn`
   * and `blocks.i.mlp` (before their gates) [B, T, D], `t_embedder` and `condition` [B, D],
   * `final_layer` [B, T, P * P * channels].
   */
  readonly activations: ReadonlyMap<string, NdArray>;
}

const TIME_FREQUENCIES = 256;
const MAX_PERIOD = 10000;
const NORM_EPSILON = 1e-6;
const QK_LAYER_NORM_EPSILON = 1e-5;

function zeros(shape: readonly number[]): NdArray {
  return { shape, data: new Float64Array(shape.reduce((product, size) => product * size, 1)) };
}

function weight(weights: Weights, name: string): NdArray {
  const found = weights.get(name);
  if (found === undefined) throw new RangeError(`Cannot find weight "${name}": it is missing`);
  return found;
}

/** The first group of the pattern, for modules that have several names among repositories. */
function prefixOf(weights: Weights, pattern: RegExp): string {
  for (const name of weights.keys()) {
    const match = pattern.exec(name);
    if (match) return match[1]!;
  }
  throw new RangeError(`Cannot find a weight like ${pattern}: there is none`);
}

function map(x: NdArray, fn: (value: number) => number): NdArray {
  return { shape: x.shape, data: x.data.map(fn) };
}

function add(a: NdArray, b: NdArray): NdArray {
  return { shape: a.shape, data: a.data.map((value, i) => value + b.data[i]!) };
}

/** SiLU: x / (1 + exp(-x)). */
function silu(x: number): number {
  return x / (1 + Math.exp(-x));
}

/** GELU in its tanh approximation. */
function gelu(x: number): number {
  return 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));
}

/** y = x W^T + b over the last axis: [..., in] to [..., out]. */
function linear(x: NdArray, weights: Weights, name: string): NdArray {
  const { shape: [width, inner], data: w } = weight(weights, `${name}.weight`);
  const bias = weight(weights, `${name}.bias`).data;
  const y = zeros([...x.shape.slice(0, -1), width!]);
  for (let row = 0; row < y.data.length / width!; row++) {
    for (let out = 0; out < width!; out++) {
      let sum = bias[out]!;
      for (let k = 0; k < inner!; k++) sum += x.data[row * inner! + k]! * w[out * inner! + k]!;
      y.data[row * width! + out] = sum;
    }
  }
  return y;
}

/** Linear layers `name.0`, `name.2`, ... with SiLU between them. */
function siluMlp(
  x: NdArray,
  weights: Weights,
  { name, layers }: { name: string; layers: number },
): NdArray {
  let y = linear(x, weights, `${name}.0`);
  for (let layer = 1; layer < layers; layer++) {
    y = linear(map(y, silu), weights, `${name}.${2 * layer}`);
  }
  return y;
}

/** Calls back with every row of the last axis, as views that can be written. */
function forEachRow(
  x: NdArray,
  y: NdArray,
  fn: (input: Float64Array, output: Float64Array) => void,
): void {
  const width = x.shape.at(-1)!;
  for (let start = 0; start < x.data.length; start += width) {
    fn(x.data.subarray(start, start + width), y.data.subarray(start, start + width));
  }
}

/** (x - mean) / sqrt(variance + epsilon) over the last axis, then the affine map if any. */
function layerNorm(
  x: NdArray,
  { epsilon, weight, bias }: { epsilon: number; weight?: NdArray; bias?: NdArray },
): NdArray {
  const y = zeros(x.shape), width = x.shape.at(-1)!;
  forEachRow(x, y, (input, output) => {
    const mean = input.reduce((sum, value) => sum + value, 0) / width;
    const variance = input.reduce((sum, value) => sum + (value - mean) ** 2, 0) / width;
    for (let i = 0; i < width; i++) {
      const normalised = (input[i]! - mean) / Math.sqrt(variance + epsilon);
      output[i] = normalised * (weight?.data[i] ?? 1) + (bias?.data[i] ?? 0);
    }
  });
  return y;
}

/** x / sqrt(mean(x^2) + epsilon) over the last axis, times the weight. */
function rmsNorm(x: NdArray, { epsilon, weight }: { epsilon: number; weight: NdArray }): NdArray {
  const y = zeros(x.shape), width = x.shape.at(-1)!;
  forEachRow(x, y, (input, output) => {
    const square = input.reduce((sum, value) => sum + value * value, 0) / width;
    for (let i = 0; i < width; i++) {
      output[i] = input[i]! / Math.sqrt(square + epsilon) * weight.data[i]!;
    }
  });
  return y;
}

/** The `count` equal parts of the last axis: [..., count * D] to [..., D] each. */
function split(x: NdArray, count: number): NdArray[] {
  const width = x.shape.at(-1)! / count;
  return Array.from({ length: count }, (_, part) => {
    const y = zeros([...x.shape.slice(0, -1), width]);
    for (let row = 0; row < y.data.length / width; row++) {
      const start = (row * count + part) * width;
      y.data.set(x.data.subarray(start, start + width), row * width);
    }
    return y;
  });
}

/** Applies `fn(token value, per-image value)` to tokens [B, T, D] and a vector per image [B, D]. */
function withEachImage(
  tokens: NdArray,
  vectors: NdArray,
  fn: (token: number, vector: number) => number,
): NdArray {
  const [, length, width] = tokens.shape;
  const data = tokens.data.map((value, i) => {
    const image = Math.floor(i / (length! * width!));
    return fn(value, vectors.data[image * width! + i % width!]!);
  });
  return { shape: tokens.shape, data };
}

/** x (1 + scale) + shift, with one scale and shift per image. */
function modulate(
  x: NdArray,
  { shift, scale }: { shift: NdArray | undefined; scale: NdArray },
): NdArray {
  const scaled = withEachImage(x, scale, (token, s) => token * (1 + s));
  return shift === undefined ? scaled : withEachImage(scaled, shift, (token, s) => token + s);
}

/** x gate, with one gate per image. */
function gated(x: NdArray, gate: NdArray): NdArray {
  return withEachImage(x, gate, (token, g) => token * g);
}

/**
 * The features of a time [B] that its embedding starts from, [B, width]: cos(t f_k) for all k, then
 * sin(t f_k), with f_k = 10000^(-k / half); an odd width ends in a zero.
 */
export function timeFeatures(t: NdArray, width: number = TIME_FREQUENCIES): NdArray {
  const half = Math.floor(width / 2), y = zeros([t.data.length, width]);
  for (const [row, time] of t.data.entries()) {
    for (let k = 0; k < half; k++) {
      const angle = time * MAX_PERIOD ** (-k / half);
      y.data[row * width + k] = Math.cos(angle);
      y.data[row * width + half + k] = Math.sin(angle);
    }
  }
  return y;
}

/**
 * The fixed position embedding [T, D]: the first half of the width encodes the column, the second
 * the row, each as sin(p w_k) for all k, then cos(p w_k), with w_k = 10000^(-k / (D / 4)).
 */
export function sinCosPositions(grid: number, width: number): NdArray {
  const y = zeros([grid * grid, width]), quarter = width / 4;
  for (let row = 0; row < grid; row++) {
    for (let column = 0; column < grid; column++) {
      const start = (row * grid + column) * width;
      for (let k = 0; k < quarter; k++) {
        const frequency = MAX_PERIOD ** (-k / quarter);
        y.data[start + k] = Math.sin(column * frequency);
        y.data[start + quarter + k] = Math.cos(column * frequency);
        y.data[start + 2 * quarter + k] = Math.sin(row * frequency);
        y.data[start + 3 * quarter + k] = Math.cos(row * frequency);
      }
    }
  }
  return y;
}

/**
 * Two-dimensional rotary positions on [..., T, d]: neighbouring features form pairs; the pairs of
 * the first half turn by row * f_k, those of the second half by column * f_k, with f_k = 10000^(-2
 * k / (d / 2)) and k the pair within its half.
 */
export function rotateByPosition(x: NdArray): NdArray {
  const [tokens, width] = x.shape.slice(-2) as [number, number];
  const grid = Math.sqrt(tokens), half = width / 2, y = zeros(x.shape);
  for (let start = 0; start < x.data.length; start += width) {
    const token = start / width % tokens;
    for (let feature = 0; feature < width; feature += 2) {
      const position = feature < half ? Math.floor(token / grid) : token % grid;
      const angle = position * MAX_PERIOD ** (-(feature % half) / half);
      const cos = Math.cos(angle), sin = Math.sin(angle);
      const a = x.data[start + feature]!, b = x.data[start + feature + 1]!;
      y.data[start + feature] = a * cos - b * sin;
      y.data[start + feature + 1] = b * cos + a * sin;
    }
  }
  return y;
}

/** A convolution of kernel and stride P, [B, C, S, S] to [B, T, D]; tokens run along rows. */
function patchEmbed(x: NdArray, weights: Weights, patch: number): NdArray {
  const { shape: [width], data: kernel } = weight(weights, "x_embedder.proj.weight");
  const bias = weight(weights, "x_embedder.proj.bias").data;
  const [batch, channels, side] = x.shape as [number, number, number];
  const grid = side / patch, y = zeros([batch, grid * grid, width!]);
  for (let image = 0; image < batch; image++) {
    for (let token = 0; token < grid * grid; token++) {
      const top = Math.floor(token / grid) * patch, left = token % grid * patch;
      for (let out = 0; out < width!; out++) {
        let sum = bias[out]!;
        for (let channel = 0; channel < channels; channel++) {
          for (let py = 0; py < patch; py++) {
            for (let px = 0; px < patch; px++) {
              const pixel = ((image * channels + channel) * side + top + py) * side + left + px;
              sum += x.data[pixel]! *
                kernel[((out * channels + channel) * patch + py) * patch + px]!;
            }
          }
        }
        y.data[(image * grid * grid + token) * width! + out] = sum;
      }
    }
  }
  return y;
}

/** Tokens [B, T, P * P * outputs], features ordered (py, px, output), to [B, channels, S, S]. */
function unpatchify(
  tokens: NdArray,
  { patch, channels }: { patch: number; channels: number },
): NdArray {
  const [batch, length, features] = tokens.shape as [number, number, number];
  const grid = Math.sqrt(length), side = grid * patch, outputs = features / patch ** 2;
  const y = zeros([batch, channels, side, side]);
  for (let image = 0; image < batch; image++) {
    for (let channel = 0; channel < channels; channel++) {
      for (let row = 0; row < side; row++) {
        for (let column = 0; column < side; column++) {
          const token = Math.floor(row / patch) * grid + Math.floor(column / patch);
          const feature = (row % patch * patch + column % patch) * outputs + channel;
          y.data[((image * channels + channel) * side + row) * side + column] = tokens
            .data[(image * length + token) * features + feature]!;
        }
      }
    }
  }
  return y;
}

/** The queries (0), keys (1) or values (2) of [B, T, 3 D] as [B, H, T, d]. */
function splitHeads(qkv: NdArray, part: number, heads: number): NdArray {
  const [batch, length, triple] = qkv.shape as [number, number, number];
  const width = triple / 3, headWidth = width / heads, y = zeros([batch, heads, length, headWidth]);
  for (let image = 0; image < batch; image++) {
    for (let head = 0; head < heads; head++) {
      for (let token = 0; token < length; token++) {
        for (let k = 0; k < headWidth; k++) {
          y.data[((image * heads + head) * length + token) * headWidth + k] = qkv
            .data[(image * length + token) * triple + part * width + head * headWidth + k]!;
        }
      }
    }
  }
  return y;
}

/** Softmax(q k^T / sqrt(d)) v of every head, [B, H, T, d] to [B, T, D]. */
function attend({ q, k, v }: { q: NdArray; k: NdArray; v: NdArray }): NdArray {
  const [batch, heads, length, headWidth] = q.shape as [number, number, number, number];
  const y = zeros([batch, length, heads * headWidth]);
  for (let image = 0; image < batch; image++) {
    for (let head = 0; head < heads; head++) {
      const start = (image * heads + head) * length * headWidth;
      for (let query = 0; query < length; query++) {
        const scores = new Float64Array(length);
        for (let key = 0; key < length; key++) {
          let dot = 0;
          for (let i = 0; i < headWidth; i++) {
            dot += q.data[start + query * headWidth + i]! * k.data[start + key * headWidth + i]!;
          }
          scores[key] = dot / Math.sqrt(headWidth);
        }
        const peak = Math.max(...scores);
        const exponentials = scores.map((score) => Math.exp(score - peak));
        const total = exponentials.reduce((sum, value) => sum + value, 0);
        for (let i = 0; i < headWidth; i++) {
          let sum = 0;
          for (let key = 0; key < length; key++) {
            sum += exponentials[key]! / total * v.data[start + key * headWidth + i]!;
          }
          y.data[(image * length + query) * heads * headWidth + head * headWidth + i] = sum;
        }
      }
    }
  }
  return y;
}

/** Multi-head self-attention of one block, [B, T, D] to [B, T, D]. */
function attention(
  x: NdArray,
  config: ReferenceConfig,
  { weights, name }: { weights: Weights; name: string },
): NdArray {
  const qkv = linear(x, weights, `${name}.qkv`);
  let q = splitHeads(qkv, 0, config.heads), k = splitHeads(qkv, 1, config.heads);
  const v = splitHeads(qkv, 2, config.heads);
  if (config.qkNorm && config.rmsNorm) {
    q = rmsNorm(q, { epsilon: NORM_EPSILON, weight: weight(weights, `${name}.q_norm.weight`) });
    k = rmsNorm(k, { epsilon: NORM_EPSILON, weight: weight(weights, `${name}.k_norm.weight`) });
  } else if (config.qkNorm) {
    q = layerNorm(q, {
      epsilon: QK_LAYER_NORM_EPSILON,
      weight: weight(weights, `${name}.q_norm.weight`),
      bias: weight(weights, `${name}.q_norm.bias`),
    });
    k = layerNorm(k, {
      epsilon: QK_LAYER_NORM_EPSILON,
      weight: weight(weights, `${name}.k_norm.weight`),
      bias: weight(weights, `${name}.k_norm.bias`),
    });
  }
  if (config.rope) {
    q = rotateByPosition(q);
    k = rotateByPosition(k);
  }
  return linear(attend({ q, k, v }), weights, `${name}.proj`);
}

/** The feed-forward part of one block, [B, T, D] to [B, T, D]. */
function feedForward(
  x: NdArray,
  config: ReferenceConfig,
  { weights, name }: { weights: Weights; name: string },
): NdArray {
  if (!config.swiglu) {
    return linear(map(linear(x, weights, `${name}.fc1`), gelu), weights, `${name}.fc2`);
  }
  const both = linear(x, weights, `${name}.w12`);
  const [gate, value] = split(both, 2) as [NdArray, NdArray];
  const hidden = { shape: gate.shape, data: gate.data.map((g, i) => silu(g) * value.data[i]!) };
  return linear(hidden, weights, `${name}.w3`);
}

function norm(
  x: NdArray,
  config: ReferenceConfig,
  { weights, name }: { weights: Weights; name: string },
): NdArray {
  return config.rmsNorm
    ? rmsNorm(x, { epsilon: NORM_EPSILON, weight: weight(weights, `${name}.weight`) })
    : layerNorm(x, { epsilon: NORM_EPSILON });
}

/** The embedding [B, D] of labels or snippets. */
function embedCondition(
  condition: NdArray,
  config: ReferenceConfig,
  weights: Weights,
): NdArray {
  if (config.conditioning === "label") {
    const { shape: [, width], data: table } = weight(weights, "y_embedder.embedding_table.weight");
    const y = zeros([condition.data.length, width!]);
    for (const [row, label] of condition.data.entries()) {
      y.data.set(table.subarray(label * width!, (label + 1) * width!), row * width!);
    }
    return y;
  }
  if (config.snippetEmbedding === "linear") {
    const name = prefixOf(weights, /^((condition_projection|y_embedder)\.linear)\.weight$/);
    return linear(condition, weights, name);
  }
  const name = prefixOf(weights, /^((condition_projection|y_embedder)\.\w+)\.0\.weight$/);
  return siluMlp(condition, weights, { name, layers: 3 });
}

/** Evaluates the network and keeps what it computes on the way. */
export function referenceSit(config: ReferenceConfig, inputs: ReferenceInputs): ReferenceOutputs {
  const { weights, x, t } = inputs;
  const activations = new Map<string, NdArray>();
  function keep(name: string, value: NdArray): NdArray {
    activations.set(name, value);
    return value;
  }

  // c = embed(t) + embed(condition), the vector that steers every block.
  const time = keep(
    "t_embedder",
    siluMlp(timeFeatures(t), weights, { name: "t_embedder.mlp", layers: 2 }),
  );
  const condition = keep("condition", embedCondition(inputs.condition, config, weights));
  const steering = map(add(time, condition), silu);

  const patches = keep("x_embedder", patchEmbed(x, weights, config.patchSize));
  const positions = weight(weights, "pos_embed").data;
  let tokens: NdArray = {
    shape: patches.shape,
    data: patches.data.map((value, i) => value + positions[i % positions.length]!),
  };

  let projected: NdArray | undefined;
  for (let block = 0; block < config.depth; block++) {
    const name = `blocks.${block}`;
    const modulation = linear(steering, weights, `${name}.adaLN_modulation.1`);
    const parts = split(modulation, config.noShift ? 4 : 6);
    const [shift1, scale1, gate1, shift2, scale2, gate2] = config.noShift
      ? [undefined, parts[0], parts[1], undefined, parts[2], parts[3]]
      : parts;

    // x += gate * attention(modulate(norm(x)))
    const first = norm(tokens, config, { weights, name: `${name}.norm1` });
    const steered1 = modulate(first, { shift: shift1, scale: scale1! });
    const attended = attention(steered1, config, { weights, name: `${name}.attn` });
    tokens = add(tokens, gated(keep(`${name}.attn`, attended), gate1!));

    // x += gate * mlp(modulate(norm(x)))
    const second = norm(tokens, config, { weights, name: `${name}.norm2` });
    const steered2 = modulate(second, { shift: shift2, scale: scale2! });
    const fed = feedForward(steered2, config, { weights, name: `${name}.mlp` });
    tokens = keep(name, add(tokens, gated(keep(`${name}.mlp`, fed), gate2!)));

    if (config.repa?.depth === block + 1) {
      const projector = prefixOf(weights, /^(projectors?\.0)\.0\.weight$/);
      projected = siluMlp(tokens, weights, { name: projector, layers: 3 });
    }
  }

  // The last layer always has a shift, and no gate.
  const [shift, scale] = split(linear(steering, weights, "final_layer.adaLN_modulation.1"), 2);
  const normalised = norm(tokens, config, { weights, name: "final_layer.norm_final" });
  const last = modulate(normalised, { shift, scale: scale! });
  const final = keep("final_layer", linear(last, weights, "final_layer.linear"));

  // With learnSigma the last layer has twice the channels; the network shows the first half.
  const channels = final.shape[2]! / config.patchSize ** 2 / (config.learnSigma ? 2 : 1);
  return {
    output: unpatchify(final, { patch: config.patchSize, channels }),
    projected,
    activations,
  };
}
