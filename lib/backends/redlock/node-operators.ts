import { MOST_SHOWN, type Revocation } from '../lock-backend.js';
import { type Inspection, readInspected } from '../redis-common/inspected.js';
import { KeyScan } from '../redis-common/key-scan.js';
import type { Keyspace, LockNames } from '../redis-common/keyspace.js';
import type { RedisClient } from '../redis-common/redis-client.js';
import type { ScriptRunner } from '../redis-common/script-runner.js';
import type { RedlockCalls } from './scripts/calls.js';

/** What was ended at one node: request ids; not all of it, where it may have forgotten some. */
export interface Ended {
  readonly ids: readonly string[];
  readonly all: boolean;
}

export interface NodeOperatorsContext {
  readonly keyspace: Keyspace;
  readonly names: LockNames;
  readonly client: RedisClient;
  readonly runner: ScriptRunner<RedlockCalls>;
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

  async inspect(key: string): Promise<Inspection> {
    const { entered, keyspace, runner } = this.context;
    await entered();
    return readInspected(await runner.run('inspect', keyspace.of(key), [MOST_SHOWN]));
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
  async revoke(
    key: string,
    mark: string,
    { reason, grace }: Revocation,
  ): Promise<readonly string[]> {
    const { entered, keyspace, runner } = this.context;
    await entered();
    const args = [keyspace.channel, mark, grace, reason] as const;
    return runner.run('revoke', [keyspace.lockOf(key)], args);
  }

  /** Ends all that there is of the key here; or only these, whether they are here or still to come. */
  async forceRelease(key: string, mark: string, only: readonly string[] = []): Promise<Ended> {
    const { entered, isStranger, keyspace, runner } = this.context;
    const run = await entered();
    const [state, ...ids] = await runner.run(
      'force-release',
      [keyspace.guard, ...keyspace.of(key)],
      [run, keyspace.channel, endedBy(keyspace), mark, ...only],
    );
    if (state === 'stranger') return isStranger();
    return { ids, all: state === 'open' };
  }
}

/** Before a request id: the name that says that its lease was ended by force. */
export function endedBy(keyspace: Keyspace): string {
  return `${keyspace.guard}:ended:`;
}
