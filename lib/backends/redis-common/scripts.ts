import { createHash } from 'node:crypto';
import type { CommonCalls } from './scripts/calls.js';
import { sources } from './scripts/sources.js';

export interface Script {
  readonly source: string;
  /** What EVALSHA calls it by. */
  readonly sha: string;
}

/** Lua scripts by the names of their files. */
export type Scripts<Name extends string> = Readonly<Record<Name, Script>>;

export function readScripts<Name extends string>(
  texts: Readonly<Record<Name, string>>,
): Scripts<Name> {
  const read = ([name, source]: [string, string]) =>
    [name, { source, sha: createHash('sha1').update(source).digest('hex') }] as const;
  return Object.fromEntries(Object.entries<string>(texts).map(read)) as Scripts<Name>;
}

/** Those that a Redis that stands alone and each node of a quorum have in common. */
export const commonScripts: Scripts<keyof CommonCalls> = readScripts(sources);
