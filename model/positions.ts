/**
 * Where a token stands: the fixed sine-cosine table and the angles of rotary embedding.
 *
 * @module
 */

/**
 * The fixed table [T, D] of a square grid of `gridSize`² tokens, row by row: the first half of the
 * channels encodes the column, the second the row, each as sines then cosines of
 * position · 10000^(−k / (D/4)) (DiT). Computed in float64.
 *
 * Throws `RangeError` unless both are whole numbers and D a multiple of 4.
 *
 * @example
 * ```ts
 * import { constant, Device, ParameterStore, sinCosPositions } from "@gmem/gmem";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * using store = new ParameterStore(device);
 * // Saved with the model and never trained, as in official checkpoints.
 * const table = store.frozen("pos_embed", [1, 16, 32], constant(sinCosPositions(4, 32)));
 * console.log((await table.read()).slice(8, 10)); // Float32Array(2) [ 1, 1 ] cosines of column 0
 * ```
 */
export function sinCosPositions(gridSize: number, width: number): Float64Array {
  requireSizes(gridSize, width);
  const quarter = width / 4;
  const table = new Float64Array(gridSize * gridSize * width);
  for (let row = 0; row < gridSize; row++) {
    for (let column = 0; column < gridSize; column++) {
      const first = (row * gridSize + column) * width;
      for (let k = 0; k < quarter; k++) {
        const frequency = 10000 ** (-k / quarter);
        table[first + k] = Math.sin(column * frequency);
        table[first + quarter + k] = Math.cos(column * frequency);
        table[first + 2 * quarter + k] = Math.sin(row * frequency);
        table[first + 3 * quarter + k] = Math.cos(row * frequency);
      }
    }
  }
  return table;
}

/**
 * Cosines and sines [T, headWidth] of two-dimensional rotary embedding on a square grid: the first
 * half of a head turns with the row, the second with the column, by position ·
 * 10000^(−2k / (headWidth/2)) for each pair k of neighbouring channels (LightningDiT).
 *
 * Throws `RangeError` unless both are whole numbers and `headWidth` a multiple of 4.
 *
 * @example
 * ```ts
 * import { rotaryAngles } from "@gmem/gmem";
 *
 * const { cos, sin } = rotaryAngles(2, 4); // tokens (0, 0), (0, 1), (1, 0) and (1, 1)
 * console.log(cos.length, sin.slice(8, 12).map((value) => Math.round(100 * value) / 100));
 * // 16 Float64Array(4) [ 0.84, 0.84, 0, 0 ]
 * ```
 */
export function rotaryAngles(
  gridSize: number,
  headWidth: number,
): { cos: Float64Array; sin: Float64Array } {
  requireSizes(gridSize, headWidth);
  const half = headWidth / 2;
  const cos = new Float64Array(gridSize * gridSize * headWidth);
  const sin = new Float64Array(cos.length);
  for (let token = 0; token < gridSize * gridSize; token++) {
    const place = [Math.floor(token / gridSize), token % gridSize];
    for (let channel = 0; channel < headWidth; channel++) {
      const pair = Math.floor((channel % half) / 2);
      const angle = place[channel < half ? 0 : 1]! * 10000 ** (-2 * pair / half);
      cos[token * headWidth + channel] = Math.cos(angle);
      sin[token * headWidth + channel] = Math.sin(angle);
    }
  }
  return { cos, sin };
}

/** Both tables have a quarter of the channels each for two functions of two places. */
function requireSizes(gridSize: number, width: number): void {
  const whole = Number.isInteger(gridSize) && gridSize >= 0 && Number.isInteger(width) && width > 0;
  if (whole && width % 4 === 0) return;
  throw new RangeError(
    `Cannot place tokens on a grid of side ${gridSize} and ${width} channels: expected whole ` +
      "numbers, channels in multiples of 4",
  );
}
