import * as common from '@nestjs/common';
import * as core from '@nestjs/core';
import * as ioredis from 'ioredis';
import type { Lock, LockModuleOptions, LockOptions, LockService } from '../../lib/index.js';
import { ClockShim } from '../support/clock-shim.js';
import { Timeline } from './clock/timeline.js';
import { Network } from './network.js';
import { PackageLoader } from './package-loader.js';
import { RealRedis } from './redis/real-redis.js';
import { SimProcess } from './sim-process.js';
import { type Store, TOPOLOGIES, type TopologyName } from './topologies.js';

/** A process with a LockService. */
export interface Actor {
  readonly process: SimProcess;
  readonly service: LockService;
}

/** A history of which each step is written down in a test, and measured to the millisecond. */
export class Stage {
  readonly timeline = new Timeline(1, () => undefined);
  readonly network = new Network(this.timeline);
  readonly #actors: Actor[] = [];
  readonly store: Store;

  private constructor(
    topology: TopologyName,
    private readonly backstage: Backstage,
    servers: readonly RealRedis[],
  ) {
    const { timeline, network } = this;
    // Each message takes the same time, so that what is measured can be said exactly.
    network.lateness = 0;
    this.store = TOPOLOGIES[topology].build({ timeline, network, servers });
  }

  static async open(topology: TopologyName, backstage: Backstage): Promise<Stage> {
    const servers = await backstage.servers(TOPOLOGIES[topology].servers);
    return new Stage(topology, backstage, servers);
  }

  get now(): number {
    return this.timeline.now;
  }

  actor(options: Omit<LockModuleOptions, 'backend'> = {}): Actor {
    const process = new SimProcess(
      `p${this.#actors.length + 1}`,
      this.timeline,
      this.backstage.loader,
    );
    const backend = this.store.connect(process);
    const actor = { process, service: new process.package.LockService({ backend, ...options }) };
    this.#actors.push(actor);
    return actor;
  }

  /** Its process is gone, and its connections with it. */
  kill({ process }: Actor): void {
    process.kill();
    for (const client of this.network.clients) if (client.process === process) client.dies();
  }

  /** Lets time pass until this has come about. @throws Error when nothing happens any more */
  async until<T>(promise: Promise<T>, most = 3_600_000): Promise<T> {
    let outcome: { value: T } | { error: unknown } | undefined;
    promise.then(
      (value) => (outcome = { value }),
      (error: unknown) => (outcome = { error }),
    );
    const end = this.now + most;
    await new Promise((resolve) => setImmediate(resolve));
    while (outcome === undefined) {
      if (!(await this.timeline.next(end))) throw new Error(`it does not come within ${most} ms`);
    }
    if ('error' in outcome) throw outcome.error;
    return outcome.value;
  }

  /** Lets so many milliseconds pass. */
  async pass(ms: number): Promise<void> {
    const end = this.now + ms;
    while (await this.timeline.next(end));
  }

  /** How many milliseconds it takes. */
  async timed(promise: Promise<unknown>): Promise<number> {
    const start = this.now;
    await this.until(promise);
    return this.now - start;
  }

  acquire({ service }: Actor, key: string, options?: LockOptions): Promise<Lock> {
    return this.until(service.acquire(key, options));
  }

  async close(): Promise<void> {
    await this.until(
      Promise.all(
        this.#actors.filter(({ process }) => !process.isDead).map(({ service }) => service.close()),
      ),
    );
    for (const { process } of this.#actors) process.kill();
  }
}

/** What all stages of a file have in common. */
export class Backstage {
  readonly loader = new PackageLoader(process.cwd(), [], {
    '@nestjs/common': common,
    '@nestjs/core': core,
    ioredis,
  });
  #shim: ClockShim | undefined;
  readonly #servers: RealRedis[] = [];

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
