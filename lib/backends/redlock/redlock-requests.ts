import { Instant, wallTimeIn } from '../../time/clock.js';
import { insist } from '../redis-common/insist.js';
import type { Answer, LockRequest } from '../lock-backend.js';
import { agreedToken } from './agreed-token.js';
import { count, failureOf, poll, type Reply } from './poll.js';
import type { RedlockLeases } from './redlock-leases.js';
import type { RedlockNode } from './redlock-node.js';
import { RedlockRequest } from './redlock-request.js';
import { RedlockWaiters } from './redlock-waiters.js';
import { holderOf, isSplit, outcomeOf } from './verdicts.js';
import type { Vote } from './vote.js';

export interface RedlockRequestsContext {
  readonly nodes: readonly RedlockNode[];
  readonly quorum: number;
  readonly held: RedlockLeases;
  /** Before that nothing is asked of any node. */
  readonly opened: Promise<unknown>;
  /** Why a majority cannot be had now. */
  readonly trouble: () => Error | undefined;
}

/**
 * The requests of a process that have no lease yet: asks all nodes for their votes, in rounds, until a
 * majority gave them.
 */
export class RedlockRequests {
  readonly #requests = new Map<string, RedlockRequest>();
  readonly #waiters: RedlockWaiters;
  #seen = 0;
  #closed = false;

  constructor(private readonly context: RedlockRequestsContext) {
    const { nodes, quorum } = context;
    this.#waiters = new RedlockWaiters({
      nodes,
      quorum,
      ask: (request) => {
        // What comes of it, the request tells.
        this.#ask(request).catch(() => undefined);
      },
    });
  }

  acquire(asked: LockRequest): Promise<Answer> {
    const request = this.#requests.get(asked.id) ?? new RedlockRequest(asked);
    this.#requests.set(asked.id, request);
    this.#waiters.add(request);
    return Promise.race([this.#ask(request), request.granted]);
  }

  async cancel(asked: LockRequest): Promise<void> {
    const request = this.#requests.get(asked.id);
    if (request !== undefined) {
      request.over = true;
      this.#forget(request);
    }
    this.context.held.take(asked.id);
    await this.context.opened;
    await this.#withdraw(asked);
  }

  hear(message: string, node: RedlockNode): void {
    this.#waiters.hear(message, node);
  }

  /** A node is heard from now on. */
  listening(): void {
    this.#waiters.listening();
  }

  close(): void {
    this.#waiters.close();
    this.#requests.clear();
    this.#closed = true;
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
        () => this.context.trouble(),
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
    await this.context.opened;
    if (request.isSettled()) throw new Error('settled meanwhile');
    request.again = false;
    const round = ++request.rounds;
    const before = Instant.now();
    const proposal = Math.max(this.#seen + 1, wallTimeIn(0) * 1000);
    const votes = this.context.nodes.map(async (node) => {
      const vote = await node.vote(asked, proposal, request.ticket);
      if (vote.state === 'granted') this.#seen = Math.max(this.#seen, vote.token);
      return vote;
    });
    const { outcome, replies } = await poll(votes, (heard, pending) => {
      const decided = outcomeOf(heard, pending, this.context.quorum);
      return decided && { outcome: decided, replies: [...heard] };
    });
    if (outcome === 'won') {
      const token = await agreedToken(this.context.nodes, this.context.quorum, asked, replies);
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
    if (places.length + voted < this.context.quorum) throw failureOf(replies);
    // All nodes are to agree on the order: those that gave a smaller ticket are told.
    const differ = places.some(({ ticket }) => ticket !== request.ticket);
    if (differ && request.ticket > known) return this.#round(request);
    const remaining = places.flatMap((place) => place.remaining ?? []);
    this.#waiters.stand(request, remaining, isSplit(replies, this.context.quorum));
    return { state: 'waiting', granted: request.granted };
  }

  #win(request: RedlockRequest, token: number, votes: readonly Promise<Vote>[]): void {
    const { asked } = request;
    this.#forget(request);
    this.context.held.add(asked.id, { ttl: asked.ttl, token });
    votes.forEach((vote, index) => {
      vote.then(
        (late) => {
          // A vote that came late, or was greater than what the others agreed on.
          const differs = late.state === 'granted' && late.token !== token;
          const node = this.context.nodes[index];
          if (differs && this.context.held.has(asked.id))
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
          if (vote.state !== 'granted' || this.context.held.has(request.id)) return;
          const node = this.context.nodes[index];
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
    if (holderOf(replies, this.context.quorum) === undefined) throw failureOf(replies);
    this.#forget(request);
    void this.#withdraw(request.asked);
    return { state: 'busy' };
  }

  /** Never rejects; resolves when every node that can be reached has nothing of it any more. */
  async #withdraw(asked: LockRequest): Promise<void> {
    await Promise.allSettled(this.context.nodes.map((node) => node.withdraw(asked, asked.ttl)));
  }

  #forget(request: RedlockRequest): void {
    this.#requests.delete(request.id);
    this.#waiters.forget(request);
  }
}
