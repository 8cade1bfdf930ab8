import { Deadline, Instant } from '../../time/clock.js';
import { insistFor } from '../redis-common/insist.js';
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
import { memoryOfOthers } from './memory-of-others.js';
import { majority, poll } from './poll.js';
import { RedlockLeases } from './redlock-leases.js';
import type { Memory } from './redlock-entry.js';
import type { RedlockNode } from './redlock-node.js';
import { RedlockOperators } from './redlock-operators.js';
import { RedlockRequests } from './redlock-requests.js';
import { renewalOf } from './verdicts.js';

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
  readonly #requests: RedlockRequests;
  readonly #operators: RedlockOperators;
  readonly #held: RedlockLeases;
  /**
   * All nodes that can be reached were entered. Before that nothing is asked of any: another process
   * would take those that were not for nodes that forgot.
   */
  readonly #opened: Promise<unknown>;
  #closed = false;

  constructor(
    process: LockProcess,
    nodes: (hooks: ConnectionHooks) => readonly RedlockNode[],
    private readonly patience: number,
  ) {
    const made: RedlockNode[] = [];
    let requests: RedlockRequests | undefined;
    this.#nodes = nodes({
      memoryOfOthers: (node) => memoryOfOthers(made, node),
      hear: (message, node) => {
        requests?.hear(message, node);
        this.#held.hear(message, node);
      },
      listening: () => requests?.listening(),
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
    this.#requests = requests = new RedlockRequests({
      nodes: this.#nodes,
      quorum: this.#quorum,
      held: this.#held,
      opened: this.#opened,
      trouble: () => this.troubleWith(),
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
    return held === undefined
      ? this.#requests.acquire(asked)
      : this.#acquireAgain(asked, held.token);
  }

  cancel(asked: LockRequest): Promise<void> {
    return this.#requests.cancel(asked);
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
    this.#requests.close();
    this.#closed = true;
    await Promise.all(this.#nodes.map((node) => node.close()));
  }

  /** Not by votes: those of nodes that were not needed for the grant may have greater tokens. */
  async #acquireAgain(asked: LockRequest, token: number): Promise<Answer> {
    const since = Instant.now();
    const held = await this.#patiently(async () => (await this.renew([{ ...asked, token }]))[0]);
    if (held) return { state: 'granted', token, since, ttl: asked.ttl };
    this.#held.take(asked.id);
    return this.#requests.acquire(asked);
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

  /** Until it is decided, but not for long. */
  #patiently<T>(attempt: () => Promise<T | Error>): Promise<T> {
    const decide = async () => {
      const outcome = await attempt();
      if (outcome instanceof Error) throw outcome;
      return outcome;
    };
    const closed = () => this.#closed;
    return insistFor(this.patience, decide, closed, () => this.troubleWith());
  }
}

/** What a connection does for its nodes. */
export interface ConnectionHooks {
  readonly memoryOfOthers: (node: RedlockNode) => Promise<Memory>;
  readonly hear: (message: string, node: RedlockNode) => void;
  readonly listening: () => void;
}
