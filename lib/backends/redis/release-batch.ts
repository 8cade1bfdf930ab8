import { Batch } from './batch.js';
import type { Keyspace } from '../redis-common/keyspace.js';
import { replyError } from '../redis-common/redis-errors.js';

interface AskedRelease {
  readonly key: string;
  /** As release.lua takes it. */
  readonly lease: string;
  readonly resolve: (released: boolean) => void;
  readonly reject: (error: unknown) => void;
}

/** As release.lua says it: 0 when it was not the owner's. */
type ReleaseAnswer = 0 | 1 | 2 | readonly [state: 'failed', error: string];

/** What it needs of the store. */
interface Store {
  readonly address: string;
  readonly run: string;
  isEntered(): boolean;
  send(
    script: 'release',
    keys: readonly string[],
    args: readonly (string | number)[],
  ): Promise<unknown>;
}

/** The releases of one hash tag: those of one turn of the event loop travel together. */
export class ReleaseBatch {
  readonly #batch = new Batch<AskedRelease>((asked) => {
    this.#send(asked);
  });

  constructor(
    private readonly store: Store,
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
    const keys = [keyspace.sequence, keyspace.guard];
    const args = [store.address, store.run];
    for (const { key, lease } of asked) {
      keys.push(...keyspace.of(key));
      args.push(lease);
    }
    store.send('release', keys, args).then((reply) => {
      const answers = reply as ReleaseAnswer[];
      asked.forEach(({ resolve, reject }, index) => {
        const answer = answers[index];
        if (typeof answer === 'object') reject(replyError(answer[1]));
        else resolve(answer !== 0);
      });
    }, fail);
  }
}
