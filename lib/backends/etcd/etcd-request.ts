import type { Busy, Grant, LockRequest } from '../lock-backend.js';
import type { EtcdSession } from './etcd-session.js';
import type { Queue } from './keyspace.js';
import type { Bid } from './transactions.js';

/** What this process knows of one request that has no lease yet. */
export class EtcdRequest {
  /** The grant, however it came: at once, or after waiting. */
  readonly granted: Promise<Grant>;
  /** Resolves when it came to stand in the queue, although it did not want to. */
  readonly turnedAway: Promise<Busy>;
  /** Resolves when there is nothing to ask for any more. */
  readonly settled: Promise<void>;
  readonly #turnAway: (busy: Busy) => void;
  readonly #settle: () => void;
  readonly #grant: (grant: Grant) => void;
  readonly #refuse: (error: unknown) => void;
  #settled = false;
  readonly #sessions = new Set<EtcdSession>();

  /** Nobody wants it any more. */
  over = false;
  /** What it puts down at the server; known from when it was first sent. */
  bid: Bid | undefined;
  /** At which revision it joined the queue; undefined while it does not stand there. */
  joined: string | undefined;
  /** Whether it ever did. */
  hasStood = false;
  /** Ends its waiting: for events, for time, for the life of its place. */
  stopWaiting: () => void = () => undefined;
  /** Tries that were not answered (yet), and the session under which each may still be carried out. */
  readonly unanswered = new Map<object, EtcdSession>();

  constructor(
    readonly asked: LockRequest,
    readonly queue: Queue,
  ) {
    let grant!: (grant: Grant) => void;
    let refuse!: (error: unknown) => void;
    this.granted = new Promise((resolve, reject) => {
      grant = resolve;
      refuse = reject;
    });
    let turnAway!: (busy: Busy) => void;
    this.turnedAway = new Promise((resolve) => {
      turnAway = resolve;
    });
    let settle!: () => void;
    this.settled = new Promise((resolve) => {
      settle = resolve;
    });
    this.#turnAway = turnAway;
    this.#settle = settle;
    // Whoever waits for it hears of it; when nobody does, it is nobody's concern.
    this.granted.catch(() => undefined);
    this.#grant = grant;
    this.#refuse = refuse;
  }

  get id(): string {
    return this.asked.id;
  }

  /** Whether there is nothing to ask for any more. */
  isSettled(): boolean {
    return this.#settled || this.over;
  }

  /** A session that its place in the queue, or its grant, will be on: kept alive meanwhile. */
  use(session: EtcdSession): void {
    if (this.#sessions.has(session)) return;
    this.#sessions.add(session);
    session.join(this, () => undefined);
  }

  /** Withdrawn by whoever asked. */
  end(): void {
    this.over = true;
    this.#leave();
  }

  grant(grant: Grant): void {
    this.#settled = true;
    this.#leave();
    this.#grant(grant);
  }

  turnAway(): void {
    this.#settled = true;
    this.#leave();
    this.#turnAway({ state: 'busy' });
  }

  refuse(error: unknown): void {
    this.#settled = true;
    this.#leave();
    this.#refuse(error);
  }

  #leave(): void {
    this.#settle();
    this.stopWaiting();
    for (const session of this.#sessions) session.leave(this);
    this.#sessions.clear();
  }
}
