import { Deadline, Instant } from '../../time/clock.js';
import { Alarms } from './alarms.js';
import type { EtcdCalls } from './etcd-calls.js';
import { isLeaseGone } from './etcd-errors.js';
import type { EtcdSession } from './etcd-session.js';
import type { EtcdWithdrawals } from './etcd-withdrawals.js';
import { keepTxn } from './holder-transactions.js';
import type { MemberState } from './member.js';

/** What is to be kept: a member that its owner gives back. */
export interface Kept {
  readonly name: Buffer;
  readonly created: string;
  readonly state: MemberState;
  readonly unanswered: ReadonlyMap<object, EtcdSession>;
}

/** A lease of its own. */
interface Shelf {
  readonly id: string;
  readonly ends: Deadline;
}

/**
 * Members that were given back, and keep their key taken for a while. Each lives on a lease of its own,
 * in whole seconds, which outlives this process; as long as this one lives it deletes it in time.
 */
export class EtcdKeeps {
  readonly #alarms = new Alarms();
  /** Leases that a member is to move to, by its name: a try that was not answered may still be carried out. */
  readonly #shelves = new Map<string, Shelf>();
  /** When each that is kept will be deleted, by its name. */
  readonly #ends = new Map<string, Deadline>();

  constructor(
    private readonly calls: EtcdCalls,
    private readonly withdrawals: EtcdWithdrawals,
  ) {}

  /** False when there is no such member any more. Rejects when etcd did not answer; asked again, it goes on. */
  async keep({ name, created, state, unanswered }: Kept, ms: number): Promise<boolean> {
    const until = Deadline.in(ms);
    const key = name.toString();
    let kept: boolean;
    const shelf = this.#shelves.get(key) ?? (await this.#open(key, ms));
    try {
      const value: MemberState = { ...state, progress: 'kept' };
      kept = (await this.calls.txn(keepTxn(name, created, value, shelf.id))).succeeded;
    } catch (error) {
      if (isLeaseGone(error)) this.#shelves.delete(key);
      throw error;
    }
    this.#shelves.delete(key);
    const leave = () => this.calls.revoke(shelf.id);
    if (!kept) {
      leave().catch(() => undefined);
      return false;
    }
    this.#ends.set(key, until);
    this.#alarms.set(until, () => {
      this.#ends.delete(key);
      const sessions = [{ hasEnded: () => shelf.ends.passed }];
      this.withdrawals.inBackground({ name, created, sessions, unanswered }, leave);
    });
    return true;
  }

  /** When a member ends that this process keeps. */
  endOf(name: Buffer): Deadline | undefined {
    return this.#ends.get(name.toString());
  }

  close(): void {
    this.#alarms.clear();
  }

  async #open(key: string, ms: number): Promise<Shelf> {
    const asked = Instant.now();
    const { id, ttl } = await this.calls.grantLease(Math.ceil(ms / 1000));
    const shelf = { id, ends: new Deadline(asked, ttl + this.calls.patience) };
    this.#shelves.set(key, shelf);
    return shelf;
  }
}
