/**
 * Commands to copy into a shell.
 *
 * @module
 */

/**
 * A word as a shell takes it: in quotes where it has a character that means something there.
 *
 * @example
 * ```ts
 * console.log(shellWord("runs/emoji"), shellWord("it's here")); // runs/emoji 'it'\''s here'
 * ```
 */
export function shellWord(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
