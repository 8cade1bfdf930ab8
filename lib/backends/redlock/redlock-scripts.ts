import { commonScripts, readScripts, type Scripts } from '../redis-common/scripts.js';
import type { RedlockCalls } from './scripts/calls.js';
import { sources } from './scripts/sources.js';

export const redlockScripts: Scripts<keyof RedlockCalls> = {
  ...commonScripts,
  ...readScripts(sources),
};
