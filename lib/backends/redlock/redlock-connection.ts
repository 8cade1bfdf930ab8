import { Deadline, Instant, wallTimeIn } from '../../clock.js';
import { insist } from '../redis/insist.js';
import type {
  Answer,
  BackendConnection,
  HeldLease,
  KeyState,
  LeaseIdentity,
  LeaseRenewal,
  LockProcess,
  LockRequest,
  Revocation,
} from '../lock-backend.js';
import { agreedToken } from './agreed-token.js';
import { memoryOfOthers } from './memory-of-others.js';
import { count, failureOf, majority, poll, type Reply } from './poll.js';
import { RedlockLeases } from './redlock-leases.js';
import type { Memory, RedlockNode, Vote } from './redlock-node.js';
import { RedlockOperators } from './redlock-operators.js';
import { RedlockRequest } from './redlock-request.js';
import { RedlockWaiters } from './redlock-waiters.js';
import { holderOf, isSplit, outcomeOf, renewalOf } from './verdicts.js';

/**
 * One process's locks on a quorum of Redis nodes that know nothing of each other.
 *
 * A lock is held by whom a majority voted for. The token is one that a majority has seen, so that the
 * next majority gives a greater one: each node answers the greater of its last and a proposal; where
 * they differ the greatest is written back first. (As ABD registers do: Attiya, Bar-Noy and Dolev,
 * Sharing memory robustly in message-passing systems, JACM 1995.)
 */
export class RedlockConnection implements BackendConnection {
  readonly #nodes: readonly RedlockNode[];
  readonly #quorum: number;
  readonly #waiters: RedlockWaiters;
  readonly #operators: RedlockOperators;
  readonly #requests = new Map<string, RedlockRequest>();
  readonly #held: RedlockLeases;
  /**
   * All nodes that can be reached were entered. Before that nothing is asked of any: another process
   * would take those that were not for nodes that forgot.
   */
  readonly #opened: Promise<unknown>;
  #seen = 0;
  #closed = false;

  constructor(
    process: LockProcess,
    nodes: (hooks: ConnectionHooks) => readonly RedlockNode[],
    private readonly patience: number,
  ) {
    const made: RedlockNode[] = [];
    let waiters: RedlockWaiters | undefined;
    this.#nodes = nodes({
      memoryOfOthers: (node) => memoryOfOthers(made, node),
      hear: (message, node) => {
        waiters?.hear(message, node);
        this.#held.hear(message, node);
      },
      listening: () => waiters?.listening(),
    });
    made.push(...this.#nodes);
    this.#opened = Promise.all(this.#nodes.map((node) => node.opened()));
    this.#quorum = Math.floor(this.#nodes.length / 2) + 1;
    this.#held = new RedlockLeases(process, this.#quorum);
    this.#operators = new RedlockOperators({
      processId: process.id,
      nodes: this.#nodes,
      quorum: this.#quorum,
      patience,
      opened: this.#opened,
      trouble: () => this.troubleWith(),
      isClosed: () => this.#closed,
    });
    this.#waiters = waiters = new RedlockWaiters({
      nodes: this.#nodes,
      quorum: this.#quorum,
      ask: (request) => {
        // What comes of it, the request tells.
        this.#ask(request).catch(() => undefined);
      },
    });
  }

  troubleWith(): Error | undefined {
    const troubles = this.#nodes.flatMap(({ trouble }) => trouble ?? []);
    const [first] = troubles;
    const up = this.#nodes.length - troubles.length;
    if (first === undefined || up >= this.#quorum) return undefined;
    return new Error(`only ${up} of ${this.#nodes.length} nodes can vote: ${first.message}`);
  }

  acquire(asked: LockRequest): Promise<Answer> {
    const held = this.#held.find(asked.id);
    return held === undefined ? this.#acquire(asked) : this.#acquireAgain(asked, held.token);
  }

  async cancel(asked: LockRequest): Promise<void> {
    const request = this.#requests.get(asked.id);
    if (request !== undefined) {
      request.over = true;
      this.#forget(request);
    }
    this.#held.take(asked.id);
    await this.#opened;
    await this.#withdraw(asked);
  }

  async renew(leases: readonly LeaseRenewal[]): Promise<readonly (boolean | Error)[]> {
    if (leases.length === 0) return [];
    await this.#opened;
    const asked = this.#nodes.map((node) => node.renew(leases));
    const decisions = await poll(asked, (replies, pending) => {
      const all = leases.map((_, index) => renewalOf(replies, index, pending, this.#quorum));
      return all.every((one) => one !== undefined) ? all : undefined;
    });
    const proven = leases.filter((_, index) => decisions[index] === true);
    asked.forEach((answer, index) => {
      this.#repair(this.#nodes[index], leases, proven, answer);
    });
    return decisions;
  }

  async release({ id, key, mode }: HeldLease, keepFor: number): Promise<boolean> {
    const { ttl = 0, token = 0 } = this.#held.take(id) ?? {};
    const kept = keepFor > 0 ? { until: Deadline.in(keepFor), token } : undefined;
    await this.#opened;
    const released = await poll(
      this.#nodes.map((node) => node.withdraw({ id, key, mode, kept }, ttl)),
      majority<boolean>(this.#quorum, (left) => left),
    );
    if (released instanceof Error) throw released;
    return released;
  }

  async downgrade(lease: LeaseIdentity): Promise<boolean> {
    await this.#opened;
    return this.#patiently(() =>
      poll(
        this.#nodes.map((node) => node.downgrade(lease)),
        majority<boolean>(this.#quorum, (reads) => reads),
      ),
    );
  }

  inspect(key: string): Promise<KeyState> {
    return this.#operators.inspect(key);
  }

  list(pattern: string): AsyncIterable<string> {
    return this.#operators.list(pattern);
  }

  revoke(key: string, revocation: Revocation): Promise<number> {
    return this.#operators.revoke(key, revocation);
  }

  forceRelease(key: string): Promise<number> {
    return this.#operators.forceRelease(key);
  }

  async close(): Promise<void> {
    this.#waiters.close();
    this.#requests.clear();
    this.#closed = true;
    await Promise.all(this.#nodes.map((node) => node.close()));
  }

  #acquire(asked: LockRequest): Promise<Answer> {
    const request = this.#requests.get(asked.id) ?? new RedlockRequest(asked);
    this.#requests.set(asked.id, request);
    this.#waiters.add(request);
    return Promise.race([this.#ask(request), request.granted]);
  }

  /** Not by votes: those of nodes that were not needed for the grant may have greater tokens. */
  async #acquireAgain(asked: LockRequest, token: number): Promise<Answer> {
    const since = Instant.now();
    const held = await this.#patiently(async () => (await this.renew([{ ...asked, token }]))[0]);
    if (held) return { state: 'granted', token, since, ttl: asked.ttl };
    this.#held.take(asked.id);
    return this.#acquire(asked);
  }

  /** One round at a time; a cause for another one that comes meanwhile is heeded after it. */
  #ask(request: RedlockRequest): Promise<Answer> {
    if (request.asking !== undefined) {
      request.again = true;
      return request.asking;
    }
    request.asking = this.#askAll(request).finally(() => {
      request.asking = undefined;
      if (!request.again || request.isSettled()) return;
      request.again = false;
      this.#ask(request).catch(() => undefined);
    });
    return request.asking;
  }

  /** Asks until there is an answer, or nobody wants one. Rejects, and refuses the request, when it cannot be had. */
  async #askAll(request: RedlockRequest): Promise<Answer> {
    try {
      return await insist(
        () => this.#round(request),
        () => request.isSettled() || this.#closed,
        () => this.troubleWith(),
      );
    } catch (error) {
      if (!request.isSettled()) {
        this.#forget(request);
        void this.#withdraw(request.asked);
        request.refuse(error);
      }
      return await request.granted;
    }
  }

  async #round(request: RedlockRequest): Promise<Answer> {
    const { asked } = request;
    await this.#opened;
    if (request.isSettled()) throw new Error('settled meanwhile');
    request.again = false;
    const round = ++request.rounds;
    const before = Instant.now();
    const proposal = Math.max(this.#seen + 1, wallTimeIn(0) * 1000);
    const votes = this.#nodes.map(async (node) => {
      const vote = await node.vote(asked, proposal, request.ticket);
      if (vote.state === 'granted') this.#seen = Math.max(this.#seen, vote.token);
      return vote;
    });
    const { outcome, replies } = await poll(votes, (heard, pending) => {
      const decided = outcomeOf(heard, pending, this.#quorum);
      return decided && { outcome: decided, replies: [...heard] };
    });
    if (outcome === 'won') {
      const token = await agreedToken(this.#nodes, this.#quorum, asked, replies);
      if (token !== undefined) this.#seen = Math.max(this.#seen, token);
      if (token !== undefined && !request.over) {
        this.#win(request, token, votes);
        request.grant({ state: 'granted', token, since: before, ttl: asked.ttl });
        return await request.granted;
      }
    }
    const places = replies.flatMap((reply) => {
      return reply?.value?.state === 'waiting' ? [reply.value] : [];
    });
    const known = request.ticket;
    request.ticket = Math.max(known, ...places.map((place) => place.ticket));
    this.#giveUpVotes(request, round, votes);
    if (request.over) await this.#withdraw(asked);
    if (request.isSettled()) throw new Error('settled meanwhile');
    if (outcome === 'won') throw new Error('the votes were lost again');
    if (!asked.queue) return this.#turnAway(request, replies);
    const voted = count(replies, ({ state }) => state === 'granted');
    if (places.length + voted < this.#quorum) throw failureOf(replies);
    // All nodes are to agree on the order: those that gave a smaller ticket are told.
    const differ = places.some(({ ticket }) => ticket !== request.ticket);
    if (differ && request.ticket > known) return this.#round(request);
    const remaining = places.flatMap((place) => place.remaining ?? []);
    this.#waiters.stand(request, remaining, isSplit(replies, this.#quorum));
    return { state: 'waiting', granted: request.granted };
  }

  #win(request: RedlockRequest, token: number, votes: readonly Promise<Vote>[]): void {
    const { asked } = request;
    this.#forget(request);
    this.#held.add(asked.id, { ttl: asked.ttl, token });
    votes.forEach((vote, index) => {
      vote.then(
        (late) => {
          // A vote that came late, or was greater than what the others agreed on.
          const differs = late.state === 'granted' && late.token !== token;
          const node = this.#nodes[index];
          if (differs && this.#held.has(asked.id))
            node?.confirm(asked, token).catch(() => undefined);
        },
        () => undefined,
      );
    });
  }

  /**
   * Votes that did not come to a majority would only keep others waiting. A vote that is known of
   * only in the next round counts there, and must not be taken from it. Nor can it be when this
   * arrives late: that round proposes, and writes back, a greater token than it has seen here.
   */
  #giveUpVotes(request: RedlockRequest, round: number, votes: readonly Promise<Vote>[]): void {
    votes.forEach((answer, index) => {
      answer.then(
        (vote) => {
          if (vote.state !== 'granted' || this.#held.has(request.id)) return;
          const node = this.#nodes[index];
          const given = request.isSettled()
            ? node?.leave(request.asked)
            : request.rounds === round && node?.giveUp(request.asked, vote.token, request.ticket);
          if (given) given.catch(() => undefined);
        },
        // It may have voted all the same: that is found by the next round, or taken back at the end.
        () => undefined,
      );
    });
  }

  #turnAway(request: RedlockRequest, replies: readonly Reply<Vote>[]): Answer {
    if (holderOf(replies, this.#quorum) === undefined) throw failureOf(replies);
    this.#forget(request);
    void this.#withdraw(request.asked);
    return { state: 'busy' };
  }

  /** A node that has no lease of which a majority was just proven is given it. */
  #repair(
    node: RedlockNode | undefined,
    leases: readonly LeaseRenewal[],
    proven: readonly LeaseRenewal[],
    answer: Promise<readonly unknown[]>,
  ): void {
    answer.then(
      (renewed) => {
        const missing = proven.filter((lease) => {
          const found = renewed[leases.indexOf(lease)];
          return found !== 'renewed' && this.#held.has(lease.id);
        });
        if (missing.length > 0) node?.renew(missing, true).catch(() => undefined);
      },
      () => undefined,
    );
  }

  /** Never rejects; resolves when every node that can be reached has nothing of it any more. */
  async #withdraw(asked: LockRequest): Promise<void> {
    await Promise.allSettled(this.#nodes.map((node) => node.withdraw(asked, asked.ttl)));
  }

  /** For who has no bound of its own. */
  #patiently<T>(attempt: () => Promise<T | Error>): Promise<T> {
    const patience = Deadline.in(this.patience);
    return insist(
      async () => {
        const outcome = await attempt();
        if (outcome instanceof Error) throw outcome;
        return outcome;
      },
      () => patience.passed || this.#closed,
      () => this.troubleWith(),
    );
  }

  #forget(request: RedlockRequest): void {
    this.#requests.delete(request.id);
    this.#waiters.forget(request);
  }
}

/** What a connection does for its nodes. */
export interface ConnectionHooks {
  readonly memoryOfOthers: (node: RedlockNode) => Promise<Memory>;
  readonly hear: (message: string, node: RedlockNode) => void;
  readonly listening: () => void;
}
