import assert from "node:assert/strict";
import { mixChannels } from "../../bank/pixels.ts";
import { imagesFor } from "../../train/bank_pictures.ts";
import { pictureOfPairs, pictureOfRows } from "../../train/datasets/picture_rows.ts";
import { randomValues } from "../_check_op.ts";
import { gpuTest } from "../_gpu.ts";
import { sourceOf } from "../bank/_images.ts";

/** Grey of the pixel at (x, y). */
function greyAt(
  picture: { width: number; channels: number; data: Uint8Array },
  x: number,
  y: number,
): number {
  return picture.data[(y * picture.width + x) * picture.channels]!;
}

const SIZE = { imageSize: 48, channels: 1 } as const;

/** Images of one grey each. */
function greys(...values: number[]): Float32Array {
  return Float32Array.from(
    { length: values.length * 48 * 48 },
    (_, i) => values[Math.floor(i / 48 ** 2)]!,
  );
}

Deno.test("pictureOfRows() puts parts beside each other with a wider gap", () => {
  const picture = pictureOfRows([
    { images: greys(-1, 0), columns: 1 },
    { images: greys(-0.5, -0.6, -0.7, -0.75), columns: 2 },
  ], SIZE);
  // Tiles of 96 pixels, twice the images; 2 between tiles and 14 between parts.
  assert.deepEqual([picture.width, picture.height], [96 + 14 + 96 + 2 + 96, 96 + 2 + 96]);
  assert.deepEqual(
    [[0, 0], [0, 98], [110, 0], [208, 0], [110, 98], [208, 98], [100, 5], [50, 97]].map(([x, y]) =>
      greyAt(picture, x!, y!)
    ),
    [0, 128, 64, 51, 38, 32, 255, 255],
  );
  const alone = pictureOfRows([{ images: greys(-1, 0), columns: 1 }], SIZE);
  assert.deepEqual([alone.width, alone.height, greyAt(alone, 95, 193)], [96, 96 + 2 + 96, 128]);
  assert.throws(() => pictureOfRows([], SIZE), { name: "TypeError", message: /none pixels high/ });
  assert.throws(
    () =>
      pictureOfRows([{ images: greys(0), columns: 1 }, { images: greys(0, 0), columns: 1 }], SIZE),
    { message: "Cannot picture rows: their parts are 96, 194 pixels high, expected equal heights" },
  );
});

Deno.test("pictureOfRows() keeps the colours of every row", () => {
  const plane = 48 ** 2, half = plane / 2;
  // Red above blue, on either side of a gap.
  const image = Float32Array.from({ length: 3 * plane }, (_, i) => {
    const [channel, below] = [Math.floor(i / plane), i % plane >= half];
    return channel === (below ? 2 : 0) ? 1 : -1;
  });
  const part = { images: image, columns: 1 };
  const { width, height, data } = pictureOfRows([part, part], { imageSize: 48, channels: 3 });
  const gap = Array(3 * 14).fill(255);
  for (let y = 0; y < height; y++) {
    const tile = Array(96).fill(y < height / 2 ? [255, 0, 0] : [0, 0, 255]).flat();
    const row = data.subarray(3 * y * width, 3 * (y + 1) * width);
    assert.deepEqual([...row], [...tile, ...gap, ...tile], `row ${y}`);
  }
});

Deno.test("pictureOfPairs() keeps the two of a pair together and a short row in its place", () => {
  const picture = pictureOfPairs(greys(-1, -0.9, -0.75), greys(0, 0.1, 0.2), {
    ...SIZE,
    columns: 2,
  });
  assert.deepEqual([picture.width, picture.height], [96 + 2 + 96, 2 * (96 + 2 + 96) + 14]);
  assert.deepEqual(
    [[0, 0], [98, 0], [0, 98], [98, 98], [0, 208], [0, 306], [98, 208], [98, 306], [0, 200]].map((
      [x, y],
    ) => greyAt(picture, x!, y!)),
    [0, 13, 128, 140, 32, 153, 255, 255, 255],
  );
  assert.throws(() => pictureOfPairs(greys(0), greys(0, 0), { ...SIZE, columns: 2 }), {
    name: "TypeError",
    message: /^Cannot picture pairs of 2304 and 4608 values: /,
  });
});

Deno.test("mixChannels() makes grey of colours and colours of grey", () => {
  const colour = Float32Array.of(1, 0, 0, 1, 0, 0);
  const grey = mixChannels(colour, { from: 3, to: 1, plane: 2 });
  assert.deepEqual([...grey], [Math.fround(0.299), Math.fround(0.587)]);
  assert.deepEqual(
    [...mixChannels(Float32Array.of(1, 2, 3, 4), { from: 1, to: 3, plane: 2 })],
    [1, 2, 1, 2, 1, 2, 3, 4, 3, 4, 3, 4],
  );
});

gpuTest(
  "imagesFor() reads images in the order of their indices, and white ones for -1",
  async (device) => {
    const images = sourceOf(new Float32Array(randomValues([3, 3 * 64], 2)), {
      channels: 3,
      imageSize: 8,
    });
    const read = await imagesFor({ imageSize: 8, channels: 3 }, {
      device,
      images,
      indices: [2, -1, 0],
    });
    const [last, first] = [2, 0].map((index) => images.read(Uint32Array.of(index)));
    const white = new Float32Array(3 * 64).fill(1);
    assert.deepEqual([...read], [...await last!, ...white, ...await first!]);
  },
);
