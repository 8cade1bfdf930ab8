import type { LockModuleOptions, LockService } from 'nestjs-lock';
import { PostgresBackend, type PostgresBackendOptions } from 'nestjs-lock/postgres';
import { eventually } from './eventually.js';
import { PostgresServer } from './postgres-server.js';
import { Scene } from './scene.js';
import type { TcpProxy } from './tcp-proxy.js';

/** A scene with PostgreSQL in it. */
export class PostgresScene extends Scene {
  async server(): Promise<PostgresServer> {
    const server = await PostgresServer.start();
    this.also(() => server.stop());
    return server;
  }

  /** A LockService, by the URL or more. */
  at(where: string | PostgresBackendOptions, options: LockModuleOptions = {}): LockService {
    const given = typeof where === 'string' ? { connectionString: where } : where;
    return this.service(new PostgresBackend(given), options);
  }
}

/** The way to a server through a network that fails. */
export function through(proxy: TcpProxy): string {
  return `postgres://postgres@127.0.0.1:${proxy.port}/postgres`;
}

/** Waits until so many stand in the queue. */
export async function queued(service: LockService, key: string, count: number): Promise<void> {
  await eventually(`${count} waiting for ${key}`, async () => {
    return (await service.inspect(key)).waiters === count;
  });
}
