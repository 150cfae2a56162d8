/** Sequences of float64 tokens [B, T, D]. */
interface Sequence {
  readonly values: Float64Array;
  readonly tokens: number;
}

/** Float64 sequences one after the other, sample by sample. */
export function concatenateTokensReference(
  sequences: readonly Sequence[],
  { batch, width }: { batch: number; width: number },
): Float64Array {
  const out: number[] = [];
  for (let b = 0; b < batch; b++) {
    for (const { values, tokens } of sequences) {
      out.push(...values.subarray(b * tokens * width, (b + 1) * tokens * width));
    }
  }
  return Float64Array.from(out);
}

/** Float64 tokens `first` to `first + count` of each sample. */
export function sliceTokensReference(
  { values, tokens }: Sequence,
  { first, count, width }: { first: number; count: number; width: number },
): Float64Array {
  return values.filter((_, i) => {
    const token = Math.floor(i / width) % tokens;
    return token >= first && token < first + count;
  });
}
