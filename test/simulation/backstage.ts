import { ClockShim } from '../support/clock-shim.js';
import { PackageLoader, type Surroundings } from './package-loader.js';
import { RealRedis } from './redis/real-redis.js';
import { RealShard, SHARDS } from './redis/real-shard.js';
import { TOPOLOGIES, type Topology, type TopologyName } from './topologies.js';

/** What all histories of a process have in common: the package, and real servers. */
export class Backstage {
  readonly loader: PackageLoader;
  #shim: ClockShim | undefined;
  readonly #singles: RealRedis[] = [];
  readonly #shards: RealShard[] = [];

  /** @param modules packages that are loaded already, see PackageLoader */
  constructor(modules: Surroundings['modules'] = {}) {
    this.loader = new PackageLoader(process.cwd(), [], modules);
  }

  async for(topology: TopologyName) {
    return { loader: this.loader, servers: await this.servers(topology) };
  }

  /** Those of a topology, empty. */
  async servers(topology: TopologyName): Promise<readonly RealRedis[]> {
    const { servers: count, ofCluster } = TOPOLOGIES[topology] as Topology;
    const all = ofCluster ? this.#shards : this.#singles;
    while (all.length < count) {
      this.#shim ??= ClockShim.build();
      const { library } = this.#shim;
      if (ofCluster) this.#shards.push(await RealShard.startOf(all.length % SHARDS, library));
      else this.#singles.push(await RealRedis.start(library));
    }
    const servers = all.slice(0, count);
    for (const server of servers) await server.clear();
    return servers;
  }

  close(): void {
    for (const server of [...this.#singles, ...this.#shards]) server.stop();
    this.#shim?.remove();
  }
}
