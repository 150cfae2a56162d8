import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { parameterSizes } from "../../model/parameter_sizes.ts";
import { describeCost, describeSizes, modelCost, totalCount } from "../../model/inspect.ts";
import { namedModel } from "../../model/named_models.ts";

const OPTIONS = namedModel("SiT-S/8");

Deno.test("modelCost() counts four numbers of each learned parameter besides itself", () => {
  const { trainedCount, officialCount, bytes } = modelCost(OPTIONS, { batch: 8 });
  // The table of 16 positions is not learned.
  assert.equal(officialCount - trainedCount, 16 * 384);
  assert.deepEqual(
    [bytes.parameters, bytes.gradients, bytes.optimizer, bytes.average],
    [4 * officialCount, 4 * trainedCount, 8 * trainedCount, 4 * trainedCount],
  );
  assert.ok(bytes.activationsWithRecomputation < bytes.activations / 3);
  const twice = modelCost(OPTIONS, { batch: 16 }).bytes;
  assert.equal(twice.activations, 2 * bytes.activations);
});

Deno.test("describeSizes() folds what all blocks have alike and keeps the count", () => {
  const sizes = parameterSizes(OPTIONS);
  const lines = describeSizes(sizes);
  const qkv = lines.filter((line) => line.includes("attn.qkv.weight"));
  assert.equal(qkv.length, 1);
  assert.match(
    qkv[0]!,
    /^blocks\.\*\.attn\.qkv\.weight +\[1152, 384\] +5,308,416 {2}12 × 442,368$/,
  );
  // Shapes begin below each other, and counts end there.
  const shapes = lines.map((line) => line.indexOf("[")).filter((place) => place >= 0);
  assert.equal(new Set(shapes).size, 1);
  assert.equal(
    new Set(lines.map((line) => line.replace(/ {2}(?:\d+ × .*|fixed)$/, "").length)).size,
    1,
  );
  const counts = lines.map((line) =>
    Number(/\]? +([\d,]+)(?: {2}|$)/.exec(line)![1]!.replaceAll(",", ""))
  );
  assert.equal(counts.pop(), totalCount(sizes) - 16 * 384);
  assert.deepEqual(lines.filter((line) => line.endsWith("fixed")), [
    lines.find((line) => line.startsWith("pos_embed ")),
  ]);
  assert.match(lines.at(-1)!, /^learned /);
  assert.equal(counts.pop(), totalCount(sizes));
  assert.equal(counts.reduce((sum, count) => sum + count), totalCount(sizes));
  assert.ok(describeCost(modelCost(OPTIONS, { batch: 8 })).some((line) => /33,148,160/.test(line)));
});

Deno.test("describeCost() says each cost, of a batch and with recomputation", () => {
  const megabyte = 1e6;
  const cost = {
    officialCount: 1_234_567,
    trainedCount: 1234,
    flops: {
      forward: 0.1234567e9,
      projector: 2e9,
      training: 12.345e9,
      trainingWithRecomputation: 150.4e9,
    },
    batch: 10,
    bytes: {
      parameters: megabyte,
      gradients: 2 * megabyte,
      optimizer: 4 * megabyte,
      average: 8 * megabyte,
      activations: 1600 * megabyte,
      activationsWithRecomputation: 32.25 * megabyte,
    },
  };
  assert.deepEqual(describeCost(cost), [
    "official count   1,234,567 parameters",
    "evaluation       0.1235 GFLOP an image, 1.23 at batch 10",
    "projector        2 GFLOP an image, 20 at batch 10",
    "training step    12.35 GFLOP an image, 123 at batch 10",
    "  recomputing    150 GFLOP an image, 1,504 at batch 10",
    "parameters       1.00 MB",
    "gradients        2.00 MB",
    "optimiser        4.00 MB",
    "moving average   8.00 MB",
    "activations      1.60 GB at batch 10",
    "  recomputing    32.3 MB at batch 10",
    "training in all  1.61 GB",
    "  recomputing    47.3 MB",
  ]);
  const plain = describeCost({ ...cost, flops: { ...cost.flops, projector: 0 } });
  assert.ok(!plain.some((line) => line.startsWith("projector")));
});

async function runInspect(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const main = fileURLToPath(new URL("../../model/main.ts", import.meta.url));
  const command = new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-check", "--allow-read", "--allow-env", main, ...args],
    env: { NO_COLOR: "1" },
  });
  const { code, stdout, stderr } = await command.output();
  const decoder = new TextDecoder();
  return { code, out: decoder.decode(stdout), err: decoder.decode(stderr) };
}

Deno.test("inspect describes a published network and a file, and refuses the rest", async () => {
  const options = ["--snippets", "768", "--repa", "1024", "--batch", "2"];
  const named = await runInspect("LightningDiT-B/1", ...options, "--json");
  assert.equal(named.code, 0, named.err);
  const cost = JSON.parse(named.out);
  assert.equal(cost.batch, 2);
  assert.deepEqual(cost.network.projector, { depth: 4, width: 2048, targetWidth: 1024 });
  assert.match(
    (await runInspect("LightningDiT-B/1", ...options)).out,
    /^projector +4\.03 GFLOP an/m,
  );
  assert.ok(
    cost.parameters.some(({ name, shape }: { name: string; shape: number[] }) =>
      name === "condition_projection.linear.weight" && shape.join() === "768,768"
    ),
  );
  const plain = await runInspect("SiT-S/8", "--json"), { network } = JSON.parse(plain.out);
  assert.deepEqual([network.condition, network.projector], [{ classes: 1000 }, undefined]);
  const torch = fileURLToPath(new URL("../fixtures/torch_checkpoint.pt", import.meta.url));
  const file = await runInspect(torch);
  assert.equal(file.code, 0, file.err);
  assert.match(file.out, /^weight {2}\[2, 3\] +6\nbias +\[2\] +2\nin all +8\n$/);
  for (const option of ["--size", "--batch"]) {
    const chosen = await runInspect(torch, option, "64");
    assert.deepEqual([chosen.code, chosen.out], [2, ""]);
    assert.match(chosen.err, new RegExp(`^error: Cannot take ${option} with .*: its sizes are`));
  }
  const unknown = await runInspect("SiT-M/2");
  assert.deepEqual([unknown.code, unknown.out], [2, ""]);
  assert.match(unknown.err, /^error: Cannot make model "SiT-M\/2"/);
  const odd = await runInspect("SiT-B/2", "--size", "15");
  assert.deepEqual([odd.code, odd.out], [2, ""]);
  assert.match(odd.err, /^error: Cannot make the model: size 15 is no multiple of patch 2$/m);
  assert.match(
    (await runInspect("nowhere")).err,
    /^error: Cannot find a checkpoint: nowhere does not exist/,
  );
  // A released file, whose name begins like that of a network.
  const released = await runInspect("SiT-XL-2-512x512.pt");
  assert.match(released.err, /^error: Cannot read file "SiT-XL-2-512x512\.pt"/);
});
