/**
 * The workload on jax-js: `jax.ts webgpu|wasm STEPS ROUNDS` prints a {@linkcode PeerResult}.
 *
 * Every function consumes its array arguments, as the library's reference counts ask; `.ref` keeps
 * one for another use. The whole step is one `jit`, the way its documentation recommends.
 *
 * @module
 */

import {
  blockUntilReady,
  defaultDevice,
  init,
  jit,
  nn,
  numpy as np,
  valueAndGrad,
} from "@jax-js/jax";
import {
  BATCH,
  DEPTH,
  FREQUENCIES,
  HEADS,
  layers,
  LEARNING_RATE,
  makeBatch,
  PATCH_VALUES,
  SNIPPET_DIM,
  timePeer,
  TOKENS,
  transposedWeights,
  WIDTH,
} from "./workload.ts";

type Weights = { [name: string]: np.Array };
type Inputs = { tokens: np.Array; waves: np.Array; snippets: np.Array; positions: np.Array };
type State = { weights: Weights; first: Weights; second: Weights };

const backend = Deno.args[0] as "webgpu" | "wasm";
const [steps, rounds] = Deno.args.slice(1).map(Number);
const available = await init(backend);
if (!available.includes(backend)) throw new Error(`Cannot start jax-js: no ${backend} back end`);
defaultDevice(backend);

const { tokens, waves, snippets, positions, target: targetValues } = makeBatch();
const inputs: Inputs = {
  tokens: np.array(tokens).reshape([BATCH * TOKENS, PATCH_VALUES]),
  waves: np.array(waves).reshape([BATCH, FREQUENCIES]),
  snippets: np.array(snippets).reshape([BATCH, SNIPPET_DIM]),
  positions: np.array(positions).reshape([1, TOKENS, WIDTH]),
};
const target = np.array(targetValues).reshape([BATCH * TOKENS, PATCH_VALUES]);

/** x W + b, which consumes `x` alone: the layer's arrays are used once in a step. */
function affine(x: np.Array, name: string, weights: Weights): np.Array {
  return np.matmul(x, weights[`${name}.weight`]!).add(weights[`${name}.bias`]!);
}

function normalized(x: np.Array): np.Array {
  const centred = x.ref.sub(x.mean(-1, { keepdims: true }));
  const variance = np.square(centred.ref).mean(-1, { keepdims: true });
  return centred.div(np.sqrt(variance.add(1e-6)));
}

/** Rows of the modulation as [B, 1, D] each. */
function chunks(modulation: np.Array, count: number): np.Array[] {
  return np.split(modulation.reshape([BATCH, 1, count * WIDTH]), count, -1);
}

function modulated(x: np.Array, shift: np.Array, scale: np.Array): np.Array {
  return normalized(x).mul(scale.add(1)).add(shift).reshape([BATCH * TOKENS, WIDTH]);
}

function attended(qkv: np.Array): np.Array {
  const parts = np.split(qkv.reshape([BATCH, TOKENS, 3 * WIDTH]), 3, -1);
  const [q, k, v] = parts.map((part) => part.reshape([BATCH, TOKENS, HEADS, WIDTH / HEADS]));
  return nn.dotProductAttention(q!, k!, v!).reshape([BATCH * TOKENS, WIDTH]);
}

function block(x: np.Array, activated: np.Array, at: { name: string; weights: Weights }): np.Array {
  const { name, weights } = at;
  const [shift1, scale1, gate1, shift2, scale2, gate2] = chunks(
    affine(activated, `${name}.adaLN_modulation.1`, weights),
    6,
  );
  const qkv = affine(modulated(x.ref, shift1!, scale1!), `${name}.attn.qkv`, weights);
  const heard = affine(attended(qkv), `${name}.attn.proj`, weights);
  const middle = x.add(heard.reshape([BATCH, TOKENS, WIDTH]).mul(gate1!));
  const raised = affine(modulated(middle.ref, shift2!, scale2!), `${name}.mlp.fc1`, weights);
  const mapped = affine(nn.gelu(raised), `${name}.mlp.fc2`, weights);
  return middle.add(mapped.reshape([BATCH, TOKENS, WIDTH]).mul(gate2!));
}

function loss(weights: Weights, batch: Inputs & { target: np.Array }): np.Array {
  const hidden = nn.silu(affine(batch.waves, "t_embedder.mlp.0", weights));
  const time = affine(hidden, "t_embedder.mlp.2", weights);
  const condition = affine(batch.snippets, "condition_projection.linear", weights);
  const activated = nn.silu(time.add(condition));
  let x = affine(batch.tokens, "x_embedder.proj", weights)
    .reshape([BATCH, TOKENS, WIDTH]).add(batch.positions);
  for (let i = 0; i < DEPTH; i++) {
    x = block(x, activated.ref, { name: `blocks.${i}`, weights });
  }
  const [shift, scale] = chunks(affine(activated, "final_layer.adaLN_modulation.1", weights), 2);
  const output = affine(modulated(x, shift!, scale!), "final_layer.linear", weights);
  return np.square(output.sub(batch.target)).mean();
}

/** Adam on every array; `rates` [2] holds the corrected rate and the root's correction. */
const trainStep = jit(
  (state: State, batch: Inputs & { target: np.Array }, rates: np.Array) => {
    const names = Object.keys(state.weights);
    const kept = Object.fromEntries(names.map((name) => [name, state.weights[name]!.ref]));
    const [value, gradients] = valueAndGrad(loss)(kept, batch);
    const [rate, rootRate] = np.split(rates, 2);
    const next: State = { weights: {}, first: {}, second: {} };
    for (const name of names) {
      const gradient = (gradients as Weights)[name]!;
      const first = state.first[name]!.mul(0.9).add(gradient.ref.mul(0.1));
      const second = state.second[name]!.mul(0.999).add(np.square(gradient).mul(0.001));
      const root = np.sqrt(second.ref).mul(rootRate!.ref).add(1e-8);
      next.weights[name] = state.weights[name]!.sub(first.ref.mul(rate!.ref).div(root));
      next.first[name] = first;
      next.second[name] = second;
    }
    rate!.dispose();
    rootRate!.dispose();
    return { value, next };
  },
);

let state: State = { weights: {}, first: {}, second: {} };
for (const layer of layers()) {
  const { name, inputs: rows, outputs } = layer;
  state.weights[`${name}.weight`] = np.array(transposedWeights(layer)).reshape([rows, outputs]);
  state.weights[`${name}.bias`] = np.zeros([outputs]);
}
for (const [name, { shape }] of Object.entries(state.weights)) {
  state.first[name] = np.zeros(shape);
  state.second[name] = np.zeros(shape);
}
let count = 0;

async function step(): Promise<number> {
  count++;
  const rates = np.array([LEARNING_RATE / (1 - 0.9 ** count), 1 / Math.sqrt(1 - 0.999 ** count)]);
  const batch = {
    tokens: inputs.tokens.ref,
    waves: inputs.waves.ref,
    snippets: inputs.snippets.ref,
    positions: inputs.positions.ref,
    target: target.ref,
  };
  const { value, next } = trainStep(state, batch, rates) as { value: np.Array; next: State };
  state = next;
  await blockUntilReady(state);
  return (await value.data())[0]!;
}

const product = jit((a: np.Array, b: np.Array) => np.matmul(a, b));

const operands = new Map<number, np.Array>();

async function matmul(size: number): Promise<void> {
  let matrix = operands.get(size);
  if (!matrix) {
    matrix = np.array(new Float32Array(size * size).fill(0.1)).reshape([size, size]);
    operands.set(size, matrix);
  }
  const result = product(matrix.ref, matrix.ref);
  await result.data();
}

console.log(JSON.stringify(await timePeer({ step, matmul }, { steps: steps!, rounds: rounds! })));
Deno.exit(0);
