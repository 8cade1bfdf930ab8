import type { Planted } from './package-loader.js';
import type { TopologyName } from './topologies.js';

/** A fault that the simulation must find. */
export interface Mutant {
  readonly name: string;
  /** Where it is looked for. */
  readonly topology: TopologyName;
  readonly planted: readonly Planted[];
}

const inLua = (from: string, to: string): Planted => {
  return { file: 'backends/redis/scripts/sources', from, to };
};

/** Each a line or two: the first are faults that were in the package, or in one of its peers. */
export const MUTANTS: readonly Mutant[] = [
  {
    name: 'a lease is believed in from the answer on, not from before the question',
    topology: 'redis',
    planted: [
      {
        file: 'lease/validity',
        from: 'new clock_js_1.Deadline(since,',
        to: 'new clock_js_1.Deadline(clock_js_1.Instant.now(),',
      },
    ],
  },
  {
    name: 'no margin for clocks that run at different rates',
    topology: 'redis',
    planted: [{ file: 'lease/validity', from: 'ttl - margin(ttl)', to: 'ttl' }],
  },
  {
    name: 'a release without a look at the owner',
    topology: 'redis',
    planted: [inLua('elseif owns(held, lease) then', 'elseif held then')],
  },
  {
    name: 'a withdrawal without a look at the owner',
    topology: 'redis',
    planted: [inLua('if owned then end_lease(held, id, left) end', 'free(held)')],
  },
  {
    name: 'tokens are counted, and not taken from the clock',
    topology: 'redis that forgets',
    planted: [inLua('local first = micros', 'local first = 1')],
  },
  {
    name: 'a writer passes readers',
    topology: 'redis',
    planted: [
      inLua(
        "if kind == '' or limit_of(kind) ~= held.limit then return false end",
        "if kind == '' then return true end if limit_of(kind) ~= held.limit then return false end",
      ),
    ],
  },
  {
    name: 'one more than the limit',
    topology: 'redis',
    planted: [
      inLua(
        "redis.call('HLEN', held.lock) - 1 < held.limit",
        "redis.call('HLEN', held.lock) - 1 <= held.limit",
      ),
    ],
  },
  {
    name: 'the guard trusts every server',
    topology: 'redis that forgets, guarded',
    planted: [inLua("if left > 0 then return 'grace'", "if false then return 'grace'")],
  },
  {
    name: 'half of the nodes are a quorum',
    topology: 'redlock of 3',
    planted: [
      {
        file: 'backends/redlock/redlock-connection',
        from: 'this.#nodes.length / 2) + 1',
        to: 'this.#nodes.length / 2)',
      },
    ],
  },
  {
    name: 'a waiter on etcd takes an event for its turn',
    topology: 'etcd of 3',
    planted: [
      { file: 'backends/etcd/transactions', from: 'letIn ? [unchanged]', to: 'true ? [unchanged]' },
    ],
  },
  {
    name: 'what was withdrawn on etcd may still be carried out',
    topology: 'etcd of 3',
    planted: [
      {
        file: 'backends/etcd/etcd-withdrawals',
        from: 'withdrawTxn)(name, created, sessions)',
        to: 'withdrawTxn)(name, created)',
      },
    ],
  },
  {
    name: 'a lease is handed over within a process under the same token',
    topology: 'redis',
    planted: [
      {
        file: 'lease/lease',
        from: 'this.#firstToken + ++this.#handedOver',
        to: 'this.#firstToken + 0 * ++this.#handedOver',
      },
    ],
  },
  {
    name: 'a lease is believed in by the wall clock alone',
    topology: 'redis',
    planted: [
      {
        file: 'time/clock',
        from: 'Math.max(performance.now() - this.monotonic, Date.now() - this.wall)',
        to: 'Date.now() - this.wall',
      },
    ],
  },
  {
    name: 'a lease is believed in by the monotonic clock alone',
    topology: 'redis',
    planted: [
      {
        file: 'time/clock',
        from: 'Math.max(performance.now() - this.monotonic, Date.now() - this.wall)',
        to: 'performance.now() - this.monotonic',
      },
    ],
  },
  {
    name: 'of several keys those that were taken in vain are kept',
    topology: 'redis',
    planted: [{ file: 'lease/collecting', from: 'parts.map((part) => part.release())', to: '[]' }],
  },
  {
    name: 'who came last is served first',
    topology: 'redis',
    planted: [inLua('math.max(last + 1, micros)', '-micros')],
  },
  {
    name: 'a waiter asks a hundred times a second how it stands',
    topology: 'redis',
    planted: [
      { file: 'backends/redis/redis-connection', from: 'HEARTBEAT = 1_250', to: 'HEARTBEAT = 10' },
    ],
  },
  {
    name: 'a mailbox stays at the node that has its slot no more',
    topology: 'cluster of 3',
    planted: [
      {
        file: 'backends/redis/cluster-mailbox',
        from: 'subscriberOf({ slot })',
        to: 'subscriberOf({ slot, last })',
      },
      {
        file: 'backends/redis/cluster-mailbox',
        from: "this.router.nodeOf(slot) ?? 'nowhere'",
        to: "last ?? this.router.nodeOf(slot) ?? 'nowhere'",
      },
    ],
  },
  {
    name: 'the guard trusts every server, and sentinels name the next one',
    topology: 'sentinel, guarded',
    planted: [inLua("if left > 0 then return 'grace'", "if false then return 'grace'")],
  },
  {
    name: 'tokens are counted, and a replica that lags takes over its shard',
    topology: 'cluster of 3, failover',
    planted: [inLua('local first = micros', 'local first = 1')],
  },
];
