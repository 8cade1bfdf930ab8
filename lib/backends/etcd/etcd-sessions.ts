import { within } from '../../time/clock.js';
import { EtcdSession, type SessionContext } from './etcd-session.js';

/** How long dead waiters hold up those behind them, however many they are: in seconds. */
const WAITING_TTL = 4;

/** Between two signs of life of those who wait, in milliseconds. */
const WAITING_INTERVAL = 1_000;

const WAITING = 'waiting';

/** The sessions of one process: one for each ttl, in whole seconds, and one for all that wait. */
export class EtcdSessions {
  readonly #sessions = new Map<number | typeof WAITING, EtcdSession>();
  readonly #opening = new Map<number | typeof WAITING, Promise<EtcdSession>>();
  #closed = false;

  constructor(private readonly context: SessionContext) {}

  /** The session for locks of so many milliseconds: opened when it is first needed. */
  of(ttl: number): Promise<EtcdSession> {
    const seconds = secondsOf(ttl);
    return this.#of(seconds, seconds);
  }

  /** The same, if it is open already. */
  known(ttl: number): EtcdSession | undefined {
    return this.#closed ? undefined : this.#alive(secondsOf(ttl));
  }

  /** The session for those who wait, if there is one now. */
  get waiting(): EtcdSession | undefined {
    return this.#alive(WAITING);
  }

  openWaiting(): Promise<EtcdSession> {
    return this.#of(WAITING, WAITING_TTL, WAITING_INTERVAL);
  }

  get all(): readonly EtcdSession[] {
    return [...this.#sessions.values()];
  }

  /** The session on this lease. */
  on(lease: string): EtcdSession | undefined {
    return [...this.#sessions.values()].find(({ id }) => id === lease);
  }

  /** Ends what nobody uses; waits for that, but for no more than so many milliseconds. */
  async close(ms: number): Promise<void> {
    this.#closed = true;
    const sessions = [...this.#sessions.values()];
    const opening = [...this.#opening.values()].map((one) =>
      one.then(
        (session) => session.close(),
        () => undefined,
      ),
    );
    await within(ms, Promise.all([...sessions.map((session) => session.close()), ...opening]));
  }

  #alive(kind: number | typeof WAITING): EtcdSession | undefined {
    const session = this.#sessions.get(kind);
    if (session?.hasEnded()) this.#sessions.delete(kind);
    return this.#sessions.get(kind);
  }

  async #of(
    kind: number | typeof WAITING,
    seconds: number,
    interval?: number,
  ): Promise<EtcdSession> {
    if (this.#closed) throw new Error('the connection is closed');
    const session = this.#alive(kind);
    if (session !== undefined) return session;
    let opening = this.#opening.get(kind);
    if (opening === undefined) {
      opening = this.#open(kind, seconds, interval);
      this.#opening.set(kind, opening);
    }
    return opening;
  }

  async #open(
    kind: number | typeof WAITING,
    seconds: number,
    interval?: number,
  ): Promise<EtcdSession> {
    try {
      const session = await EtcdSession.open(seconds, this.context, interval);
      if (!this.#closed) this.#sessions.set(kind, session);
      return session;
    } finally {
      this.#opening.delete(kind);
    }
  }
}

/** etcd counts whole seconds. */
function secondsOf(ttl: number): number {
  return Math.ceil(ttl / 1000);
}
