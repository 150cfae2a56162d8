import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Device } from "../kernels/core/device.ts";
import type { SiTOptions } from "../model/sit.ts";
import { gpuTest } from "./_gpu.ts";
import {
  float32,
  nudge,
  readRecording,
  type Recording,
  recordNetwork,
  writeRecording,
} from "./_recordings.ts";
import { passed, type Report, type Row } from "./parity/report.ts";
import { verifyFile } from "./parity/verify.ts";

const FIXTURES = fileURLToPath(new URL("./fixtures/goldens", import.meta.url));
const GOLDENS = fileURLToPath(new URL("../../shared/goldens", import.meta.url));

function filesOf(folder: string): string[] {
  if (!existsSync(folder)) return [];
  const names = [...Deno.readDirSync(folder)].map(({ name }) => name);
  return names.filter((name) => name.endsWith(".safetensors")).sort().map((name) =>
    `${folder}/${name}`
  );
}

function failures(report: Report): Row[] {
  return report.rows.filter((row) => !passed(row));
}

/** The quantities that failed, or for those that could not be compared, why. */
function failedQuantities(report: Report): string[] {
  return failures(report).map(({ quantity, reason }) =>
    reason === undefined ? quantity : `${quantity}: ${reason}`
  );
}

function baseName(path: string): string {
  return path.replace(/^.*\//, "");
}

const goldens = filesOf(GOLDENS);
if (goldens.length === 0) {
  console.log("Only the fixtures are compared: shared/goldens is not there");
}
for (const path of [...filesOf(FIXTURES), ...goldens]) {
  const where = path.startsWith(FIXTURES) ? "fixture" : "recording";
  gpuTest(`verifyFile() agrees with the ${where} ${baseName(path)}`, async (device) => {
    const report = await verifyFile(device, path);
    assert.deepEqual(failures(report), []);
    assert.ok(report.rows.length > 0);
  });
}

/** Verifies a recording under a name in a folder of its own. */
async function verifyRecording(
  device: Device,
  recording: Recording,
  name: string,
): Promise<Report> {
  const folder = Deno.makeTempDirSync();
  try {
    return await verifyFile(device, writeRecording(recording, { folder, name }));
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

const NETWORK = `${FIXTURES}/sit_tiny_nosigma.safetensors`;

gpuTest("verifyFile() finds every tensor of a network in some row", async (device) => {
  const { tensors } = readRecording(NETWORK);
  const quantities = new Set((await verifyFile(device, NETWORK)).rows.map((row) => row.quantity));
  for (const key of tensors.keys()) {
    if (/^(act|output|grad)\./.test(key)) assert.ok(quantities.has(key), key);
  }
  assert.ok(quantities.has("grad.input.x"));
});

gpuTest("verifyFile() shows where a changed weight first makes a difference", async (device) => {
  const recording = readRecording(NETWORK);
  nudge(recording, "blocks.1.mlp.fc1.weight", 0.2);
  const report = await verifyRecording(device, recording, "sit_tiny_nosigma");
  const failed = failedQuantities(report);
  for (const quantity of ["act.blocks.1.mlp", "output.out", "output.loss", "grad.input.x"]) {
    assert.ok(failed.includes(quantity), `${quantity} passed`);
  }
  for (const quantity of ["act.blocks.0", "act.blocks.1.attn", "act.x_embedder", "pos_embed"]) {
    assert.ok(!failed.includes(quantity), `${quantity} failed`);
  }
});

gpuTest("verifyFile() blames the one number that was changed", async (device) => {
  for (
    const [key, by] of [
      ["output.loss", 1e-3],
      ["grad.blocks.0.attn.qkv.weight", 1e-3],
      ["act.t_embedder", NaN],
      ["output.timestep_freq", 1e-3],
      ["pos_embed", 0.2],
    ] as const
  ) {
    const recording = readRecording(NETWORK);
    nudge(recording, key, by);
    const report = await verifyRecording(device, recording, "sit_tiny_nosigma");
    const failed = failedQuantities(report);
    // The table of positions is a weight too, which goes into all that follows.
    if (key === "pos_embed") assert.ok(failed.includes(key) && failed.includes("output.out"));
    else assert.deepEqual(failed, [key]);
  }
});

gpuTest(
  "verifyFile() does not pass over tensors, names and files unknown to it",
  async (device) => {
    const recording = readRecording(NETWORK);
    recording.tensors.set("surprise", float32({ shape: [1], data: Float64Array.of(1) }));
    const report = await verifyRecording(device, recording, "sit_tiny_nosigma");
    assert.deepEqual(failedQuantities(report), ["surprise: not covered"]);
    assert.ok(report.rows.filter(passed).length > 40);

    const unknown = await verifyRecording(device, readRecording(NETWORK), "mystery");
    assert.deepEqual(failedQuantities(unknown), ["file: not covered"]);
    assert.equal(unknown.rows.length, 1);

    const absent = await verifyFile(device, `${FIXTURES}/sit_absent.safetensors`);
    assert.match(
      failedQuantities(absent).join(),
      /^file: Cannot read file .*sit_absent\.safetensors/,
    );
  },
);

gpuTest("verifyFile() names what is missing", async (device) => {
  const recording = readRecording(NETWORK);
  recording.tensors.delete("blocks.0.attn.qkv.bias");
  const report = await verifyRecording(device, recording, "sit_tiny_nosigma");
  assert.match(failedQuantities(report).join(), /^file: .*missing blocks\.0\.attn\.qkv\.bias/);

  const parameters = { "ema3.final_layer.linear.bias": { shape: [1], data: Float64Array.of(1) } };
  const tensors = new Map(
    Object.entries(parameters).map(([key, value]) => [key, float32(value)]),
  );
  const alone = await verifyRecording(device, { tensors, metadata: {} }, "train_adamw_ema_opt");
  assert.match(
    failedQuantities(alone).join(),
    /^weights: .*train_adamw_steps\.safetensors is needed beside it and is not there$/,
  );
});

const SIZES: Readonly<Record<string, { options: SiTOptions; batch: number }>> = {
  sit_other: {
    batch: 5,
    options: {
      inputSize: 5,
      patchSize: 1,
      channels: 3,
      width: 48,
      depth: 1,
      heads: 3,
      learnSigma: true,
      condition: { classes: 4 },
    },
  },
  gmem_sit_other: {
    batch: 2,
    options: {
      inputSize: 12,
      patchSize: 4,
      channels: 1,
      width: 20,
      depth: 3,
      heads: 1,
      mlpRatio: 2.5,
      qkNorm: true,
      condition: { snippetDim: 7, embedding: "mlp3" },
    },
  },
  lightningdit_other: {
    batch: 3,
    options: {
      inputSize: 6,
      patchSize: 2,
      channels: 2,
      width: 72,
      depth: 2,
      heads: 6,
      qkNorm: true,
      swiglu: true,
      rope: true,
      rmsNorm: true,
      noShift: true,
      condition: { snippetDim: 10 },
    },
  },
};

for (const [name, sizes] of Object.entries(SIZES)) {
  gpuTest(`verifyFile() takes sizes from the file: ${name}`, async (device) => {
    const report = await verifyRecording(device, recordNetwork(device, sizes), name);
    assert.deepEqual(failures(report), []);
    const quantities = report.rows.map((row) => row.quantity);
    assert.ok(quantities.includes("output.out"));
    assert.ok(quantities.includes("output.loss"));
  });
}

async function runCommand(
  ...args: string[]
): Promise<{ code: number; lines: string[]; errors: string }> {
  const main = fileURLToPath(new URL("./parity/main.ts", import.meta.url));
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", main, ...args],
  }).output();
  const [text, errors] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes).trimEnd());
  return { code, lines: text!.split("\n"), errors: errors! };
}

gpuTest("deno task verify ends with the count and exits by it", async () => {
  const bank = `${FIXTURES}/memory_bank_svd.safetensors`;
  const good = await runCommand(bank);
  assert.equal(good.code, 0, good.errors);
  assert.match(good.lines.at(-1)!, /^\d\d passed, 0 failed$/);
  const count = good.lines.filter((line) => line.endsWith("  pass")).length;
  assert.equal(good.lines.at(-1), `${count} passed, 0 failed`);

  const bad = await runCommand("--summary", bank, "mystery.safetensors");
  assert.equal(bad.code, 1, bad.errors);
  assert.equal(bad.lines.at(-1), `${count} passed, 1 failed`);
  assert.equal(bad.lines.at(-2), "  mystery file: FAIL there is no such file");

  assert.equal((await runCommand()).code, 2);
});
