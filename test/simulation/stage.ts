import * as common from '@nestjs/common';
import * as core from '@nestjs/core';
import * as ioredis from 'ioredis';
import type { Lock, LockModuleOptions, LockOptions, LockService } from '../../lib/index.js';
import { Backstage } from './backstage.js';
import { Timeline } from './clock/timeline.js';
import { type Direction, Network } from './network.js';
import type { RealRedis } from './redis/real-redis.js';
import { DRIFT, SimProcess } from './sim-process.js';
import type { SimServer } from './sim-server.js';
import { type Store, TOPOLOGIES, type TopologyName } from './topologies.js';

/** A process with a LockService. */
export interface Actor {
  readonly process: SimProcess;
  readonly service: LockService;
}

/** What came of a call: `done`, or the name of its error. */
export interface End {
  readonly outcome: string;
  /** In milliseconds. */
  readonly took: number;
}

/** What a question and its answer, and what follows at once, are on their way for at most, in milliseconds. */
const WAY = 3;

/** What so many milliseconds of a process are at most: its clock may be slow, and messages are on their way. */
export function atMost(ms: number): number {
  return ms / (1 - DRIFT) + WAY;
}

/** What so many milliseconds of a process are at least: its clock may be fast. */
export function atLeast(ms: number): number {
  return ms / (1 + DRIFT);
}

/** A history of which each step is written down in a test, and measured to the millisecond. */
export class Stage {
  readonly timeline: Timeline;
  readonly network: Network;
  readonly #actors: Actor[] = [];
  readonly store: Store;

  private constructor(
    topology: TopologyName,
    private readonly backstage: Backstage,
    private readonly servers: readonly RealRedis[],
    seed: number,
  ) {
    const timeline = (this.timeline = new Timeline(seed, () => undefined));
    const network = (this.network = new Network(timeline));
    // Messages are quick, so that what is measured can be said exactly.
    network.lateness = 0;
    this.store = TOPOLOGIES[topology].build({ timeline, network, servers });
  }

  /** @param seed of what is random: how fast clocks run, and what the package draws */
  static async open(topology: TopologyName, backstage: Backstage, seed = 1): Promise<Stage> {
    const servers = await backstage.servers(topology);
    return new Stage(topology, backstage, servers, seed);
  }

  get now(): number {
    return this.timeline.now;
  }

  /** How many commands clients have sent to real servers so far. */
  get commands(): number {
    return this.servers.reduce((sum, { commands }) => sum + commands, 0);
  }

  /** One that has locked before, so that it is connected. */
  async warm(options?: Omit<LockModuleOptions, 'backend'>): Promise<Actor> {
    const actor = this.actor(options);
    await this.until(actor.service.withLock('warm', () => undefined));
    await this.pass(1_000);
    return actor;
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
    for (const client of this.network.connectionsOf(process)) client.dies();
  }

  /** The servers stand still for so long. */
  freeze(ms: number, servers: readonly SimServer[] = this.store.nodes): void {
    for (const server of servers) server.freeze(ms);
  }

  /** What is on its way there, or from there, is lost for so long. */
  lose(
    { process }: Actor,
    direction: Direction,
    ms: number,
    servers: readonly SimServer[] = this.store.nodes,
  ): void {
    for (const server of servers) this.network.lose(process, server, direction, ms);
  }

  /** Its connections break. */
  break({ process }: Actor): void {
    for (const client of this.network.connectionsOf(process)) client.breaks();
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

  /** What comes of it, and when. */
  async end(promise: Promise<unknown>): Promise<End> {
    const start = this.now;
    const outcome = await promise.then(
      () => 'done',
      (error: unknown) => (error as Error).name,
    );
    return { outcome, took: this.now - start };
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

/** What the stages of a file have in common, with the packages that Jest has loaded. */
export function openBackstage(): Backstage {
  return new Backstage({ '@nestjs/common': common, '@nestjs/core': core, ioredis });
}
