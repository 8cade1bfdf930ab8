import { once } from 'node:events';
import type { Lock, LockService } from 'nestjs-lock';
import { eventually } from '../support/eventually.js';
import { startQuorum } from '../support/quorum.js';
import type { RedisServer } from '../support/redis-server.js';
import { Scene } from '../support/scene.js';
import { type LinkFilter, subscriberLink, type TcpProxy } from '../support/tcp-proxy.js';

/** For a renewal, and what it takes to find out that nothing is heard, in milliseconds. */
const SOON = 25_000;

/** What it listens on dies without a word, and the server goes on counting it. */
describe('a holder whose subscriber has gone silent', () => {
  const scene = new Scene();
  let server: RedisServer;
  let operator: LockService;

  beforeAll(async () => {
    server = await scene.redis();
    operator = scene.service(server.url);
  });

  afterAll(() => scene.end());

  it.concurrent('of a quorum is told of what is asked next at once', async () => {
    const { backend, nodes } = await startQuorum(scene);
    const lock = await scene.service(backend()).acquire('k', { ttl: 6_000 });
    const networks = nodes.map(({ network }) => network);
    await eventually('subscribed', () =>
      networks.every((network) => network.count(subscriberLink) === 1),
    );
    networks.forEach(silence);
    const links = networks.map((network) => network.links);
    await eventually('it listens anew', () =>
      networks.every((network, index) => network.links > links[index]!),
    );
    await eventually('subscribed', () =>
      networks.every((network) => network.count(subscriberLink) === 1),
    );
    const other = scene.service(backend());
    expect(await other.revoke('k', { grace: '1m' })).toBe(1);
    await eventually('it heard', () => lock.revocation.aborted);
    await lock.release();
  });

  /** A holder, and the network before it, of which one link is silent. */
  async function deafened(key: string): Promise<{ lock: Lock; proxy: TcpProxy }> {
    const proxy = await scene.proxy(server.port);
    const service = scene.service(proxy.url);
    const lock = await service.acquire(key, { ttl: 6_000 });
    await eventually('subscribed', () => proxy.count(subscriberLink) === 1);
    silence(proxy);
    return { lock, proxy };
  }

  function silence(proxy: TcpProxy): void {
    const present = proxy.present();
    const which: LinkFilter = (link) => present(link) && subscriberLink(link);
    proxy.drop('requests', which);
    proxy.drop('replies', which);
  }

  it.concurrent('learns of a revocation that was sent meanwhile', async () => {
    const { lock } = await deafened('revoked');
    const revoked = once(lock.revocation, 'abort', { signal: AbortSignal.timeout(SOON) });
    expect(await operator.revoke('revoked', { reason: 'moving out', grace: '1m' })).toBe(1);
    await revoked;
    expect(lock.held).toBe(true);
    expect(await lock.release()).toBe('released');
  });

  it.concurrent('learns of it when the connection is cut in the end', async () => {
    const { lock, proxy } = await deafened('cut');
    expect(await operator.revoke('cut', { reason: 'moving out', grace: '1m' })).toBe(1);
    const revoked = once(lock.revocation, 'abort', { signal: AbortSignal.timeout(SOON) });
    proxy.cut(subscriberLink);
    await revoked;
    await lock.release();
  });

  it.concurrent('is told of what is asked next at once', async () => {
    const { lock, proxy } = await deafened('again');
    const links = proxy.links;
    await eventually('it listens anew', () => proxy.links > links);
    await eventually('subscribed', () => proxy.count(subscriberLink) === 1);
    expect(await operator.revoke('again', { grace: '1m' })).toBe(1);
    await eventually('it heard', () => lock.revocation.aborted);
    await lock.release();
  });
});
