import assert from "node:assert/strict";
import { rotaryAngles, sinCosPositions } from "../../model/positions.ts";
import { assertClose, randomValues } from "../_check_op.ts";
import { rotateByPosition, sinCosPositions as sinCosReference } from "./reference_sit.ts";

// Angles below 8 of a power that is off by a few roundings of 2^-53, and their functions.
const TOLERANCE = 64 * 2 ** -53;

Deno.test("sinCosPositions() is the reference's table", () => {
  for (const [grid, width] of [[1, 4], [4, 16], [5, 24], [8, 64]] as const) {
    const want = sinCosReference(grid, width).data, got = sinCosPositions(grid, width);
    assert.equal(got.length, grid * grid * width);
    assertClose(got, want, { tolerance: TOLERANCE, name: `${grid}, ${width}` });
  }
});

Deno.test("rotaryAngles() turn as the reference does", () => {
  for (const [grid, width] of [[1, 4], [3, 8], [5, 24]] as const) {
    const tokens = grid * grid, data = Float64Array.from(randomValues([tokens, width], 5));
    const { cos, sin } = rotaryAngles(grid, width);
    const turned = data.map((value, i) => {
      const other = i % 2 === 0 ? -data[i + 1]! : data[i - 1]!;
      return value * cos[i]! + other * sin[i]!;
    });
    const want = rotateByPosition({ shape: [tokens, width], data }).data;
    assertClose(turned, want, { tolerance: 2 * TOLERANCE, name: `${grid}, ${width}` });
  }
});

Deno.test("tables of positions refuse sizes that they cannot divide", () => {
  for (const [grid, width] of [[2.5, 8], [-1, 8], [2, 6], [2, 0], [NaN, 8]] as const) {
    const sizes = `a grid of side ${grid} and ${width} channels`;
    assert.throws(() => sinCosPositions(grid, width), {
      name: "RangeError",
      message:
        `Cannot place tokens on ${sizes}: expected whole numbers, channels in multiples of 4`,
    });
    assert.throws(() => rotaryAngles(grid, width), RangeError);
  }
  assert.deepEqual(sinCosPositions(0, 8), new Float64Array());
});
