import { createHash } from 'node:crypto';
import { sources } from './scripts/sources.js';

export type ScriptName = keyof typeof sources;

export interface Script {
  readonly source: string;
  /** What EVALSHA calls it by. */
  readonly sha: string;
}

/** The Lua scripts, by the names of their files. */
export const scripts = Object.fromEntries(
  Object.entries(sources).map(([name, source]) => [
    name,
    { source, sha: createHash('sha1').update(source).digest('hex') },
  ]),
) as Record<ScriptName, Script>;
