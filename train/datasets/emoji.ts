/**
 * The data set that comes with gmem: Noto emoji, with their names and categories.
 *
 * @module
 */

import { averageBlocks } from "../../bank/pixels.ts";
import { swapAxes } from "../../bank/select_rows.ts";
import { isRecord, parseJson } from "../../kernels/core/json.ts";
import { requireOneOf } from "../../kernels/core/nearest_name.ts";
import { ImageSet } from "./image_set.ts";
import { decodePng, type RawImage } from "./png.ts";

/** How {@linkcode loadEmoji} reads the emoji. */
export interface LoadEmojiOptions {
  /** Height and width of the images in pixels: 32 (as drawn), 16 or 8 (averaged). */
  readonly imageSize: number;
  /** What the classes are: the 9 categories (by default) or the 98 subcategories. */
  readonly classes?: "category" | "subcategory" | undefined;
  /** Folder of `sheet.png` and `emoji.json`; the one that comes with gmem by default. */
  readonly directory?: URL | undefined;
}

/** An entry of `emoji.json`; the entries are in the order of the sheet's cells. */
interface Emoji {
  readonly name: string;
  readonly text: string;
  readonly category: string;
  readonly subcategory: string;
}

/** What an entry has, each a text. */
const KEYS: readonly (keyof Emoji)[] = ["name", "text", "category", "subcategory"];

/** Height and width of a cell of the sheet in pixels. */
const CELL_SIZE = 32;

/** Sizes that a cell can be averaged to by whole squares of pixels, and that still show something. */
export const EMOJI_SIZES: readonly number[] = [32, 16, 8];

/** The sheet has colours and no alpha. */
const CHANNELS = 3;

/**
 * Loads the emoji: 1,906 RGB images on white, their short names, and a text for each. 14 of them
 * look exactly like another one (Norway's flag is also Bouvet Island's).
 *
 * Reads files where gmem is on disk, which needs `--allow-read`, and fetches them where gmem was
 * imported from a server, which needs `--allow-net`.
 *
 * Throws a RangeError if imageSize is not 32, 16 or 8 or there are no such classes, an Error if a file cannot be read, and a
 * SyntaxError if the files do not belong together.
 *
 * @example
 * ```ts
 * import { loadEmoji } from "@gmem/gmem";
 *
 * const emoji = await loadEmoji({ imageSize: 16 });
 * console.log(emoji.size, emoji.channels, emoji.names[0], emoji.texts?.[0]);
 * // 1906 3 grinning grinning face
 * ```
 */
export async function loadEmoji(options: LoadEmojiOptions): Promise<ImageSet> {
  const { imageSize, classes: level = "category" } = options;
  const directory = options.directory ?? new URL("../../examples/emoji/", import.meta.url);
  if (!EMOJI_SIZES.includes(imageSize)) {
    throw new RangeError(
      `Cannot load emoji: imageSize is ${imageSize}, expected one of ${EMOJI_SIZES.join(", ")}`,
    );
  }
  requireOneOf("Cannot load emoji: classes", level, ["category", "subcategory"]);
  const [sheetBytes, listBytes] = await Promise.all([
    readBytes(new URL("sheet.png", directory)),
    readBytes(new URL("emoji.json", directory)),
  ]);
  const sheet = decodePng(sheetBytes);
  const list = parseJson(new TextDecoder().decode(listBytes));
  if (!Array.isArray(list) || !list.every(isEmoji)) {
    throw new SyntaxError(
      "Cannot load emoji: emoji.json is no JSON list of objects of name, text, category and " +
        "subcategory, expected one",
    );
  }
  const columns = sheet.width / CELL_SIZE;
  const cells = columns * (sheet.height / CELL_SIZE);
  if (sheet.channels !== CHANNELS || !Number.isInteger(columns) || list.length > cells) {
    throw new SyntaxError(
      `Cannot load emoji: sheet.png is ${sheet.width}x${sheet.height}x${sheet.channels} for ` +
        `${list.length} entries of emoji.json, expected an RGB cell of ${CELL_SIZE}x${CELL_SIZE} ` +
        "for each",
    );
  }
  const imageLength = CHANNELS * imageSize * imageSize;
  const pixels = new Uint8Array(list.length * imageLength);
  for (let index = 0; index < list.length; index++) {
    const left = (index % columns) * CELL_SIZE;
    const top = Math.floor(index / columns) * CELL_SIZE;
    averageCell(sheet, {
      left,
      top,
      imageSize,
      out: pixels.subarray(index * imageLength, (index + 1) * imageLength),
    });
  }
  const classes = [...new Set(list.map((emoji) => emoji[level]))];
  return new ImageSet({
    imageSize,
    channels: CHANNELS,
    pixels,
    names: list.map((emoji) => emoji.name),
    labels: Uint32Array.from(list, (emoji) => classes.indexOf(emoji[level])),
    classes,
    texts: list.map((emoji) => emoji.text),
  });
}

/** Averages the squares of pixels of one cell [H, W, C] of the sheet into `out` [C, H, W]. */
function averageCell(
  sheet: RawImage,
  options: { left: number; top: number; imageSize: number; out: Uint8Array },
): void {
  const { left, top, imageSize, out } = options;
  const row = CELL_SIZE * CHANNELS, cell = new Uint8Array(CELL_SIZE * row);
  for (let y = 0; y < CELL_SIZE; y++) {
    const start = ((top + y) * sheet.width + left) * CHANNELS;
    cell.set(sheet.data.subarray(start, start + row), y * row);
  }
  const planes = swapAxes(cell, { rows: CELL_SIZE ** 2, columns: CHANNELS });
  const blocks = { imageSize: CELL_SIZE, factor: CELL_SIZE / imageSize };
  out.set(averageBlocks(planes, blocks).map(Math.round));
}

function isEmoji(value: unknown): value is Emoji {
  return isRecord(value) &&
    KEYS.every((key) => typeof value[key] === "string");
}

async function readBytes(url: URL): Promise<Uint8Array> {
  if (url.protocol === "file:") return await Deno.readFile(url);
  const response = await fetch(url);
  if (!response.ok) {
    await response.body?.cancel();
    throw new Error(`Cannot load emoji: ${url} answers ${response.status}, expected the file`);
  }
  return await response.bytes();
}
