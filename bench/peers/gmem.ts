/**
 * The workload on this project's own kernels: `gmem.ts STEPS ROUNDS` prints a
 * {@linkcode PeerResult}.
 *
 * @module
 */

import { Device } from "../../kernels/core/device.ts";
import { ParameterStore } from "../../kernels/core/parameter_store.ts";
import { Tape } from "../../kernels/core/tape.ts";
import type { Tensor } from "../../kernels/core/tensor.ts";
import { matmulInto } from "../../kernels/matmul/mod.ts";
import { SiT } from "../../model/sit.ts";
import { denoisingLoss } from "../../train/loss.ts";
import { AdamW } from "../../train/optimizers/adamw.ts";
import {
  BATCH,
  DEPTH,
  HEADS,
  layers,
  layerWeights,
  LEARNING_RATE,
  makeBatch,
  SNIPPET_DIM,
  timePeer,
  WIDTH,
} from "./workload.ts";

const [steps, rounds] = Deno.args.map(Number);
const device = await Device.open({ allowCpuDriver: true });
const store = new ParameterStore(device, { seed: 0 });
const model = new SiT(store, {
  inputSize: 32,
  channels: 3,
  patchSize: 4,
  width: WIDTH,
  depth: DEPTH,
  heads: HEADS,
  condition: { snippetDim: SNIPPET_DIM },
});
for (const layer of layers()) {
  store.get(`${layer.name}.weight`).write(layerWeights(layer));
}
const optimizer = new AdamW(store);
const batch = makeBatch();
const images = device.tensor(batch.images, [BATCH, 3, 32, 32]);
const target = device.tensor(batch.targetImages, [BATCH, 3, 32, 32]);
const times = device.tensor(batch.times, [BATCH]);
const snippets = device.tensor(batch.snippets, [BATCH, SNIPPET_DIM]);

async function step(): Promise<number> {
  using loss = device.scope(() => {
    const tape = new Tape(device);
    const value = tape.record(() => denoisingLoss(model.forward(images, times, snippets), target));
    tape.backward(value);
    optimizer.step({ learningRate: LEARNING_RATE });
    return value;
  });
  return (await loss.read())[0]!;
}

const operands = new Map<number, Tensor>();

async function matmul(size: number): Promise<void> {
  let matrix = operands.get(size);
  if (!matrix) {
    matrix = device.tensor(new Float32Array(size * size).fill(0.1), [size, size]);
    operands.set(size, matrix);
  }
  // An operand counts as new, as in a step: where kernels read copies of it, copying takes its time.
  matrix.storage.version++;
  using out = device.empty([size, size]);
  matmulInto(out, matrix, matrix);
  await out.read();
}

console.log(JSON.stringify(await timePeer({ step, matmul }, { steps: steps!, rounds: rounds! })));
Deno.exit(0);
