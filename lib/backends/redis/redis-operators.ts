import { MOST_SHOWN, type KeyState, type Revocation } from '../lock-backend.js';
import type { Keyspace } from '../redis-common/keyspace.js';
import { isReply, toBackendError } from '../redis-common/redis-errors.js';
import type { RedisStore } from './redis-store.js';

/** As inspect.lua says it. */
type Inspected = readonly [
  now: number,
  limit: number,
  holders: readonly (readonly [id: string, token: number, remaining: number])[],
  waiters: number,
  shown: readonly string[],
];

/** What operators see and do under one hash tag; each tried once. */
export class RedisOperators {
  constructor(
    private readonly store: RedisStore,
    private readonly keyspace: Keyspace,
  ) {}

  async inspect(key: string): Promise<KeyState> {
    const [now, limit, holders, waiters, shown] = (await this.store.send(
      'inspect',
      this.keyspace.of(key),
      [MOST_SHOWN],
    )) as Inspected;
    const mode = limit === 1 ? 'shared' : 'exclusive';
    // Tokens and tickets are the server's microseconds, or hardly more.
    const age = (micros: number) => Math.max(0, now - micros / 1_000);
    const queue = [];
    for (let index = 0; index < shown.length; index += 2) {
      const [id = '', , kind] = (shown[index] ?? '').split(' ');
      const reads = kind === 's';
      queue.push({
        id,
        mode: reads ? 'shared' : 'exclusive',
        age: age(Number(shown[index + 1])),
      } as const);
    }
    return {
      holders: holders
        .map(([id, token, remaining]) => ({ id, token, mode, age: age(token), remaining }) as const)
        .sort((one, other) => one.token - other.token),
      waiters,
      queue,
    };
  }

  async revoke(key: string, { reason, grace }: Revocation): Promise<number> {
    const { keyspace, store } = this;
    await store.entered();
    const keys = [keyspace.lockOf(key), keyspace.told];
    return (await store.send('revoke', keys, [store.address, grace, reason])) as number;
  }

  async forceRelease(key: string): Promise<number> {
    const { keyspace, store } = this;
    await store.entered();
    const keys = [...keyspace.of(key), keyspace.sequence, keyspace.guard, keyspace.told];
    try {
      return (await store.send('force-release', keys, [store.address, store.run])) as number;
    } catch (error) {
      // It may have run all the same, and by now the lock may be somebody else's: never twice.
      throw isReply(error) ? error : toBackendError(error);
    }
  }
}
