import { MOST_SHOWN, type KeyState, type Revocation } from '../lock-backend.js';
import type { Keyspace } from '../redis-common/keyspace.js';
import { readInspected } from '../redis-common/inspected.js';
import { isReply, toBackendError } from '../redis-common/redis-errors.js';
import type { RedisStore } from './redis-store.js';

/** What operators see and do under one hash tag; each tried once. */
export class RedisOperators {
  constructor(
    private readonly store: RedisStore,
    private readonly keyspace: Keyspace,
  ) {}

  async inspect(key: string): Promise<KeyState> {
    const reply = await this.store.send('inspect', this.keyspace.of(key), [MOST_SHOWN]);
    const { holders, waiters, queue } = readInspected(reply);
    return {
      holders: holders.toSorted((one, other) => one.token - other.token),
      waiters,
      queue: queue.map(({ id, mode, age }) => ({ id, mode, age })),
    };
  }

  async revoke(key: string, { reason, grace }: Revocation): Promise<number> {
    const { keyspace, store } = this;
    await store.entered();
    const keys = [keyspace.lockOf(key), keyspace.told] as const;
    return store.send('revoke', keys, [store.address, grace, reason]);
  }

  async forceRelease(key: string): Promise<number> {
    const { keyspace, store } = this;
    await store.entered();
    const { guard, sequence, told } = keyspace;
    const keys = [sequence, guard, ...keyspace.of(key), told] as const;
    try {
      return await store.send('force-release', keys, [store.run, store.address]);
    } catch (error) {
      // It may have run all the same, and by now the lock may be somebody else's: never twice.
      throw isReply(error) ? error : toBackendError(error);
    }
  }
}
