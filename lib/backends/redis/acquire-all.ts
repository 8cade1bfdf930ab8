import { Deadline, Instant } from '../../time/clock.js';
import { LockBackendError } from '../../errors/index.js';
import { busy, type BusyKey, type Grant, type LockRequest } from '../lock-backend.js';
import { BROKEN, NOTHING_DONE } from './acquire-reply.js';
import { graceError } from './failover-guard.js';
import type { StoreRequest } from '../store-request.js';
import type { RedisEntry, RedisEntryContext } from './redis-entry.js';
import type { Refusal } from './scripts/calls.js';
import { termsOf } from '../redis-common/terms.js';

export type AcquireAllReply = readonly Grant[] | BusyKey;

/**
 * Tries once to take several locks of one hash tag, in one step: all of them or none. Rejects when
 * there is no answer; then it may have run all the same.
 */
export async function acquireAll(
  entry: RedisEntry,
  { guard, keyspace, runner }: RedisEntryContext,
  requests: readonly StoreRequest[],
): Promise<AcquireAllReply> {
  await entry.entered();
  if (requests.some((request) => request.isSettled())) throw new Error('withdrawn meanwhile');
  const voidAfter = entry.clock.timeIn(runner.patience);
  if (voidAfter === undefined) throw new Error('the connection was lost');
  const keys: string[] = [];
  const args: string[] = [];
  const since = Instant.now();
  const mayRunUntil = new Deadline(since, runner.patience);
  for (const request of requests) {
    const { id, key, ttl } = request.asked;
    guard?.learn(ttl);
    request.leave(mayRunUntil);
    keys.push(...keyspace.of(key));
    args.push(id, termsOf(request.asked));
  }
  const answers = await entry.send(
    'acquire-all',
    [keyspace.sequence, keyspace.guard, ...keys],
    [entry.run, voidAfter, ...args],
    true,
  );
  for (const request of requests) request.answered(mayRunUntil);
  entry.clock.learn(since, answers[0]);
  const [, longest, first] = answers;
  if (typeof longest !== 'number') {
    if (longest === 'stranger') entry.forget();
    throw new Error(NOTHING_DONE[longest]);
  }
  if (typeof first === 'object') return refused(first, requests);
  return requests.map((request, index): Grant => {
    const token = answers[index + 2] as number;
    if (request.isBroken(token)) throw new Error(BROKEN);
    const { ttl } = request.asked;
    guard?.learn(longest, token);
    return { state: 'granted', token, since, ttl };
  });
}

/** @throws LockBackendError in a grace */
function refused(refusal: Refusal, requests: readonly StoreRequest[]): BusyKey {
  if (refusal[0] === 'grace') throw new LockBackendError(graceError(refusal[1]).message);
  const [, index, otherLimit] = refusal;
  const { key } = requests[index - 1]?.asked as LockRequest;
  return { ...busy(otherLimit), key };
}
