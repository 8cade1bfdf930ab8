import slotOf from 'cluster-key-slot';
import { EPOCH, type Timeline } from '../clock/timeline.js';
import { HOST, idOf, type RealShard } from './real-shard.js';
import { RedisNode } from './redis-node.js';
import { type Reply, replyError } from './resp.js';

/** What CLUSTER SLOTS says: of which slots which node is the master. */
export type Range = readonly [
  first: number,
  last: number,
  master: readonly [host: string, port: number, id: string],
];

/** One server of a Redis Cluster: what is not in its slots it sends elsewhere. */
export class ShardNode extends RedisNode {
  /** By shard whom it takes for the master. */
  readonly #masters: ShardNode[] = [];

  constructor(
    name: string,
    timeline: Timeline,
    override readonly real: RealShard,
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

  get shard(): number {
    return this.real.shard;
  }

  /** Of its shard that one is the master. */
  learn(master: ShardNode): void {
    this.#masters[master.shard] = master;
  }

  override async run(args: readonly (string | number)[]): Promise<Reply> {
    const master = this.#masters[this.shard]!;
    const [command, , , key] = args;
    const isScript = /^eval/i.test(String(command));
    // What a replica says: its real server is a master all the time.
    if (isScript && master !== this) {
      return replyError(`MOVED ${slotOf(String(key))} ${master.place}`);
    }
    const reply = await super.run(args);
    return reply instanceof Error || command === 'CLUSTER' ? this.#named(reply) : reply;
  }

  /** It is a replica from now on: it forgets what it has, and nobody listens here any more. */
  async stepDown(master: ShardNode): Promise<void> {
    await super.run(['FLUSHALL']);
    await super.run(['SUNSUBSCRIBE']);
    this.follow(master);
  }

  /** What becomes of a slot, in the words of CLUSTER SETSLOT. */
  async tell(slot: number, ...what: readonly string[]): Promise<void> {
    this.real.touch(slot);
    await this.#demand(['CLUSTER', 'SETSLOT', slot, ...what]);
  }

  async owns(slot: number): Promise<boolean> {
    const ranges = (await super.run(['CLUSTER', 'SLOTS'])) as unknown as Range[];
    const own = ranges.find(([first, last]) => first <= slot && slot <= last);
    return own?.[2][2] === idOf(this.shard);
  }

  /** The keys of a slot that are to be moved. */
  async keysIn(slot: number, to: ShardNode): Promise<string[]> {
    const all = (await super.run(['CLUSTER', 'GETKEYSINSLOT', slot, 10_000])) as string[];
    const keys: string[] = [];
    for (const key of all.toSorted()) {
      if ((await super.run(['EXISTS', key])) === 1) keys.push(key);
      // It has ended, and when it would vanish by itself depends on true time.
      else await this.#demand(this.#migration(key, to), 'NOKEY');
    }
    return keys;
  }

  async migrate(key: string, to: ShardNode): Promise<void> {
    await this.#demand(this.#migration(key, to));
    this.timeline.note(`${key} is at ${to.name}`);
  }

  #migration(key: string, to: ShardNode): (string | number)[] {
    to.real.set(EPOCH + this.timeline.now);
    return ['MIGRATE', '127.0.0.1', to.real.port, '', 0, 5_000, 'KEYS', key];
  }

  /** What an operator says, and must be answered. */
  async #demand(args: readonly (string | number)[], expected = 'OK'): Promise<void> {
    const reply = await super.run(args);
    if (reply !== expected) throw new Error(`${this.name}: ${args.join(' ')}: ${String(reply)}`);
  }

  /** With whom it takes for the master of a shard in the place of what that shard is called. */
  #named(reply: Reply): Reply {
    if (reply instanceof Error) return replyError(this.#named(reply.message) as string);
    if (Array.isArray(reply)) return reply.map((part: Reply) => this.#named(part));
    if (typeof reply !== 'string') return reply;
    return reply.replace(HOST, (_, shard) => this.#masters[Number(shard) - 1]!.name);
  }
}
