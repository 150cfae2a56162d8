import { Random, Stream } from "../core/random.ts";

/** Float64 masked snippets, number by number: `snippets` [B, width]. */
export function maskSnippetsReference(
  snippets: Float64Array,
  options: {
    kind: "zero" | "zero-plain" | "random" | "noise" | "whole";
    ratio: number;
    seed: number;
    step: number;
    firstSample: number;
    width: number;
  },
): Float64Array {
  const { kind, ratio, seed, step, firstSample, width } = options;
  const random = new Random(seed, Stream.SnippetMask);
  return snippets.map((value, i) => {
    const sample = firstSample + Math.floor(i / width), element = i % width;
    const noise = random.normal(step, sample, 2 ** 33 + element) / Math.sqrt(width);
    if (kind === "noise") return value + ratio * noise;
    const masked = random.uniform(step, sample, kind === "whole" ? 0 : element) < ratio;
    if (masked) return kind === "random" ? noise : 0;
    return kind === "zero" ? value / (1 - ratio) : value;
  });
}
