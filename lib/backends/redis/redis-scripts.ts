import { commonScripts, readScripts } from '../redis-common/scripts.js';
import { sources } from './scripts/sources.js';

export const redisScripts = { ...commonScripts, ...readScripts(sources) };

export type RedisScript = keyof typeof redisScripts;
