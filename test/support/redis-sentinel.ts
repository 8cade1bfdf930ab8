import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Redis, RedisOptions } from 'ioredis';
import { eventually } from './eventually.js';
import { freePort } from './free-port.js';
import { adminOf, allOf, answers, host, RedisNode } from './redis-nodes.js';
import { RedisProcess } from './redis-process.js';

const REDIS_NODES = 3;
const QUORUM = 2;

/** How often those are asked who must come to agree, in milliseconds: all of them answer each time. */
const ASK_EVERY = 50;

/**
 * After how many milliseconds each sentinel takes the master for dead: several pings, or a busy
 * machine causes failovers that nobody asked for. One comes late: three that stand for election at
 * once all vote for themselves, and the next try is seconds away.
 */
const DOWN_AFTER = [800, 800, 1_200] as const;

/**
 * What is meant for machines far apart, in milliseconds: a test cannot wait for it. An old master
 * that comes back is demoted after four times the publish period: long enough to do harm before.
 * Replicas are eligible while INFO of them is younger than five times the ping period.
 */
const PACE = {
  'INFO-PERIOD': 500,
  'PING-PERIOD': 300,
  'ASK-PERIOD': 100,
  'PUBLISH-PERIOD': 500,
  'ELECTION-TIMEOUT': 1_000,
  'TILT-PERIOD': 1_000,
  'MIN-LINK-RECONNECT-PERIOD': 100,
};

/** A real master with two replicas, without persistence, and three sentinels that watch over them. */
export class RedisSentinels {
  /** What the sentinels call their master. */
  readonly name = 'locks';
  readonly nodes: RedisNode[] = [];
  readonly #sentinels: Sentinel[] = [];

  private constructor() {}

  /** @param settings of the master and of each replica, as on the command line */
  static async start(settings: readonly string[] = []): Promise<RedisSentinels> {
    const set = new RedisSentinels();
    try {
      await set.#build(settings);
    } catch (error) {
      await set.stop();
      throw error;
    }
    return set;
  }

  /** Where the sentinels are, as ioredis wants to know it. */
  get sentinels(): { host: string; port: number }[] {
    return this.#sentinels.map(({ port }) => ({ host, port }));
  }

  /** For ioredis: to whatever node is the master. */
  options() {
    return { sentinels: this.sentinels, name: this.name } satisfies RedisOptions;
  }

  /** The master, as a majority of the sentinels names it. */
  async master(): Promise<RedisNode> {
    const named = await this.#named();
    const node = named.find(
      (one) => named.filter((other) => other === one).length > named.length / 2,
    );
    if (node === undefined) throw new Error('the sentinels do not agree on a master');
    return node;
  }

  /** SIGKILL to the master, which is told. */
  async killMaster(): Promise<RedisNode> {
    const master = await this.master();
    await master.kill();
    return master;
  }

  /** SIGSTOP to the master, which is told. */
  async freezeMaster(): Promise<RedisNode> {
    const master = await this.master();
    master.freeze();
    return master;
  }

  /** From now on no replica hears of what the master does, until {@link letReplicas}. */
  async cutReplicas(master: RedisNode): Promise<void> {
    await master.admin.config('SET', 'requirepass', 'not for replicas');
    await master.admin.call('CLIENT', 'KILL', 'TYPE', 'replica');
  }

  async letReplicas(master: RedisNode): Promise<void> {
    await master.admin.config('SET', 'requirepass', '');
  }

  /** Starts a killed node again, as a replica of the master that there is. */
  async relaunch(node: RedisNode): Promise<void> {
    const master = await this.master();
    await node.relaunch(['--replicaof', host, String(master.port)]);
  }

  /** Waits until all sentinels name another master, which knows that it is one, and which the other live nodes follow. */
  async failedOver(from: RedisNode): Promise<RedisNode> {
    await eventually(
      `a failover from ${from.url}`,
      async () => {
        const [heir, ...rest] = await this.#named();
        if (heir === undefined || heir === from || rest.some((node) => node !== heir)) return false;
        return this.#isFollowed(heir);
      },
      ASK_EVERY,
    );
    return this.master();
  }

  /** Waits until every node follows the master, and every sentinel knows all of them well: a failover may come. */
  async settled(): Promise<void> {
    await eventually(
      'a set at rest',
      async () => {
        const [master, ...rest] = await this.#named();
        if (master === undefined || rest.some((node) => node !== master)) return false;
        const views = await Promise.all(this.#sentinels.map((one) => one.knowsAll(this.name)));
        return views.every(Boolean) && this.#isFollowed(master);
      },
      ASK_EVERY,
    );
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#sentinels, ...this.nodes].map((one) => one.stop()));
  }

  async #named(): Promise<(RedisNode | undefined)[]> {
    const ports = await Promise.all(this.#sentinels.map((one) => one.masterPort(this.name)));
    return ports.map((port) => this.nodes.find((node) => node.port === port));
  }

  /** False also when one of them has no answer, as it was killed or frozen a moment ago. */
  #isFollowed(master: RedisNode): Promise<boolean> {
    return this.#hasFollowers(master).catch(() => false);
  }

  async #hasFollowers(master: RedisNode): Promise<boolean> {
    if (!master.live || (await master.info('replication'))('role') !== 'master') return false;
    const others = this.nodes.filter((node) => node.live && node !== master);
    const following = await Promise.all(
      others.map(async (node) => {
        const replication = await node.info('replication');
        return (
          replication('master_port') === String(master.port) &&
          replication('master_link_status') === 'up'
        );
      }),
    );
    return following.every(Boolean);
  }

  async #build(settings: readonly string[]): Promise<void> {
    const quick = ['--repl-diskless-sync-delay', '0', '--repl-ping-replica-period', '1'];
    await allOf(REDIS_NODES, async () => {
      const node = await RedisNode.start([...quick, ...settings]);
      this.nodes.push(node);
      await answers(node.admin);
    });
    const [master, ...replicas] = this.nodes;
    if (master === undefined) throw new Error('no node was started');
    for (const replica of replicas) await replica.admin.replicaof(host, master.port);
    await allOf(DOWN_AFTER.length, async (index) => {
      const sentinel = await Sentinel.make();
      this.#sentinels.push(sentinel);
      await sentinel.watch(this.name, master.port, {
        'down-after-milliseconds': DOWN_AFTER[index] ?? 0,
        'failover-timeout': 1_500,
        'parallel-syncs': replicas.length,
      });
    });
    await this.settled();
  }
}

class Sentinel {
  readonly admin: Redis;
  readonly #process = new RedisProcess();

  private constructor(
    readonly port: number,
    private readonly folder: string,
  ) {
    this.admin = adminOf(port);
  }

  /** Not running yet. */
  static async make(): Promise<Sentinel> {
    const folder = await mkdtemp(join(tmpdir(), 'nestjs-lock-sentinel-'));
    return new Sentinel(await freePort(), folder);
  }

  async watch(name: string, master: number, settings: Record<string, number>): Promise<void> {
    // It insists on a file to keep its state in.
    const file = join(this.folder, 'sentinel.conf');
    await writeFile(file, '');
    const where = ['--port', String(this.port), '--bind', host, '--dir', this.folder];
    await this.#process.launch([file, '--sentinel', ...where], 'Sentinel ID is');
    await answers(this.admin);
    for (const [setting, ms] of Object.entries(PACE)) await this.#ask('DEBUG', setting, ms);
    await this.#ask('MONITOR', name, host, master, QUORUM);
    for (const [setting, value] of Object.entries(settings)) {
      await this.#ask('SET', name, setting, value);
    }
  }

  async masterPort(name: string): Promise<number> {
    const [, port] = (await this.#ask('GET-MASTER-ADDR-BY-NAME', name)) as [string, string];
    return Number(port);
  }

  /** Whether it sees the other sentinels, and every replica in good health. */
  async knowsAll(name: string): Promise<boolean> {
    const flags = async (what: string) => {
      const all = (await this.#ask(what, name)) as string[][];
      return all.map((one) => one[one.indexOf('flags') + 1]);
    };
    const sentinels = await flags('SENTINELS');
    const replicas = await flags('REPLICAS');
    return (
      sentinels.filter((flag) => flag === 'sentinel').length === DOWN_AFTER.length - 1 &&
      replicas.filter((flag) => flag === 'slave').length === REDIS_NODES - 1
    );
  }

  async stop(): Promise<void> {
    this.admin.disconnect();
    await this.#process.kill();
    await rm(this.folder, { recursive: true, force: true });
  }

  #ask(...args: (string | number)[]): Promise<unknown> {
    return this.admin.call('SENTINEL', ...args);
  }
}
