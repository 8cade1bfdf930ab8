import { Instant } from '../../time/clock.js';
import {
  isAlone,
  type HeldLease,
  type LeaseIdentity,
  type LeaseRenewal,
  type LockRequest,
} from '../lock-backend.js';
import { acquireAll, type AcquireAllReply } from './acquire-all.js';
import { AcquireBatch, type Tell } from './acquire-batch.js';
import { STRANGER } from './acquire-reply.js';
import type { ClusterHeartbeats } from './cluster-heartbeats.js';
import { RedisEntry, type RedisEntryContext } from './redis-entry.js';
import { replyError } from '../redis-common/redis-errors.js';
import type { StoreRequest } from '../store-request.js';
import { ReleaseBatch } from './release-batch.js';
import type { RedisCalls, Seen } from './scripts/calls.js';
import { termsOf } from '../redis-common/terms.js';

/** What a heartbeat tells. */
export interface Beat {
  /** A moment before it was sent. */
  readonly before: Instant;
  /** Whether a message to this process was counted at the server. */
  readonly heard: boolean;
  readonly seen: readonly Seen[];
}

export interface RedisStoreContext extends RedisEntryContext {
  /** On a Cluster: sends the heartbeats of all buckets. */
  readonly heartbeats: ClusterHeartbeats | undefined;
}

/**
 * The scripts of one hash tag, as calls: each is one atomic step at the server, tried once. They
 * reject when there is no answer, and then may have run all the same.
 */
export class RedisStore extends RedisEntry {
  readonly #context: RedisStoreContext;
  readonly #acquires: AcquireBatch;
  readonly #releases: ReleaseBatch;

  constructor(context: RedisStoreContext) {
    super(context);
    this.#context = context;
    this.#acquires = new AcquireBatch(this, context);
    this.#releases = new ReleaseBatch(this, context.keyspace);
  }

  /** To be called when it {@link isEntered}. */
  acquire(request: StoreRequest, tell: Tell): void {
    this.#acquires.add(request, tell);
  }

  /** All of them or none, in one step. */
  acquireAll(requests: readonly StoreRequest[]): Promise<AcquireAllReply> {
    return acquireAll(this, this.#context, requests);
  }

  /** Gives a sign of life for each request, and looks how they stand. */
  async heartbeat(requests: readonly LockRequest[]): Promise<Beat> {
    const { guard, heartbeats, keyspace, runner } = this.#context;
    await this.entered();
    const before = Instant.now();
    const keys = [
      ...[keyspace.sequence, keyspace.guard],
      ...requests.flatMap(({ key }) => keyspace.of(key)),
    ] as const;
    const waiters = requests.map((request) => `${request.id} ${termsOf(request)}`);
    const args = [this.run, this.address, this.liveness, ...waiters] as const;
    const [now, heard, ...seen] = await this.watched(
      heartbeats?.send(keys, args) ?? runner.run('heartbeat', keys, args),
    );
    this.clock.learn(before, now);
    if (heard === 'stranger') this.isStranger();
    for (const one of seen) if (one[0] === 'granted') guard?.learn(0, one[1]);
    return { before, heard: heard === 1, seen };
  }

  /** @param beaten hears whether a message to this process was counted, if one is to be sent as well */
  async renew(
    leases: readonly LeaseRenewal[],
    beaten?: (counted: boolean) => void,
  ): Promise<(boolean | Error)[]> {
    const { guard, keyspace } = this.#context;
    await this.entered();
    const keys: [string, string, ...string[]] = [keyspace.sequence, keyspace.guardInPlace];
    let lines = '';
    for (const lease of leases) {
      const { id, key, token, ttl } = lease;
      guard?.learn(ttl, token);
      keys.push(keyspace.lockOf(key));
      lines += `${id} ${token} ${termsOf(lease)}\n`;
    }
    const address = beaten === undefined ? '' : this.address;
    const reply = await this.send('renew', keys, [this.run, address, lines]);
    if (reply === 'stranger') return this.isStranger();
    const [heard, ...renewed] = reply;
    beaten?.(heard === 1);
    return renewed.map((one) => (typeof one === 'object' ? replyError(one[1]) : one === 1));
  }

  release(lease: HeldLease, keepFor: number): Promise<boolean> {
    if (!this.isEntered()) return this.entered().then(() => this.release(lease, keepFor));
    const { id, key } = lease;
    this.#context.guard?.learn(keepFor);
    const plain = isAlone(lease) && keepFor <= 0;
    return this.#releases.add(key, plain ? id : `${id} ${Math.ceil(keepFor)}`);
  }

  async cancel(request: LockRequest): Promise<void> {
    const { id, key } = request;
    await this.entered();
    await this.send('cancel', this.#keysOf(key), [this.run, this.address, id, termsOf(request)]);
  }

  /** What this process was told of its leases lately, whether it heard it or not. */
  async word(process: string): Promise<readonly string[]> {
    await this.entered();
    return this.send('word', [this.#context.keyspace.told], [process]);
  }

  async downgrade({ id, key }: LeaseIdentity): Promise<boolean> {
    await this.entered();
    const args = [this.run, this.address, id] as const;
    const downgraded = await this.send('downgrade', this.#keysOf(key), args);
    // Its holder will assert it by its next renewal.
    if (downgraded === 2) throw new Error(STRANGER);
    return downgraded === 1;
  }

  #keysOf(key: string): RedisCalls['cancel']['keys'] {
    const { keyspace } = this.#context;
    return [keyspace.sequence, keyspace.guard, ...keyspace.of(key)];
  }
}
