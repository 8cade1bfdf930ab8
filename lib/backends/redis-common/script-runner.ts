import { clearImmediate, setImmediate } from 'node:timers';
import { alarm, Deadline, Instant, within } from '../../time/clock.js';
import { messageOf } from '../../text/shown.js';
import { Suspicion } from '../suspicion.js';
import { insist } from './insist.js';
import { isPassing, isReply, toBackendError } from './redis-errors.js';
import { Reconnection } from './reconnection.js';
import type { Connection, RedisClient } from './redis-client.js';
import type { Call, Calls } from './scripts/calls.js';
import type { Scripts } from './scripts.js';

/** Where scripts are sent to. */
export interface ScriptServer extends Pick<RedisClient, 'call'> {
  /**
   * The connection on which scripts with this first key, or other commands, go now, as far as that is
   * known: another object each time that it is made.
   */
  connection(key?: string): object | undefined;
  /** To be told when a connection is silent: only a new one tells more. */
  silent(connection: object | undefined): void;
  /** To be told when it is not the one to ask, as it is no master. */
  readonly(): void;
}

/** The one place where requests are sent to Redis. */
export class ScriptRunner<All extends Calls<All>> {
  #trouble: Error | undefined;
  /** What the server answered when the connection was set up. */
  #refusal: Error | undefined;
  #closed = false;
  /** Who waits for the connection. */
  readonly #waiting = new Set<(ready: boolean) => void>();
  readonly #suspicions = new WeakMap<object, Suspicion>();

  constructor(
    private readonly client: Connection,
    private readonly scripts: Scripts<keyof All & string>,
    /** How long to wait for a reply, in milliseconds. */
    readonly patience: number,
    private readonly server: ScriptServer,
  ) {
    client.on('ready', () => {
      this.#trouble = undefined;
      for (const tell of this.#waiting) tell(true);
    });
    client.on('end', () => {
      for (const tell of this.#waiting) tell(false);
    });
    client.on('error', (error: Error & { lastNodeError?: Error }) => {
      // Of a Cluster the last node that was asked says more than that all were asked in vain.
      const cause = error.lastNodeError ?? error;
      this.#trouble = isPassing(cause) ? cause : toBackendError(cause);
      // A refused SELECT does not close the connection: it would work on, in another database.
      if (isReply(error)) this.#refusal = error;
    });
    client.on('close', () => {
      this.#refusal = undefined;
    });
  }

  /** Why there were no replies lately; undefined after any reply. */
  get trouble(): Error | undefined {
    return this.#trouble;
  }

  /** Whether something can be sent at once. */
  get ready(): boolean {
    return this.client.status === 'ready' && this.#refusal === undefined;
  }

  close(): void {
    this.#closed = true;
    for (const tell of this.#waiting) tell(false);
  }

  /** Waits for the connection. Rejects, with the reason if it is known, when there is none within the patience. */
  async connected(): Promise<void> {
    if (this.client.status === 'ready') return;
    // While it disconnects it is in neither state, and will not be ready again.
    if (this.#closed || this.client.status === 'end') throw new Error('the connection is closed');
    let tell!: (ready: boolean) => void;
    const told = new Promise<boolean>((resolve) => {
      tell = resolve;
    });
    this.#waiting.add(tell);
    const ready = await within(this.patience, told);
    this.#waiting.delete(tell);
    if (!ready) throw (this.#trouble ??= new Error(`no connection within ${this.patience} ms`));
  }

  /**
   * Sends a script once. Rejects when there is no connection, or no reply, within the patience: it
   * may have run all the same, and may still run.
   * @param hurried whether it is for somebody who has no time to wait that long and to try again
   */
  run<Name extends keyof All & string>(
    name: Name,
    keys: All[Name]['keys'],
    args: All[Name]['args'],
    hurried = false,
  ): Promise<All[Name]['reply']> {
    if (!this.ready) return this.connected().then(() => this.#exchange(name, keys, args, hurried));
    return this.#exchange(name, keys, args, hurried);
  }

  /** Calls `attempt` until it succeeds, fails for good, or `pointless` says that nobody cares any more. */
  insist<T>(attempt: () => Promise<T>, pointless: () => boolean): Promise<T> {
    return insist(attempt, pointless, () => this.#trouble);
  }

  /** The reply to something sent; rejects when there is none within the patience. */
  answered<T>(reply: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const end = this.#await(this.patience, this.server.connection(), reject);
      reply.finally(end).then(resolve, reject);
    });
  }

  #exchange(
    name: keyof All & string,
    keys: Call['keys'],
    args: Call['args'],
    hurried: boolean,
  ): Promise<unknown> {
    if (this.#refusal !== undefined) return Promise.reject(this.#refusal);
    const connection = this.server.connection(keys[0]);
    const suspicion = this.#suspicionOf(connection);
    const asked = Instant.now();
    const { sha, source } = this.scripts[name];
    return new Promise((resolve, reject) => {
      let isOver = false;
      const over = () => {
        end();
        if (!isOver) suspicion?.over();
        isOver = true;
      };
      const succeed = (reply: unknown) => {
        over();
        suspicion?.hear(asked);
        this.#trouble = undefined;
        resolve(reply);
      };
      const fail = (error: Error) => {
        over();
        this.#trouble = isPassing(error) ? error : undefined;
        if (/\bREADONLY\b/.test(String(error)) && !this.#closed) this.server.readonly();
        reject(error);
      };
      const patience = suspicion?.ask(this.patience, hurried, keys.length) ?? this.patience;
      const end = this.#await(patience, connection, fail);
      // As one list: a call takes some hundred thousand arguments at most. Not spread: V8 concatenates faster.
      const command = ([sha, keys.length] as Call['args'][number][]).concat(keys, args);
      this.server.call('evalsha', command).then(succeed, (error: unknown) => {
        if (!messageOf(error).startsWith('NOSCRIPT')) fail(error as Error);
        else this.server.call('eval', [source, ...command.slice(1)]).then(succeed, fail);
      });
    });
  }

  #suspicionOf(connection: object | undefined): Suspicion | undefined {
    if (connection === undefined) return undefined;
    let suspicion = this.#suspicions.get(connection);
    if (suspicion === undefined) this.#suspicions.set(connection, (suspicion = new Suspicion()));
    return suspicion;
  }

  /** Calls `fail` when the patience is over; returns what ends the waiting. */
  #await(
    patience: number,
    connection: object | undefined,
    fail: (error: Error) => void,
  ): () => void {
    let last: NodeJS.Immediate | undefined;
    const off = alarm(Deadline.in(patience), () => {
      // After the event loop was busy the replies may be there, and are read before this.
      last = setImmediate(() => {
        if (!this.#closed) this.server.silent(connection);
        fail(new Error(`no reply within ${patience} ms`));
      });
    });
    return () => {
      off();
      clearImmediate(last);
    };
  }
}

/** The only one there is, at the end of a connection. */
export function serverOf(client: RedisClient): ScriptServer {
  const reconnection = new Reconnection(client);
  let connection = {};
  client.on('ready', () => {
    connection = {};
  });
  return {
    call: client.call.bind(client),
    connection: () => connection,
    silent: (silent) => {
      // Meanwhile there may be another one.
      if (silent === connection) reconnection.now();
    },
    readonly: () => {
      void reconnection.elsewhere();
    },
  };
}
