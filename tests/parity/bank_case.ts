/**
 * The memory bank: low-rank factors, what is added to them, interpolation, retrieval by noise.
 *
 * @module
 */

import { concatenateSnippets, lerpSnippets, slerpSnippets } from "../../bank/interpolate.ts";
import { LowRankBank } from "../../bank/low_rank_bank.ts";
import { indexByNoise, noiseQuantiles, noiseScores } from "../../bank/noise_index.ts";
import { normalizeSnippets } from "../../bank/normalize.ts";
import {
  externalCoefficients,
  factorize,
  type LowRankFactors,
  mixRows,
  reconstructRows,
} from "../../bank/svd.ts";
import type { Device } from "../../kernels/core/device.ts";
import type { Golden } from "./golden.ts";
import { absoluteError, type Report } from "./report.ts";
import { EXACT, FORWARD } from "./tolerances.ts";

/** Adds a check of one list of values. */
type Check = (quantity: string, got: ArrayLike<number>, recorded: ArrayLike<number>) => void;

/** Verifies the file of the low-rank bank. */
export async function verifyMemoryBank(
  device: Device,
  golden: Golden,
  report: Report,
): Promise<void> {
  const check: Check = (quantity, got, recorded) =>
    report.compare({ quantity, kind: "values", got, recorded, tolerance: FORWARD });
  const snippets = golden.readFloat32("input.bank");
  const [size = 0, dim = 0] = golden.shape("input.bank");
  const [, rank = 0] = golden.shape("C");
  const rows = (first: number, count: number) =>
    snippets.subarray(first * dim, first * dim + count * dim);
  const factors = await factorize({ size, dim, rows }, { rank });
  // The sign of a component is arbitrary, and nearly equal ones may mix: what counts is what they
  // decode to.
  const recorded: LowRankFactors = {
    mean: golden.readFloat32("mean"),
    basis: golden.readFloat32("M"),
    singularValues: golden.readFloat32("S"),
    coefficients: golden.readFloat32("C"),
  };
  check("mean", factors.mean, recorded.mean);
  check("S", factors.singularValues, recorded.singularValues);
  const reconstructed = reconstructRows(factors.coefficients, factors);
  check("C, M", reconstructed, reconstructRows(recorded.coefficients, recorded));
  check("output.reconstructed", reconstructed, golden.values("output.reconstructed"));
  await checkGathered({ device, golden, factors, check });
  checkAdded({ golden, factors, recorded, check });
  checkInterpolated({ golden, first: rows(0, 1), second: rows(1, 1), check });
}

/** What the bank itself gives is normalised, unlike the official bank's. */
async function checkGathered(
  { device, golden, factors, check }: {
    device: Device;
    golden: Golden;
    factors: LowRankFactors;
    check: Check;
  },
): Promise<void> {
  const dim = factors.mean.length;
  using bank = LowRankBank.from(device, factors);
  using all = bank.gather(Array.from({ length: bank.size }, (_, i) => i));
  const expected = normalizeSnippets(golden.values("output.reconstructed"), { dim });
  check("output.reconstructed, normalised", await all.read(), expected);
  for (const name of golden.namesUnder("output.get")) {
    if (!/^\d+$/.test(name)) continue;
    const index = Number(name), key = `output.get${name}`;
    const coefficients = factors.coefficients.subarray(
      index * bank.rank,
      (index + 1) * bank.rank,
    );
    check(key, reconstructRows(coefficients, factors), golden.values(key));
    const snippet = normalizeSnippets(golden.values(key), { dim });
    check(`${key}, normalised`, await bank.snippet(index), snippet);
  }
}

/** External and internal knowledge. Recorded coefficients are decoded by their own basis. */
function checkAdded(
  { golden, factors, recorded, check }: {
    golden: Golden;
    factors: LowRankFactors;
    recorded: LowRankFactors;
    check: Check;
  },
): void {
  const rank = factors.singularValues.length;
  const decoded = (key: string) => reconstructRows(golden.readFloat32(key), recorded);
  const external = externalCoefficients(golden.readFloat32("input.new"), factors);
  const added = reconstructRows(external, factors);
  check("output.add_exact", added, golden.values("output.add_exact"));
  check("output.coeff_exact, decoded", added, decoded("output.coeff_exact"));
  for (const name of golden.namesUnder("output.add_interpolated_")) {
    const [first = 0, second = 0, alpha = 0] = name.split("_").map(Number);
    const row = (index: number) => factors.coefficients.subarray(index * rank, (index + 1) * rank);
    const mixed = reconstructRows(mixRows(row(first), row(second), { firstShare: alpha }), factors);
    check(
      `output.add_interpolated_${name}`,
      mixed,
      golden.values(`output.add_interpolated_${name}`),
    );
    for (const key of [`output.get_interpolated_${name}`, "output.coeff_interpolated"]) {
      if (golden.has(key)) check(`${key}, decoded`, mixed, decoded(key));
    }
  }
}

function checkInterpolated(
  { golden, first, second, check }: {
    golden: Golden;
    first: Float32Array;
    second: Float32Array;
    check: Check;
  },
): void {
  for (const [prefix, interpolate] of [["lerp", lerpSnippets], ["slerp", slerpSnippets]] as const) {
    for (const name of golden.namesUnder(`output.${prefix}.`)) {
      const key = `output.${prefix}.${name}`;
      check(key, interpolate(first, second, { alpha: Number(name) }), golden.values(key));
    }
  }
  if (golden.has("output.concat")) {
    check("output.concat", concatenateSnippets(first, second), golden.values("output.concat"));
  }
}

/** Verifies the file of retrieval by noise. */
export function verifyNoiseIndex(_device: Device, golden: Golden, report: Report): Promise<void> {
  const noise = golden.readFloat32("input.noise"), [batch = 0] = golden.shape("input.noise");
  const frequencies = golden.integers("input.freq");
  const checks = [
    ["output.normalized", noiseScores(noise, batch)],
    ["output.uniform", noiseQuantiles(noise, batch)],
  ] as const;
  for (const [quantity, got] of checks) {
    const recorded = golden.values(quantity);
    report.compare({ quantity, kind: "values", got, recorded, tolerance: FORWARD });
  }
  const choices = [
    ["output.index_freq", frequencies],
    ["output.index_ones", frequencies.map(() => 1)],
  ] as const;
  for (const [quantity, frequencies] of choices) {
    report.compare({
      quantity,
      kind: "values",
      got: indexByNoise(noise, { count: batch, frequencies }),
      recorded: golden.integers(quantity),
      tolerance: EXACT,
      measure: absoluteError,
    });
  }
  return Promise.resolve();
}
