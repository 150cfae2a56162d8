/**
 * One forward and backward pass of a network: inputs, activations, outputs, losses, gradients.
 *
 * @module
 */

import { alignmentLoss, cosineLoss } from "../../kernels/cosine_loss/mod.ts";
import type { Device } from "../../kernels/core/device.ts";
import type { Parameter } from "../../kernels/core/parameter_store.ts";
import { Tape } from "../../kernels/core/tape.ts";
import type { Tensor } from "../../kernels/core/tensor.ts";
import { embedTime } from "../../kernels/embed_time/mod.ts";
import { interpolate } from "../../kernels/interpolate/mod.ts";
import { meanSquarePerSample } from "../../kernels/mean_square/mod.ts";
import { multiply } from "../../kernels/multiply/mod.ts";
import { weightedSum } from "../../kernels/weighted_sum/mod.ts";
import { linearInterpolant } from "../../model/interpolants/linear.ts";
import { targetCoefficients } from "../../model/interpolants/prediction.ts";
import type { SiT } from "../../model/sit.ts";
import { canonicalName } from "../../model/state_dict.ts";
import type { Golden } from "./golden.ts";
import { loadModel } from "./golden_model.ts";
import { type Kind, normError, type Report } from "./report.ts";
import { verifyRepaSamplers } from "./sampler_case.ts";
import { FORWARD, GRADIENT, LOSS } from "./tolerances.ts";

/** Weight of the alignment loss where the file does not say. */
const DEFAULT_ALIGNMENT = 0.5;

/** What a pass leaves, by the file's names. */
interface Results {
  readonly inputs: Map<string, Tensor>;
  readonly activations: Map<string, Tensor>;
  readonly outputs: Map<string, Tensor>;
  readonly losses: Map<string, Tensor>;
  readonly gradients: Map<string, Tensor>;
}

/** Verifies a file of a network, with samplers where it has some (the first GMem release). */
export async function verifyNetwork(device: Device, golden: Golden, report: Report): Promise<void> {
  const model = await loadModel(device, golden, report);
  using _parameters = model.parameters;
  const results: Results = {
    inputs: new Map(),
    activations: new Map(),
    outputs: new Map(),
    losses: new Map(),
    gradients: new Map(),
  };
  try {
    device.scope(() => runPass({ model, golden, results }));
    const tolerances = { inputs: FORWARD, activations: FORWARD, outputs: FORWARD, losses: LOSS };
    for (const [kind, tolerance] of Object.entries(tolerances)) {
      for (const [quantity, tensor] of results[kind as keyof Results]) {
        if (!golden.has(quantity)) continue;
        report.compare({
          quantity,
          kind: kind as Kind,
          got: await tensor.read(),
          recorded: golden.values(quantity),
          tolerance,
        });
      }
    }
    for (const [quantity, tensor] of results.gradients) {
      report.compare({
        quantity,
        kind: "gradients",
        got: await tensor.read(),
        recorded: golden.values(quantity),
        tolerance: GRADIENT,
        measure: normError,
      });
    }
  } finally {
    for (const tensors of Object.values(results) as Map<string, Tensor>[]) {
      for (const tensor of tensors.values()) tensor.dispose();
    }
  }
  if (golden.has("input.sampler_noise")) {
    await verifyRepaSamplers(model, { golden, report, noise: "input.sampler_noise" });
  }
}

function runPass({ model, golden, results }: { model: SiT; golden: Golden; results: Results }) {
  const { device } = model;
  const { inputs, activations, outputs, losses, gradients } = results;
  const x = golden.tensor(device, "input.x"), t = golden.tensor(device, "input.t");
  const { condition, source } = conditionOf(device, golden);
  const point = pathPoint(device, golden);
  keep(inputs, { "input.x": point.x, "input.target": point.target });
  keep(outputs, { "output.timestep_freq": embedTime(t) });

  const tape = new Tape(device);
  tape.watch(x);
  if (source.dtype === "f32") tape.watch(source);
  const observe = (name: string, activation: Tensor) => {
    for (const key of activationKeys(golden, name)) keep(activations, { [key]: activation });
  };
  const loss = tape.record(() => {
    const { output, projection } = model.options.projector
      ? model.forwardWithProjection(x, t, condition(), { observe })
      : { output: model.forward(x, t, condition(), { observe }), projection: undefined };
    keep(outputs, {
      "output.out": output,
      ...(projection && { "output.z_tilde": projection }),
    });
    return totalLoss({ golden, output, projection, target: point.target, losses });
  });
  tape.backward(loss);
  const parameters = new Map<string, Parameter>(model.parameters.entries());
  for (const name of golden.namesUnder("grad.")) {
    if (name === "input.x") keep(gradients, { [`grad.${name}`]: tape.gradient(x) });
    else if (name === "input.s") keep(gradients, { [`grad.${name}`]: tape.gradient(source) });
    const parameter = parameters.get(canonicalName(name));
    if (parameter) keep(gradients, { [`grad.${name}`]: parameter.gradient });
  }
}

/** Copies tensors out of the scope that they were made in. */
function keep(map: Map<string, Tensor>, tensors: Readonly<Record<string, Tensor>>): void {
  for (const [key, tensor] of Object.entries(tensors)) {
    const { device } = tensor;
    const copy = device.unscoped(() => device.empty(tensor.shape));
    device.copyInto(copy, tensor);
    map.set(key, copy);
  }
}

/** The condition is embedded by a module that has another name in each repository. */
function activationKeys(golden: Golden, name: string): string[] {
  const names = name === "condition" ? ["y_embedder", "condition_projection"] : [name];
  return names.map((official) => `act.${official}`).filter((key) => golden.has(key));
}

/** The labels or snippets, and the tensor whose gradient is recorded; dropout as it was drawn. */
function conditionOf(
  device: Device,
  golden: Golden,
): { condition: () => Tensor; source: Tensor } {
  const source = golden.tensor(device, golden.has("input.s") ? "input.s" : "input.y");
  if (!golden.has("input.s_mask")) return { condition: () => source, source };
  const dropout = Number(/p=([\d.]+)/.exec(golden.text("patch"))?.[1] ?? 0.4);
  const kept = golden.readFloat32("input.s_mask").map((value) => value / (1 - dropout));
  const mask = device.tensor(kept, source.shape);
  return { condition: () => multiply(source, mask), source };
}

/**
 * The point on the linear path and its velocity target. Where noise stands at t = 1, time runs
 * backwards and the velocity has the other sign.
 */
function pathPoint(device: Device, golden: Golden): { x: Tensor; target: Tensor } {
  const reversed = golden.has("input.data");
  const [data, noise] = reversed ? ["input.data", "input.noise"] : ["input.x1", "input.x0"];
  const times = golden.values("input.t");
  const coefficients = Float32Array.from(
    [...times].flatMap((time) => {
      const t = reversed ? 1 - time : time, sign = reversed ? -1 : 1;
      const target = targetCoefficients(linearInterpolant, "velocity", t);
      return [
        linearInterpolant.alpha(t),
        linearInterpolant.sigma(t),
        sign * target.data,
        sign * target.noise,
      ];
    }),
  );
  return interpolate(
    golden.tensor(device, data!),
    golden.tensor(device, noise!),
    device.tensor(coefficients, [times.length, 4]),
  );
}

/** The loss of the file's repository; its parts are kept under all names that they have. */
function totalLoss(
  { golden, output, projection, target, losses }: {
    golden: Golden;
    output: Tensor;
    projection: Tensor | undefined;
    target: Tensor;
    losses: Map<string, Tensor>;
  },
): Tensor {
  const { device } = output;
  const square = meanSquarePerSample(output, target);
  const parts = [square], weights = [1];
  keep(losses, {
    "output.mse_per_sample": square,
    "output.denoise_loss_per_sample": square,
    "output.mse_loss": weightedSum([square], [1]),
    "output.denoise_loss": weightedSum([square], [1]),
  });
  if (golden.has("output.cos_loss")) {
    const cosine = cosineLoss(output, target);
    parts.push(cosine);
    weights.push(1);
    keep(losses, {
      "output.cos_per_sample": cosine,
      "output.cos_loss": weightedSum([cosine], [1]),
    });
  }
  if (golden.has("input.z") && projection) {
    const alignment = alignmentLoss(golden.tensor(device, "input.z"), projection);
    parts.push(alignment);
    weights.push(golden.metadata().number("proj_coeff", DEFAULT_ALIGNMENT));
    keep(losses, { "output.proj_loss": weightedSum([alignment], [1]) });
  }
  const total = weightedSum(parts, weights);
  keep(losses, { "output.loss": total });
  return total;
}
