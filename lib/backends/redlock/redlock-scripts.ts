import { commonScripts, readScripts } from '../redis-common/scripts.js';
import { sources } from './scripts/sources.js';

export const redlockScripts = { ...commonScripts, ...readScripts(sources) };

export type RedlockScript = keyof typeof redlockScripts;
