import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Writes sources.ts into a folder. An unchanged file keeps its time stamp, so that watchers and caches stay quiet. */
export function writeSources(folder, text) {
  const target = join(folder, 'sources.ts');
  if (!existsSync(target) || readFileSync(target, 'utf8') !== text) writeFileSync(target, text);
}
