import { commonScripts, readScripts, type Scripts } from '../redis-common/scripts.js';
import type { RedisCalls } from './scripts/calls.js';
import { sources } from './scripts/sources.js';

export const redisScripts: Scripts<keyof RedisCalls> = {
  ...commonScripts,
  ...readScripts(sources),
};
