import { alarm, Deadline, Instant, within } from '../../time/clock.js';
import type { EtcdCalls, Stamp } from './etcd-calls.js';
import { ChangedMeanwhileError } from './etcd-errors.js';
import { EtcdMarkerWatch, type MarkerListener } from './etcd-marker.js';
import type { EtcdWatch } from './etcd-watch.js';
import { hex, type Keyspace } from './keyspace.js';
import type { Marker } from './transactions.js';

/** How old the last sign of life may be, as a part of the ttl, for a lock that is granted on it. */
const FRESH = 0.01;

/** So much a busy server needs at times, in milliseconds. */
const LEAST_PATIENCE = 250;

/** How long a new session waits for the watch of its marker at most, in milliseconds. */
const WATCH_PATIENCE = 200;

/** What all sessions of a connection work with. */
export interface SessionContext {
  readonly keyspace: Keyspace;
  readonly calls: EtcdCalls;
  readonly watch: EtcdWatch;
  /** Told of each message to who holds the lease of a session. */
  readonly hear: MarkerListener['hear'];
}

/** For one user of a session: called once, when the session ends before the user has left. */
export type WhenEnded = () => void;

/**
 * A lease of etcd, which all locks of one ttl share, kept alive as long as anybody uses it.
 *
 * It is believed in from before each keepalive was sent, by our own clock. Its end is noticed by the
 * first of: that deadline, an answer that there is no such lease, and the deletion of the marker, a
 * key that is attached to it, which the server tells at once.
 */
export class EtcdSession {
  /** Its id as it stands in names. */
  readonly hex: string;
  #marker: Marker;
  #alive: Stamp;
  #validity: Deadline;
  #ended = false;
  /** Since nobody uses it. */
  #idle: Deadline | undefined;
  readonly #users = new Map<object, WhenEnded>();
  /** The keepalive that was sent last; and one that is about to be. */
  #sent: { readonly since: Instant; readonly answer: Promise<Stamp> } | undefined;
  #next: Promise<Stamp> | undefined;
  #disarm: () => void = () => undefined;
  readonly #watching: EtcdMarkerWatch;

  private constructor(
    readonly id: string,
    /** Milliseconds, as the server granted it: at least what was asked for. */
    readonly ttl: number,
    private readonly interval: number,
    granted: Stamp,
    marker: Marker,
    private readonly context: SessionContext,
  ) {
    this.hex = hex(id);
    this.#marker = marker;
    this.#alive = granted;
    this.#validity = new Deadline(granted.sent, ttl);
    this.#idle = Deadline.in(ttl);
    const { keyspace, calls, watch, hear } = context;
    this.#watching = new EtcdMarkerWatch(id, marker.revision, keyspace, calls, watch, {
      seen: (revision) => {
        this.markerSeen(revision);
      },
      hear,
    });
    this.#plan(interval);
  }

  /** @param interval between two keepalives, in milliseconds; a third of the ttl if it is not given */
  static async open(
    seconds: number,
    context: SessionContext,
    interval?: number,
  ): Promise<EtcdSession> {
    const { stamp, id, ttl } = await context.calls.grantLease(seconds);
    const name = context.keyspace.markerOf(id);
    const { revision } = await context.calls.put(name, id);
    const marker = { name, revision };
    const session = new EtcdSession(id, ttl, interval ?? ttl / 3, stamp, marker, context);
    // A watch that begins beside a change of the store may tell up to 100 ms late.
    await within(WATCH_PATIENCE, session.#watching.begun);
    return session;
  }

  get marker(): Marker {
    return this.#marker;
  }

  /**
   * How long an answer may take that its locks live from, in milliseconds: little enough that
   * another host can be asked in time.
   */
  get patience(): number {
    return Math.min(this.context.calls.patience, Math.max(this.interval / 2, LEAST_PATIENCE));
  }

  /** A method, as it changes while others are awaited, which the compiler does not see of a getter. */
  hasEnded(): boolean {
    if (!this.#ended && this.#validity.passed) this.end();
    return this.#ended;
  }

  /** Keeps it alive until the user leaves. */
  join(user: object, whenEnded: WhenEnded): void {
    if (this.hasEnded()) {
      void Promise.resolve().then(whenEnded);
      return;
    }
    this.#idle = undefined;
    this.#users.set(user, whenEnded);
  }

  leave(user: object): void {
    if (this.#users.delete(user) && this.#users.size === 0) this.#idle = Deadline.in(this.ttl);
  }

  get isUsed(): boolean {
    return this.#users.size > 0;
  }

  /** The marker was seen at this change; undefined for its absence. */
  markerSeen(revision: string | undefined): void {
    if (revision === undefined) this.end();
    else if (Number(revision) > Number(this.#marker.revision)) {
      this.#marker = { name: this.#marker.name, revision };
    }
  }

  /** Sends a keepalive, together with those who ask at the same time. Rejects unless it is answered. */
  beat(): Promise<Stamp> {
    return (this.#next ??= Promise.resolve().then(() => {
      this.#next = undefined;
      const answer = this.#send();
      this.#sent = { since: Instant.now(), answer };
      return answer;
    }));
  }

  /** A sign of life that is recent: one that there is already, or else one that is asked for. */
  fresh(): Stamp | Promise<Stamp> {
    const limit = this.ttl * FRESH;
    if (this.#alive.sent.elapsed < limit) return this.#alive;
    const sent = this.#sent;
    const answer = sent !== undefined && sent.since.elapsed < limit ? sent.answer : this.beat();
    // Perhaps nobody needs it in the end.
    answer.catch(() => undefined);
    return answer;
  }

  /**
   * From when on a lock has `ttl` milliseconds to live on this session, by this sign of life.
   *
   * A leader that was deposed unknowingly may still answer keepalives, which its successor knows
   * nothing of. But the successor counts every lease anew from its election; so an answer counts if
   * the same leader had a transaction carried out, which takes a majority, no earlier than from when
   * on the life is counted.
   */
  startOf(ttl: number, alive: Stamp, carriedOut: Stamp): Instant {
    if (alive.term !== carriedOut.term) {
      if (this.#alive === alive) this.#alive = { ...alive, sent: alive.sent.plus(-this.ttl) };
      this.#sent = undefined;
      throw new ChangedMeanwhileError('etcd changed its leader');
    }
    const latest = alive.sent.plus(this.ttl - ttl);
    return latest.elapsed > carriedOut.sent.elapsed ? latest : carriedOut.sent;
  }

  /** It is over: whoever uses it is told, and what is left of it at the server is removed. */
  end(): void {
    if (this.#ended) return;
    this.#stop();
    const users = [...this.#users.values()];
    this.#users.clear();
    for (const whenEnded of users) whenEnded();
    this.context.calls.revoke(this.id).catch(() => undefined);
  }

  /** The connection closes. Locks that somebody may still believe in are left to end by themselves. */
  async close(): Promise<void> {
    if (this.#ended) return;
    this.#stop();
    if (!this.isUsed) await this.context.calls.revoke(this.id).catch(() => undefined);
  }

  #stop(): void {
    this.#ended = true;
    this.#disarm();
    this.#watching.end();
  }

  #plan(ms: number): void {
    this.#disarm();
    if (this.#ended) return;
    this.#disarm = alarm(Deadline.in(Math.min(ms, this.#validity.remaining)), () => {
      if (this.hasEnded()) return;
      if (this.#idle?.passed) this.end();
      else this.beat().catch(() => undefined);
    });
  }

  async #send(): Promise<Stamp> {
    if (this.hasEnded()) throw new ChangedMeanwhileError('the session has ended');
    // In case that none of this settles.
    this.#plan(this.interval);
    try {
      const alive = await this.context.calls.keepAlive(this.id, this.patience);
      if (alive === undefined) this.end();
      if (alive === undefined || this.#ended) {
        throw new ChangedMeanwhileError('the session has ended');
      }
      if (alive.sent.elapsed < this.#alive.sent.elapsed) {
        this.#alive = alive;
        this.#validity = new Deadline(alive.sent, this.ttl);
        this.#plan(this.interval - alive.sent.elapsed);
      }
      return alive;
    } catch (error) {
      this.#plan(retryDelay(this.interval));
      throw error;
    }
  }
}

function retryDelay(interval: number): number {
  return Math.min(250, interval / 10) * (0.5 + Math.random());
}
