/** A network of one's own in the trainer, in checkpoints and in samplers. */

import assert from "node:assert/strict";
import { FullBank } from "../../bank/full_bank.ts";
import { normalizeSnippets } from "../../bank/normalize.ts";
import { addRows } from "../../kernels/add_rows/mod.ts";
import { add } from "../../kernels/add/mod.ts";
import { combine } from "../../kernels/combine/mod.ts";
import { Device } from "../../kernels/core/device.ts";
import { gatherRows } from "../../kernels/embed_rows/mod.ts";
import { ParameterStore } from "../../kernels/core/parameter_store.ts";
import type { Tensor } from "../../kernels/core/tensor.ts";
import { unpatchify } from "../../kernels/patchify/mod.ts";
import { silu } from "../../kernels/silu/mod.ts";
import type { DiffusionModel } from "../../model/diffusion_model.ts";
import { FinalLayer } from "../../model/final_layer.ts";
import { constant } from "../../model/initializers.ts";
import { gvpInterpolant } from "../../model/interpolants/gvp.ts";
import type { Interpolant } from "../../model/interpolants/interpolant.ts";
import { Linear } from "../../model/linear.ts";
import { PatchEmbed } from "../../model/patch_embed.ts";
import { sinCosPositions } from "../../model/positions.ts";
import { SiT, type SiTOptions } from "../../model/sit.ts";
import { SiTBlock } from "../../model/sit_block.ts";
import { SiluMlp } from "../../model/silu_mlp.ts";
import { TimestepEmbedder } from "../../model/timestep_embedder.ts";
import { drawAdaptive } from "../../sample/draw.ts";
import { imagesAtOnce } from "../../sample/rows.ts";
import type { TrainingData } from "../../train/batch.ts";
import { loadCheckpoint, saveCheckpoint } from "../../train/checkpoint.ts";
import { resolveConfig } from "../../train/config.ts";
import { readCheckpointConfig } from "../../train/trained.ts";
import { Trainer, type TrainerOptions } from "../../train/trainer.ts";
import { randomValues } from "../_check_op.ts";
import { gpuTest, halvesTest } from "../_gpu.ts";

const SIZE = 12, DIM = 6, PATCH = 4, WIDTH = 16, SIDE = 8, TOKENS = (SIDE / PATCH) ** 2, TARGET = 5;
const CONDITION = { snippetDim: DIM };
const PROJECTOR = { depth: 1, width: 8, targetWidth: TARGET };

/** What {@linkcode SiT} is, but that it takes snippets as they are and embeds them at every evaluation. */
class Plain implements DiffusionModel {
  readonly options = { inputSize: SIDE, channels: 1, condition: CONDITION };
  readonly parameters: ParameterStore;
  readonly #patches: PatchEmbed;
  readonly #positions: Tensor;
  readonly #time: TimestepEmbedder;
  readonly #condition: Linear;
  readonly #block: SiTBlock;
  readonly #final: FinalLayer;

  constructor(store: ParameterStore) {
    this.parameters = store;
    this.#patches = new PatchEmbed(store.at("x_embedder"), {
      patchSize: PATCH,
      channels: 1,
      width: WIDTH,
    });
    const positions = constant(sinCosPositions(SIDE / PATCH, WIDTH));
    this.#positions = store.frozen("pos_embed", [1, TOKENS, WIDTH], positions);
    this.#time = new TimestepEmbedder(store.at("t_embedder"), { width: WIDTH });
    this.#condition = new Linear(store.at("condition_projection.linear"), {
      inputs: DIM,
      outputs: WIDTH,
    });
    this.#block = new SiTBlock(store.at("blocks.0"), { width: WIDTH, heads: 2 });
    this.#final = new FinalLayer(store.at("final_layer"), {
      width: WIDTH,
      outputs: PATCH * PATCH,
    });
  }

  embed(snippets: Tensor): Tensor {
    return snippets;
  }

  forwardEmbedded(x: Tensor, t: Tensor, snippets: Tensor): Tensor {
    return this.run(x, t, snippets).output;
  }

  run(x: Tensor, t: Tensor, snippets: Tensor): { output: Tensor; tokens: Tensor } {
    const embedded = x.device.withPrecision("f32", () => this.#condition.forward(snippets));
    const condition = silu(add(this.#time.forward(t), embedded));
    const tokens = this.#block.forward(
      addRows(this.#patches.forward(x), this.#positions),
      condition,
    );
    const output = unpatchify(this.#final.forward(tokens, condition), {
      patchSize: PATCH,
      channels: 1,
    });
    return { output, tokens };
  }
}

/** With parameters whose names mean something else in files of official code. */
class Renamed extends Plain {
  readonly #shift: Linear;
  readonly #output: Linear;

  constructor(store: ParameterStore) {
    super(store);
    this.#shift = new Linear(store.at("y_embedder.linear"), { inputs: DIM, outputs: DIM });
    this.#output = new Linear(store.at("module.last"), { inputs: SIDE, outputs: SIDE });
  }

  override forwardEmbedded(x: Tensor, t: Tensor, snippets: Tensor): Tensor {
    return this.#output.forward(super.forwardEmbedded(x, t, this.#shift.forward(snippets)));
  }
}

/** On images whose side is no multiple of the patches of a configuration's defaults. */
class Small implements DiffusionModel {
  readonly options = { inputSize: 3, channels: 1, condition: CONDITION };
  readonly parameters: ParameterStore;
  readonly #layer: Linear;

  constructor(store: ParameterStore) {
    this.parameters = store;
    this.#layer = new Linear(store.at("layer"), { inputs: 3, outputs: 3 });
  }

  embed(snippets: Tensor): Tensor {
    return snippets;
  }

  forwardEmbedded(x: Tensor): Tensor {
    return this.#layer.forward(x);
  }
}

class Aligned extends Plain {
  readonly projectedTokens: DiffusionModel["projectedTokens"] = { count: TOKENS, width: TARGET };
  readonly #projector: SiluMlp;

  constructor(store: ParameterStore) {
    super(store);
    this.#projector = new SiluMlp(store.at("projectors.0"), [WIDTH, 8, 8, TARGET]);
  }

  forwardWithProjection(x: Tensor, t: Tensor, snippets: Tensor) {
    const { output, tokens } = this.run(x, t, snippets);
    return { output, projection: this.#projector.forward(tokens) };
  }
}

const sit = (store: ParameterStore, options: Partial<SiTOptions> = {}) =>
  new SiT(store, {
    inputSize: SIDE,
    channels: 1,
    patchSize: PATCH,
    width: WIDTH,
    depth: 1,
    heads: 2,
    condition: CONDITION,
    ...options,
  });

const values = randomValues([SIZE, SIDE * SIDE], 1),
  tokens = randomValues([SIZE, TOKENS * TARGET], 2);
const rowsOf = (table: Float64Array, indices: Uint32Array) => {
  const length = table.length / SIZE;
  const rows = Array.from(indices, (i) => table.subarray(i * length, (i + 1) * length));
  return Float32Array.from(rows.flatMap((row) => Array.from(row)));
};
const DATA: TrainingData = {
  size: SIZE,
  read: (indices) => rowsOf(values, indices),
  tokens: {
    count: TOKENS,
    width: TARGET,
    read: (indices) => Promise.resolve(rowsOf(tokens, indices)),
  },
};

interface Training extends Disposable {
  model: DiffusionModel;
  trainer: Trainer;
  bank: FullBank;
}

function prepare(
  device: Device,
  make: (store: ParameterStore) => DiffusionModel,
  options: Partial<TrainerOptions> = {},
): Training {
  using stack = new DisposableStack();
  const snippets = normalizeSnippets(randomValues([SIZE, DIM], 3), { dim: DIM });
  const bank = stack.use(FullBank.from(device, { dim: DIM, snippets }));
  const model = make(stack.use(new ParameterStore(device, { seed: 4 })));
  const trainer = stack.use(
    new Trainer({ model, bank, dataset: DATA, batchSize: 4, learningRate: 1e-2, ...options }),
  );
  const held = stack.move();
  return { model, trainer, bank, [Symbol.dispose]: () => held.dispose() };
}

async function losses(trainer: Trainer, steps: number): Promise<number[]> {
  const out: number[] = [];
  for await (const { loss } of trainer.run({ steps, logEvery: 1 })) out.push(loss);
  return out;
}

const PAIRS: readonly [
  name: string,
  own: (store: ParameterStore) => DiffusionModel,
  like: (store: ParameterStore) => SiT,
  options: Partial<TrainerOptions>,
][] = [
  ["of snippets", (store) => new Plain(store), sit, { gradientAccumulation: 2 }],
  [
    "with a projector",
    (store) => new Aligned(store),
    (store) => sit(store, { projector: PROJECTOR }),
    { alignmentWeight: 0.5 },
  ],
];

for (const [name, own, like, options] of PAIRS) {
  for (const precision of ["f32", "f16"] as const) {
    const test = precision === "f16" ? halvesTest : gpuTest;
    test(
      `Trainer trains a network of one's own ${name} as the SiT that it equals in ${precision}`,
      async (device) => {
        using mine = prepare(device, own, { ...options, precision });
        using its = prepare(device, like, { ...options, precision });
        const trained = await losses(mine.trainer, 4);
        assert.deepEqual(trained, await losses(its.trainer, 4));
        assert.notEqual(trained[3], trained[0]);
      },
    );
  }
}

gpuTest("Trainer aligns no network that lacks projected tokens, or what gives them", (device) => {
  class Unsized extends Aligned {
    override readonly projectedTokens = undefined;
  }
  class Silent extends Plain {
    readonly projectedTokens = { count: TOKENS, width: TARGET };
  }
  using other = prepare(device, sit);
  const options = { bank: other.bank, dataset: DATA, batchSize: 4, alignmentWeight: 0.5 };
  for (const Network of [Plain, Unsized, Silent]) {
    using store = new ParameterStore(device);
    const model = new Network(store);
    assert.throws(() => new Trainer({ model, ...options }), {
      name: "TypeError",
      message: "Cannot align tokens: the model has no projector, expected one",
    });
  }
});

gpuTest("Trainer takes vectors that are in no bank", async (device) => {
  const snippets = normalizeSnippets(randomValues([SIZE, DIM], 3), { dim: DIM });
  using table = device.tensor(snippets, [SIZE, DIM]);
  const own = { size: SIZE, dim: DIM, gather: (indices: Tensor) => gatherRows(table, indices) };
  const mask = { kind: "zero", ratio: 0.25 } as const;
  using mine = prepare(device, sit, { bank: own, mask });
  using its = prepare(device, sit, { mask });
  assert.deepEqual(await losses(mine.trainer, 3), await losses(its.trainer, 3));
});

gpuTest(
  "samplers draw the same with a network of one's own as with the SiT that it equals",
  async (device) => {
    using mine = prepare(device, (store) => new Plain(store));
    using its = prepare(device, sit);
    await losses(mine.trainer, 3);
    await losses(its.trainer, 3);
    for (
      const sample of [
        { sampler: "heun", steps: 3, guidance: { scale: 2 } },
        { sampler: "dopri5" },
        { sampler: "dopri5", guidance: { scale: 2 } },
      ] as const
    ) {
      const { sample: config } = resolveConfig({ sample });
      const drawn = async ({ model, bank }: Training) => {
        using condition = bank.gather([2, 7, 11]);
        using images = (await drawAdaptive({ model, config, condition })).images;
        // Those that the network takes as they are stay the caller's.
        return [await images.read(), await condition.read()];
      };
      const own = await drawn(mine);
      assert.deepEqual(own, await drawn(its));
      assert.ok(own[0]!.every(Number.isFinite));
    }
  },
);

const REFUSAL =
  "its network, or its path from noise to data, is a program's own, which its configuration " +
  "does not make again, expected that program to load it by loadCheckpoint() or loadWeights()";

gpuTest(
  "a checkpoint of a network of one's own goes on with it, and is opened as no SiT",
  async (device) => {
    const directory = await Deno.makeTempDir({ prefix: "gmem_own_model_" });
    try {
      using whole = prepare(device, (store) => new Plain(store));
      await losses(whole.trainer, 2);
      const path = await saveCheckpoint(directory, whole.trainer);
      const rest = await losses(whole.trainer, 4);
      using resumed = prepare(device, (store) => new Plain(store));
      assert.equal(loadCheckpoint(path, resumed.trainer).step, 2);
      assert.deepEqual(await losses(resumed.trainer, 4), rest);
      assert.throws(() => readCheckpointConfig(directory), {
        name: "CheckpointError",
        message: `Cannot open ${path}: ${REFUSAL}`,
      });
    } finally {
      await Deno.remove(directory, { recursive: true });
    }
  },
);

gpuTest(
  "a checkpoint of a path of one's own is opened as none that has its name",
  async (device) => {
    const directory = await Deno.makeTempDir({ prefix: "gmem_own_path_" });
    // Squares of the sine and of the cosine, regular everywhere as the linear path is.
    const squares: Interpolant = {
      name: "linear",
      alpha: (t) => gvpInterpolant.alpha(t) ** 2,
      sigma: (t) => gvpInterpolant.sigma(t) ** 2,
      dAlpha: (t) => 2 * gvpInterpolant.alpha(t) * gvpInterpolant.dAlpha(t),
      dSigma: (t) => 2 * gvpInterpolant.sigma(t) * gvpInterpolant.dSigma(t),
      driftMean: (t) => squares.dAlpha(t) / squares.alpha(t),
      driftVariance: (t) =>
        squares.driftMean(t) * squares.sigma(t) ** 2 - squares.sigma(t) * squares.dSigma(t),
    };
    try {
      using named = prepare(device, sit, { interpolant: gvpInterpolant });
      await saveCheckpoint(directory, named.trainer);
      assert.equal(readCheckpointConfig(directory).config.interpolant.path, "gvp");
      using whole = prepare(device, sit, { interpolant: squares });
      await losses(whole.trainer, 2);
      const path = await saveCheckpoint(directory, whole.trainer);
      const rest = await losses(whole.trainer, 4);
      assert.throws(() => readCheckpointConfig(directory), {
        name: "CheckpointError",
        message: `Cannot open ${path}: ${REFUSAL}`,
      });
      using resumed = prepare(device, sit, { interpolant: squares });
      assert.equal(loadCheckpoint(directory, resumed.trainer).step, 2);
      assert.deepEqual(await losses(resumed.trainer, 4), rest);
    } finally {
      await Deno.remove(directory, { recursive: true });
    }
  },
);

const SMALL_DATA: TrainingData = {
  size: SIZE,
  read: (indices) => new Float32Array(indices.length * 9).fill(0.5),
};

for (
  const [what, make, options] of [
    ["parameters named as official ones", (store: ParameterStore) => new Renamed(store), {}],
    [
      "images of another size than a SiT's",
      (store: ParameterStore) => new Small(store),
      { dataset: SMALL_DATA },
    ],
  ] as const
) {
  gpuTest(`a checkpoint of a network of one's own with ${what} goes on`, async (device) => {
    const directory = await Deno.makeTempDir({ prefix: "gmem_own_model_" });
    try {
      using whole = prepare(device, make, options);
      await losses(whole.trainer, 2);
      const path = await saveCheckpoint(directory, whole.trainer);
      const rest = await losses(whole.trainer, 4);
      using resumed = prepare(device, make, options);
      loadCheckpoint(path, resumed.trainer);
      assert.deepEqual(await losses(resumed.trainer, 4), rest);
    } finally {
      await Deno.remove(directory, { recursive: true });
    }
  });
}

gpuTest(
  "drawAdaptive() keeps nothing where the network takes no empty condition",
  async (device) => {
    class Guided extends Plain {
      #embedded = 0;

      override embed(snippets: Tensor): Tensor {
        if (++this.#embedded % 2 === 0) throw new Error("no empty one");
        return combine([[snippets, 1]]);
      }
    }
    using guided = prepare(device, (store) => new Guided(store));
    using condition = guided.bank.gather([2, 7]);
    const { sample: config } = resolveConfig({
      sample: { sampler: "dopri5", guidance: { scale: 2 } },
    });
    const { liveBytes } = device.pool;
    await assert.rejects(drawAdaptive({ model: guided.model, config, condition }), /no empty one/);
    assert.equal(device.pool.liveBytes, liveBytes);
  },
);

gpuTest(
  "snippets of another length than a network of one's own takes are refused, in training and drawing",
  async (device) => {
    using table = device.tensor(new Float32Array(2 * SIZE), [SIZE, 2]);
    const short = { size: SIZE, dim: DIM, gather: (indices: Tensor) => gatherRows(table, indices) };
    assert.throws(() => prepare(device, (store) => new Small(store), { bank: short }), {
      name: "TypeError",
      message:
        `Cannot run the model under a condition [1, 2] of f32: expected snippets [B, ${DIM}] of f32`,
    });
    using plain = prepare(device, (store) => new Plain(store));
    const { sample: config } = resolveConfig({ sample: { steps: 2 } });
    await assert.rejects(drawAdaptive({ model: plain.model, config, condition: table }), {
      name: "TypeError",
      message: /under a condition \[\d+, 2\] of f32: expected snippets/,
    });
  },
);

gpuTest("samplers refuse predictions in another shape than the state's", async (device) => {
  class Flat extends Plain {
    override forwardEmbedded(x: Tensor, t: Tensor, snippets: Tensor): Tensor {
      return super.forwardEmbedded(x, t, snippets).reshape([x.shape[0]!, SIDE * SIDE]);
    }
  }
  using flat = prepare(device, (store) => new Flat(store));
  using condition = flat.bank.gather([2]);
  for (const sampler of ["heun", "dopri5"] as const) {
    const { sample: config } = resolveConfig({ sample: { sampler, steps: 2 } });
    await assert.rejects(drawAdaptive({ model: flat.model, config, condition }), {
      name: "TypeError",
      message: /^Cannot combine \[1, 64\] into \[1, 1, 8, 8\]: shapes differ$/,
    });
  }
});

gpuTest(
  "samplers release what a network of one's own makes to embed a condition",
  async (device) => {
    class Embedding extends Plain {
      override embed(snippets: Tensor): Tensor {
        return combine([[combine([[snippets, 2]]), 0.5]]);
      }
    }
    using training = prepare(device, (store) => new Embedding(store));
    const { sample: config } = resolveConfig({
      sample: { sampler: "dopri5", guidance: { scale: 2 } },
    });
    using condition = training.bank.gather([2, 7]);
    // The first use of parameters takes memory for them.
    await losses(training.trainer, 1);
    const before = device.pool.liveBytes;
    const { images } = await drawAdaptive({ model: training.model, config, condition });
    images.dispose();
    assert.equal(device.pool.liveBytes, before);
  },
);

gpuTest("Trainer splits a batch by what the network says of its largest tensor", (shared) => {
  const device = new Device(shared.gpu, {
    profile: { ...shared.profile, maxBindingBytes: 2 ** 16 },
  });
  class Large extends Plain {
    largestActivationBytes({ training }: { training: boolean }): number {
      return training ? 2 ** 15 : 1;
    }
  }
  using silent = prepare(device, (store) => new Plain(store));
  using large = prepare(device, (store) => new Large(store));
  assert.deepEqual([silent.trainer.parts, large.trainer.parts], [1, 2]);
});

gpuTest(
  "images are drawn at once by what the network says of its largest tensor, else 64",
  (shared) => {
    const device = new Device(shared.gpu, {
      profile: { ...shared.profile, maxBindingBytes: 2 ** 16 },
    });
    class Large extends Plain {
      largestActivationBytes({ training }: { training: boolean }): number {
        return training ? 2 ** 20 : 2 ** 12;
      }
    }
    using store = new ParameterStore(device), other = new ParameterStore(device);
    const silent = new Plain(store), large = new Large(other);
    const counts = [silent, large].flatMap((model) =>
      [false, true].map((guided) => imagesAtOnce(model, { guided }))
    );
    assert.deepEqual(counts, [64, 64, 16, 8]);
  },
);
