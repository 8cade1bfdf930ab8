import { Deadline } from '../../clock.js';
import type { IKeyValue } from 'etcd3';
import type {
  Answer,
  BackendConnection,
  KeyState,
  LeaseIdentity,
  LeaseRenewal,
  LockProcess,
  LockRequest,
} from '../lock-backend.js';
import { EtcdAcquirer } from './etcd-acquirer.js';
import { EtcdCalls } from './etcd-calls.js';
import type { EtcdClient } from './etcd-client.js';
import { EtcdHoldings } from './etcd-holdings.js';
import { EtcdNames } from './etcd-names.js';
import { EtcdSessions } from './etcd-sessions.js';
import { EtcdWatch } from './etcd-watch.js';
import { EtcdWithdrawals } from './etcd-withdrawals.js';
import type { Keyspace } from './keyspace.js';
import { isGranted, stateOf, tokenOf } from './member.js';

/** What a key has that somebody put there by hand. */
const NO_LEASE = '0';

/** One process's locks on etcd. The protocol itself is in transactions.ts. */
export class EtcdConnection implements BackendConnection {
  readonly #calls: EtcdCalls;
  readonly #watch: EtcdWatch;
  readonly #sessions: EtcdSessions;
  readonly #withdrawals: EtcdWithdrawals;
  readonly #holdings: EtcdHoldings;
  readonly #acquirer: EtcdAcquirer;
  #closed = false;

  constructor(
    process: LockProcess,
    private readonly client: EtcdClient,
    private readonly keyspace: Keyspace,
    patience: number,
  ) {
    const calls = (this.#calls = new EtcdCalls(client.etcd, patience));
    const watch = (this.#watch = new EtcdWatch(calls));
    const sessions = (this.#sessions = new EtcdSessions(keyspace, calls, watch));
    const names = new EtcdNames();
    const withdrawals = (this.#withdrawals = new EtcdWithdrawals(calls, names));
    const lost = (id: string) => {
      process.lost(id);
    };
    const holdings = new EtcdHoldings(calls, sessions, withdrawals, names, lost);
    this.#holdings = holdings;
    const parts = { calls, sessions, withdrawals, holdings, watch };
    this.#acquirer = new EtcdAcquirer({ ...parts, names, keyspace });
  }

  troubleWith(): Error | undefined {
    return this.#calls.trouble;
  }

  acquire(asked: LockRequest): Promise<Answer> {
    return this.#acquirer.acquire(asked);
  }

  async cancel(asked: LockRequest): Promise<void> {
    const left = this.#acquirer.end(asked.id);
    const holding = this.#holdings.get(asked.id);
    if (holding !== undefined) {
      holding.released = true;
      await this.#withdrawals.insist({ ...holding, sessions: [holding.session] });
      this.#holdings.forget(holding);
    } else if (left === undefined) {
      await this.#withdrawStranger(asked, () => true);
    } else if (left !== 'nothing') {
      await this.#withdrawals.insist(left);
    }
  }

  renew(leases: readonly LeaseRenewal[]): Promise<readonly (boolean | Error)[]> {
    return this.#holdings.renew(leases);
  }

  async release(lease: LeaseIdentity): Promise<boolean> {
    const holding = this.#holdings.get(lease.id);
    if (holding === undefined) {
      return this.#withdrawStranger(lease, (own, first) => own === first && isGranted(own));
    }
    holding.released = true;
    const released = await this.#withdrawals.attempt(holding);
    this.#holdings.forget(holding);
    return released;
  }

  async inspect(key: string): Promise<KeyState> {
    const patience = Deadline.in(this.#calls.patience);
    return this.#calls.insist(
      () => this.#look(key),
      () => patience.passed || this.#closed,
    );
  }

  async close(): Promise<void> {
    this.#acquirer.close();
    this.#holdings.close();
    await this.#withdrawals.close();
    this.#closed = true;
    await this.#sessions.close();
    this.#watch.close();
    this.#calls.close();
    this.client.close();
  }

  /** Deletes the member of a request that another process sent, if it is as it should be. */
  async #withdrawStranger(
    { id, key }: LeaseIdentity,
    fits: (own: IKeyValue, first: IKeyValue | undefined) => boolean,
  ): Promise<boolean> {
    const members = await this.#calls.members(this.keyspace.queueOf(key));
    const own = members.find((member) => stateOf(member)?.id === id);
    if (own === undefined || !fits(own, members[0])) return false;
    const { key: name, create_revision: created } = own;
    return this.#withdrawals.attempt({ name, created, unanswered: new Map() });
  }

  async #look(key: string): Promise<KeyState> {
    const [first, ...others] = await this.#calls.members(this.keyspace.queueOf(key));
    const nobody: KeyState = { holders: [], waiters: others.length };
    // Between two holders the next one has not got its token yet.
    if (first === undefined || stateOf(first)?.granted === false) return nobody;
    const left = first.lease === NO_LEASE ? Infinity : await this.#calls.timeToLive(first.lease);
    if (left < 0) return nobody;
    const remaining = Math.min(left, this.#holdings.named(first.key)?.ends.remaining ?? left);
    return { holders: [{ token: tokenOf(first), remaining }], waiters: others.length };
  }
}
