import type { Timeline } from '../clock/timeline.js';
import type { Network } from '../network.js';
import { SimServer } from '../sim-server.js';
import type { Memory, RealRedis } from './real-redis.js';
import { RedisNode } from './redis-node.js';
import type { Address, SimRedisClient } from './sim-redis-client.js';

/** How many of them there are. */
const SENTINELS = 3;

/** How far a replica lags behind its master at most, and how long it takes then until it takes over, in milliseconds. */
const [LAG, ELECTION] = [500, 500];

/** How late a sentinel learns of that, and how late the old master does, in milliseconds. */
const [GOSSIP, DEPOSED] = [1_000, 3_000];

/** What tells clients who the master is, as far as it knows. */
class Sentinel extends SimServer {
  constructor(
    name: string,
    timeline: Timeline,
    public master: RedisNode,
  ) {
    super(name, timeline);
  }
}

/** A master and a replica, and those who watch over them and say who is the master: not all the same at once. */
export class Sentinels implements Address {
  readonly name = 'redis';
  readonly servers: readonly RedisNode[];
  readonly #sentinels: readonly Sentinel[];
  #master: RedisNode;
  #failing = false;

  constructor(
    private readonly timeline: Timeline,
    private readonly network: Network,
    real: readonly RealRedis[],
    /** Whether a master that has no replica refuses what is written. */
    private readonly careful: boolean,
  ) {
    this.servers = real.map((one, index) => new RedisNode(`redis${index + 1}`, timeline, one));
    const [master, replica] = this.servers as [RedisNode, RedisNode];
    this.#master = master;
    replica.follow(master);
    this.#sentinels = Array.from({ length: SENTINELS }, (_, index) => {
      return new Sentinel(`sentinel${index + 1}`, timeline, master);
    });
  }

  get nodes(): readonly SimServer[] {
    return [...this.servers, ...this.#sentinels];
  }

  /** The master, whoever knows it. */
  get node(): RedisNode {
    return this.#master;
  }

  /** Asks one after the other for the master, from any of them on; undefined when none answers. */
  async find(client: SimRedisClient, patience: number): Promise<RedisNode | undefined> {
    const first = Math.floor(this.timeline.random.between(0, SENTINELS));
    for (let n = 0; n < SENTINELS; n++) {
      const sentinel = this.#sentinels[(first + n) % SENTINELS]!;
      const master = await this.#ask(client, sentinel, patience);
      if (master !== undefined) return master;
    }
    return undefined;
  }

  #ask(
    client: SimRedisClient,
    sentinel: Sentinel,
    patience: number,
  ): Promise<RedisNode | undefined> {
    const { network, timeline } = this;
    return new Promise((resolve) => {
      client.process.at(timeline.now + patience, () => resolve(undefined));
      if (network.loses(client, sentinel, 'requests')) return;
      const arrival = Math.max(timeline.now + network.delay(), sentinel.frozenUntil);
      timeline.at(arrival, () => {
        const { master } = sentinel;
        if (network.loses(client, sentinel, 'replies')) return;
        client.process.at(timeline.now + network.delay(), () => resolve(master));
      });
    });
  }

  /** The replica becomes the master with what it had heard; the old one dies, or goes on until it is told. */
  async failOver(): Promise<void> {
    if (this.#failing) return;
    this.#failing = true;
    const { random } = this.timeline;
    const old = this.#master;
    const next = this.servers.find((node) => node !== old)!;
    const memory = await old.memory();
    const [lag, election] = [random.between(0, LAG), random.between(0, ELECTION)];
    const deposed = lag + election + random.between(0, DEPOSED);
    if (random.chance(0.5)) old.freeze(deposed);
    if (this.careful) {
      this.timeline.in(lag, () => old.order('CONFIG SET min-replicas-to-write 1'));
    }
    this.timeline.in(lag + election, () => this.#promote(next, memory));
    this.timeline.in(deposed, () => this.#depose(old, next));
  }

  async #promote(next: RedisNode, memory: Memory): Promise<void> {
    const { random } = this.timeline;
    await next.order('REPLICAOF NO ONE');
    await next.recall(memory);
    next.follow(undefined);
    this.#master = next;
    this.timeline.note(`${next.name} is the master`);
    for (const sentinel of this.#sentinels) {
      this.timeline.in(random.between(0, GOSSIP), () => {
        sentinel.master = next;
      });
    }
  }

  async #depose(old: RedisNode, master: RedisNode): Promise<void> {
    await old.recall([]);
    await old.order('REPLICAOF 127.0.0.1 1');
    await old.order('CONFIG SET min-replicas-to-write 0');
    old.follow(master);
    this.timeline.note(`${old.name} is a replica`);
    this.#failing = false;
  }
}
