/**
 * What a name that was not found was meant to be.
 *
 * @module
 */

/**
 * The candidate that `name` was most likely meant to be, or undefined when none is near. Near means
 * at most a third of the letters changed, where case, hyphens and underscores do not count; the
 * initials of a compound name (`lr` for `learningRate`) are near too.
 *
 * @example
 * ```ts
 * console.log(nearestName("stpes", ["seed", "steps"])); // steps
 * ```
 */
export function nearestName(name: string, candidates: Iterable<string>): string | undefined {
  const wanted = plainLetters(name);
  let nearest: string | undefined;
  let least = Math.max(1, Math.floor(wanted.length / 3)) + 1;
  for (const candidate of candidates) {
    const distance = initials(candidate) === wanted
      ? 0
      : editDistance(wanted, plainLetters(candidate), least);
    if (distance < least) [nearest, least] = [candidate, distance];
  }
  return nearest;
}

/**
 * The end of an error about a name that is none of `names`: what is expected, after the question whether
 * `near` was meant, where something is near.
 *
 * @example
 * ```ts
 * console.log(`unknown key stpes${expectedOneOf(["seed", "steps"], "steps")}`);
 * // unknown key stpes, did you mean steps? Expected one of seed, steps
 * ```
 */
export function expectedOneOf(names: readonly string[], near: string | undefined): string {
  const expected = near === undefined ? ", expected" : `, did you mean ${near}? Expected`;
  return `${expected} one of ${names.join(", ")}`;
}

/**
 * Throws a `RangeError` that begins with `subject` unless a name is one of `names`: types tell it of typed code
 * alone.
 *
 * @example
 * ```ts
 * requireOneOf("Cannot train: precision", "f16", ["f32", "f16"]); // fp16: is fp16, did you mean f16? Expected …
 * ```
 */
export function requireOneOf(subject: string, name: string, names: readonly string[]): void {
  if (names.includes(name)) return;
  const near = nearestName(String(name), names);
  throw new RangeError(`${subject} is ${name}${expectedOneOf(names, near)}`);
}

/**
 * The end of another error about a name: the question whether the candidate near to it was meant, or nothing.
 *
 * @example
 * ```ts
 * console.log(`no class dgo${didYouMean("dgo", ["cat", "dog"])}`); // no class dgo; did you mean dog?
 * ```
 */
export function didYouMean(name: string, candidates: Iterable<string>): string {
  const near = nearestName(name, candidates);
  return near === undefined ? "" : `; did you mean ${near}?`;
}

function plainLetters(name: string): string {
  return name.replace(/[-_]/g, "").toLowerCase();
}

function initials(name: string): string | undefined {
  const words = name.split(/[-_]|(?=[A-Z])/);
  return words.length > 1 ? words.map((word) => word.charAt(0)).join("").toLowerCase() : undefined;
}

/**
 * Least number of insertions, deletions, replacements and swaps of neighbours that turn `from` into
 * `to` (Damerau and Levenshtein, without edits inside a swap); `limit` where it is that or more.
 */
function editDistance(from: string, to: string, limit: number): number {
  if (Math.abs(from.length - to.length) >= limit) return limit;
  let second: number[] = [], above: number[] = [];
  let current = Array.from({ length: to.length + 1 }, (_, column) => column);
  for (let row = 1; row <= from.length; row++) {
    [second, above, current] = [above, current, second];
    // Elsewhere are more letters to insert or delete than the limit lets.
    const first = Math.max(1, row - limit + 1), last = Math.min(to.length, row + limit - 1);
    let least = current[first - 1] = first === 1 ? row : limit;
    for (let column = first; column <= last; column++) {
      const same = from.charCodeAt(row - 1) === to.charCodeAt(column - 1);
      let distance = Math.min(
        current[column - 1]! + 1,
        above[column]! + 1,
        above[column - 1]! + (same ? 0 : 1),
      );
      if (
        row > 1 && column > 1 && from.charCodeAt(row - 1) === to.charCodeAt(column - 2) &&
        from.charCodeAt(row - 2) === to.charCodeAt(column - 1)
      ) {
        distance = Math.min(distance, second[column - 2]! + 1);
      }
      current[column] = distance;
      least = Math.min(least, distance);
    }
    // The least of a row is at most one more than that of the row above: no later one comes below.
    if (least >= limit) return limit;
    current[last + 1] = limit;
  }
  return current[to.length]!;
}
