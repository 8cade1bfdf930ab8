import type { IKeyValue, ITxnRequest } from 'etcd3';
import { Deadline, wallTimeIn } from '../../time/clock.js';
import { keyPattern } from '../key-pattern.js';
import { type KeyState, MOST_SHOWN, type Revocation } from '../lock-backend.js';
import type { EtcdCalls } from './etcd-calls.js';
import { ChangedMeanwhileError, isCompacted } from './etcd-errors.js';
import { tellTxn } from './holder-transactions.js';
import type { Keyspace } from './keyspace.js';
import { messagesTo } from './etcd-messages.js';
import { isWaiting, limitOf, modeOf, stateOf, tokenOf } from './member.js';
import { firstExcluding } from './sight.js';

/** What a key has that somebody put there by hand. */
const NO_LEASE = '0';

/** So many names are read at once. */
const PAGE = 1_000;

/** etcd takes 128 operations in a transaction, if it is not told otherwise: two for each. */
const AT_ONCE = 60;

export interface EtcdOperatorsContext {
  readonly calls: EtcdCalls;
  readonly keyspace: Keyspace;
  /** When a member of this process ends, which is before its lease does; undefined for others. */
  readonly endOf: (name: Buffer) => Deadline | undefined;
  readonly isClosed: () => boolean;
}

/** What is shown and done from outside of a lock. */
export class EtcdOperators {
  constructor(private readonly context: EtcdOperatorsContext) {}

  inspect(key: string): Promise<KeyState> {
    return this.#insist(() => this.#look(key));
  }

  async *list(pattern: string): AsyncGenerator<string, void, undefined> {
    const { calls, keyspace } = this.context;
    const matches = keyPattern(pattern);
    const { first, end } = keyspace.spanOf(/^[^*?]*/.exec(pattern)?.[0] ?? '');
    let from: Buffer | undefined = first;
    /** All pages show one moment: a key whose holders change may stand now before, now behind a page's end. */
    let revision: string | undefined;
    let last: string | undefined;
    while (from !== undefined) {
      const request = { key: from, range_end: end, limit: PAGE, keys_only: true, revision };
      let page: Awaited<ReturnType<EtcdCalls['range']>>;
      try {
        page = await this.#insist(() => calls.range(request));
      } catch (error) {
        if (!isCompacted(error) || revision === undefined) throw error;
        revision = undefined;
        continue;
      }
      revision ??= page.stamp.revision;
      for (const { key: name } of page.kvs) {
        const key = keyspace.keyOf(name);
        if (key !== undefined && key !== last && matches.test(key)) yield (last = key);
      }
      const furthest: Buffer | undefined =
        page.kvs.length < PAGE ? undefined : page.kvs.at(-1)?.key;
      from = furthest && Buffer.concat([furthest, Buffer.of(0)]);
    }
  }

  revoke(key: string, revocation: Revocation): Promise<number> {
    const { keyspace } = this.context;
    return this.#withHolders(key, (holders) =>
      tellTxn(holders, messagesTo(keyspace, holders, revocation), false),
    );
  }

  /** Those who are next see by their watches that it is free. */
  forceRelease(key: string): Promise<number> {
    const { keyspace } = this.context;
    return this.#withHolders(key, (holders) =>
      tellTxn(holders, messagesTo(keyspace, holders), true),
    );
  }

  /** Does something to each of those who hold the key when it is first seen. How many they are. */
  async #withHolders(
    key: string,
    does: (holders: readonly IKeyValue[]) => ITxnRequest,
  ): Promise<number> {
    const { calls, keyspace } = this.context;
    const queue = keyspace.queueOf(key);
    let count: number | undefined;
    /** By their create revisions. */
    let due: ReadonlySet<string> | undefined;
    await this.#insist(async () => {
      const seen = (await calls.members(queue)).filter(isHolder);
      count ??= seen.length;
      const holders = seen.filter(({ create_revision: one }) => due?.has(one) ?? true);
      const left = (due = new Set(holders.map(({ create_revision: one }) => one)));
      for (let first = 0; first < holders.length; first += AT_ONCE) {
        const some = holders.slice(first, first + AT_ONCE);
        const { succeeded } = await calls.txn(does(some));
        if (!succeeded) throw new ChangedMeanwhileError('a lease was renewed or released');
        for (const { create_revision: one } of some) left.delete(one);
      }
    });
    return count ?? 0;
  }

  async #look(key: string): Promise<KeyState> {
    const members = await this.context.calls.members(this.context.keyspace.queueOf(key));
    const remaining = await this.#remaining(members.filter(isHolder));
    const holders = [...remaining].map(([member, left]) => ({
      ...shown(member),
      token: tokenOf(member),
      remaining: left,
    }));
    const firstOut = members.findIndex((member, place) => !isLetIn(member, place, members[0]));
    const letIn = firstOut < 0 ? members.length : firstOut;
    const waiters = members.filter((member, place) => place >= letIn && !isHolder(member, place));
    return {
      holders: holders.sort((one, other) => one.token - other.token),
      waiters: waiters.length,
      queue: waiters.slice(0, MOST_SHOWN).map(shown),
    };
  }

  /** Milliseconds that each has left; those whose lease is over are left out. */
  async #remaining(holders: readonly IKeyValue[]): Promise<Map<IKeyValue, number>> {
    const leases = [...new Set(holders.map(({ lease }) => lease))];
    const lives = await Promise.all(leases.map((lease) => this.#timeToLive(lease)));
    const remaining = new Map<IKeyValue, number>();
    for (const holder of holders) {
      const left = lives[leases.indexOf(holder.lease)] ?? 0;
      const own = this.context.endOf(holder.key)?.remaining ?? left;
      if (left >= 0) remaining.set(holder, Math.min(left, own));
    }
    return remaining;
  }

  async #timeToLive(lease: string): Promise<number> {
    return lease === NO_LEASE ? Infinity : this.context.calls.timeToLive(lease);
  }

  #insist<T>(attempt: () => Promise<T>): Promise<T> {
    const { calls, isClosed } = this.context;
    const patience = Deadline.in(calls.patience);
    return calls.insist(attempt, () => patience.passed || isClosed());
  }
}

/** Those that are not ours say nothing of it, and hold the key when they are the first. */
function isHolder(member: IKeyValue, place: number): boolean {
  return stateOf(member) === undefined ? place === 0 : !isWaiting(member);
}

/**
 * Whether it is let in, though it may not have put down yet that it holds, if all between it and the
 * first are. Behind one who is not, nobody is.
 */
function isLetIn(member: IKeyValue, place: number, first: IKeyValue | undefined): boolean {
  if (place === 0 || first === undefined) return true;
  const claim = { mode: modeOf(member), limit: limitOf(member) };
  const excluded = firstExcluding([first], claim) !== undefined;
  return !excluded && (claim.limit === 1 || place < claim.limit);
}

function shown(member: IKeyValue) {
  const state = stateOf(member);
  // Of those that are not ours nothing is known but the name, which says what lease they are on.
  const id = state?.id ?? member.key.toString().split('/').at(-1) ?? '';
  const age = state === undefined ? 0 : Math.max(0, wallTimeIn(0) - state.since);
  return { id, mode: modeOf(member), age };
}
