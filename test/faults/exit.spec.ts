import { freePort } from '../support/free-port.js';
import { RedisView } from '../support/redis-view.js';
import { Scene } from '../support/scene.js';

// Each worker must end with code 0, so without an unhandled rejection; without process.exit().
describe.each([
  ['a Nest application', true],
  ['a LockService alone', false],
])('the process of %s exits by itself after close()', (_, nest) => {
  const scene = new Scene();

  afterAll(() => scene.end());

  it.concurrent('when nothing is under way', async () => {
    const server = await scene.redis();
    const worker = await scene.worker(server.url, { nest });
    await worker.call('acquire', 'lock', 'exit');
    await worker.call('release', 'lock');
    await worker.close();
    expect(await worker.ended).toEqual({ code: 0, signal: null });
  });

  it.concurrent('with a lock in its hands and callers in the queue', async () => {
    const server = await scene.redis();
    const view = new RedisView(scene.client(server.url));
    const other = scene.service(server.url);
    const busy = await other.acquire('exit: busy');
    const worker = await scene.worker(server.url, { nest, grace: 300 });
    await worker.call('acquire', 'lock', 'exit: held');
    const told = [1, 2].map(() => worker.call('acquire', 'never', 'exit: busy'));
    const refused = Promise.all(
      told.map((one) => expect(one).rejects.toMatchObject({ name: 'LockShutdownError' })),
    );
    await view.queued('exit: busy', 1);
    const loss = worker.look('lost', 'lock');

    await worker.close();
    await refused;
    expect(await loss).toMatchObject({ reason: 'shutdown' });
    expect(await worker.ended).toEqual({ code: 0, signal: null });
    await view.untouched('exit: held');
    expect(await view.waiters('exit: busy')).toBe(0);
    await busy.release();
  });

  it.concurrent('when Redis was never there', async () => {
    const worker = await scene.worker(`redis://127.0.0.1:${await freePort()}`, { nest });
    const asked = worker.call('acquire', 'lock', 'exit', { wait: 300 });
    await expect(asked).rejects.toMatchObject({ name: 'LockBackendError' });
    // Nothing is held and nothing was sent: there is nothing to try.
    await worker.close();
    expect(await worker.ended).toEqual({ code: 0, signal: null });
  });

  it.concurrent('when Redis died meanwhile, with a lock in its hands', async () => {
    const server = await scene.redis();
    const worker = await scene.worker(server.url, { nest, grace: 300 });
    await worker.call('acquire', 'lock', 'exit', { ttl: 1_000 });
    const waiting = worker.call('acquire', 'never', 'exit', { wait: 20_000 });
    const told = Promise.allSettled([waiting]);
    const loss = worker.look('lost', 'lock');
    await server.kill();
    expect(await loss).toMatchObject({ held: false, reason: 'backend' });
    await worker.close();
    expect(await told).toMatchObject([{ reason: { name: 'LockShutdownError' } }]);
    expect(await worker.ended).toEqual({ code: 0, signal: null });
  });

  it.concurrent('when Redis is frozen', async () => {
    const server = await scene.redis();
    const worker = await scene.worker(server.url, { nest, grace: 300 });
    await worker.call('acquire', 'lock', 'exit');
    server.freeze();
    await worker.close();
    expect(await worker.ended).toEqual({ code: 0, signal: null });
  });
});
