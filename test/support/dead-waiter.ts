import type { Keyspace } from '../../lib/backends/redis-common/keyspace.js';

/** How long a waiter lives without a sign of life, in milliseconds. */
const LIVENESS = 3_500;

/**
 * What to EVAL, after the script, so that a waiter of a process that died stands in the queue:
 * nobody listens for it, nobody refreshes it.
 * @param terms as acquire.lua takes them
 */
export function deadWaiter(
  keyspace: Keyspace,
  key: string,
  id: string,
  terms = '30000',
): [number, ...string[]] {
  const keys = [keyspace.sequence, keyspace.guard, ...keyspace.of(key)];
  const args = ['', `ordinary ${keyspace.channel}`, LIVENESS, 0, `${id} 1 0 ${terms}\n`];
  return [keys.length, ...keys, ...args.map(String)];
}
