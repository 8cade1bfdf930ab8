import slotOf from 'cluster-key-slot';
import type { Timeline } from '../clock/timeline.js';
import { idOf, type RealShard, SHARDS } from './real-shard.js';
import { ShardNode } from './shard-node.js';

/** How long whoever moves a slot pauses between two steps at most, in milliseconds. */
const STEP = 300;

/** How late a node learns what became of the Cluster at most, in milliseconds. */
const GOSSIP = 500;

/** How far a replica lags behind its master at most, in milliseconds. */
const LAG = 500;

/** For how long a master goes on beside the one that has taken its place at most, in milliseconds. */
const DEPOSED = 1_500;

/** The servers of a Redis Cluster. What becomes of it, and who learns of that when, is decided here. */
export class Shards {
  /** One for each shard, and then perhaps another one for each. */
  readonly nodes: readonly ShardNode[];
  /** The masters of now, whoever knows it. */
  readonly #masters: ShardNode[];
  /** Between which two each slot moves; until everybody knows where it is. */
  readonly #moving = new Map<number, readonly ShardNode[]>();
  /** Of these shards not everybody knows who is the master. */
  readonly #failing = new Set<number>();

  constructor(
    private readonly timeline: Timeline,
    servers: readonly RealShard[],
  ) {
    this.nodes = servers.map((real, index) => new ShardNode(`redis${index + 1}`, timeline, real));
    this.#masters = [...this.startup];
    for (const node of this.nodes) {
      for (const master of this.#masters) node.learn(master);
      const master = this.#masters[node.shard]!;
      if (node !== master) node.follow(master);
    }
  }

  get masters(): readonly ShardNode[] {
    return this.#masters;
  }

  /** Those that clients are told of. */
  get startup(): readonly ShardNode[] {
    return this.nodes.slice(0, SHARDS);
  }

  at(place: string): ShardNode {
    return this.nodes.find((node) => node.place === place)!;
  }

  /** Moves the slot of a key to another master, key by key, as `redis-cli --cluster reshard` does. */
  async move(key: string, to: ShardNode): Promise<void> {
    const slot = slotOf(key);
    const from = await this.#ownerOf(slot);
    const failing = [from, to].some(({ shard }) => this.#failing.has(shard));
    if (from === to || failing || this.#moving.has(slot)) return;
    this.#moving.set(slot, [from, to]);
    this.timeline.note(`slot ${slot} moves from ${from.name} to ${to.name}`);
    await to.tell(slot, 'IMPORTING', idOf(from.shard));
    await from.tell(slot, 'MIGRATING', idOf(to.shard));
    this.#goOn(slot, from, to);
  }

  /** The next step of a move. */
  #goOn(slot: number, from: ShardNode, to: ShardNode): void {
    const { random } = this.timeline;
    const pause = random.between(0, random.chance(0.5) ? 1 : STEP);
    this.#whenThere([from, to], pause, async () => {
      const left = await from.keysIn(slot, to);
      if (left.length === 0) return this.#finish(slot, from, to);
      await from.migrate(random.pick(left), to);
      this.#goOn(slot, from, to);
    });
  }

  /** The new owner hears of it first: the old one would send clients to who does not have it yet. */
  async #finish(slot: number, from: ShardNode, to: ShardNode): Promise<void> {
    const { random } = this.timeline;
    const hear = (node: ShardNode) => node.tell(slot, 'NODE', idOf(to.shard));
    await hear(to);
    this.timeline.note(`${to.name} has slot ${slot}`);
    const others = this.nodes.filter((node) => node !== to);
    let ignorant = others.length;
    for (const other of others) {
      const late = random.between(0, other === from ? STEP : GOSSIP);
      this.#whenThere([other], late, async () => {
        await hear(other);
        if (--ignorant === 0) this.#moving.delete(slot);
      });
    }
  }

  /** A replica that lags takes the place of a master that has died, or that goes on until it hears of it. */
  async failOver(old: ShardNode): Promise<void> {
    const { random } = this.timeline;
    const { shard } = old;
    const next = this.nodes.find((node) => node !== old && node.shard === shard)!;
    const moves = [...this.#moving.values()].some((nodes) => nodes.includes(old));
    if (moves || this.#failing.has(shard)) return;
    this.#failing.add(shard);
    const memory = await old.memory();
    const lag = random.between(0, LAG);
    const dies = random.chance(0.5);
    if (dies) old.freeze(lag);
    this.timeline.in(lag, async () => {
      await next.restart(memory);
      next.follow(undefined);
      next.learn(next);
      this.#masters[shard] = next;
      this.timeline.note(
        `${next.name} is the master, and ${old.name} ${dies ? 'died' : 'goes on'}`,
      );
      if (dies) await old.restart();
      const others = this.nodes.filter((node) => node !== next);
      let ignorant = others.length;
      for (const other of others) {
        const late = random.between(0, other !== old ? GOSSIP : dies ? 0 : DEPOSED);
        this.#whenThere([other], late, async () => {
          other.learn(next);
          if (other === old) await old.stepDown(next);
          if (--ignorant === 0) this.#failing.delete(shard);
        });
      }
    });
  }

  #whenThere(nodes: readonly ShardNode[], pause: number, run: () => Promise<void>): void {
    this.timeline.in(pause, () => {
      const frozen = nodes.find(({ isFrozen }) => isFrozen);
      if (frozen === undefined) return run();
      this.#whenThere(nodes, frozen.frozenUntil - this.timeline.now, run);
    });
  }

  async #ownerOf(slot: number): Promise<ShardNode> {
    for (const master of this.#masters) if (await master.owns(slot)) return master;
    throw new Error(`nobody has slot ${slot}`);
  }
}
