/** Where the vectors of a tensor lie. */
export interface CosineLayout {
  readonly batch: number;
  readonly channels: number;
  readonly positions: number;
  /** Whether the channels are the last axis, instead of the one before the positions. */
  readonly channelLast: boolean;
  readonly epsilon: number;
}

/** Float64 mean cosine along the channels, with norms of at least epsilon: result [batch]. */
export function meanCosineReference(
  a: Float64Array,
  b: Float64Array,
  layout: CosineLayout,
): Float64Array {
  const { batch, channels, positions, channelLast, epsilon } = layout;
  const out = new Float64Array(batch);
  for (let sample = 0; sample < batch; sample++) {
    for (let position = 0; position < positions; position++) {
      let product = 0, aa = 0, bb = 0;
      for (let c = 0; c < channels; c++) {
        const i = channelLast
          ? (sample * positions + position) * channels + c
          : (sample * channels + c) * positions + position;
        product += a[i]! * b[i]!;
        aa += a[i]! ** 2;
        bb += b[i]! ** 2;
      }
      const norms = Math.max(Math.sqrt(aa), epsilon) * Math.max(Math.sqrt(bb), epsilon);
      out[sample]! += product / norms / positions;
    }
  }
  return out;
}
