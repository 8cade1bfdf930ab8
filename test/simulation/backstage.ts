import { ClockShim } from '../support/clock-shim.js';
import { PackageLoader, type Surroundings } from './package-loader.js';
import { RealRedis } from './redis/real-redis.js';
import { TOPOLOGIES, type TopologyName } from './topologies.js';

/** What all histories of a process have in common: the package, and real servers. */
export class Backstage {
  readonly loader: PackageLoader;
  #shim: ClockShim | undefined;
  readonly #servers: RealRedis[] = [];

  /** @param modules packages that are loaded already, see PackageLoader */
  constructor(modules: Surroundings['modules'] = {}) {
    this.loader = new PackageLoader(process.cwd(), [], modules);
  }

  async for(topology: TopologyName) {
    return { loader: this.loader, servers: await this.servers(TOPOLOGIES[topology].servers) };
  }

  /** So many servers, empty. */
  async servers(count: number): Promise<readonly RealRedis[]> {
    while (this.#servers.length < count) {
      this.#shim ??= ClockShim.build();
      this.#servers.push(await RealRedis.start(this.#shim.library));
    }
    const servers = this.#servers.slice(0, count);
    for (const server of servers) await server.clear();
    return servers;
  }

  close(): void {
    for (const server of this.#servers) server.stop();
    this.#shim?.remove();
  }
}
