import { EventEmitter } from 'node:events';
import type { ClusterClient } from '../../../lib/backends/redis/cluster-client.js';
import type { Timeline } from '../clock/timeline.js';
import type { Network } from '../network.js';
import type { SimProcess } from '../sim-process.js';
import type { Range } from './shard-node.js';
import type { Shards } from './shards.js';
import { type ClientOptions, SimRedisClient } from './sim-redis-client.js';

interface ClusterOptions {
  redisOptions?: ClientOptions;
  clusterRetryStrategy?: (times: number) => number;
}

/** Connections to a simulated Redis Cluster, with the words, states and events of ioredis. */
export class SimClusterClient
  extends EventEmitter
  implements Omit<ClusterClient<SimRedisClient>, 'on' | 'once'>
{
  readonly isCluster = true;
  status = 'wait';
  slots: string[][] = [];
  /** By `host:port`. */
  readonly #nodes = new Map<string, SimRedisClient>();
  #attempts = 0;

  constructor(
    private readonly process: SimProcess,
    private readonly shards: Shards,
    private readonly network: Network,
    private readonly timeline: Timeline,
    readonly options: ClusterOptions = {},
  ) {
    super();
    this.setMaxListeners(0);
  }

  /** The user's own client: it is only duplicated. */
  duplicate(_nodes: readonly unknown[], options: ClusterOptions): SimClusterClient {
    return new SimClusterClient(this.process, this.shards, this.network, this.timeline, options);
  }

  async connect(): Promise<void> {
    this.status = 'connecting';
    for (const { place } of this.shards.startup) this.#add(place);
    try {
      await this.#look();
    } catch (error) {
      this.emit('error', error);
      this.#again();
      return;
    }
    this.#attempts = 0;
    this.status = 'ready';
    this.emit('ready');
  }

  disconnect(): void {
    this.status = 'end';
    for (const node of this.#nodes.values()) node.disconnect();
    this.emit('end');
  }

  nodes(): readonly SimRedisClient[] {
    return [...this.#nodes.values()];
  }

  refreshSlotsCache(done: (error?: Error) => void): void {
    this.#look().then(() => {
      done();
    }, done);
  }

  async info(section: string): Promise<string> {
    return this.timeline.random.pick(this.nodes()).info(section);
  }

  /** What a client of ioredis must have: here each node is asked by itself. */
  call(): Promise<never> {
    return Promise.reject(new Error('nobody asks the Cluster as a whole'));
  }

  /** Asks the nodes, one after the other, until one tells its map. */
  async #look(): Promise<void> {
    const nodes = this.nodes();
    const first = this.timeline.random.between(0, nodes.length);
    let ranges: Range[] | undefined;
    for (let n = 0; n < nodes.length && ranges === undefined; n++) {
      const node = nodes[Math.floor(first + n) % nodes.length]!;
      const asked = node.call('CLUSTER', ['SLOTS']) as Promise<Range[]>;
      ranges = await asked.catch(() => undefined);
    }
    if (ranges === undefined) throw new Error('Failed to refresh slots cache.');
    if (this.status === 'end') return;
    this.#draw(ranges);
    this.emit('refresh');
  }

  /** Knows this map from now on, and has a connection to each of its masters, and to no other node. */
  #draw(ranges: readonly Range[]): void {
    this.slots = [];
    const places = new Set<string>();
    for (const [from, to, [host, port]] of ranges) {
      const master = [`${host}:${port}`];
      for (let slot = from; slot <= to; slot++) this.slots[slot] = master;
      places.add(master[0]!);
    }
    for (const place of places) if (!this.#nodes.has(place)) this.#add(place);
    for (const [place, node] of this.#nodes) if (!places.has(place)) node.disconnect();
  }

  #add(place: string): void {
    const { process, network, timeline, shards } = this;
    const [host, port] = place.split(':');
    const own = { host, port: Number(port), enableOfflineQueue: true, retryStrategy: null };
    const options = { ...this.options.redisOptions, ...own };
    const node = new SimRedisClient(process, shards.at(place), network, timeline, options);
    this.#nodes.set(place, node);
    node.once('end', () => {
      this.#nodes.delete(place);
      this.emit('-node', node);
      if (this.#nodes.size === 0) this.#again();
    });
    this.emit('+node', node);
    void node.connect();
  }

  #again(): void {
    if (this.status === 'end' || this.status === 'reconnecting') return;
    this.status = 'reconnecting';
    this.emit('close');
    const pause = this.options.clusterRetryStrategy?.(++this.#attempts) ?? 50;
    this.process.at(this.timeline.now + pause, () => {
      if (this.status === 'reconnecting') void this.connect();
    });
  }
}
