/**
 * The workload that every stack trains on, down to the numbers: with the same weights and the same
 * batch the losses of a step can be compared, and a stack that leaves something out shows.
 *
 * The network is a diffusion transformer of 64 tokens, width 256, depth 6 and 4 heads with six-chunk
 * adaptive modulation, trained by Adam on the mean squared error of the velocity: 61.2 GFLOP a step
 * of 32 images.
 *
 * @module
 */

import { sinCosPositions } from "../../model/positions.ts";

/** Set to check in a minute that every stack runs and agrees: 2 images and one block. */
const QUICK = Deno.env.get("GMEM_PEERS_QUICK") === "1";

/** Images in a step. */
export const BATCH: number = QUICK ? 2 : 32;
/** Tokens of an image, a grid of 8 by 8. */
export const TOKENS = 64;
/** Channels of a token. */
export const WIDTH = 256;
/** Blocks. */
export const DEPTH: number = QUICK ? 1 : 6;
/** Attention heads. */
export const HEADS = 4;
/** Numbers in a patch of 4 by 4 pixels of 3 channels. */
export const PATCH_VALUES = 48;
/** Components of a snippet. */
export const SNIPPET_DIM = 64;
/** Numbers that describe a time. */
export const FREQUENCIES = 256;
/** Rate of Adam; its other constants are 0.9, 0.999 and 1e-8. */
export const LEARNING_RATE = 1e-3;
/** Floating-point operations of a step: three times those of the forward pass. */
export const STEP_FLOPS: number = 3 * BATCH * forwardFlops();
/** Sides of the square products that are timed. */
export const MATMUL_SIZES: readonly number[] = QUICK ? [128] : [512, 1024];

/** Exit code of a stack that is not on this machine and that nothing here installs. */
export const NOT_INSTALLED = 3;

/** Numbers as every stack takes them. */
export type Numbers = Float32Array<ArrayBuffer>;

/** An affine layer. */
export interface Layer {
  /** Official name of its parameters, without `.weight` and `.bias`. */
  readonly name: string;
  /** Numbers that go in. */
  readonly inputs: number;
  /** Numbers that come out. */
  readonly outputs: number;
  /** Largest absolute value of its weights, which are uniform. Biases are zero. */
  readonly range: number;
}

/** What one step reads. */
export interface Batch {
  /** States [B, T, 48], each token a patch as (channel, row, column). */
  readonly tokens: Numbers;
  /** Waves that describe the times [B, 256]. */
  readonly waves: Numbers;
  /** Times [B], of which the waves are made. */
  readonly times: Numbers;
  /** Snippets [B, 64]. */
  readonly snippets: Numbers;
  /** What the network should give, [B, T, 48], each token a patch as (row, column, channel). */
  readonly target: Numbers;
  /** Fixed embedding of the positions [T, D]. */
  readonly positions: Numbers;
  /** The states as images [B, 3, 32, 32]. */
  readonly images: Numbers;
  /** The target as images [B, 3, 32, 32]. */
  readonly targetImages: Numbers;
}

/** What a run of one stack prints as JSON. */
export interface PeerResult {
  /** Losses of the steps, from the first. */
  readonly losses: readonly number[];
  /** Milliseconds of the first step, compilation included. */
  readonly firstStep: number;
  /** Milliseconds of the steps after it. */
  readonly steps: readonly number[];
  /** Milliseconds of each square product of {@linkcode MATMUL_SIZES}, result read back. */
  readonly matmuls: readonly (readonly number[])[];
}

/** All affine layers. */
export function layers(): Layer[] {
  const layer = (name: string, inputs: number, outputs: number, range?: number): Layer => ({
    name,
    inputs,
    outputs,
    range: range ?? Math.sqrt(6 / (inputs + outputs)),
  });
  const small = 0.02;
  return [
    layer("x_embedder.proj", PATCH_VALUES, WIDTH),
    layer("t_embedder.mlp.0", FREQUENCIES, WIDTH, small),
    layer("t_embedder.mlp.2", WIDTH, WIDTH, small),
    layer("condition_projection.linear", SNIPPET_DIM, WIDTH),
    ...Array.from({ length: DEPTH }, (_, i) => [
      layer(`blocks.${i}.attn.qkv`, WIDTH, 3 * WIDTH),
      layer(`blocks.${i}.attn.proj`, WIDTH, WIDTH),
      layer(`blocks.${i}.mlp.fc1`, WIDTH, 4 * WIDTH),
      layer(`blocks.${i}.mlp.fc2`, 4 * WIDTH, WIDTH),
      layer(`blocks.${i}.adaLN_modulation.1`, WIDTH, 6 * WIDTH, small),
    ]).flat(),
    layer("final_layer.adaLN_modulation.1", WIDTH, 2 * WIDTH, small),
    layer("final_layer.linear", WIDTH, PATCH_VALUES, small),
  ];
}

/** Weights [O, I] of a layer: drawn from its name. */
export function layerWeights({ name, inputs, outputs, range }: Layer): Numbers {
  const draw = uniform([...name].reduce((hash, char) => 31 * hash + char.charCodeAt(0) | 0, 7));
  return Float32Array.from({ length: inputs * outputs }, () => range * (2 * draw() - 1));
}

/** The same as [I, O], as stacks want them that multiply from the left. */
export function transposedWeights(layer: Layer): Numbers {
  const { inputs, outputs } = layer, weights = layerWeights(layer);
  return Float32Array.from(weights, (_, at) => {
    const input = Math.floor(at / outputs), output = at % outputs;
    return weights[output * inputs + input]!;
  });
}

/** The batch of every step. */
export function makeBatch(): Batch {
  const length = 3 * 32 * 32, count = BATCH * length;
  const draw = uniform(1);
  const images = new Float32Array(count), targetImages = new Float32Array(count);
  const times = Float32Array.from({ length: BATCH }, (_, i) => (i + 0.5) / BATCH);
  for (let i = 0; i < count; i++) {
    const t = times[Math.floor(i / length)]!, data = Math.sin(i);
    const noise = Math.sqrt(-2 * Math.log(1 - draw())) * Math.cos(2 * Math.PI * draw());
    images[i] = t * data + (1 - t) * noise;
    targetImages[i] = data - noise;
  }
  const snippets = new Float32Array(BATCH * SNIPPET_DIM);
  for (let i = 0; i < BATCH; i++) snippets[i * SNIPPET_DIM + i] = 1;
  const half = FREQUENCIES / 2;
  const waves = Float32Array.from({ length: BATCH * FREQUENCIES }, (_, i) => {
    const k = i % FREQUENCIES;
    const angle = times[Math.floor(i / FREQUENCIES)]! * 10_000 ** (-(k % half) / half);
    return k < half ? Math.cos(angle) : Math.sin(angle);
  });
  const positions = new Float32Array(TOKENS * WIDTH);
  positions.set(sinCosPositions(8, WIDTH));
  return {
    tokens: toTokens(images, (c, y, x) => (4 * c + y) * 4 + x),
    target: toTokens(targetImages, (c, y, x) => (4 * y + x) * 3 + c),
    waves,
    times,
    snippets,
    positions,
    images,
    targetImages,
  };
}

/** Images [B, 3, 32, 32] as tokens [B, 64, 48], in an order that `place` gives within a token. */
function toTokens(
  images: Numbers,
  place: (channel: number, row: number, column: number) => number,
): Numbers {
  const tokens = new Float32Array(images.length);
  for (let i = 0; i < images.length; i++) {
    const x = i % 32, y = (i >> 5) % 32, c = (i >> 10) % 3, b = Math.floor(i / 3072);
    const token = (y >> 2) * 8 + (x >> 2);
    tokens[(b * TOKENS + token) * PATCH_VALUES + place(c, y % 4, x % 4)] = images[i]!;
  }
  return tokens;
}

/** Times `steps` runs of a step that gives its loss, and the products. */
export async function timePeer(
  run: { step(): Promise<number>; matmul(size: number): Promise<void> },
  { steps, rounds }: { steps: number; rounds: number },
): Promise<PeerResult> {
  const matmuls: number[][] = [];
  for (const size of rounds > 0 ? MATMUL_SIZES : []) {
    await run.matmul(size);
    const times: number[] = [];
    for (let i = 0; i < rounds; i++) times.push(await milliseconds(() => run.matmul(size)));
    matmuls.push(times);
  }
  const losses: number[] = [], times: number[] = [];
  for (let i = 0; i <= steps; i++) {
    times.push(await milliseconds(async () => losses.push(await run.step())));
    console.error(`step ${i + 1} of ${steps + 1}: ${(times.at(-1)! / 1000).toFixed(1)} s`);
  }
  return { losses, firstStep: times[0]!, steps: times.slice(1), matmuls };
}

async function milliseconds(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

/** Numbers from 0 to 1 (Marsaglia's xorshift, 32 bits). */
function uniform(seed: number): () => number {
  let state = seed === 0 ? 1 : seed;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}

function forwardFlops(): number {
  const block = 6 * WIDTH * WIDTH + TOKENS * (12 * WIDTH * WIDTH + 2 * TOKENS * WIDTH);
  const ends = 2 * TOKENS * PATCH_VALUES * WIDTH +
    (FREQUENCIES + SNIPPET_DIM + 3 * WIDTH) * WIDTH;
  return 2 * (DEPTH * block + ends);
}
