/**
 * Testing claims one after the other, and writing what was found.
 *
 * @module
 */

import { basename, join } from "node:path";
import { describeEncoder } from "../bank/inspect.ts";
import { plotCurves } from "../cli/plot.ts";
import { writeAtomically } from "../kernels/core/atomic_file.ts";
import { pictureScale, tileImages } from "../train/datasets/picture.ts";
import { encodePng } from "../train/datasets/png.ts";
import type { Claim, Letter, Picture } from "./claim.ts";
import { COMPRESSION } from "./compression.ts";
import { INTERPOLATION } from "./interpolation.ts";
import type { Laboratory } from "./laboratory.ts";
import { MASKING } from "./masking.ts";
import { NOVEL_IMAGES } from "./novel_images.ts";
import {
  claimPage,
  fileNameOf,
  folderOf,
  type NamedResult,
  overviewPage,
  resultOf,
} from "./pages.ts";
import { SAMPLING_SPEED } from "./sampling_speed.ts";
import { type Scale, SCALES } from "./scales.ts";
import { SOLVERS } from "./solvers.ts";
import { TRAINING_SPEED } from "./training_speed.ts";

/** All claims, by their letters. */
export const CLAIMS: Readonly<Record<Letter, Claim>> = {
  a: TRAINING_SPEED,
  b: SAMPLING_SPEED,
  c: MASKING,
  d: COMPRESSION,
  e: SOLVERS,
  f: NOVEL_IMAGES,
  g: INTERPOLATION,
};

/** The page of all claims. */
const OVERVIEW = "README.md";
/** Folder of the pages of single claims. */
const RESULTS = "results";

/** The pages that testing claims writes in `directory`. */
export function pagesOf(
  letters: readonly Letter[],
  { scale, like, directory }: { scale: Scale; like: string | undefined; directory: string },
): string[] {
  const pages = letters.map((letter) => `${fileNameOf(CLAIMS[letter])}.md`);
  return [
    ...pages.map((page) => join(directory, RESULTS, folderOf(scale, like), page)),
    join(directory, OVERVIEW),
  ];
}

/** The laboratories that a claim is tested in. */
export async function laboratoriesOf(claim: Claim, laboratory: Laboratory): Promise<Laboratory[]> {
  const settings = claim.alsoWith?.(laboratory);
  return settings ? [laboratory, await laboratory.with(settings)] : [laboratory];
}

/**
 * Tests a claim and writes its page, numbers, plot and pictures into `results/SCALE` in `directory`;
 * then writes the page of all claims, `README.md` in `directory`, anew.
 */
export async function testClaim(
  claim: Claim,
  { laboratory, directory }: { laboratory: Laboratory; directory: string },
): Promise<NamedResult> {
  for (const each of await laboratoriesOf(claim, laboratory)) {
    for (const arm of claim.arms(each)) await each.samples(arm);
  }
  laboratory.note(`measure (${claim.letter}) ${claim.title}`);
  const findings = await claim.conclude(laboratory);
  const { scale, like, seed, device } = laboratory;
  // Where the file was on this machine helps nobody else.
  const { source: _source, ...description } = laboratory.encoder.description;
  const encoder = like && { bank: basename(like), description: describeEncoder(description) };
  const date = new Date().toISOString().slice(0, 10);
  const result = resultOf(claim, findings, {
    scale,
    ...(encoder && { encoder }),
    seed,
    device: device.profile.label,
    date,
  });
  const folder = join(directory, RESULTS, folderOf(scale, like)), name = fileNameOf(claim);
  await Deno.mkdir(folder, { recursive: true });
  // Whole or not at all: the page of all claims reads the numbers of the others.
  const write = (ending: string, content: string | Uint8Array) =>
    writeAtomically(join(folder, `${name}${ending}`), content);
  write(".svg", await plotCurves(findings.panels));
  for (const picture of findings.pictures) {
    write(`_${picture.name}.png`, encodePicture(picture, laboratory));
  }
  write(".md", claimPage(claim, result, findings));
  write(".json", `${JSON.stringify(result, null, 2)}\n`);
  await writeOverview(directory);
  return { name, result };
}

function encodePicture({ images, columns }: Picture, { train }: Laboratory): Uint8Array {
  const { imageSize, channels } = train;
  return encodePng(tileImages(images, {
    columns,
    imageSize,
    channels,
    scale: pictureScale({ columns, imageSize }),
  }));
}

/** Writes `README.md` in `directory` from the numbers that lie in the folders of the scales. */
async function writeOverview(directory: string): Promise<void> {
  const scales = [];
  for (const folder of foldersIn(join(directory, RESULTS)).sort()) {
    const results: NamedResult[] = [];
    for (const claim of Object.values(CLAIMS)) {
      const name = fileNameOf(claim),
        text = await readIfPresent(join(directory, RESULTS, folder, `${name}.json`));
      if (text !== undefined) results.push({ name, result: JSON.parse(text) });
    }
    if (results.length > 0) scales.push({ folder, results });
  }
  const known = Object.keys(SCALES);
  const placeOf = ({ results }: { readonly results: readonly NamedResult[] }) =>
    known.indexOf(results[0]!.result.scale.name);
  const ordered = scales.toSorted((a, b) => placeOf(a) - placeOf(b));
  writeAtomically(join(directory, OVERVIEW), overviewPage(ordered));
}

function foldersIn(directory: string): string[] {
  return [...Deno.readDirSync(directory)].filter(({ isDirectory }) => isDirectory)
    .map(({ name }) => name);
}

async function readIfPresent(path: string): Promise<string | undefined> {
  try {
    return await Deno.readTextFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}
