/**
 * Room on the disk, asked for before the work that fills it.
 *
 * @module
 */

import { statfsSync } from "node:fs";
import { CheckpointError } from "../kernels/core/errors.ts";
import { formatBytes } from "../kernels/core/format_bytes.ts";

/** What {@linkcode requireDiskSpace} says where there is too little. */
export interface DiskSpaceOptions {
  /** The start of the error, up to what it takes: "Cannot keep a run in runs/a: a checkpoint takes". */
  readonly problem: string;
  /** What is expected. */
  readonly expected: string;
}

/**
 * Throws a {@linkcode CheckpointError} unless the disk of a folder has so many bytes free. Needs
 * `--allow-sys=statfs`.
 */
export function requireDiskSpace(
  directory: string,
  bytes: number,
  options: DiskSpaceOptions,
): void {
  const { bavail, bsize } = statfsSync(directory), free = bavail * bsize;
  if (free >= bytes) return;
  const { problem, expected } = options;
  throw new CheckpointError(
    `${problem} ${formatBytes(bytes)}, the disk has ${formatBytes(free)} free, ` +
      `expected ${expected}`,
    { path: directory },
  );
}
