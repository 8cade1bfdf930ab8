import type { LeaseMode, LockRequest } from '../lock-backend.js';
import type { Kind } from './scripts/calls.js';

/** How a lease is asked for, in the words of the scripts: see scripts/_queue.lua. */
export function kindOf(mode: LeaseMode): Kind {
  return mode === 'shared' ? 's' : '';
}

/** How a request stands in a queue. */
export function waiterOf({ id, mode }: LockRequest): string {
  return mode === 'shared' ? `${id} s` : id;
}
