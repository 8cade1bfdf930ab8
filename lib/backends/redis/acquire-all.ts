import { Deadline, Instant } from '../../clock.js';
import { LockBackendError, type LockConfigurationError } from '../../errors/index.js';
import { limitConflict } from '../limit-conflict.js';
import type { BusyKey, Grant, LockRequest } from '../lock-backend.js';
import { NOTHING_DONE } from './acquire-reply.js';
import { graceError } from './failover-guard.js';
import type { RedisRequest } from './redis-request.js';
import type { ServerClock } from '../redis-common/server-clock.js';
import type { RedisStoreContext } from './redis-store.js';
import { termsOf } from '../redis-common/terms.js';

/** As acquire-all.lua says it; an index counts from 1. */
type Refusal =
  | readonly ['busy', index: number]
  | readonly ['limit', index: number, used: number]
  | readonly ['grace', left: number];

type Answers =
  | readonly [now: number, nothing: 'late' | 'stranger']
  | readonly [now: number, longest: number, refusal: Refusal]
  | readonly [now: number, longest: number, ...tokens: number[]];

/** What trying again cannot mend is an answer as well. */
export type AcquireAllReply = readonly Grant[] | BusyKey | LockConfigurationError;

/** What it needs of the store. */
interface Store {
  readonly clock: ServerClock;
  readonly run: string;
  entered(): Promise<void>;
  forget(): void;
  send(
    script: 'acquire-all',
    keys: readonly string[],
    args: readonly (string | number)[],
  ): Promise<unknown>;
}

/**
 * Tries once to take several locks of one hash tag, in one step: all of them or none. Rejects when
 * there is no answer; then it may have run all the same.
 */
export async function acquireAll(
  store: Store,
  { guard, keyspace, runner }: RedisStoreContext,
  requests: readonly RedisRequest[],
): Promise<AcquireAllReply> {
  await store.entered();
  if (requests.some((request) => request.isSettled())) throw new Error('withdrawn meanwhile');
  const voidAfter = store.clock.timeIn(runner.patience);
  if (voidAfter === undefined) throw new Error('the connection was lost');
  const keys = [keyspace.sequence, keyspace.guard];
  const args = [voidAfter, store.run];
  const since = Instant.now();
  const mayRunUntil = new Deadline(since, runner.patience);
  for (const request of requests) {
    const { id, key, ttl } = request.asked;
    guard?.learn(ttl);
    request.leave(mayRunUntil);
    keys.push(...keyspace.of(key));
    args.push(id, termsOf(request.asked));
  }
  const answers = (await store.send('acquire-all', keys, args)) as Answers;
  for (const request of requests) request.answered(mayRunUntil);
  store.clock.learn(since, answers[0]);
  const [, longest, first] = answers;
  if (typeof longest !== 'number') {
    if (longest === 'stranger') store.forget();
    throw new Error(NOTHING_DONE[longest]);
  }
  if (typeof first === 'object') return refused(first, requests);
  return requests.map(({ asked: { ttl } }, index): Grant => {
    const token = answers[index + 2] as number;
    guard?.learn(longest, token);
    return { state: 'granted', token, since, ttl };
  });
}

/** @throws LockBackendError in a grace */
function refused(
  refusal: Refusal,
  requests: readonly RedisRequest[],
): BusyKey | LockConfigurationError {
  if (refusal[0] === 'grace') throw new LockBackendError(graceError(refusal[1]).message);
  const { key, limit } = requests[refusal[1] - 1]?.asked as LockRequest;
  if (refusal[0] === 'limit') return limitConflict(key, limit, refusal[2]);
  return { state: 'busy', key };
}
