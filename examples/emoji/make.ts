/**
 * Makes `sheet.png` and `emoji.json` from the npm package emoji-datasource-google.
 *
 * Get the package in a folder outside this project and unpack it:
 *
 *     npm pack emoji-datasource-google@16.0.0
 *     tar xzf emoji-datasource-google-16.0.0.tgz
 *
 * Then run this, from the root of this project, with the path of what was unpacked:
 *
 *     deno run --allow-read --allow-write=examples/emoji examples/emoji/make.ts <path>/package
 *
 * @module
 */

import { decodePng, encodePng, type RawImage } from "../../train/datasets/png.ts";

/** What is used of an entry of the package's list. */
interface SourceEmoji {
  readonly name: string;
  readonly short_name: string;
  readonly category: string;
  readonly subcategory: string;
  readonly sort_order: number;
  readonly sheet_x: number;
  readonly sheet_y: number;
}

/** Height and width of an image in pixels. */
const CELL_SIZE = 32;

/** Images in a row of the sheet that is made. */
const COLUMNS = 40;

/** Transparent pixels around each image of the package's sheet. */
const SOURCE_BORDER = 1;

/** The five bare skin tones, which are plain squares. */
const LEFT_OUT_CATEGORY = "Component";

/** Composites the images on white and sets them side by side, without a border. */
function makeSheet(source: RawImage, list: readonly SourceEmoji[]): RawImage {
  const width = COLUMNS * CELL_SIZE;
  const height = Math.ceil(list.length / COLUMNS) * CELL_SIZE;
  const data = new Uint8Array(width * height * 3).fill(255);
  const pitch = CELL_SIZE + 2 * SOURCE_BORDER;
  for (const [index, emoji] of list.entries()) {
    const left = (index % COLUMNS) * CELL_SIZE;
    const top = Math.floor(index / COLUMNS) * CELL_SIZE;
    const sourceLeft = emoji.sheet_x * pitch + SOURCE_BORDER;
    const sourceTop = emoji.sheet_y * pitch + SOURCE_BORDER;
    for (let y = 0; y < CELL_SIZE; y++) {
      for (let x = 0; x < CELL_SIZE; x++) {
        const from = ((sourceTop + y) * source.width + sourceLeft + x) * 4;
        const to = ((top + y) * width + left + x) * 3;
        const alpha = source.data[from + 3]!;
        for (let channel = 0; channel < 3; channel++) {
          const colour = source.data[from + channel]! * alpha + 255 * (255 - alpha);
          data[to + channel] = Math.round(colour / 255);
        }
      }
    }
  }
  return { width, height, channels: 3, data };
}

/** Keeps of each entry what the data set shows, in the format that `deno fmt` leaves alone. */
function makeList(list: readonly SourceEmoji[]): string {
  const entries = list.map((emoji) => ({
    name: emoji.short_name,
    text: emoji.name.toLowerCase(),
    category: emoji.category,
    subcategory: emoji.subcategory,
  }));
  return JSON.stringify(entries, null, 2) + "\n";
}

const path = Deno.args[0];
if (path === undefined) {
  console.error("Usage: make.ts <path of the unpacked package>");
  Deno.exit(2);
}
const source = decodePng(await Deno.readFile(`${path}/img/google/sheets/${CELL_SIZE}.png`));
if (source.channels !== 4) {
  throw new TypeError(`Cannot make the sheet: it has ${source.channels} channels, expected 4`);
}
const everything: readonly SourceEmoji[] = JSON.parse(
  await Deno.readTextFile(`${path}/emoji.json`),
);
const list = everything
  .filter((emoji) => emoji.category !== LEFT_OUT_CATEGORY)
  .sort((a, b) => a.sort_order - b.sort_order);
await Deno.writeFile(
  new URL("sheet.png", import.meta.url),
  encodePng(makeSheet(source, list)),
);
await Deno.writeTextFile(new URL("emoji.json", import.meta.url), makeList(list));
console.log(`${list.length} emoji in rows of ${COLUMNS}`);
