/**
 * The image files in a folder, by their names.
 *
 * @module
 */

import { extname } from "node:path";
import { messageOf } from "../kernels/core/errors.ts";
import { readDirectory } from "./directory.ts";

/** What {@linkcode listImageFiles} found: paths in the folder, sorted by code unit. */
export interface ImageFiles {
  /** Files in formats that are read. */
  readonly names: readonly string[];
  /** Images in formats that are not read, such as bmp or heic. */
  readonly unread: readonly string[];
}

/** Names of images in formats that are read. */
const IMAGE_NAME = /\.(png|jpe?g|webp|avif|gif|tiff?)$/i;

/** Names of images in formats that are not read. */
const UNREAD_NAME =
  /\.(arw|bmp|cr[23]|dng|exr|hei[cf]|ico|jfif|jp2|jpe|jxl|nef|orf|p[bgnp]m|psd|raf|svg|tga)$/i;

/** The formats that are read, for an error that says what a folder should hold. */
export const IMAGE_FORMATS = "png, jpg, jpeg, webp, avif, gif or tiff files";

/** What a folder of images is, for an error that says what is expected. */
export const IMAGE_FOLDER: string =
  `a folder of ${IMAGE_FORMATS}, with or without one subfolder per class`;

/**
 * Lists the images in a folder and its subfolders, links to folders among them. Files and folders
 * whose name begins with a dot are left out.
 *
 * Throws an Error, which says what was expected, if there is no such folder or no image of a format
 * that is read in it, and an Error if links make a circle.
 */
export async function listImageFiles(
  root: string,
  options: { readonly expected: string },
): Promise<ImageFiles> {
  const { expected } = options;
  const listed = (await filesUnder(root, { prefix: "", parents: [], expected })).sort();
  const names = listed.filter((name) => IMAGE_NAME.test(name));
  const unread = listed.filter((name) => UNREAD_NAME.test(name));
  if (names.length === 0) {
    const others = unread.length > 0 ? ` but some in ${describeUnread(unread)}` : "";
    throw new Error(`Cannot load images: ${root} holds no images${others}, expected ${expected}`);
  }
  return { names, unread };
}

/** Says in a message which images are not read: "formats that are not read: 2 .heic, 1 .bmp". */
export function describeUnread(unread: readonly string[]): string {
  const counts = new Map<string, number>();
  for (const name of unread) {
    const ending = extname(name).toLowerCase();
    counts.set(ending, (counts.get(ending) ?? 0) + 1);
  }
  const parts = Array.from(counts, ([ending, count]) => `${count} ${ending}`);
  return `formats that are not read: ${parts.join(", ")}`;
}

/** All files under root/prefix as paths in the root; parents holds the real folders above. */
async function filesUnder(
  root: string,
  options: { prefix: string; parents: readonly string[]; expected: string },
): Promise<string[]> {
  const { prefix, parents, expected } = options;
  const path = prefix === "" ? root : `${root}/${prefix}`;
  const entries = await readDirectory(path, { problem: "Cannot load images", expected });
  const realPath = await Deno.realPath(path);
  if (parents.includes(realPath)) {
    throw new Error(
      `Cannot load images: ${path} links to a folder above it, expected folders that end somewhere`,
    );
  }
  const names: string[] = [];
  for (const entry of entries) {
    if (entry.name.startsWith(".")) continue;
    const name = prefix + entry.name;
    const isFolder = entry.isDirectory ||
      (entry.isSymlink && await isLinkedDirectory(`${root}/${name}`, { expected }));
    if (isFolder) {
      const inside = await filesUnder(root, {
        prefix: `${name}/`,
        parents: [...parents, realPath],
        expected,
      });
      for (const file of inside) names.push(file);
    } else {
      names.push(name);
    }
  }
  return names;
}

/**
 * A link that leads nowhere, or that has an image's name and cannot be followed, is taken for a file, and then
 * reported as one that cannot be read.
 */
async function isLinkedDirectory(
  path: string,
  { expected }: { expected: string },
): Promise<boolean> {
  try {
    return (await Deno.stat(path)).isDirectory;
  } catch (cause) {
    if (cause instanceof Deno.errors.NotFound || IMAGE_NAME.test(path)) return false;
    throw new Error(`Cannot load images: ${messageOf(cause)}, expected ${expected}`, { cause });
  }
}
