/** Disks that take less than is written. */

/** Runs with `FsFile.writeSync` replaced by what `write` makes of the real one. */
export function withWrites(
  write: (real: (bytes: Uint8Array) => number, bytes: Uint8Array) => number,
  run: () => void,
): void {
  const prototype = Deno.FsFile.prototype;
  const real = prototype.writeSync;
  prototype.writeSync = function (bytes: Uint8Array): number {
    return write((part) => real.call(this, part), bytes);
  };
  try {
    run();
  } finally {
    prototype.writeSync = real;
  }
}

/** Runs on a disk with room for `free` bytes. */
export function onFullDisk(free: number, run: () => void): void {
  withWrites((real, bytes) => {
    if (free === 0) throw new Error("No space left on device (os error 28)");
    const count = real(bytes.subarray(0, free));
    free -= count;
    return count;
  }, run);
}
