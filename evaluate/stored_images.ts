/**
 * Images to evaluate that lie on the disk: those of a folder, or a `.npz` file of ADM's evaluator.
 *
 * @module
 */

import { extname, join } from "node:path";
import { describeUnread, IMAGE_FORMATS, listImageFiles } from "../bank/image_files.ts";
import type { ImageSource } from "../bank/image_source.ts";
import { counted } from "../kernels/core/counted.ts";
import { messageOf } from "../kernels/core/errors.ts";
import { type AdmBatch, openAdmBatch } from "./adm_batch.ts";
import { type ImageStream, streamOf } from "./image_stream.ts";
import type { Reporter } from "./reporter.ts";

/** Decodes image files in the order given, cropped and resized to squares [n, 3, H, H]. */
export type ImageFileDecoder = (
  paths: readonly string[],
  options: { readonly imageSize: number },
) => Promise<ImageSource>;

/** Options of {@linkcode openStoredImages}. */
export interface StoredImagesOptions {
  /** Gives the side in pixels of the images of a folder that has no PNG file. */
  readonly imageSize: () => Promise<number>;
  /** Loads what decodes image files, which a `.npz` file does not need. */
  readonly loadDecoder: () => Promise<ImageFileDecoder>;
  /** Is warned of files that are resized, and of images that are not read. */
  readonly reporter: Reporter;
}

/**
 * Opens the images in a folder or a `.npz` file, with the statistics that such a file may have.
 *
 * Images of a folder are those of its subfolders as well, by sorted path, decoded as they are asked
 * for. PNG files must all have one size; the files of other formats are cropped and resized to it.
 *
 * Throws what `openAdmBatch` throws, an Error if there is no folder or no image in it, and a RangeError
 * that names the first PNG file of another size.
 */
export async function openStoredImages(
  path: string,
  options: StoredImagesOptions,
): Promise<AdmBatch> {
  if (extname(path) === ".npz") return openAdmBatch(path);
  const images = await openFolder(path, options);
  return { images, pool: undefined, spatial: undefined, [Symbol.dispose]: () => {} };
}

async function openFolder(path: string, options: StoredImagesOptions): Promise<ImageStream> {
  const listed = await listImageFiles(path, {
    expected: `a folder of ${IMAGE_FORMATS}, or a .npz file`,
  });
  const names = listed.names.map((name) => join(path, name));
  if (listed.unread.length > 0) {
    options.reporter.warn(`${path} also holds images in ${describeUnread(listed.unread)}`);
  }
  const imageSize = sizeOfPngs(names) ?? await options.imageSize();
  const resized = names.filter((name) => !isPng(name)).length;
  if (resized > 0) {
    options.reporter.warn(
      `${counted(resized, "file")} of ${path} in another format than PNG: taken as ${imageSize} ` +
        `× ${imageSize} pixels, cropped and resized where the size is another`,
    );
  }
  const decode = await options.loadDecoder();
  return streamOf({
    size: names.length,
    imageSize,
    channels: 3,
    classes: [],
    read: async (indices) => {
      const images = await decode(Array.from(indices, (index) => names[index]!), { imageSize });
      return images.read(Uint32Array.from(indices, (_, i) => i));
    },
  });
}

/** The side that all PNG files have; undefined where there are none. */
function sizeOfPngs(names: readonly string[]): number | undefined {
  let first: { readonly name: string; readonly side: number } | undefined;
  for (const name of names) {
    const size = pngSize(name);
    if (size === undefined) continue;
    const [width, height] = size;
    if (width > 0 && width === height && width === (first ??= { name, side: width }).side) continue;
    const expected = first
      ? `${first.side} × ${first.side} as ${first.name}`
      : "a square (photos of --data DIR are cropped to one)";
    throw new RangeError(
      `Cannot measure ${name}: it has ${width} × ${height} pixels, expected ${expected}`,
    );
  }
  return first?.side;
}

function isPng(path: string): boolean {
  return /\.png$/i.test(path);
}

function openToRead(path: string): Deno.FsFile {
  try {
    return Deno.openSync(path, { read: true });
  } catch (cause) {
    throw new Error(`Cannot load image ${path}: ${messageOf(cause)}, expected an image file`, {
      cause,
    });
  }
}

/** Width and height in the header of a PNG; undefined for other files. */
function pngSize(path: string): readonly [number, number] | undefined {
  if (!isPng(path)) return undefined;
  using file = openToRead(path);
  // A byte and the letters PNG come first; width and height are the last 8 of these bytes.
  const head = new Uint8Array(24);
  if (file.readSync(head) !== head.length || head[1] !== 0x50) return undefined;
  const view = new DataView(head.buffer);
  return [view.getUint32(16), view.getUint32(20)];
}
