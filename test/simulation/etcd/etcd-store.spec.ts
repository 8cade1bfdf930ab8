import { randomInt } from 'node:crypto';
import { Etcd3, type ICompare, type IKeyValue, type IRequestOp, type IResponseOp } from 'etcd3';
import { EtcdServer } from '../../support/etcd-server.js';
import { Random } from '../clock/random.js';
import { EtcdStore, type TxnResult } from './etcd-store.js';

/** So many transactions are compared. */
const STEPS = 1_500;

const KEYS = ['a', 'a/1', 'a/2', 'a/2/x', 'b', 'b/1'];

/** In the place of a lease that was revoked, which is none of the store's. */
const UNKNOWN = '123456789';

/** What random transactions are made of; leases have the number of their turn, as each side has its own ids. */
class Script {
  constructor(private readonly random: Random) {}

  compare(revision: number): ICompare {
    const { random } = this;
    const range = random.chance(0.4) && { range_end: Buffer.from('b') };
    const target = random.pick(['Create', 'Mod', 'Value'] as const);
    const result = random.pick(['Equal', 'Greater', 'Less'] as const);
    const near = Math.max(0, revision - Math.floor(random.between(0, 6)));
    const number = random.chance(0.4) ? 0 : near;
    const value = target === 'Value' && { value: Buffer.from(random.pick(['s 1', 's 2', 'x'])) };
    const revisions = target === 'Create' ? { create_revision: number } : { mod_revision: number };
    return { key: this.key(), ...range, target, result, ...(value || revisions) };
  }

  /** @param lease one of those that there are, or none */
  op(depth: number, revision: number, lease: (random: Random) => string): IRequestOp {
    const { random } = this;
    const kind = random.weighted({ put: 5, range: 3, remove: 2, txn: depth > 0 ? 2 : 0 });
    if (kind === 'put') {
      const value = Buffer.from(random.pick(['s 1', 's 2', 'x', '']));
      return { request_put: { key: this.key(), value, lease: lease(random) } };
    }
    if (kind === 'remove') {
      const range = random.chance(0.2) && { range_end: Buffer.from('a0') };
      return { request_delete_range: { key: this.key(), ...range } };
    }
    if (kind === 'txn') return { request_txn: this.txn(depth - 1, revision, lease) };
    return {
      request_range: {
        key: this.key(),
        ...(random.chance(0.7) && { range_end: Buffer.from(random.pick(['b', 'c'])) }),
        ...(random.chance(0.5) && { limit: 2 }),
        ...(random.chance(0.3) && { max_create_revision: revision - 3 }),
        ...(random.chance(0.2) && { keys_only: true }),
        sort_order: random.pick(['Ascend', 'Descend'] as const),
        sort_target: random.pick(['Create', 'Mod', 'Key'] as const),
      },
    };
  }

  txn(depth: number, revision: number, lease: (random: Random) => string) {
    const { random } = this;
    const one = (): IRequestOp[] => [this.op(depth, revision, lease)];
    return {
      compare: random.chance(0.8) ? [this.compare(revision)] : [],
      success: one(),
      failure: one(),
    };
  }

  key(): Buffer {
    return Buffer.from(this.random.pick(KEYS));
  }
}

/** A reply without what is not asked for: ids of leases, headers, counts. */
function shown({ succeeded, responses }: TxnResult): unknown {
  return [succeeded, responses.map((response) => shownOne(response))];
}

function shownOne(response: Partial<IResponseOp>): unknown {
  const { response_range: range, response_txn: txn, response_delete_range: removed } = response;
  if (range) return range.kvs.map(inWords);
  if (txn) return shown(txn);
  return removed ? removed.deleted : 'put';
}

function inWords({ key, value, create_revision, mod_revision, version }: IKeyValue): string {
  return `${String(key)}=${String(value)} ${create_revision} ${mod_revision} ${version}`;
}

describe('the simulated etcd', () => {
  let server: EtcdServer;
  let client: Etcd3;

  beforeAll(async () => {
    server = await EtcdServer.start();
    client = new Etcd3({ hosts: server.url });
  });

  afterAll(async () => {
    client.close();
    await server.stop();
  });

  it(`answers ${STEPS} random transactions as the real one does`, async () => {
    const seed = randomInt(2 ** 31);
    const random = new Random(seed);
    const script = new Script(random);
    const store = new EtcdStore(() => performance.now());
    const leases: { readonly real: string; readonly simulated: string }[] = [];
    for (let step = 0; step < STEPS; step++) {
      const kind = random.weighted({ txn: 20, grant: 1, revoke: leases.length > 3 ? 1 : 0 });
      if (kind === 'grant') {
        const { ID } = await client.leaseClient.leaseGrant({ TTL: 600, ID: 0 });
        const { id } = store.grant(600);
        leases.push({ real: ID, simulated: id });
        continue;
      }
      if (kind === 'revoke') {
        const [one] = leases.splice(Math.floor(random.between(0, leases.length)), 1);
        await client.leaseClient.leaseRevoke({ ID: one!.real });
        store.revoke(one!.simulated);
        continue;
      }
      const name = `transaction ${step} of seed ${seed}`;
      const request = script.txn(2, store.revision, () => {
        return leases.length > 0 && random.chance(0.5) ? random.pick(leases).real : '0';
      });
      const simulated = JSON.parse(JSON.stringify(request), revive) as typeof request;
      rename(simulated, leases);
      const real = await client.kv.txn(request).then(
        (reply) => [shown(reply), Number(reply.header.revision)],
        (error: unknown) => String(error),
      );
      let ours: unknown;
      try {
        ours = [shown(store.txn(simulated)), store.revision];
      } catch (error) {
        ours = String(error);
      }
      expect({ name, request, reply: ours }).toEqual({ name, request, reply: real });
    }
    const { kvs } = await client.kv.range({ key: Buffer.from('\0'), range_end: Buffer.from('\0') });
    expect(kvs.map(inWords).sort()).toEqual(
      store
        .range({ key: Buffer.from('\0'), range_end: Buffer.from([0xff]) })
        .map(inWords)
        .sort(),
    );
  });

  it('knows nothing of a lease that is not there', () => {
    const store = new EtcdStore(() => 0);
    expect(store.keepAlive(UNKNOWN)).toBe(0);
    expect(store.timeToLive(UNKNOWN)).toBe(-1);
    expect(() => {
      store.put(Buffer.from('a'), Buffer.from('x'), UNKNOWN);
    }).toThrow('lease not found');
  });
});

/** Buffers, which JSON writes as lists. */
function revive(_: string, value: unknown): unknown {
  const { type, data } = (value ?? {}) as { type?: string; data?: number[] };
  return type === 'Buffer' ? Buffer.from(data!) : value;
}

/** The store has its own names for the leases. */
function rename(
  { success = [], failure = [] }: { success?: IRequestOp[]; failure?: IRequestOp[] },
  leases: readonly { readonly real: string; readonly simulated: string }[],
): void {
  for (const op of [...success, ...failure]) {
    if (op.request_txn) rename(op.request_txn, leases);
    if (!op.request_put) continue;
    const { lease } = op.request_put;
    op.request_put.lease = leases.find(({ real }) => real === lease)?.simulated ?? '0';
  }
}
