import { readScripts, scripts } from '../redis/scripts.js';
import { sources } from './scripts/sources.js';

/** Those of a quorum, and what each node shares with a Redis that stands alone. */
export const redlockScripts = {
  ...readScripts(sources),
  enter: scripts.enter,
};

export type RedlockScript = keyof typeof redlockScripts;
