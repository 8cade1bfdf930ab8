import { Deadline } from '../../time/clock.js';
import { keyPattern } from '../key-pattern.js';
import type { LockNames } from './keyspace.js';
import type { Connection, RedisClient } from './redis-client.js';
import { toBackendError } from './redis-errors.js';
import type { ScriptRunner } from './script-runner.js';
import type { CommonCalls } from './scripts/calls.js';

/** So many names a server looks at for one page: it does nothing else meanwhile, for less than a millisecond. */
const PAGE = 1_000;

/** One that can be asked for the names it has. */
export type Scanned = Pick<RedisClient, 'scan'>;

/** What is needed of what sends requests. */
type Waiting = Pick<ScriptRunner<CommonCalls>, 'answered' | 'connected' | 'insist' | 'patience'>;

/** Reads which locks there are, page by page. What else is at the server is passed over there. */
export class KeyScan {
  #connections = 0;

  constructor(
    private readonly runner: Waiting,
    client: Connection,
    /** All servers that have locks; fails while not all of them are known. */
    private readonly servers: () => readonly Scanned[],
    private readonly names: LockNames,
  ) {
    client.on('ready', () => {
      this.#connections++;
    });
  }

  async *keys(pattern: string): AsyncGenerator<string, void, undefined> {
    const matches = keyPattern(pattern);
    for (const server of await this.#connected()) {
      const connection = this.#connections;
      let cursor = '0';
      do {
        const [next, names] = await this.#page(server, cursor, this.names.pattern(pattern));
        // To another server the cursor would say nothing, and keys be missed in silence.
        if (connection !== this.#connections)
          throw toBackendError(new Error('the connection was lost'));
        for (const name of names) {
          const key = this.names.keyOf(name);
          if (key !== undefined && matches.test(key)) yield key;
        }
        cursor = next;
      } while (cursor !== '0');
    }
  }

  #connected(): Promise<readonly Scanned[]> {
    const patience = Deadline.in(this.runner.patience);
    return this.runner.insist(
      async () => {
        await this.runner.connected();
        return this.servers();
      },
      () => patience.passed,
    );
  }

  async #page(server: Scanned, cursor: string, pattern: string): Promise<[string, string[]]> {
    try {
      return await this.runner.answered(server.scan(cursor, 'MATCH', pattern, 'COUNT', PAGE));
    } catch (error) {
      throw toBackendError(error);
    }
  }
}
