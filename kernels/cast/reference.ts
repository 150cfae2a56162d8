/** The nearest f16 of each value, ties to even, as float64: infinity from 65,520 on. */
export function roundToF16Reference(x: ArrayLike<number>): Float64Array {
  return Float64Array.from(Float16Array.from(x));
}
