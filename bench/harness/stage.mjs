// What the parent's side of a workload has at hand for one measurement of one contestant.
import { Actor } from './actor.mjs';
import { countEtcdRequests, countRedisCommands } from './command-count.mjs';

export class Stage {
  #servers;
  #workload;
  #scale;
  #counting;
  #actors = [];

  /**
   * @param {object} settings
   * @param {number} settings.scale how much of its full time a workload takes
   * @param {boolean} settings.counting whether this round is there to count commands
   */
  constructor({ servers, workload, contestant, scale, counting }) {
    this.#servers = servers;
    this.#workload = workload;
    this.contestant = contestant;
    this.#scale = scale;
    this.#counting = counting;
  }

  get servers() {
    return this.#servers;
  }

  /** So many milliseconds, or as many as there is time for. */
  time(ms, least = 100) {
    return Math.max(Math.min(ms, least), Math.round(ms * this.#scale));
  }

  /** So many things, or as many as there is time for. */
  size(count) {
    return this.#scale < 0.25 ? Math.ceil(count / 100) : count;
  }

  /** A child process in this role; resolves when it is ready. */
  async start(role, parameters = {}, execArgv = []) {
    const { redis, etcd } = this.#servers;
    const assignment = {
      file: this.#workload.file,
      role,
      contestant: this.contestant.id,
      env: { redis: redis.slice(0, this.contestant.nodes), etcd },
      parameters,
    };
    const actor = new Actor(assignment, 60_000, execArgv);
    this.#actors.push(actor);
    return actor.ready();
  }

  /** Runs `body`; `commands` is how many the clients sent meanwhile, in the counting round only. */
  count(body, counting = this.#counting) {
    const { store, nodes } = this.contestant;
    if (counting && store === 'redis') {
      return countRedisCommands(this.#servers.admins.slice(0, nodes), body);
    }
    if (counting && store === 'etcd') return countEtcdRequests(this.#servers.etcd, body);
    return body().then((result) => ({ result }));
  }

  async end() {
    await Promise.all(this.#actors.map((actor) => actor.end()));
    await this.#servers.clear();
  }
}
