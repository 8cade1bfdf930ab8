/**
 * What somebody looks for: a pattern of `*` for any characters and `?` for one, or else a part of the
 * key. Unlike a regular expression it takes no longer for the patterns that are meant to take long.
 */
export function keyFilter(text: string): (key: string) => boolean {
  if (text === '' || text === '*') return () => true;
  if (!/[*?]/.test(text)) return (key) => key.includes(text);
  const pattern = Array.from(text);
  return (key) => matches(pattern, Array.from(key));
}

/** Where it goes wrong, only the last `*` takes one character more: an earlier one would gain nothing. */
function matches(pattern: readonly string[], key: readonly string[]): boolean {
  let [at, star, taken] = [0, -1, 0];
  for (let index = 0; index < key.length;) {
    if (pattern[at] === '*') {
      star = at++;
      taken = index;
    } else if (at < pattern.length && (pattern[at] === '?' || pattern[at] === key[index])) {
      at++;
      index++;
    } else if (star >= 0) {
      at = star + 1;
      index = ++taken;
    } else {
      return false;
    }
  }
  while (pattern[at] === '*') at++;
  return at === pattern.length;
}
