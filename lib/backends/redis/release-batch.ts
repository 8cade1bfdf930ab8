import { Batch } from './batch.js';
import type { Keyspace } from '../redis-common/keyspace.js';
import { replyError } from '../redis-common/redis-errors.js';
import type { RedisEntry } from './redis-entry.js';

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
    private readonly entry: RedisEntry,
    private readonly keyspace: Keyspace,
  ) {}

  /** @param lease as release.lua takes it */
  add(key: string, lease: string): Promise<boolean> {
    return new Promise((resolve, reject) => {
      this.#batch.add({ key, lease, resolve, reject });
    });
  }

  #send(asked: readonly AskedRelease[]): void {
    const { entry, keyspace } = this;
    const fail = (error: unknown) => {
      for (const { reject } of asked) reject(error);
    };
    if (!entry.isEntered()) {
      fail(new Error('the connection was lost'));
      return;
    }
    const keys: [string, string, ...string[]] = [keyspace.sequence, keyspace.guard];
    let leases = '';
    for (const { key, lease } of asked) {
      keys.push(...keyspace.of(key));
      leases += `${lease}\n`;
    }
    entry.send('release', keys, [entry.run, entry.address, leases]).then((answers) => {
      asked.forEach(({ resolve, reject }, index) => {
        const answer = answers[index];
        if (typeof answer === 'object') reject(replyError(answer[1]));
        else resolve(answer !== 0);
      });
    }, fail);
  }
}
