/** Float64 loss of CLIP: `a`, `b` [B, d], `logScale` [1], result [1]. */
export function contrastiveLossReference(
  values: { a: Float64Array; b: Float64Array; logScale: Float64Array },
  options: { batch: number },
): Float64Array {
  const { a, b, logScale } = values, { batch } = options;
  const dim = a.length / batch, scale = Math.exp(logScale[0]!);
  const logit = (i: number, j: number) => {
    let sum = 0;
    for (let k = 0; k < dim; k++) sum += a[i * dim + k]! * b[j * dim + k]!;
    return scale * sum;
  };
  let loss = 0;
  for (let i = 0; i < batch; i++) {
    let row = 0, column = 0;
    for (let j = 0; j < batch; j++) {
      row += Math.exp(logit(i, j));
      column += Math.exp(logit(j, i));
    }
    loss += (Math.log(row) + Math.log(column) - 2 * logit(i, i)) / (2 * batch);
  }
  return Float64Array.of(loss);
}
