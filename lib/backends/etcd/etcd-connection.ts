import type { IKeyValue } from 'etcd3';
import { Deadline } from '../../time/clock.js';
import type {
  Answer,
  BackendConnection,
  KeyState,
  LeaseIdentity,
  LeaseRenewal,
  LockProcess,
  LockRequest,
  Revocation,
} from '../lock-backend.js';
import { EtcdAcquirer } from './etcd-acquirer.js';
import { EtcdCalls } from './etcd-calls.js';
import type { EtcdClient } from './etcd-client.js';
import { EtcdHeldMembers } from './etcd-held-members.js';
import type { HeldMember } from './held-member.js';
import { EtcdKeeps } from './etcd-keeps.js';
import { EtcdMessages } from './etcd-messages.js';
import { EtcdNames } from './etcd-names.js';
import { EtcdOperators } from './etcd-operators.js';
import { checkVersion } from './server-version.js';
import { EtcdSessions } from './etcd-sessions.js';
import { EtcdWatch } from './etcd-watch.js';
import { EtcdWithdrawals } from './etcd-withdrawals.js';
import type { Keyspace } from './keyspace.js';
import { isGranted, isWaiting, stateOf } from './member.js';

/** One process's locks on etcd. The protocol itself is in transactions.ts. */
export class EtcdConnection implements BackendConnection {
  readonly #calls: EtcdCalls;
  readonly #watch: EtcdWatch;
  readonly #sessions: EtcdSessions;
  readonly #withdrawals: EtcdWithdrawals;
  readonly #heldMembers: EtcdHeldMembers;
  readonly #keeps: EtcdKeeps;
  readonly #acquirer: EtcdAcquirer;
  readonly #operators: EtcdOperators;
  #closed = false;
  /** With the first request, as that is what connects. */
  #check: () => void;

  constructor(
    process: LockProcess,
    private readonly client: EtcdClient,
    private readonly keyspace: Keyspace,
    patience: number,
  ) {
    const warn = (message: string) => {
      if (!this.#closed) process.warn(message);
    };
    this.#check = () => {
      this.#check = () => undefined;
      void checkVersion(calls).then((warnings) => {
        warnings.forEach(warn);
      });
    };
    const calls = (this.#calls = new EtcdCalls(client.etcd, client.otherHosts, patience, warn));
    const watch = (this.#watch = new EtcdWatch(calls));
    const hear = (message: IKeyValue) => {
      messages.hear(message);
    };
    const sessions = (this.#sessions = new EtcdSessions({ keyspace, calls, watch, hear }));
    const names = new EtcdNames();
    const withdrawals = (this.#withdrawals = new EtcdWithdrawals(calls, names));
    const lost = (id: string) => {
      process.lost(id);
    };
    const heldMembers = new EtcdHeldMembers(calls, sessions, withdrawals, names, lost);
    this.#heldMembers = heldMembers;
    const messages = new EtcdMessages(calls, heldMembers, process);
    const keeps = (this.#keeps = new EtcdKeeps(calls, withdrawals));
    const parts = { calls, sessions, withdrawals, heldMembers, watch };
    this.#acquirer = new EtcdAcquirer({ ...parts, names, keyspace });
    const endOf = (name: Buffer) => heldMembers.named(name)?.ends ?? keeps.endOf(name);
    this.#operators = new EtcdOperators({ calls, keyspace, endOf, isClosed: () => this.#closed });
  }

  troubleWith(): Error | undefined {
    return this.#calls.trouble;
  }

  acquire(asked: LockRequest): Promise<Answer> {
    this.#check();
    return this.#acquirer.acquire(asked);
  }

  async cancel(asked: LockRequest): Promise<void> {
    const held = this.#heldMembers.get(asked.id);
    // Where it was asked for again, both: what was asked last may be carried out after the other is gone.
    const [wasAsked] = await Promise.all([
      this.#acquirer.withdraw(asked.id),
      held && this.#withdrawHeld(held),
    ]);
    if (wasAsked || held !== undefined) return;
    const own = await this.#findStranger(asked);
    if (own && (isGranted(own) || isWaiting(own))) await this.#withdrawStranger(own);
  }

  renew(leases: readonly LeaseRenewal[]): Promise<readonly (boolean | Error)[]> {
    return this.#heldMembers.renew(leases);
  }

  async release(lease: LeaseIdentity, keepFor: number): Promise<boolean> {
    const held = this.#heldMembers.get(lease.id);
    if (held === undefined) {
      const own = await this.#findStranger(lease);
      return own !== undefined && isGranted(own) && this.#withdrawStranger(own);
    }
    held.released = true;
    if (keepFor === 0) {
      const released = await this.#withdrawals.attempt(held);
      this.#heldMembers.forget(held);
      return released;
    }
    this.#heldMembers.prolong(held, Deadline.in(keepFor));
    const kept = await this.#keeps.keep(held, keepFor);
    if (kept) this.#heldMembers.letGo(held);
    else this.#heldMembers.forget(held);
    return kept;
  }

  downgrade({ id }: LeaseIdentity): Promise<boolean> {
    return this.#heldMembers.downgrade(id);
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
    this.#acquirer.close();
    this.#heldMembers.close();
    this.#keeps.close();
    const patience = Deadline.in(this.#calls.patience);
    await this.#withdrawals.close(patience.remaining);
    this.#closed = true;
    await this.#sessions.close(patience.remaining);
    this.#watch.close();
    this.#calls.close();
    this.client.close();
  }

  async #withdrawHeld(held: HeldMember): Promise<void> {
    held.released = true;
    await this.#withdrawals.insist({ ...held, sessions: [held.session] });
    this.#heldMembers.forget(held);
  }

  /** The member of a request that another process sent. */
  async #findStranger({ id, key }: LeaseIdentity): Promise<IKeyValue | undefined> {
    const members = await this.#calls.members(this.keyspace.queueOf(key));
    return members.find((member) => stateOf(member)?.id === id);
  }

  #withdrawStranger({ key: name, create_revision: created }: IKeyValue): Promise<boolean> {
    return this.#withdrawals.attempt({ name, created, unanswered: new Map() });
  }
}
