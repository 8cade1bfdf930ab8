import { setTimeout as sleep } from 'node:timers/promises';
import { freePort, onFreePorts } from '../../support/free-port.js';
import { RealRedis, type Started, started } from './real-redis.js';

const SLOTS = 16_384;

/** How many masters share the slots. */
export const SHARDS = 3;

const shards = Array.from({ length: SHARDS }, (_, shard) => shard);

/** The slots that a shard begins with. */
function firstSlots(shard: number): readonly [first: number, last: number] {
  return [Math.floor((shard * SLOTS) / SHARDS), Math.floor(((shard + 1) * SLOTS) / SHARDS) - 1];
}

/** By what the servers of a Cluster know a shard. */
export function idOf(shard: number): string {
  return `${shard + 1}`.repeat(40);
}

/** What a server calls the master of a shard, from 1. */
export const HOST = /shard(\d)/;

function hostOf(shard: number): string {
  return `shard${shard + 1}`;
}

/** What a server of this shard knows of the Cluster when it starts. */
function nodes(own: number): string {
  const lines = shards.map((shard) => {
    // It talks to none of the others: each is told all that it is to know.
    const flags = shard === own ? 'myself,master' : 'master,noaddr';
    const slots = firstSlots(shard).join('-');
    return `${idOf(shard)} 127.0.0.1:6379@1,${hostOf(shard)} ${flags} - 0 0 ${shard + 1} connected ${slots}`;
  });
  return [...lines, `vars currentEpoch ${SHARDS} lastVoteEpoch 0`, ''].join('\n');
}

/** Longer than a server waits until it believes that its Cluster works, in milliseconds. */
const WAIT = 10_000;

/**
 * A real redis-server of a Redis Cluster, by itself: it redirects, and half moves slots, as all do, but what
 * becomes of the Cluster it learns of nobody but us. So each history of a seed is the same.
 */
export class RealShard extends RealRedis {
  /** The slots that may not be where they were in the beginning. */
  readonly #touched = new Set<number>();

  private constructor(
    started: Started,
    readonly shard: number,
    readonly port: number,
  ) {
    super(started);
  }

  static startOf(shard: number, shim: string): Promise<RealShard> {
    return onFreePorts(async () => {
      const [port, bus] = [await freePort(), await freePort()];
      const announced = ['--cluster-announce-ip', '127.0.0.1', '--cluster-announce-port', '6379'];
      const names = ['--cluster-announce-hostname', hostOf(shard)];
      const settings = [
        ...['--port', `${port}`, '--bind', '127.0.0.1', '--cluster-port', `${bus}`],
        ...['--cluster-enabled', 'yes', '--cluster-preferred-endpoint-type', 'hostname'],
        ...['--cluster-require-full-coverage', 'no', '--cluster-node-timeout', '1000000000000000'],
        ...announced,
        ...names,
      ];
      const files = { 'nodes.conf': nodes(shard) };
      const server = new RealShard(await started(shim, settings, files), shard, port);
      await server.run(0, ['HELLO', 3]);
      for (let now = WAIT, works = false; !works; now += WAIT) {
        await sleep(20);
        const { reply } = await server.run(now, ['CLUSTER', 'INFO']);
        works = String(reply).includes('cluster_state:ok');
      }
      await server.run(0, ['CONFIG', 'SET', 'hz', 1]);
      return server;
    });
  }

  /** To be told when something becomes of a slot. */
  touch(slot: number): void {
    this.#touched.add(slot);
  }

  override async clear(): Promise<void> {
    await super.clear();
    for (const slot of this.#touched) {
      const owner = shards.find((shard) => slot <= firstSlots(shard)[1])!;
      await this.run(0, ['CLUSTER', 'SETSLOT', slot, 'STABLE']);
      await this.run(0, ['CLUSTER', 'SETSLOT', slot, 'NODE', idOf(owner)]);
    }
    this.#touched.clear();
  }
}
