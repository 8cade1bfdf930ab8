import slotOf from 'cluster-key-slot';
import { EPOCH, type Timeline } from '../clock/timeline.js';
import type { Memory, RealRedis } from './real-redis.js';
import { RedisNode, type Subscriber } from './redis-node.js';
import { type Reply, replyError } from './resp.js';

const SLOTS = 16_384;

/** By slot the node that has it, as `host:port`. */
export type SlotMap = readonly (readonly [place: string])[];

/** The masters of a Redis Cluster, and which of them has which slot. Each is a whole server to the real Redis. */
export class Shards {
  readonly nodes: readonly ShardNode[];
  /** One for each move of a slot: clients may go by an old one. */
  readonly #maps: SlotMap[];

  constructor(timeline: Timeline, servers: readonly RealRedis[]) {
    this.nodes = servers.map(
      (real, index) => new ShardNode(`redis${index + 1}`, timeline, real, this),
    );
    const { nodes } = this;
    this.#maps = [
      Array.from({ length: SLOTS }, (_, slot) => [nodes[slot % nodes.length]!.place] as const),
    ];
  }

  /** Of the map of now. */
  get version(): number {
    return this.#maps.length - 1;
  }

  map(version: number): SlotMap {
    return this.#maps[version]!;
  }

  at(place: string): ShardNode {
    return this.nodes.find((node) => node.place === place)!;
  }

  ownerOf(slot: number): ShardNode {
    return this.at(this.map(this.version)[slot]![0]);
  }

  /** The slot of a key, all at once: it is never half moved. */
  async move(key: string, to: ShardNode): Promise<void> {
    const slot = slotOf(key);
    const from = this.ownerOf(slot);
    if (from === to) return;
    this.#maps.push(this.map(this.version).with(slot, [to.place]));
    await to.take(await from.give(slot));
  }
}

/** One of the masters: what is not in its slots it sends elsewhere. */
export class ShardNode extends RedisNode {
  constructor(
    name: string,
    timeline: Timeline,
    real: RealRedis,
    private readonly shards: Shards,
  ) {
    super(name, timeline, real);
  }

  /** This node, as where clients connect to. */
  get node(): this {
    return this;
  }

  get place(): string {
    return `${this.name}:6379`;
  }

  override async run(args: readonly (string | number)[]): Promise<Reply> {
    if (args[0] === 'CLUSTER') return this.shards.version;
    return this.#refusal(namesIn(args)) ?? super.run(args);
  }

  override async subscribe(
    kind: 'SUBSCRIBE' | 'SSUBSCRIBE',
    channel: string,
    subscriber: Subscriber,
  ): Promise<Reply> {
    return this.#refusal([channel]) ?? super.subscribe(kind, channel, subscriber);
  }

  /** What it knows of a slot, and forgets. */
  async give(slot: number): Promise<Memory> {
    const now = EPOCH + this.timeline.now;
    const given = (await this.real.memory(now)).filter(([key]) => slotOf(key) === slot);
    if (given.length > 0) await this.real.run(now, ['DEL', ...given.map(([key]) => key)]);
    await this.drop((channel) => slotOf(channel) === slot);
    return given;
  }

  async take(memory: Memory): Promise<void> {
    await this.real.restore(EPOCH + this.timeline.now, memory);
  }

  /** A script may name keys of several slots in its arguments: here all of it is refused then. */
  #refusal(names: readonly string[]): Error | undefined {
    const slot = names.map((name) => slotOf(name)).find((one) => this.shards.ownerOf(one) !== this);
    if (slot === undefined) return undefined;
    return replyError(`MOVED ${slot} ${this.shards.ownerOf(slot).place}`);
  }
}

/** The keys and channels of a command of ours: all have a hash tag. */
function namesIn([command, , , ...rest]: readonly (string | number)[]): string[] {
  if (!/^eval/i.test(String(command))) return [];
  return rest.map(String).filter((word) => /^[^ ]*\{[^}]+\}/.test(word));
}
