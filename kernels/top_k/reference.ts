/** Columns of the k largest values of each row of `x` [rows, columns], by a full sort. */
export function topKReference(
  x: ArrayLike<number>,
  options: { columns: number; k: number },
): number[] {
  const { columns, k } = options;
  return Array.from({ length: x.length / columns }, (_, row) => {
    const order = Array.from({ length: columns }, (_, column) => column);
    order.sort((a, b) => x[row * columns + b]! - x[row * columns + a]! || a - b);
    return order.slice(0, k);
  }).flat();
}
