import type { IKeyValue } from 'etcd3';
import { type Answer, busy, type Grant, type LockRequest } from '../lock-backend.js';
import { EtcdArrivals } from './etcd-arrivals.js';
import type { EtcdCalls, Stamp, TxnReply } from './etcd-calls.js';
import { ChangedMeanwhileError, isLeaseGone, isRefusal } from './etcd-errors.js';
import type { EtcdHeldMembers } from './etcd-held-members.js';
import type { EtcdNames } from './etcd-names.js';
import { EtcdRequest, type Left } from './etcd-request.js';
import type { EtcdSession } from './etcd-session.js';
import type { EtcdSessions } from './etcd-sessions.js';
import { EtcdWaiters } from './etcd-waiters.js';
import type { EtcdWatch } from './etcd-watch.js';
import type { EtcdWithdrawals, LastingWithdrawal } from './etcd-withdrawals.js';
import type { Ownership } from './held-member.js';
import type { Keyspace } from './keyspace.js';
import { isGranted, tokenOf } from './member.js';
import { otherLimit, type Sight, verdictOn } from './sight.js';
import { acquireTxn, type Attempt, type Bid, readAcquire } from './transactions.js';

export interface EtcdAcquirerContext {
  readonly calls: EtcdCalls;
  readonly sessions: EtcdSessions;
  readonly withdrawals: EtcdWithdrawals;
  readonly heldMembers: EtcdHeldMembers;
  readonly names: EtcdNames;
  readonly watch: EtcdWatch;
  readonly keyspace: Keyspace;
}

/** Others stand there, perhaps for longer keys, and the request did not join their queue. */
interface Taken {
  readonly state: 'taken';
  readonly stamp: Stamp;
  readonly first: Sight;
}

/** The requests of this process, from when they are first asked until they are granted, or over. */
export class EtcdAcquirer {
  readonly #calls: EtcdCalls;
  readonly #sessions: EtcdSessions;
  readonly #withdrawals: EtcdWithdrawals;
  readonly #heldMembers: EtcdHeldMembers;
  readonly #names: EtcdNames;
  readonly #waiters: EtcdWaiters;
  readonly #keyspace: Keyspace;
  readonly #arrivals = new EtcdArrivals();
  readonly #requests = new Map<string, EtcdRequest>();
  #closed = false;

  constructor(context: EtcdAcquirerContext) {
    const { calls, sessions, withdrawals, heldMembers, names, watch, keyspace } = context;
    this.#calls = calls;
    this.#names = names;
    this.#sessions = sessions;
    this.#withdrawals = withdrawals;
    this.#heldMembers = heldMembers;
    this.#keyspace = keyspace;
    this.#waiters = new EtcdWaiters({
      calls,
      sessions,
      watch,
      grant: (request, owned) => {
        this.#grant(request, owned);
      },
      adopt: (request, own, shown) => this.#adopt(request, own, shown),
      askAgain: (request) => {
        // What comes of it, the request tells.
        this.#ask(request).catch(() => undefined);
      },
      turnAway: (request, oldest) => {
        this.#busy(request, oldest);
      },
      refuse: (request, error) => {
        this.#refuse(request, error);
      },
    });
  }

  acquire(asked: LockRequest): Promise<Answer> {
    const known = this.#requests.get(asked.id);
    if (known !== undefined) return Promise.race([this.#ask(known), known.granted]);
    const request = new EtcdRequest(asked, this.#keyspace.queueOf(asked.key));
    this.#requests.set(asked.id, request);
    return this.#arrivals.inTurn(asked, request.settled, () => this.#ask(request));
  }

  /** Ends a request, and withdraws what there may be of it. False when there is no such request. */
  async withdraw(id: string): Promise<boolean> {
    const request = this.#requests.get(id);
    if (request === undefined) return false;
    this.#requests.delete(id);
    const withdrawal = this.#leave(request.end());
    if (withdrawal !== undefined) await this.#withdrawals.insist(withdrawal);
    return true;
  }

  close(): void {
    this.#closed = true;
    for (const request of this.#requests.values()) request.end();
    this.#requests.clear();
  }

  /** Asks until there is an answer, or nobody wants one. Rejects, and refuses the request, when it cannot be had. */
  async #ask(request: EtcdRequest): Promise<Answer> {
    try {
      return await this.#calls.insist(
        () => this.#attempt(request),
        () => request.isSettled() || this.#closed,
      );
    } catch (error) {
      this.#refuse(request, error);
      return await request.granted;
    }
  }

  async #attempt(request: EtcdRequest): Promise<Answer> {
    const { ttl, queue } = request.asked;
    const session = this.#sessions.known(ttl) ?? (await this.#sessions.of(ttl));
    // Where another of this process stands, it is not free; elsewhere it is as a rule.
    const isFree = request.bid === undefined && this.#names.areFree(request.queue, session.hex);
    const waiting = queue ? this.#sessions.waiting : undefined;
    let answer = await this.#attemptOn(session, request, isFree ? undefined : waiting);
    if (answer.state === 'taken' && verdictOn(answer.first, request.asked) === 'in') {
      const roomAt = answer.stamp.revision;
      answer = await this.#attemptOn(session, request, waiting, roomAt);
    }
    if (answer.state === 'taken' && !queue) {
      const first = await this.#enoughOf(request, answer.first);
      if (verdictOn(first, request.asked) === 'out') return this.#busy(request, first.members[0]);
      // All that stands in its way belongs to longer keys: only from within the queue can it be taken.
    }
    if (answer.state === 'taken') {
      answer = await this.#attemptOn(session, request, await this.#sessions.openWaiting());
    }
    if (answer.state === 'taken') throw new ChangedMeanwhileError('it is gone');
    return answer.state === 'waiting' && !queue
      ? Promise.race([request.granted, request.turnedAway])
      : answer;
  }

  /** What was seen, if it says whether the request gets in; else all that there is to see. */
  async #enoughOf({ asked, queue }: EtcdRequest, first: Sight): Promise<Sight> {
    if (verdictOn(first, asked) !== undefined) return first;
    return { members: await this.#calls.members(queue), complete: true };
  }

  /**
   * Sends a try.
   * @param waiting the session on which it joins the queue; without one it only looks
   * @param roomAt the revision at which there was room for it
   */
  async #attemptOn(
    session: EtcdSession,
    request: EtcdRequest,
    waiting: EtcdSession | undefined,
    roomAt?: string,
  ): Promise<Answer | Taken> {
    if (request.isSettled()) throw new ChangedMeanwhileError('settled meanwhile');
    request.use(session);
    if (waiting !== undefined) request.use(waiting);
    const isFirst = request.bid === undefined && this.#heldMembers.get(request.id) === undefined;
    const bid = (request.bid ??= this.#bidFor(request, session));
    const signOfLife = session.fresh();
    const leases = { marker: session.marker, lease: session.id, waiting: waiting?.id };
    const attempt: Attempt = { bid, ...leases, isFirst, roomAt };
    const sent = this.#calls.txn(acquireTxn(attempt), { hurried: !request.asked.queue });
    const reply = await this.#carriedOut(request, session, sent);
    const outcome = readAcquire(attempt, reply);
    // Whoever settled it saw to what this try did, or made it void.
    if (request.isSettled()) return request.granted;

    switch (outcome.state) {
      case 'granted': {
        const { stamp: shown } = outcome;
        const { revision } = shown;
        request.isThere(revision);
        const member = { created: revision, modified: revision, token: Number(revision) };
        const alive = await signOfLife;
        if (request.isSettled()) return request.granted;
        return this.#grant(request, { ...member, session, alive, shown });
      }
      case 'queued': {
        const { ahead, stamp } = outcome;
        this.#waiters.stand(request, waiting as EtcdSession, stamp.revision, ahead, stamp);
        return { state: 'waiting', granted: request.granted };
      }
      case 'taken':
        return outcome;
      case 'known':
        session.markerSeen(outcome.marker?.mod_revision);
        if (outcome.own === undefined) throw new ChangedMeanwhileError('the marker has changed');
        return this.#adopt(request, outcome.own, outcome.stamp);
    }
  }

  /** A try counts as unanswered from when it is sent until the server says what became of it. */
  async #carriedOut(
    request: EtcdRequest,
    session: EtcdSession,
    sent: Promise<TxnReply>,
  ): Promise<TxnReply> {
    request.unanswered.set(sent, session);
    try {
      const reply = await sent;
      request.unanswered.delete(sent);
      return reply;
    } catch (error) {
      if (isRefusal(error)) request.unanswered.delete(sent);
      // Whether it is this lease, or that of those who wait, the keepalives tell.
      if (isLeaseGone(error)) {
        await Promise.allSettled([session.beat(), this.#sessions.waiting?.beat()]);
      }
      throw error;
    }
  }

  /** What an earlier try of a request put down. */
  async #adopt(request: EtcdRequest, own: IKeyValue, shown: Stamp): Promise<Answer> {
    const { key: name, create_revision: created, mod_revision: modified, lease } = own;
    request.isThere(created);
    const session = this.#sessions.on(lease);
    if (session === undefined || session.hasEnded()) {
      const unanswered = new Map<object, EtcdSession>();
      await this.#withdrawals.attempt({ name, created, unanswered });
      throw new ChangedMeanwhileError('its session has ended');
    }
    if (!isGranted(own)) {
      this.#waiters.stand(request, session, created);
      return { state: 'waiting', granted: request.granted };
    }
    const alive = await session.fresh();
    if (!request.isSettled()) {
      this.#grant(request, { created, modified, token: tokenOf(own), session, alive, shown });
    }
    return request.granted;
  }

  #grant(request: EtcdRequest, owned: Omit<Ownership, 'name' | 'unanswered'>): Grant {
    const { name } = request.bid as { name: Buffer };
    const { unanswered } = request;
    const grant: Grant = this.#heldMembers.add(request.asked, { ...owned, name, unanswered });
    this.#requests.delete(request.id);
    request.grant(grant);
    return grant;
  }

  /** @param oldest of those who keep it out */
  #busy(request: EtcdRequest, oldest: IKeyValue | undefined): Answer {
    const answer = busy(otherLimit(oldest, request.asked));
    this.#requests.delete(request.id);
    this.#leaveInBackground(request.turnAway(answer));
    return answer;
  }

  #refuse(request: EtcdRequest, error: unknown): void {
    if (request.isSettled()) return;
    this.#requests.delete(request.id);
    this.#leaveInBackground(request.refuse(error));
  }

  #leaveInBackground(left: Left): void {
    const withdrawal = this.#leave(left);
    if (withdrawal !== undefined) this.#withdrawals.inBackground(withdrawal);
  }

  /** Of what a request left: what is to be withdrawn. */
  #leave(left: Left): LastingWithdrawal | undefined {
    if (left.state === 'member') return { ...left.member, sessions: this.#sessions.all };
    if (left.state === 'name') {
      if (left.wasThere) this.#names.spoil(left.name);
      else this.#names.free(left.name);
    }
    return undefined;
  }

  #bidFor({ id, queue, asked: claim }: EtcdRequest, session: EtcdSession): Bid {
    const known = this.#heldMembers.get(id)?.name;
    // What is asked now may be carried out after that one was released.
    if (known !== undefined) this.#names.spoil(known);
    const name = known ?? this.#names.take(queue, session.hex);
    return { queue, claim, name };
  }
}
