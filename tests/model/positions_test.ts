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

Deno.test("sinCosPositions() and rotaryAngles() refuse widths that are no multiple of 4", () => {
  for (const width of [6, 0, 2.5, NaN]) {
    assert.throws(() => sinCosPositions(2, width), {
      name: "RangeError",
      message: `Cannot tell positions by width ${width}: expected a multiple of 4`,
    });
    assert.throws(() => rotaryAngles(2, width), {
      name: "RangeError",
      message: `Cannot tell positions by head width ${width}: expected a multiple of 4`,
    });
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
