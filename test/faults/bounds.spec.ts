import { LockBackendError, type LockService } from 'nestjs-lock';
import { freePort } from '../support/free-port.js';
import { machineTime } from '../support/history.js';
import { RedisView } from '../support/redis-view.js';
import { Scene } from '../support/scene.js';

/** How long `tryAcquire` lets a backend hang, in milliseconds. */
const ATTEMPT = 2_000;

// How exactly they hold is asserted in simulated time.
describe('bounds', () => {
  const scene = new Scene();

  afterAll(() => scene.end());

  /** Every way to ask rejects, with the right error, and not before its time. */
  async function assertBounded(service: LockService, key: string): Promise<void> {
    const start = machineTime();
    const rejects = async (what: string, asked: Promise<unknown>, bound: number) => {
      const error = await asked.then(
        () => 'granted',
        (reason: unknown) => reason,
      );
      expect({ what, error }).toEqual({ what, error: expect.any(LockBackendError) as unknown });
      expect(machineTime() - start).toBeGreaterThan(bound - 5);
    };
    await Promise.all([
      rejects('the first caller', service.acquire(key, { wait: 500 }), 500),
      rejects('the second in line', service.acquire(key, { wait: 500 }), 500),
      rejects(
        'a body',
        service.withLock(key, { wait: 700 }, () => 'ran'),
        700,
      ),
      rejects('one attempt', service.tryAcquire(key), ATTEMPT),
      rejects('no wait', service.acquire(key, { wait: 0 }), ATTEMPT),
      rejects('another key', service.acquire(`${key} too`, { wait: 300 }), 300),
    ]);
  }

  it.concurrent('hold when nothing listens', async () => {
    const service = scene.service(`redis://127.0.0.1:${await freePort()}`);
    await assertBounded(service, 'nobody there');
    await assertBounded(service, 'still nobody there');
  });

  it.concurrent('hold when a server accepts and never answers', async () => {
    const server = await scene.redis();
    const proxy = await scene.proxy(server.port);
    proxy.drop('replies');
    const service = scene.service(proxy.url);
    await assertBounded(service, 'mute');
    await assertBounded(service, 'still mute');
  });

  it.concurrent('hold when the server freezes, and all is well when it goes on', async () => {
    const server = await scene.redis();
    const service = scene.service(server.url);
    await service.withLock('warm up', () => undefined);
    server.freeze();
    await assertBounded(service, 'frozen');
    const late = scene.service(server.url);
    await assertBounded(late, 'frozen from the start');
    server.thaw();
    // What still reached the server was void or was taken back.
    const view = new RedisView(scene.client(server.url));
    for (const key of ['frozen', 'frozen too', 'frozen from the start']) {
      await view.untouched(key);
      await service.withLock(key, () => undefined);
    }
  });

  it.concurrent('hold when the server dies while callers wait', async () => {
    const server = await scene.redis();
    const view = new RedisView(scene.client(server.url));
    const [holder, service] = [scene.service(server.url), scene.service(server.url)];
    await holder.acquire('dies');
    const waiting = [1_500, 1_500].map((wait) =>
      service.acquire('dies', { wait }).catch((error: unknown) => error),
    );
    await view.queued('dies', 1);
    await server.kill();
    for (const error of await Promise.all(waiting)) expect(error).toBeInstanceOf(LockBackendError);
  });
});
