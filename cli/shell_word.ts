/**
 * Commands to copy into a shell.
 *
 * @module
 */

/**
 * A word as a shell takes it, on Windows PowerShell and cmd: in quotes where it has a character that means something
 * there.
 *
 * @example
 * ```ts
 * console.log(shellWord("runs/emoji"), shellWord("it's here")); // runs/emoji 'it'\''s here'
 * ```
 */
export function shellWord(word: string): string {
  // Backslashes part the folders of a path there, and cmd knows no single quotes.
  if (Deno.build.os === "windows") return /^[\w@+:./\\-]+$/.test(word) ? word : `"${word}"`;
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
