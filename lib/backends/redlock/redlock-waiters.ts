import { alarm, Deadline, Instant } from '../../time/clock.js';
import type { RedlockNode } from './redlock-node.js';
import type { Standing } from './scripts/calls.js';
import type { RedlockRequest } from './redlock-request.js';

/** Between two signs of life, in milliseconds: a waiter survives the loss of two. */
const HEARTBEAT = 1_000;

/** Few enough waiters for a call that does not hold up the others at a node. */
const BATCH = 1_000;

/** How long to wait for the messages of a majority, after that of the first node, in milliseconds. */
const GATHERING = 8;

/** Between two tries after the votes were split, in milliseconds: longer each time, and never together. */
const [FIRST_SPLIT, LONGEST_SPLIT] = [3, 1_000];

export interface RedlockWaitersContext {
  readonly nodes: readonly RedlockNode[];
  readonly quorum: number;
  /** Asks all nodes for the lock again. */
  readonly ask: (request: RedlockRequest) => void;
}

/**
 * The requests of this process that stand in the queues of the nodes. Told by messages when a lock
 * becomes free, kept alive by one heartbeat for all, which finds what a lost message would have told.
 */
export class RedlockWaiters {
  readonly #requests = new Map<string, RedlockRequest>();
  #disarm: (() => void) | undefined;
  #nextBeat = Deadline.in(0);
  #closed = false;

  constructor(private readonly context: RedlockWaitersContext) {}

  /** Before it is asked for: a message may overtake the answer that says that it waits. */
  add(request: RedlockRequest): void {
    this.#requests.set(request.id, request);
  }

  /** It stands in the queues of a majority. */
  stand(request: RedlockRequest, remaining: readonly number[], split: boolean): void {
    if (!this.#isWaiting) this.#nextBeat = Deadline.in(HEARTBEAT);
    request.queued = true;
    request.told.clear();
    request.splits = split ? request.splits + 1 : 0;
    this.#expect(request, remaining);
    if (split) {
      const longest = Math.min(FIRST_SPLIT * 2 ** request.splits, LONGEST_SPLIT);
      const again = longest * (0.5 + Math.random() / 2);
      request.free = Deadline.in(Math.min(again, request.free?.remaining ?? again));
    }
    this.#plan();
  }

  forget(request: RedlockRequest): void {
    this.#requests.delete(request.id);
  }

  /** `free <id>`, or `kept <id>` when it may be free earlier than was said. */
  hear(message: string, node: RedlockNode): void {
    const [word, id = ''] = message.split(' ');
    const request = this.#requests.get(id);
    if (request === undefined) return;
    if (word === 'kept') {
      this.#nextBeat = this.#nextBeat.earliest(Deadline.in(GATHERING));
      this.#plan();
    }
    if (word !== 'free') return;
    if (request.asking !== undefined) {
      request.again = true;
      return;
    }
    request.told.add(node);
    if (request.told.size >= this.context.quorum) {
      request.told.clear();
      request.free = undefined;
      this.context.ask(request);
    } else {
      request.free = Deadline.in(GATHERING * (0.5 + Math.random() / 2));
      this.#plan();
    }
  }

  /** What was published while nobody listened is found by looking. */
  listening(): void {
    this.#nextBeat = Deadline.in(0);
    this.#plan();
  }

  close(): void {
    this.#closed = true;
    this.#disarm?.();
    this.#requests.clear();
  }

  get #isWaiting(): boolean {
    for (const { queued } of this.#requests.values()) if (queued) return true;
    return false;
  }

  /** A majority may be had when so many of the nodes' leases are over. */
  #expect(request: RedlockRequest, remaining: readonly number[]): void {
    const ends = [...remaining].sort((one, other) => one - other);
    const enough = ends[this.context.quorum - 1];
    // Other waiters look as well: the first of them is let in front.
    request.free = enough === undefined ? undefined : Deadline.in(enough + 1 + 10 * Math.random());
  }

  /** One alarm: for the next heartbeat, or for the first lock that may be free before it. */
  #plan(): void {
    this.#disarm?.();
    if (this.#closed || !this.#isWaiting) return;
    let next = this.#nextBeat.remaining;
    for (const { free } of this.#requests.values()) next = Math.min(next, free?.remaining ?? next);
    this.#disarm = alarm(Deadline.in(next), () => {
      this.#look();
    });
  }

  #look(): void {
    for (const request of this.#requests.values()) {
      if (!request.free?.passed) continue;
      request.free = undefined;
      request.told.clear();
      this.context.ask(request);
    }
    if (this.#nextBeat.passed) {
      this.#nextBeat = Deadline.in(HEARTBEAT);
      const requests = [...this.#requests.values()].filter(({ queued }) => queued);
      // Not waited for: a node that is slow must not keep us from giving the others their sign.
      for (let first = 0; first < requests.length; first += BATCH) {
        void this.#beat(requests.slice(first, first + BATCH));
      }
    }
    this.#plan();
  }

  /** Never rejects. */
  async #beat(requests: readonly RedlockRequest[]): Promise<void> {
    const asked = requests.map((request) => request.asked);
    const before = Instant.now();
    const settled = await Promise.allSettled(this.context.nodes.map((node) => node.beat(asked)));
    const passed = before.elapsed;
    const views = settled.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
    requests.forEach((request, index) => {
      if (request.isSettled() || !this.#requests.has(request.id)) return;
      const seen = views.flatMap((view): Standing[] => (view[index] ? [view[index]] : []));
      // Also where a node does not know it (any more): asking gives it its place.
      if (seen.some(([state]) => state !== 'waiting')) {
        this.context.ask(request);
      } else {
        const ends = seen.flatMap((one) => (one[0] === 'waiting' && one[1] >= 0 ? [one[1]] : []));
        this.#expect(
          request,
          ends.map((end) => Math.max(0, end - passed)),
        );
      }
    });
    this.#plan();
  }
}
