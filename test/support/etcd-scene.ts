import { Logger } from '@nestjs/common';
import { Etcd3 } from 'etcd3';
import { type LockModuleOptions, LockService } from 'nestjs-lock';
import { EtcdBackend, type EtcdBackendOptions } from 'nestjs-lock/etcd';
import { EtcdCluster } from './etcd-cluster.js';
import { EtcdNetwork } from './etcd-network.js';
import { EtcdServer } from './etcd-server.js';
import { EtcdView } from './etcd-view.js';
import { TcpProxy } from './tcp-proxy.js';

/** Everything that a spec starts on etcd, and ends together. */
export class EtcdScene {
  readonly #endings: (() => Promise<void> | void)[] = [];

  constructor() {
    // Warnings are expected here by the hundred.
    Logger.overrideLogger(false);
  }

  async server(): Promise<EtcdServer> {
    const server = await EtcdServer.start();
    this.#endings.push(() => server.stop());
    return server;
  }

  async cluster(): Promise<EtcdCluster> {
    const cluster = await EtcdCluster.start(new EtcdNetwork());
    this.#endings.push(() => cluster.stop());
    return cluster;
  }

  async proxy(port: number): Promise<TcpProxy> {
    const proxy = await TcpProxy.start(port);
    this.#endings.push(() => proxy.stop());
    return proxy;
  }

  /** For the test's own questions, and for faults within a client. */
  client(hosts: string | string[]): Etcd3 {
    const client = new Etcd3({ hosts });
    this.#endings.push(() => {
      client.close();
    });
    return client;
  }

  view(hosts: string | string[]): EtcdView {
    return new EtcdView(this.client(hosts));
  }

  /** A LockService in this process: to etcd it is a process of its own. */
  service(where: EtcdBackendOptions, options: LockModuleOptions = {}): LockService {
    const service = new LockService({
      backend: new EtcdBackend(where),
      shutdownGrace: 0,
      ...options,
    });
    service.onModuleInit();
    this.#endings.push(() => service.close());
    return service;
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
