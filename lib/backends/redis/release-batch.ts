import { Batch } from './batch.js';
import type { Keyspace } from '../redis-common/keyspace.js';
import { replyError } from '../redis-common/redis-errors.js';
import type { RedisStore } from './redis-store.js';

interface AskedRelease {
  readonly key: string;
  /** As release.lua takes it. */
  readonly lease: string;
  readonly resolve: (released: boolean) => void;
  readonly reject: (error: unknown) => void;
}

/** The releases of one hash tag: those of one turn of the event loop travel together. */
export class ReleaseBatch {
  readonly #batch = new Batch<AskedRelease>((asked) => {
    this.#send(asked);
  });

  constructor(
    private readonly store: Pick<RedisStore, 'address' | 'run' | 'isEntered' | 'send'>,
    private readonly keyspace: Keyspace,
  ) {}

  /** @param lease as release.lua takes it */
  add(key: string, lease: string): Promise<boolean> {
    return new Promise((resolve, reject) => {
      this.#batch.add({ key, lease, resolve, reject });
    });
  }

  #send(asked: readonly AskedRelease[]): void {
    const { keyspace, store } = this;
    const fail = (error: unknown) => {
      for (const { reject } of asked) reject(error);
    };
    if (!store.isEntered()) {
      fail(new Error('the connection was lost'));
      return;
    }
    const keys: [string, string, ...string[]] = [keyspace.sequence, keyspace.guard];
    let leases = '';
    for (const { key, lease } of asked) {
      keys.push(...keyspace.of(key));
      leases += `${lease}\n`;
    }
    store.send('release', keys, [store.run, store.address, leases]).then((answers) => {
      asked.forEach(({ resolve, reject }, index) => {
        const answer = answers[index];
        if (typeof answer === 'object') reject(replyError(answer[1]));
        else resolve(answer !== 0);
      });
    }, fail);
  }
}
