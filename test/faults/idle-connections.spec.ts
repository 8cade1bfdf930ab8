import { Locked, type LockService } from 'nestjs-lock';
import { RedisBackend, RedlockBackend } from 'nestjs-lock/redis';
import { EtcdScene } from '../support/etcd-scene.js';
import { eventually } from '../support/eventually.js';
import { startOneMaster } from '../support/one-master.js';
import { RedisView } from '../support/redis-view.js';
import { Scene } from '../support/scene.js';
import { subscriberLink, TcpProxy } from '../support/tcp-proxy.js';

/** A service, and the networks between it and its servers. */
interface Remote {
  readonly service: LockService;
  readonly proxies: readonly TcpProxy[];
}

/** It is known that its servers are quick: on a busy machine not after the first word. */
async function warm(service: LockService): Promise<void> {
  for (let times = 0; times < 10; times++) await service.withLock('warm', () => undefined);
}

/** A firewall, or a load balancer, forgets the connections there are; new ones work. */
function forget({ proxies }: Remote): void {
  for (const proxy of proxies) {
    const present = proxy.present();
    proxy.drop('requests', present);
    proxy.drop('replies', present);
  }
}

describe('connections that were forgotten on the way, while the servers are well', () => {
  const scene = new Scene();
  const etcd = new EtcdScene();
  const now = Date.now;

  afterEach(() => {
    Date.now = now;
  });

  afterAll(async () => {
    await scene.end();
    await etcd.end();
  });

  /** An hour passes for this process, as if the machine had slept. */
  function anHourLater(): void {
    const before = Date.now;
    Date.now = () => before() + 3_600_000;
  }

  const kinds: Record<string, (commandTimeout: string) => Promise<Remote>> = {
    Redis: async (commandTimeout) => {
      const proxy = await scene.proxy((await scene.redis()).port);
      const backend = new RedisBackend({ url: proxy.url, commandTimeout });
      return { service: scene.service(backend), proxies: [proxy] };
    },
    'a Cluster': async (commandTimeout) => {
      const proxy = await scene.proxy(0);
      const { port } = new URL(proxy.url);
      const server = await startOneMaster(['--cluster-announce-port', port]);
      scene.also(() => server.stop());
      proxy.lead(server.port);
      const backend = new RedisBackend({ cluster: [proxy.url], commandTimeout });
      return { service: scene.service(backend), proxies: [proxy] };
    },
    Redlock: async (commandTimeout) => {
      const servers = await Promise.all([scene.redis(), scene.redis(), scene.redis()]);
      const proxies = await Promise.all(servers.map(({ port }) => scene.proxy(port)));
      const nodes = proxies.map(({ url }) => url);
      return { service: scene.service(new RedlockBackend({ nodes, commandTimeout })), proxies };
    },
    etcd: async (commandTimeout) => {
      const proxy = await etcd.proxy((await etcd.server()).port);
      const hosts = proxy.url.replace('redis:', 'http:');
      return { service: etcd.service({ hosts, commandTimeout }), proxies: [proxy] };
    },
  };

  describe.each(Object.entries(kinds))('to %s', (_, open) => {
    it('do not keep the one attempt of tryAcquire from a free lock', async () => {
      const remote = await open('6s');
      await warm(remote.service);
      forget(remote);
      const lock = await remote.service.tryAcquire('k');
      expect(lock?.held).toBe(true);
      expect(await lock?.release()).toBe('released');
      expect((await remote.service.inspect('k')).holders).toEqual([]);
    });

    it('do not keep who waits from a free lock for a command timeout, after they were idle', async () => {
      // As much as the test may take: it is not waited for.
      const remote = await open('20s');
      await warm(remote.service);
      anHourLater();
      forget(remote);
      const lock = await remote.service.acquire('k', { wait: 15_000 });
      expect(lock.held).toBe(true);
      expect(await lock.release()).toBe('released');
    });
  });

  it('let a job that is due everywhere run once, night after night', async () => {
    const server = await scene.redis();
    const replicas = await Promise.all(
      [1, 2, 3].map(async (): Promise<Remote> => {
        const proxy = await scene.proxy(server.port);
        const service = scene.service(proxy.url);
        await warm(service);
        return { service, proxies: [proxy] };
      }),
    );
    let ran = 0;
    class Nightly {
      @Locked('report', { wait: 0, onBusy: 'skip', minHold: '1s' })
      async report(): Promise<void> {
        ran++;
      }
    }
    for (const night of [1, 2]) {
      for (const replica of replicas) forget(replica);
      await Promise.all(replicas.map(({ service }) => service.attach(new Nightly()).report()));
      expect(ran).toBe(night);
      const [first] = replicas;
      await eventually('it is free again', async () => {
        return (await first!.service.inspect('report')).holders.length === 0;
      });
    }
  });

  it('do not leave a waiter deaf: it listens anew', async () => {
    const server = await scene.redis();
    const proxy = await scene.proxy(server.port);
    const service = scene.service(proxy.url);
    await service.withLock('warm', () => undefined);
    await eventually('it listens', () => proxy.count(subscriberLink) === 1);
    const present = proxy.present();
    forget({ service, proxies: [proxy] });
    const lock = await service.tryAcquire('k');
    await eventually('it listens anew', () => {
      return proxy.count((link) => subscriberLink(link) && !present(link)) === 1;
    });
    expect(await lock!.release()).toBe('released');
    // What was forgotten is not asked for twice: there is nothing left of it.
    await new RedisView(scene.client(server.url)).untouched('k');
  });
});
