import { isAlone, type LockRequest } from '../lock-backend.js';

/** What a lease is asked for with, as scripts/_terms.lua reads it. */
export function termsOf({ ttl, mode, limit }: Pick<LockRequest, 'ttl' | 'mode' | 'limit'>): string {
  if (isAlone({ mode, limit })) return String(ttl);
  return `${ttl} ${limit > 1 ? limit : 's'}`;
}
