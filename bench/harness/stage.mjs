// What the parent's side of a workload has at hand for one contestant, over all rounds.
import { Actor } from './actor.mjs';
import { countEtcdRequests, countRedisCommands } from './command-count.mjs';
import { countStatements } from './postgres.mjs';

export class Stage {
  #file;
  #lasts;
  #patience;
  #scale;
  #counting = false;
  #actors = [];
  #lasting;

  /** @param {number} settings.scale how much of its full time a workload takes */
  constructor({ servers, workload, contestant, scale }) {
    this.servers = servers;
    this.contestant = contestant;
    this.#file = workload.file;
    this.#lasts = workload.lasts ?? true;
    this.#patience = workload.patience ?? 60_000;
    this.#scale = scale;
  }

  /** So many milliseconds, or as many as there is time for. */
  time(ms, least = 100) {
    return Math.max(Math.min(ms, least), Math.round(ms * this.#scale));
  }

  /** So many things, or as many as there is time for. */
  size(count) {
    return this.#scale < 0.25 ? Math.ceil(count / 100) : count;
  }

  /** A child process in this role, for this round; resolves when it is ready. */
  start(role, parameters = {}, execArgv = []) {
    const actor = this.#fork(role, parameters, execArgv);
    this.#actors.push(actor);
    return actor.ready();
  }

  /**
   * Child processes that stay for the rounds to come, as Node takes seconds to compile what it runs
   * often. They must be idle between the rounds.
   * @returns {{ actors: Actor[], fresh: boolean }} fresh: they need to be warmed up
   */
  async lasting(role, parameters, count = 1) {
    const fresh = this.#lasting === undefined;
    this.#lasting ??= Array.from({ length: count }, () => this.#fork(role, parameters));
    if (fresh) await Promise.all(this.#lasting.map((actor) => actor.ready()));
    return { actors: this.#lasting, fresh };
  }

  /** Ends those that were to last. */
  async dismiss() {
    await Promise.all((this.#lasting ?? []).map((actor) => actor.end()));
    this.#lasting = undefined;
  }

  /** Runs `body`; `commands` is how many the clients sent meanwhile, in the counting round only. */
  async count(body, counting = this.#counting) {
    const { store, nodes } = this.contestant;
    if (counting && store === 'redis') {
      return countRedisCommands(this.servers.admins.slice(0, nodes), body);
    }
    if (counting && store === 'etcd') return countEtcdRequests(this.servers.etcd, body);
    if (counting && store === 'postgres') return countStatements(this.servers.postgres, body);
    return { result: await body() };
  }

  /** Plays one round. */
  async round(measure, counting) {
    this.#counting = counting;
    try {
      return await measure(this);
    } catch (error) {
      await this.dismiss();
      throw error;
    } finally {
      await Promise.all(this.#actors.splice(0).map((actor) => actor.end()));
      if (!this.#lasts) {
        await this.dismiss();
        await this.servers.clear();
      }
    }
  }

  #fork(role, parameters, execArgv = []) {
    const { redis, etcd, postgres } = this.servers;
    const { id, nodes } = this.contestant;
    const env = { redis: redis.slice(0, nodes), etcd, postgres: postgres.url };
    return new Actor(
      { file: this.#file, role, contestant: id, env, parameters },
      this.#patience,
      execArgv,
    );
  }
}
