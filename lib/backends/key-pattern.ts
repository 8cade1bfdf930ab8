/**
 * What a pattern for keys matches, for stores that cannot look for it themselves: `*` any
 * characters, `?` one; everything else stands for itself.
 */
export function keyPattern(pattern: string): RegExp {
  const source = pattern
    .replace(/[\\^$.|+()[\]{}]/g, '\\$&')
    .replaceAll('*', '.*')
    .replaceAll('?', '.');
  return new RegExp(`^${source}$`, 'su');
}
