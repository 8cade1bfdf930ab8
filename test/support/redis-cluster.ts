import { Cluster, type ClusterOptions } from 'ioredis';
import { eventually } from './eventually.js';
import { freePort, onFreePorts } from './free-port.js';
import { allOf, answers, host, reader, RedisNode } from './redis-nodes.js';
import { RedisServer } from './redis-server.js';

const SLOTS = 16_384;
const MASTERS = 3;

/** How often all nodes are asked until they agree, in milliseconds. */
const ASK_EVERY = 50;

/** One node of a {@link RedisCluster}; it does not follow redirections. */
export class ClusterNode extends RedisNode {
  /** Its name in the cluster, which it keeps when it is killed and started again. */
  id = '';

  private constructor(
    server: RedisServer,
    /** The port of the cluster's own talk. */
    readonly bus: number,
  ) {
    super(server);
  }

  /** @param settings as on the command line */
  static override async start(settings: readonly string[]): Promise<ClusterNode> {
    return onFreePorts(async () => {
      const bus = await freePort();
      // The default, 10000 above the port, may not exist.
      const ports = ['--cluster-port', String(bus), '--cluster-announce-ip', host];
      return new ClusterNode(await RedisServer.start([...settings, ...ports]), bus);
    });
  }

  cluster(...args: (string | number)[]): Promise<unknown> {
    return this.admin.call('CLUSTER', ...args);
  }

  /** Whether it serves, in a cluster of so many nodes, and follows its master if it is a replica. */
  async isSettled(nodes: number): Promise<boolean> {
    const state = reader(String(await this.cluster('INFO')));
    const replication = await this.info('replication');
    return (
      state('cluster_state') === 'ok' &&
      state('cluster_known_nodes') === String(nodes) &&
      (replication('role') === 'master' || replication('master_link_status') === 'up')
    );
  }
}

/** A real cluster of three masters with a replica each, without persistence. */
export class RedisCluster {
  readonly nodes: ClusterNode[] = [];

  private constructor() {}

  /** @param settings of every node, as on the command line */
  static async start(settings: readonly string[] = []): Promise<RedisCluster> {
    const cluster = new RedisCluster();
    try {
      await cluster.#build(settings);
    } catch (error) {
      await cluster.stop();
      throw error;
    }
    return cluster;
  }

  get urls(): string[] {
    return this.nodes.map(({ url }) => url);
  }

  /** A client of the whole cluster; the test closes it. */
  client(options: ClusterOptions = {}): Cluster {
    const client = new Cluster(
      this.nodes.map(({ port }) => ({ host, port })),
      options,
    );
    client.on('error', () => undefined);
    return client;
  }

  async slotOf(key: string): Promise<number> {
    return Number(await this.#anyLive.cluster('KEYSLOT', key));
  }

  /** The masters that serve slots, as a live node sees it. */
  async masters(): Promise<ClusterNode[]> {
    return [...new Set((await this.#ranges(this.#anyLive)).map(({ master }) => master))];
  }

  /** The master of a key or of a slot. */
  async masterOf(keyOrSlot: string | number): Promise<ClusterNode> {
    const slot = typeof keyOrSlot === 'number' ? keyOrSlot : await this.slotOf(keyOrSlot);
    const ranges = await this.#ranges(this.#anyLive);
    const range = ranges.find(({ first, last }) => first <= slot && slot <= last);
    if (range === undefined) throw new Error(`no master serves slot ${slot}`);
    return range.master;
  }

  /** The live replicas of a master. */
  async replicasOf(master: ClusterNode): Promise<ClusterNode[]> {
    const lines = (await this.#anyLive.cluster('REPLICAS', master.id)) as string[];
    return this.nodes.filter(
      ({ id, live }) => live && lines.some((line) => line.startsWith(`${id} `)),
    );
  }

  /** Waits until every live node knows that another serves all that this master, killed or frozen, did. */
  async failedOver(from: ClusterNode): Promise<void> {
    await eventually(
      `a failover from ${from.url}`,
      async () => {
        const live = this.nodes.filter((node) => node.live);
        const views = await Promise.all(
          live.map(async (node) => {
            const state = reader(String(await node.cluster('INFO')));
            const ranges = await this.#ranges(node);
            return state('cluster_state') === 'ok' && ranges.every(({ master }) => master !== from);
          }),
        );
        return views.every(Boolean);
      },
      ASK_EVERY,
    );
  }

  /** Waits until all live nodes serve, know each other, and each replica follows its master. */
  async settled(): Promise<void> {
    await eventually(
      'a cluster at rest',
      async () => {
        const live = this.nodes.filter((node) => node.live);
        const settled = await Promise.all(live.map((node) => node.isSettled(this.nodes.length)));
        return settled.every(Boolean);
      },
      ASK_EVERY,
    );
  }

  /** Gives a slot with all its keys to another master. */
  async moveSlot(slot: number, to: ClusterNode): Promise<void> {
    const move = await this.beginMove(slot, to);
    await move.migrate();
    await move.finish();
  }

  /** Opens a slot for its move: from now on its keys are found at both masters, with redirections. */
  async beginMove(slot: number, to: ClusterNode): Promise<SlotMove> {
    const from = await this.masterOf(slot);
    if (from === to) throw new Error(`slot ${slot} is at ${to.url} already`);
    await to.cluster('SETSLOT', slot, 'IMPORTING', from.id);
    await from.cluster('SETSLOT', slot, 'MIGRATING', to.id);
    return new SlotMove(slot, from, to, await this.masters());
  }

  async stop(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.stop()));
  }

  get #anyLive(): ClusterNode {
    const node = this.nodes.find(({ live }) => live);
    if (node === undefined) throw new Error('no node of the cluster is alive');
    return node;
  }

  async #ranges(asked: ClusterNode): Promise<SlotRange[]> {
    const ranges = (await asked.cluster('SLOTS')) as [number, number, [string, number]][];
    return ranges.map(([first, last, [, port]]) => {
      const master = this.nodes.find((node) => node.port === port);
      if (master === undefined) throw new Error(`a master at port ${port} is none of ours`);
      return { first, last, master };
    });
  }

  async #build(settings: readonly string[]): Promise<void> {
    const quick = ['--cluster-node-timeout', '1000', '--cluster-replica-validity-factor', '0'];
    const lenient = ['--cluster-require-full-coverage', 'no'];
    const sync = ['--repl-diskless-sync-delay', '0', '--repl-ping-replica-period', '1'];
    const all = ['--cluster-enabled', 'yes', ...quick, ...lenient, ...sync, ...settings];
    await allOf(2 * MASTERS, async () => {
      const node = await ClusterNode.start(all);
      this.nodes.push(node);
      await answers(node.admin);
      node.id = String(await node.cluster('MYID'));
    });

    const masters = this.nodes.slice(0, MASTERS);
    for (const [index, node] of this.nodes.entries()) {
      await node.cluster('SET-CONFIG-EPOCH', index + 1);
      for (const other of this.nodes.slice(0, index)) {
        await node.cluster('MEET', host, other.port, other.bus);
      }
    }
    for (const [index, master] of masters.entries()) {
      const first = Math.floor((index * SLOTS) / MASTERS);
      const last = Math.floor(((index + 1) * SLOTS) / MASTERS) - 1;
      await master.cluster('ADDSLOTSRANGE', first, last);
    }
    await Promise.all(
      this.nodes.slice(MASTERS).map((replica, index) =>
        eventually('a replica knows its master', async () => {
          const master = masters[index];
          if (!master) return false;
          return replica.cluster('REPLICATE', master.id).then(
            () => true,
            () => false,
          );
        }),
      ),
    );
    await this.settled();
    await eventually('every master has its replica', async () => {
      const replicas = await Promise.all(masters.map((master) => this.replicasOf(master)));
      return replicas.every(({ length }) => length === 1);
    });
  }
}

interface SlotRange {
  readonly first: number;
  readonly last: number;
  readonly master: ClusterNode;
}

/** A slot on its way from one master to another. */
export class SlotMove {
  constructor(
    private readonly slot: number,
    private readonly from: ClusterNode,
    private readonly to: ClusterNode,
    private readonly masters: readonly ClusterNode[],
  ) {}

  /** Moves so many of its keys, or those that are named; all by default. */
  async migrate(what: number | readonly string[] = Infinity): Promise<void> {
    if (typeof what !== 'number') return this.#send(what);
    for (let left = what; left > 0;) {
      const batch = Math.min(left, 100);
      const keys = (await this.from.cluster('GETKEYSINSLOT', this.slot, batch)) as string[];
      if (keys.length === 0) return;
      await this.#send(keys);
      left -= keys.length;
    }
  }

  /** Makes the other master the only one of the slot. Keys that are still here would be lost: they are moved. */
  async finish(): Promise<void> {
    await this.migrate();
    // The new owner first: the old one would redirect to a node that does not serve the slot yet.
    const rest = this.masters.filter((master) => master !== this.to && master !== this.from);
    for (const master of [this.to, this.from, ...rest]) {
      await master.cluster('SETSLOT', this.slot, 'NODE', this.to.id);
    }
  }

  async #send(keys: readonly string[]): Promise<void> {
    await this.from.admin.call(
      ...(['MIGRATE', host, this.to.port, '', 0, 5_000, 'KEYS', ...keys] as const),
    );
  }
}
