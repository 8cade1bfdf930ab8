import type {
  ICompare,
  IEvent,
  IKeyValue,
  IRangeRequest,
  IRequestOp,
  IResponseOp,
  ITxnRequest,
} from 'etcd3';

/** What a change has done, at one revision. */
export interface Applied {
  readonly revision: number;
  readonly events: readonly IEvent[];
}

/** Of a transaction, as far as it is asked for here. */
export interface TxnResult {
  readonly succeeded: boolean;
  readonly responses: IResponseOp[];
}

interface Lease {
  /** Seconds. */
  readonly ttl: number;
  ends: number;
  readonly keys: Set<string>;
}

export const LEASE_GONE = 'etcdserver: requested lease not found';

const NO_LEASE = '0';

/**
 * The keys and the leases of etcd, as all its members agree on them: transactions, ranges and leases with the
 * semantics of etcd's API, of the present revision only. It is held against the real one by a test.
 */
export class EtcdStore {
  revision = 1;
  readonly #keys = new Map<string, IKeyValue>();
  readonly #leases = new Map<string, Lease>();
  /** All that was done, for those who watch. */
  readonly history: Applied[] = [];
  #events: IEvent[] = [];
  #lastLease = 0;

  /** @param leastTtl of a lease, in seconds: half as much again as an election takes */
  constructor(
    private readonly now: () => number,
    private readonly leastTtl = 2,
  ) {}

  keys(): string[] {
    return [...this.#keys.values()].map(({ key }) => key.toString());
  }

  txn(request: ITxnRequest): TxnResult {
    this.#checkLeases(request);
    const result = this.#txn(request);
    this.#commit();
    return result;
  }

  range(request: IRangeRequest): IKeyValue[] {
    const { limit, sort_order: order = 'None', sort_target: target = 'Key' } = request;
    const most = Number(request.max_create_revision ?? 0);
    const found = this.#within(request).filter(({ create_revision: created }) => {
      return most === 0 || Number(created) <= most;
    });
    const field = target === 'Create' ? 'create_revision' : 'mod_revision';
    const sign = order === 'Descend' ? -1 : 1;
    if (target === 'Key') found.sort((one, other) => sign * one.key.compare(other.key));
    else found.sort((one, other) => sign * (Number(one[field]) - Number(other[field])));
    const some = Number(limit ?? 0) > 0 ? found.slice(0, Number(limit)) : found;
    if (!request.keys_only) return some;
    return some.map((kv) => ({ ...kv, value: Buffer.alloc(0) }));
  }

  put(key: Buffer, value: Buffer, lease: string): void {
    this.txn({
      compare: [],
      success: [{ request_put: { key, value, lease } }],
      failure: [],
    });
  }

  grant(seconds: number): { id: string; ttl: number } {
    const id = String(++this.#lastLease);
    const ttl = Math.max(seconds, this.leastTtl);
    this.#leases.set(id, { ttl, ends: this.now() + ttl * 1_000, keys: new Set() });
    return { id, ttl };
  }

  /** Seconds; 0 when there is no such lease. */
  keepAlive(id: string): number {
    const lease = this.#leases.get(id);
    if (lease === undefined) return 0;
    lease.ends = this.now() + lease.ttl * 1_000;
    return lease.ttl;
  }

  /** Seconds left; -1 when there is no such lease. */
  timeToLive(id: string): number {
    const lease = this.#leases.get(id);
    if (lease === undefined) return -1;
    return Math.max(0, Math.floor((lease.ends - this.now()) / 1_000));
  }

  /** @throws Error when there is no such lease */
  revoke(id: string): void {
    const lease = this.#leases.get(id);
    if (lease === undefined) throw new Error(LEASE_GONE);
    this.#leases.delete(id);
    for (const name of [...lease.keys].sort()) this.#remove(name);
    this.#commit();
  }

  /** Ends the leases whose time is over, as the leader does twice a second. */
  expire(): void {
    for (const [id, { ends }] of this.#leases) if (ends <= this.now()) this.revoke(id);
  }

  /** Another leader knows nothing of when leases end, and gives them all their time anew. */
  elect(): void {
    for (const lease of this.#leases.values()) lease.ends = this.now() + lease.ttl * 1_000;
  }

  #txn({ compare = [], success = [], failure = [] }: ITxnRequest): TxnResult {
    const succeeded = compare.every((one) => this.#holds(one));
    const responses = (succeeded ? success : failure).map((op) => this.#do(op) as IResponseOp);
    return { succeeded, responses };
  }

  #do(op: IRequestOp): Partial<IResponseOp> {
    if (op.request_range) {
      const kvs = this.range(op.request_range);
      return { response_range: { kvs } as IResponseOp['response_range'] };
    }
    if (op.request_txn) {
      return { response_txn: this.#txn(op.request_txn) as IResponseOp['response_txn'] };
    }
    if (op.request_put) {
      const { key, value, lease } = op.request_put;
      this.#put(key!, value ?? Buffer.alloc(0), String(lease ?? NO_LEASE));
      return { response_put: {} as IResponseOp['response_put'] };
    }
    const gone = this.#within(op.request_delete_range!);
    for (const { key } of gone) this.#remove(nameOf(key));
    const deleted = String(gone.length);
    return { response_delete_range: { deleted } as IResponseOp['response_delete_range'] };
  }

  #put(key: Buffer, value: Buffer, lease: string): void {
    const name = nameOf(key);
    const before = this.#keys.get(name);
    if (before !== undefined) this.#leases.get(before.lease)?.keys.delete(name);
    this.#leases.get(lease)?.keys.add(name);
    const next = String(this.revision + 1);
    const kv: IKeyValue = {
      // Not the one that was sent: nobody hears of his own bytes again.
      key: Buffer.from(key),
      value: Buffer.from(value),
      lease,
      create_revision: before?.create_revision ?? next,
      mod_revision: next,
      version: String(Number(before?.version ?? 0) + 1),
    };
    this.#keys.set(name, kv);
    this.#events.push({ type: 'Put', kv } as IEvent);
  }

  #remove(name: string): void {
    const before = this.#keys.get(name);
    if (before === undefined) return;
    this.#keys.delete(name);
    this.#leases.get(before.lease)?.keys.delete(name);
    const kv = {
      ...{ key: before.key, value: Buffer.alloc(0), lease: NO_LEASE, version: '0' },
      ...{ create_revision: '0', mod_revision: String(this.revision + 1) },
    };
    this.#events.push({ type: 'Delete', kv } as IEvent);
  }

  /** What changes nothing has no revision of its own. */
  #commit(): void {
    if (this.#events.length === 0) return;
    this.revision++;
    this.history.push({ revision: this.revision, events: this.#events });
    this.#events = [];
  }

  #holds(one: ICompare): boolean {
    const { key, range_end, target, result } = one;
    const all = this.#within({ key: key!, ...(range_end && { range_end }) });
    if (all.length > 0) return all.every((kv) => compares(kv, one));
    // Of a value that is not there nothing is true; all numbers of a key that is not there are 0.
    if (target === 'Value') return false;
    return compares(NOTHING, { target, result, ...one });
  }

  #within({ key, range_end: end }: { key?: Buffer; range_end?: Buffer }): IKeyValue[] {
    if (end === undefined || end.length === 0) {
      const kv = this.#keys.get(nameOf(key!));
      return kv === undefined ? [] : [kv];
    }
    return [...this.#keys.values()]
      .filter((kv) => kv.key.compare(key!) >= 0 && kv.key.compare(end) < 0)
      .sort((left, right) => left.key.compare(right.key));
  }

  /** A transaction with a lease that does not exist is refused, whichever way it would go. */
  #checkLeases({ compare, success = [], failure = [] }: ITxnRequest): void {
    const succeeds = (compare ?? []).every((one) => this.#holds(one));
    for (const op of succeeds ? success : failure) {
      const lease = String(op.request_put?.lease ?? NO_LEASE);
      if (lease !== NO_LEASE && !this.#leases.has(lease)) throw new Error(LEASE_GONE);
      if (op.request_txn) this.#checkLeases(op.request_txn);
    }
  }
}

const NOTHING: IKeyValue = {
  ...{ key: Buffer.alloc(0), value: Buffer.alloc(0), lease: '0' },
  ...{ create_revision: '0', mod_revision: '0', version: '0' },
};

function compares(kv: IKeyValue, one: ICompare): boolean {
  const difference = differenceOf(kv, one);
  switch (one.result) {
    case 'Greater':
      return difference > 0;
    case 'Less':
      return difference < 0;
    case 'NotEqual':
      return difference !== 0;
    default:
      return difference === 0;
  }
}

function differenceOf(kv: IKeyValue, one: ICompare): number {
  switch (one.target) {
    case 'Value':
      return kv.value.compare(one.value!);
    case 'Mod':
      return Number(kv.mod_revision) - Number(one.mod_revision);
    case 'Create':
      return Number(kv.create_revision) - Number(one.create_revision);
    default:
      return Number(kv.version) - Number(one.version);
  }
}

function nameOf(key: Buffer): string {
  return key.toString('latin1');
}
