/**
 * Float64 x cos + rotate_half(x) sin of queries and keys: `qkv` [B, T, 3, H, headWidth], `cos` and
 * `sin` [T, headWidth].
 */
export function ropeReference(
  values: { qkv: Float64Array; cos: Float64Array; sin: Float64Array },
  options: { heads: number; headWidth: number },
): Float64Array {
  const { qkv, cos, sin } = values;
  const { heads, headWidth } = options;
  const width = heads * headWidth, tokens = cos.length / headWidth;
  return qkv.map((value, i) => {
    const part = Math.floor(i / width) % 3;
    if (part === 2) return value;
    const token = Math.floor(i / (3 * width)) % tokens, channel = i % headWidth;
    const turned = channel % 2 === 0 ? -qkv[i + 1]! : qkv[i - 1]!;
    const angle = token * headWidth + channel;
    return value * cos[angle]! + turned * sin[angle]!;
  });
}
