import { Logger } from '@nestjs/common';
import { Redis } from 'ioredis';
import { type LockBackend, type LockModuleOptions, LockService } from 'nestjs-lock';
import { RedisBackend } from 'nestjs-lock/redis';
import { ClockShim } from './clock-shim.js';
import { RedisServer } from './redis-server.js';
import { TcpProxy } from './tcp-proxy.js';
import { WorkerProcess } from './worker-process.js';
import type { WorkerSettings } from './worker.js';

/** How long a service waits for a lock, unless the spec says it, in milliseconds: machines may be slow. */
const PATIENCE = 30_000;

/** Everything that a spec starts, and ends together: servers, networks, processes, services. */
export class Scene {
  readonly #endings: (() => Promise<void> | void)[] = [];

  constructor() {
    // Warnings are expected here by the hundred.
    Logger.overrideLogger(false);
  }

  async redis(settings: readonly string[] = [], clock?: ClockShim): Promise<RedisServer> {
    const own = clock === undefined ? [] : ClockShim.SETTINGS;
    const server = await RedisServer.start([...settings, ...own], clock?.environment);
    this.#endings.push(() => server.stop());
    return server;
  }

  /** Ends something else that the spec has started. */
  also(ending: () => Promise<void> | void): void {
    this.#endings.push(ending);
  }

  clock(): ClockShim {
    const clock = ClockShim.build();
    this.#endings.push(() => {
      clock.remove();
    });
    return clock;
  }

  async proxy(port: number): Promise<TcpProxy> {
    const proxy = await TcpProxy.start(port);
    this.#endings.push(() => proxy.stop());
    return proxy;
  }

  /** For the test's own questions. */
  client(url: string): Redis {
    const client = new Redis(url);
    // It finds its server gone now and then, and comes back.
    client.on('error', () => undefined);
    this.#endings.push(() => {
      client.disconnect();
    });
    return client;
  }

  /** A LockService in this process: to Redis it is a process of its own. */
  service(where: string | LockBackend, options: LockModuleOptions = {}): LockService {
    const service = new LockService({
      backend: typeof where === 'string' ? new RedisBackend({ url: where }) : where,
      shutdownGrace: 0,
      wait: PATIENCE,
      ...options,
    });
    service.onModuleInit();
    this.#endings.push(() => service.close());
    return service;
  }

  /** A real process, with its resource on this Redis. Unless a test kills it, it must end with code 0. */
  async worker(url: string, settings: Partial<WorkerSettings> = {}): Promise<WorkerProcess> {
    const defaults = { locks: { redis: { url } }, resource: url, nest: true, grace: 0 };
    const worker = await WorkerProcess.start({ ...defaults, ...settings });
    this.#endings.push(() => worker.assertEndsWell());
    return worker;
  }

  /** Ends everything in the reverse order; throws what went wrong, but not before all has ended. */
  async end(): Promise<void> {
    const failures: unknown[] = [];
    for (const ending of this.#endings.reverse()) {
      try {
        await ending();
      } catch (error) {
        failures.push(error);
      }
    }
    if (failures.length > 0) throw new AggregateError(failures, failures.map(String).join('\n'));
  }
}
