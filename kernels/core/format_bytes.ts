/**
 * Sizes of files, banks and tensors as people read them.
 *
 * @module
 */

/** A number of bytes to three digits, in bytes, kB, MB or GB, of 1,000 each: "38.0 MB". */
export function formatBytes(bytes: number): string {
  const units = ["bytes", "kB", "MB", "GB"];
  let value = bytes, unit = 0;
  // What would be rounded to four digits is 1.00 of the next unit.
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  const digits = unit === 0 || value >= 999.5 ? value.toFixed() : value.toPrecision(3);
  return `${digits} ${units[unit]}`;
}
