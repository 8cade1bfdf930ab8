import { clearImmediate, setImmediate } from 'node:timers';
import { alarm, Deadline, pause } from '../../time/clock.js';
import type { PooledClient, PostgresPool } from './postgres-client.js';
import { isPassing, isStandby, toBackendError } from './postgres-errors.js';
import type { PostgresFunctions } from './scripts/functions.js';

/** The longest pause before a failed call is sent again, in milliseconds. */
const LONGEST_PAUSE = 250;

/**
 * The one place where statements are sent, each the call of one function that is one step. They go as a
 * simple query, so that a pooler between may give each to another connection, and say themselves what they
 * need of their transaction: nothing that the role or the database has as its default is counted on.
 */
export class PostgresCalls {
  #trouble: Error | undefined;
  #closed = false;

  constructor(
    private readonly pool: PostgresPool,
    /** Quoted. */
    private readonly schema: string,
    /** How long to wait for a reply, in milliseconds. */
    readonly patience: number,
  ) {}

  /** Why there were no replies lately; undefined after any reply. */
  get trouble(): Error | undefined {
    return this.#trouble;
  }

  close(): void {
    this.#closed = true;
  }

  /**
   * Calls a function once. Rejects when there is no connection, or no reply, within the patience: it may
   * have run all the same, and may still run.
   * @param args gives them when there is a connection to send them on
   */
  async call<Name extends keyof PostgresFunctions>(
    name: Name,
    args: () => PostgresFunctions[Name]['args'],
  ): Promise<PostgresFunctions[Name]['reply']> {
    try {
      const text = await this.#exchange(name, args);
      this.#trouble = undefined;
      return JSON.parse(text) as PostgresFunctions[Name]['reply'];
    } catch (error) {
      this.#trouble = isPassing(error) ? (error as Error) : undefined;
      throw error;
    }
  }

  /**
   * Calls `attempt` until it succeeds, fails for good, or `pointless` says that nobody cares any more.
   * Rejects with a LockBackendError: of the last failure, or else of the trouble there is.
   */
  async insist<T>(attempt: () => Promise<T>, pointless: () => boolean): Promise<T> {
    for (let longest = 20; ; longest = Math.min(2 * longest, LONGEST_PAUSE)) {
      try {
        return await attempt();
      } catch (error) {
        if (!isPassing(error) || pointless()) throw this.toBackendError(error);
      }
      await pause(longest * Math.random());
      if (pointless()) throw this.toBackendError(this.#trouble ?? new Error('given up'));
    }
  }

  /** The same for who has no bound of its own. */
  patiently<T>(attempt: () => Promise<T>): Promise<T> {
    const patience = Deadline.in(this.patience);
    return this.insist(attempt, () => patience.passed || this.#closed);
  }

  toBackendError(error: unknown): Error {
    return toBackendError(error, this.schema);
  }

  #exchange(name: string, args: () => readonly Argument[]): Promise<string> {
    return new Promise((resolve, reject) => {
      let client: PooledClient | undefined;
      let over = false;
      const ignore = () => undefined;
      const end = (broken: boolean) => {
        over = true;
        disarm();
        client?.off('error', ignore);
        client?.release(broken);
      };
      const fail = (error: Error, broken: boolean) => {
        if (over) return;
        end(broken);
        reject(error);
      };
      const disarm = this.#await(() => {
        const missing = client === undefined ? 'no connection' : 'no reply';
        fail(new Error(`${missing} within ${this.patience} ms`), true);
      });
      this.pool.connect().then(
        (lent) => {
          if (over) {
            lent.release();
            return;
          }
          client = lent;
          // Who waits for the reply hears of it.
          lent.on('error', ignore);
          this.#send(lent, name, args).then(
            (results) => {
              if (over) return;
              end(false);
              resolve(textOf(results));
            },
            (error: unknown) => {
              fail(error as Error, !leavesConnection(error));
            },
          );
        },
        (error: unknown) => {
          fail(error as Error, true);
        },
      );
    });
  }

  /** Whatever goes wrong, also before it is sent, it rejects. */

  async #send(
    client: PooledClient,
    name: string,
    args: () => readonly Argument[],
  ): Promise<unknown> {
    const literals = args().map((arg) => {
      return typeof arg === 'string' ? client.escapeLiteral(arg) : String(arg);
    });
    return client.query(
      `SET LOCAL statement_timeout = ${this.patience}; SET LOCAL lock_timeout = 0;` +
        'SET TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE;' +
        `SELECT ${this.schema}.${name}(${literals.join(', ')}) AS reply`,
    );
  }

  /** Calls `fail` when the patience is over; returns what ends the waiting. */
  #await(fail: () => void): () => void {
    let last: NodeJS.Immediate | undefined;
    const off = alarm(Deadline.in(this.patience), () => {
      // After the event loop was busy the reply may be there, and is read before this.
      last = setImmediate(fail);
    });
    return () => {
      off();
      clearImmediate(last);
    };
  }
}

export type Argument = string | number | boolean;

/** Whether it is an answer after which the connection is as good as before, and leads to the right server. */
function leavesConnection(error: unknown): boolean {
  return (error as { severity?: unknown }).severity === 'ERROR' && !isStandby(error);
}

/** The one value that the last statement answered. */
function textOf(results: unknown): string {
  const last = (results as { rows: { reply: string }[] }[]).at(-1);
  return last?.rows[0]?.reply ?? '[]';
}
