/**
 * Float64 softmax(scale q kᵀ) v for each head: `qkv` [batch, tokens, 3, heads, headWidth], result
 * [batch, tokens, heads, headWidth].
 */
export function attentionReference(
  qkv: Float64Array,
  size: { batch: number; tokens: number; heads: number; headWidth: number },
): Float64Array {
  const { batch, tokens, heads, headWidth } = size;
  const out = new Float64Array(batch * tokens * heads * headWidth);
  const at = (b: number, token: number, part: number, head: number): number =>
    (((b * tokens + token) * 3 + part) * heads + head) * headWidth;
  for (let b = 0; b < batch; b++) {
    for (let head = 0; head < heads; head++) {
      for (let query = 0; query < tokens; query++) {
        const scores = Array.from({ length: tokens }, (_, key) => {
          const q = at(b, query, 0, head), k = at(b, key, 1, head);
          let sum = 0;
          for (let d = 0; d < headWidth; d++) sum += qkv[q + d]! * qkv[k + d]!;
          return sum / Math.sqrt(headWidth);
        });
        const largest = Math.max(...scores);
        const weights = scores.map((score) => Math.exp(score - largest));
        const total = weights.reduce((sum, weight) => sum + weight, 0);
        const to = ((b * tokens + query) * heads + head) * headWidth;
        for (let key = 0; key < tokens; key++) {
          const v = at(b, key, 2, head);
          for (let d = 0; d < headWidth; d++) out[to + d]! += weights[key]! / total * qkv[v + d]!;
        }
      }
    }
  }
  return out;
}
