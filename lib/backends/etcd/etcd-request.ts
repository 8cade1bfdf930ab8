import type { Busy, Grant, LockRequest } from '../lock-backend.js';
import type { EtcdSession } from './etcd-session.js';
import type { Queue } from './keyspace.js';
import type { Withdrawal } from './etcd-withdrawals.js';
import type { Bid } from './transactions.js';

/** Where a request is. `created` is the revision at which its member was put down, if it may be there still. */
type State =
  | { readonly name: 'asking'; readonly created: string | undefined }
  /** In the queue; `leave` ends its waiting: for events, for time, for the life of its place. */
  | { readonly name: 'standing'; readonly created: string; readonly leave: () => void }
  /** Nobody wants anything of it any more. */
  | { readonly name: 'over' };

/** What a request that is over leaves behind. */
export type Left =
  | { readonly state: 'nothing' }
  /** No member, but its name was used: it may have been there before. */
  | { readonly state: 'name'; readonly name: Buffer; readonly wasThere: boolean }
  | { readonly state: 'member'; readonly member: Withdrawal };

/**
 * What this process knows of one request that has no lease yet. It is asked for, as often as must be;
 * stands in the queue, and is asked for anew if it loses its place there; and is over in the end:
 * granted, turned away, refused, or withdrawn.
 */
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
  readonly #sessions = new Set<EtcdSession>();
  #state: State = { name: 'asking', created: undefined };
  #wasThere = false;

  /** What it puts down at the server; known from when it was first sent. */
  bid: Bid | undefined;
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
    return this.#state.name === 'over';
  }

  /** At which revision it joined the queue; undefined while it does not stand there. */
  get joined(): string | undefined {
    return this.#state.name === 'standing' ? this.#state.created : undefined;
  }

  /** Its member was seen to be there, since this revision. */
  isThere(created: string): void {
    if (this.#state.name === 'over' || this.joined === created) return;
    this.losePlace();
    this.#wasThere = true;
    this.#state = { name: 'asking', created };
  }

  /** It stands in the queue since this revision. @param leave ends its waiting */
  stand(created: string, leave: () => void): void {
    this.isThere(created);
    this.#state = { name: 'standing', created, leave };
  }

  /** It lost its place, and has to ask anew. */
  losePlace(): void {
    if (this.#state.name !== 'standing') return;
    this.#state.leave();
    this.#state = { name: 'asking', created: undefined };
  }

  /** A session that its place in the queue, or its grant, will be on: kept alive meanwhile. */
  use(session: EtcdSession): void {
    if (this.#sessions.has(session)) return;
    this.#sessions.add(session);
    session.join(this, () => undefined);
  }

  /** Withdrawn by whoever asked. */
  end(): Left {
    const left = this.#left();
    this.#isOver();
    return left;
  }

  /** What was there is the lease's from now on. */
  grant(grant: Grant): void {
    this.#isOver();
    this.#grant(grant);
  }

  turnAway(busy: Busy): Left {
    const left = this.end();
    this.#turnAway(busy);
    return left;
  }

  refuse(error: unknown): Left {
    const left = this.end();
    this.#refuse(error);
    return left;
  }

  #left(): Left {
    const { bid, unanswered } = this;
    if (bid === undefined || this.#state.name === 'over') return { state: 'nothing' };
    const { name } = bid;
    const { created } = this.#state;
    // Only if every try was answered it is known which of that name can be there.
    if (unanswered.size > 0) {
      return { state: 'member', member: { name, created: undefined, unanswered } };
    }
    if (created !== undefined) return { state: 'member', member: { name, created, unanswered } };
    return { state: 'name', name, wasThere: this.#wasThere };
  }

  #isOver(): void {
    this.losePlace();
    this.#state = { name: 'over' };
    this.#settle();
    for (const session of this.#sessions) session.leave(this);
    this.#sessions.clear();
  }
}
