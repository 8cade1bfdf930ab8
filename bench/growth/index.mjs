import held from './held-locks.mjs';
import keys from './keys.mjs';
import processes from './processes.mjs';
import ttl from './ttl.mjs';
import waiters from './waiters.mjs';

/** Each a quantity that grows: like a workload, but with the points that it is measured at per store. */
export const series = [waiters, processes, keys, held, ttl];
