import { within } from '../../time/clock.js';
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
import { FailoverGuard, type FailoverGrace } from './failover-guard.js';
import { KeyScan } from '../redis-common/key-scan.js';
import { bucketOf, Keyspace, LockNames, slotsOfBuckets } from '../redis-common/keyspace.js';
import type { ClusterClient } from './cluster-client.js';
import { ClusterHeartbeats } from './cluster-heartbeats.js';
import type { ClusterRouter } from './cluster-router.js';
import type { Mailbox } from '../redis-common/mailbox.js';
import { Pulse } from './pulse.js';
import { RedisBucket } from './redis-bucket.js';
import type { Connection, RedisClient } from '../redis-common/redis-client.js';
import { RedisOperators } from './redis-operators.js';
import { RedisStore } from './redis-store.js';
import { ReplicaWitness } from './replica-witness.js';
import { ScriptRunner, serverOf } from '../redis-common/script-runner.js';
import { redisScripts } from './redis-scripts.js';
import type { RedisCalls } from './scripts/calls.js';
import { checkServer } from '../redis-common/server-check.js';

/** Between two signs of life of who waits, in milliseconds. */
const HEARTBEAT = 1_250;

export interface RedisSettings {
  readonly keyPrefix: string;
  readonly namespace: string;
  /** How long to wait for a reply, in milliseconds. */
  readonly patience: number;
  readonly failoverGrace: FailoverGrace | undefined;
  /** Milliseconds. */
  readonly longestTtl: number;
  readonly replicas: number;
  /** Whether the keys are spread over many hash tags. */
  readonly spread: boolean;
}

/** Where the locks are: on one server at a time, or on a Cluster. */
export type Servers =
  | { readonly one: RedisClient }
  | { readonly cluster: ClusterClient; readonly router: ClusterRouter };

/** One process's locks on Redis: those of one bucket, or on a Cluster of many. */
export class RedisConnection implements BackendConnection {
  readonly #commands: Connection;
  readonly #runner: ScriptRunner<RedisCalls>;
  readonly #guard: FailoverGuard | undefined;
  readonly #witness: ReplicaWitness | undefined;
  readonly #scan: KeyScan;
  readonly #heartbeats: ClusterHeartbeats | undefined;
  readonly #unguarded: () => void;
  readonly #pulse = new Pulse(HEARTBEAT);
  readonly #buckets = new Map<number, { store: RedisStore; bucket: RedisBucket }>();
  readonly acquireAll: BackendConnection['acquireAll'];
  #closed = false;

  constructor(
    private readonly process: LockProcess,
    servers: Servers,
    private readonly mailbox: Mailbox,
    private readonly settings: RedisSettings,
  ) {
    const { failoverGrace, keyPrefix, longestTtl, namespace, patience, replicas, spread } =
      settings;
    const warn = (message: string) => {
      if (!this.#closed) process.warn(message);
    };
    let told = false;
    this.#unguarded = () => {
      if (told) return;
      told = true;
      warn(
        `Other processes guard the namespace ${namespace} by failoverGrace, and this one does not: when ` +
          'Redis forgets, it may be granted what they hold. Give all of them the same failoverGrace; ' +
          `when none has it any more, delete ${new Keyspace(keyPrefix, namespace).guard}.`,
      );
    };
    const names = new LockNames(keyPrefix, namespace, spread);
    let commands: Connection;
    if ('one' in servers) {
      const { one: client } = servers;
      commands = client;
      const runner = new ScriptRunner(client, redisScripts, patience, serverOf(client));
      this.#runner = runner;
      this.#scan = new KeyScan(runner, client, () => [client], names);
      if (failoverGrace !== undefined) {
        const keyspace = new Keyspace(keyPrefix, namespace);
        const paused = (ms: number, why: string) => process.paused?.(1, ms, why);
        const context = { mode: failoverGrace, longestTtl, client, runner, keyspace, warn, paused };
        this.#guard = new FailoverGuard(context);
      }
      if (replicas > 0) this.#witness = new ReplicaWitness(client, runner, replicas);
    } else {
      const { cluster, router } = servers;
      commands = cluster;
      const runner = new ScriptRunner(cluster, redisScripts, patience, router);
      this.#runner = runner;
      this.#heartbeats = new ClusterHeartbeats(runner, router);
      const masters = () => router.mastersOf(slotsOfBuckets(keyPrefix, namespace));
      this.#scan = new KeyScan(runner, cluster, masters, names);
    }
    this.#commands = commands;
    // Early, so that the first waiter is heard of at once.
    if (!spread) this.#bucketOf('');
    // Of several hash tags there is no one step, nor is one of what a replica must have seen.
    if (!spread && replicas === 0) {
      this.acquireAll = (requests) => this.#bucketOf('').acquireAll(requests);
    }
    commands.on('ready', () => {
      for (const { store, bucket } of this.#buckets.values()) {
        bucket.asksElsewhere();
        // Early, so that the next request need not wait for it.
        store.entered().catch(() => undefined);
      }
    });
    // On a Cluster: another node will have its slots.
    commands.on('-node', () => {
      for (const { bucket } of this.#buckets.values()) bucket.asksElsewhere();
    });
    commands.once('ready', () => {
      void this.#check(new Keyspace(keyPrefix, namespace)).then((warnings) => {
        warnings.forEach(warn);
      });
    });
    // What goes wrong shows in the client's events, and it tries again by itself.
    commands.connect().catch(() => undefined);
  }

  troubleWith(key: string): Error | undefined {
    // What one shard of a Cluster does says nothing of the others.
    const one = this.settings.spread && this.#commands.status === 'ready';
    const trouble = one ? this.#partOf(key).store.trouble : this.#runner.trouble;
    return trouble ?? this.#guard?.trouble ?? this.#witness?.trouble;
  }

  acquire(request: LockRequest): Promise<Answer> {
    return this.#bucketOf(request.key).acquire(request);
  }

  cancel(request: LockRequest): Promise<void> {
    return this.#bucketOf(request.key).cancel(request);
  }

  async renew(leases: readonly LeaseRenewal[]): Promise<readonly (boolean | Error)[]> {
    const [first] = leases;
    if (first === undefined) return [];
    if (!this.settings.spread) return this.#bucketOf(first.key).renew(leases);
    const groups = new Map<RedisBucket, LeaseRenewal[]>();
    for (const lease of leases) {
      const bucket = this.#bucketOf(lease.key);
      const group = groups.get(bucket);
      if (group === undefined) groups.set(bucket, [lease]);
      else group.push(lease);
    }
    const answers = new Map<LeaseRenewal, boolean | Error>();
    await Promise.all(
      [...groups].map(async ([bucket, group]) => {
        // A shard that does not answer says nothing of the leases on the others.
        const renewed = await bucket.renew(group).catch((error: unknown) => error as Error);
        group.forEach((lease, index) => {
          answers.set(lease, renewed instanceof Error ? renewed : (renewed[index] ?? false));
        });
      }),
    );
    return leases.map((lease) => answers.get(lease) ?? false);
  }

  release(lease: HeldLease, keepFor: number): Promise<boolean> {
    return this.#bucketOf(lease.key).release(lease, keepFor);
  }

  downgrade(lease: LeaseIdentity): Promise<boolean> {
    return this.#bucketOf(lease.key).downgrade(lease);
  }

  inspect(key: string): Promise<KeyState> {
    return this.#bucketOf(key).inspect(key);
  }

  list(pattern: string): AsyncIterable<string> {
    return this.#scan.keys(pattern);
  }

  revoke(key: string, revocation: Revocation): Promise<number> {
    return this.#bucketOf(key).revoke(key, revocation);
  }

  forceRelease(key: string): Promise<number> {
    return this.#bucketOf(key).forceRelease(key);
  }

  async close(): Promise<void> {
    const closing = [...this.#buckets.values()].map(({ bucket }) => bucket.close());
    await within(this.settings.patience, Promise.all(closing));
    this.#closed = true;
    this.#runner.close();
    this.#commands.disconnect();
    this.mailbox.close();
  }

  async #check(keyspace: Keyspace): Promise<string[]> {
    // When it cannot be known how messages are delivered, that shows elsewhere.
    await this.mailbox.opened().catch(() => undefined);
    return checkServer(this.#commands, this.#runner, keyspace, this.mailbox.delivery);
  }

  #bucketOf(key: string): RedisBucket {
    return this.#partOf(key).bucket;
  }

  #partOf(key: string): { store: RedisStore; bucket: RedisBucket } {
    const { keyPrefix, namespace, spread } = this.settings;
    const number = spread ? bucketOf(key) : 0;
    let known = this.#buckets.get(number);
    if (known === undefined) {
      const { mailbox } = this;
      const keyspace = new Keyspace(keyPrefix, namespace, number, spread);
      const runner = this.#runner;
      const store = new RedisStore({
        ...{ keyspace, runner, mailbox },
        ...{ guard: this.#guard, heartbeats: this.#heartbeats },
        unguarded: this.#unguarded,
      });
      const channel = keyspace.channel + this.process.id;
      const bucket = new RedisBucket({
        process: this.process,
        store,
        operators: new RedisOperators(store, keyspace),
        runner,
        mailbox,
        pulse: this.#pulse,
        channel,
        witness: this.#witness,
      });
      known = { store, bucket };
      this.#buckets.set(number, known);
    }
    return known;
  }
}
