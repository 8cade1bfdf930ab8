import {
  MOST_SHOWN,
  type HolderState,
  type LeaseMode,
  type Revocation,
  type WaiterState,
} from '../lock-backend.js';
import { KeyScan } from '../redis-common/key-scan.js';
import type { Keyspace, LockNames } from '../redis-common/keyspace.js';
import type { RedisClient } from '../redis-common/redis-client.js';
import type { ScriptRunner } from '../redis-common/script-runner.js';
import type { RedlockScript } from './redlock-scripts.js';

/** How a key stands at one node. */
export interface NodeState {
  readonly holders: readonly HolderState[];
  readonly waiters: number;
  readonly queue: readonly (WaiterState & { readonly ticket: number })[];
}

/** What was ended at one node: request ids; not all of it, where it may have forgotten some. */
export interface Ended {
  readonly ids: readonly string[];
  readonly all: boolean;
}

/** As inspect.lua says it. */
type Inspected = readonly [
  now: number,
  limit: number,
  holders: readonly (readonly [id: string, token: number, remaining: number])[],
  waiters: number,
  shown: readonly string[],
];

export interface NodeOperatorsContext {
  readonly keyspace: Keyspace;
  readonly names: LockNames;
  readonly client: RedisClient;
  readonly runner: ScriptRunner<RedlockScript>;
  /** Rejects when the node cannot be asked now; resolves to the run id under which it was entered. */
  readonly entered: () => Promise<string>;
  /** Why the node may not know what it granted. */
  readonly trouble: () => Error | undefined;
  /** The node is another than was entered, or has forgotten that. */
  readonly isStranger: () => never;
}

/** What operators see and do at one node; each tried once. */
export class NodeOperators {
  readonly #scan: KeyScan;

  constructor(private readonly context: NodeOperatorsContext) {
    const { client, names, runner } = context;
    this.#scan = new KeyScan(runner, client, () => [client], names);
  }

  async inspect(key: string): Promise<NodeState> {
    const { entered, keyspace, runner } = this.context;
    await entered();
    const [now, limit, holders, waiters, shown] = (await runner.run('inspect', keyspace.of(key), [
      MOST_SHOWN,
    ])) as Inspected;
    const mode: LeaseMode = limit === 1 ? 'shared' : 'exclusive';
    // Tokens and tickets are microseconds of who asked, or hardly more.
    const age = (micros: number) => Math.max(0, now - micros / 1_000);
    const queue = [];
    for (let index = 0; index < shown.length; index += 2) {
      const [id = '', kind] = (shown[index] ?? '').split(' ');
      const ticket = Number(shown[index + 1]);
      const reads = kind === 's';
      queue.push({ id, mode: reads ? 'shared' : 'exclusive', age: age(ticket), ticket } as const);
    }
    return {
      holders: holders.map(([id, token, remaining]) => {
        return { id, token, mode, age: age(token), remaining };
      }),
      waiters,
      queue,
    };
  }

  /** The keys that are held here, some of them more than once. Fails where it may have forgotten some. */
  async *keys(pattern: string): AsyncGenerator<string, void, undefined> {
    const { entered, trouble } = this.context;
    await entered();
    const reason = trouble();
    if (reason !== undefined) throw reason;
    yield* this.#scan.keys(pattern);
  }

  /** Tells all who have the key here; their ids. */
  async revoke(key: string, mark: string, { reason, grace }: Revocation): Promise<string[]> {
    const { entered, keyspace, runner } = this.context;
    await entered();
    const args = [keyspace.channel, mark, grace, reason];
    return (await runner.run('revoke', [keyspace.lockOf(key)], args)) as string[];
  }

  /** Ends all that there is of the key here; or only these, whether they are here or still to come. */
  async forceRelease(key: string, mark: string, only: readonly string[] = []): Promise<Ended> {
    const { entered, isStranger, keyspace, runner } = this.context;
    const run = await entered();
    const [state, ...ids] = (await runner.run(
      'force-release',
      [...keyspace.of(key), keyspace.guard],
      [endedBy(keyspace), keyspace.channel, mark, run, ...only],
    )) as ['open' | 'grace' | 'stranger', ...string[]];
    if (state === 'stranger') return isStranger();
    return { ids, all: state === 'open' };
  }
}

/** Before a request id: the name that says that its lease was ended by force. */
export function endedBy(keyspace: Keyspace): string {
  return `${keyspace.guard}:ended:`;
}
