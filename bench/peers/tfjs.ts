/**
 * The workload on TensorFlow.js with its WebGPU back end: `tfjs.ts STEPS ROUNDS` prints a
 * {@linkcode PeerResult}.
 *
 * @module
 */

import * as tf from "@tensorflow/tfjs";
import "@tensorflow/tfjs-backend-webgpu";
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

const [steps, rounds] = Deno.args.map(Number);
if (!await tf.setBackend("webgpu")) {
  throw new Error("Cannot start TensorFlow.js: no webgpu back end");
}
await tf.ready();

const batch = makeBatch();
const tokens = tf.tensor2d(batch.tokens, [BATCH * TOKENS, PATCH_VALUES]);
const waves = tf.tensor2d(batch.waves, [BATCH, FREQUENCIES]);
const snippets = tf.tensor2d(batch.snippets, [BATCH, SNIPPET_DIM]);
const positions = tf.tensor3d(batch.positions, [1, TOKENS, WIDTH]);
const target = tf.tensor2d(batch.target, [BATCH * TOKENS, PATCH_VALUES]);

const variables = new Map<string, tf.Variable>();
for (const layer of layers()) {
  const { name, inputs, outputs } = layer;
  const weight = tf.tensor2d(transposedWeights(layer), [inputs, outputs]);
  variables.set(`${name}.weight`, tf.variable(weight));
  variables.set(`${name}.bias`, tf.variable(tf.zeros([outputs])));
}

/** x W + b. */
function affine(x: tf.Tensor, name: string): tf.Tensor {
  return tf.add(
    tf.matMul(x as tf.Tensor2D, variables.get(`${name}.weight`) as tf.Variable<tf.Rank.R2>),
    variables.get(`${name}.bias`)!,
  );
}

function silu(x: tf.Tensor): tf.Tensor {
  return tf.mul(x, tf.sigmoid(x));
}

function gelu(x: tf.Tensor): tf.Tensor {
  const inner = tf.mul(
    Math.sqrt(2 / Math.PI),
    tf.add(x, tf.mul(0.044715, tf.mul(x, tf.square(x)))),
  );
  return tf.mul(tf.mul(0.5, x), tf.add(1, tf.tanh(inner)));
}

function normalized(x: tf.Tensor): tf.Tensor {
  const centred = tf.sub(x, tf.mean(x, -1, true));
  const variance = tf.mean(tf.square(centred), -1, true);
  return tf.mul(centred, tf.rsqrt(tf.add(variance, 1e-6)));
}

/** Rows of the modulation as [B, 1, D] each. */
function chunks(modulation: tf.Tensor, count: number): tf.Tensor[] {
  return tf.split(tf.reshape(modulation, [BATCH, 1, count * WIDTH]), count, 2);
}

function modulated(x: tf.Tensor, shift: tf.Tensor, scale: tf.Tensor): tf.Tensor {
  const result = tf.add(tf.mul(normalized(x), tf.add(scale, 1)), shift);
  return tf.reshape(result, [BATCH * TOKENS, WIDTH]);
}

function attended(qkv: tf.Tensor): tf.Tensor {
  const headWidth = WIDTH / HEADS;
  const [q, k, v] = tf.split(tf.reshape(qkv, [BATCH, TOKENS, 3 * WIDTH]), 3, 2).map((part) =>
    tf.transpose(tf.reshape(part, [BATCH, TOKENS, HEADS, headWidth]), [0, 2, 1, 3])
  );
  const scores = tf.softmax(tf.mul(tf.matMul(q!, k!, false, true), headWidth ** -0.5));
  const heard = tf.transpose(tf.matMul(scores, v!), [0, 2, 1, 3]);
  return tf.reshape(heard, [BATCH * TOKENS, WIDTH]);
}

function block(x: tf.Tensor, activated: tf.Tensor, name: string): tf.Tensor {
  const [shift1, scale1, gate1, shift2, scale2, gate2] = chunks(
    affine(activated, `${name}.adaLN_modulation.1`),
    6,
  );
  const qkv = affine(modulated(x, shift1!, scale1!), `${name}.attn.qkv`);
  const heard = affine(attended(qkv), `${name}.attn.proj`);
  const middle = tf.add(x, tf.mul(tf.reshape(heard, [BATCH, TOKENS, WIDTH]), gate1!));
  const raised = affine(modulated(middle, shift2!, scale2!), `${name}.mlp.fc1`);
  const mapped = affine(gelu(raised), `${name}.mlp.fc2`);
  return tf.add(middle, tf.mul(tf.reshape(mapped, [BATCH, TOKENS, WIDTH]), gate2!));
}

function loss(): tf.Scalar {
  const time = affine(silu(affine(waves, "t_embedder.mlp.0")), "t_embedder.mlp.2");
  const condition = affine(snippets, "condition_projection.linear");
  const activated = silu(tf.add(time, condition));
  const embedded = tf.reshape(affine(tokens, "x_embedder.proj"), [BATCH, TOKENS, WIDTH]);
  let x = tf.add(embedded, positions);
  for (let i = 0; i < DEPTH; i++) x = block(x, activated, `blocks.${i}`);
  const [shift, scale] = chunks(affine(activated, "final_layer.adaLN_modulation.1"), 2);
  const output = affine(modulated(x, shift!, scale!), "final_layer.linear");
  return tf.mean(tf.square(tf.sub(output, target)));
}

const optimizer = tf.train.adam(LEARNING_RATE, 0.9, 0.999, 1e-8);
const trained = [...variables.values()];

async function step(): Promise<number> {
  const value = optimizer.minimize(loss, true, trained)!;
  const [result] = await value.data();
  value.dispose();
  return result!;
}

const operands = new Map<number, tf.Tensor2D>();

async function matmul(size: number): Promise<void> {
  const matrix = operands.get(size) ?? tf.fill<tf.Rank.R2>([size, size], 0.1);
  operands.set(size, matrix);
  const product = tf.matMul(matrix, matrix);
  await product.data();
  product.dispose();
}

console.log(JSON.stringify(await timePeer({ step, matmul }, { steps: steps!, rounds: rounds! })));
Deno.exit(0);
