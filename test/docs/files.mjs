import { readdirSync } from 'node:fs';
import { join } from 'node:path';

export const root = join(import.meta.dirname, '../..');

const SKIPPED = new Set(['node_modules', 'dist', 'coverage', 'public', 'cache', '.git']);

/** The files below a folder of the repository that somebody wrote, by their paths from the root. */
export function filesIn(folder, pattern) {
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return SKIPPED.has(entry.name) ? [] : filesIn(path, pattern);
    return pattern.test(entry.name) ? [path] : [];
  });
}

export const markdownFiles = filesIn('', /\.md$/);
