import { Deadline, within } from '../../clock.js';
import type { LeaseIdentity, LockRequest } from '../lock-backend.js';
import { insist } from '../redis/insist.js';
import { LIVENESS, type RedlockNode } from './redlock-node.js';

/** Takes back what nobody wants any more, at each node that has something of it. */
export class RedlockWithdrawals {
  readonly #underWay = new Set<Promise<void>>();
  #closing = false;
  #closed = false;

  constructor(
    private readonly nodes: readonly RedlockNode[],
    private readonly isHeld: (id: string) => boolean,
  ) {}

  /** Resolves when every node that can be reached has nothing of it any more. */
  async withdraw(asked: LockRequest): Promise<void> {
    await Promise.all(
      this.nodes.map(async (node) => {
        try {
          await node.leave(asked);
        } catch {
          this.takeBack(node, asked, asked.ttl);
        }
      }),
    );
  }

  inBackground(asked: LockRequest): void {
    this.withdraw(asked).catch(() => undefined);
  }

  /** Goes on trying until nothing of it can be left at this node. */
  takeBack(node: RedlockNode | undefined, lease: LeaseIdentity, ttl: number): void {
    if (this.#closed || node === undefined) return;
    const over = Deadline.in(ttl + LIVENESS);
    const settled = insist(
      () => node.leave(lease),
      () =>
        over.passed ||
        this.#closed ||
        this.isHeld(lease.id) ||
        // A node that is down is not waited for then.
        (this.#closing && node.trouble !== undefined),
      () => node.trouble,
    )
      .then(
        () => undefined,
        () => undefined,
      )
      .finally(() => this.#underWay.delete(settled));
    this.#underWay.add(settled);
  }

  /** Waits for what is under way, for so many milliseconds at most. */
  async close(patience: number): Promise<void> {
    this.#closing = true;
    await within(patience, Promise.all(this.#underWay));
    this.#closed = true;
  }
}
