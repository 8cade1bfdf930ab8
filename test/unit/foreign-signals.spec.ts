import { LockedStream, LockService } from 'nestjs-lock';
import { ForeignAbortController } from '../support/foreign-signal.js';

let locks: LockService;
const { AbortController: nodes } = globalThis;

beforeEach(() => {
  locks = new LockService({ shutdownGrace: 0 });
});

afterEach(async () => {
  globalThis.AbortController = nodes;
  await locks.close();
});

it('a signal of another class than ours ends the waiting', async () => {
  const lock = await locks.acquire('k', { signal: new ForeignAbortController().signal });
  const controller = new ForeignAbortController();
  const waiting = locks.acquire('k', { signal: controller.signal });
  const web = locks.manager().request('k', { signal: controller.signal }, () => undefined);
  controller.abort('enough');
  await expect(waiting).rejects.toBe('enough');
  await expect(web).rejects.toBe('enough');
  await lock.release();
});

it('where the global class is another all goes on', async () => {
  const before = await locks.acquire(['a', 'b']);
  globalThis.AbortController = ForeignAbortController;
  class Feed {
    @LockedStream('feed')
    async *all(): AsyncGenerator<number> {
      yield await Promise.resolve(1);
    }
  }
  const busy = await locks.acquire('feed');
  const first = locks.attach(new Feed()).all().next();
  await busy.release();
  await expect(first).resolves.toEqual({ done: false, value: 1 });
  const leadership = locks.leader('boss');
  await new Promise((resolve) => leadership.onElected(resolve));
  const signals = [before.signal, before.revocation];
  await locks.forceRelease('b');
  expect(signals.map(({ aborted }) => aborted)).toEqual([true, false]);
  await before.release();
});

it('a signal that cannot be listened to fails its caller, and leaves nothing behind', async () => {
  const lock = await locks.acquire('k');
  const { signal } = new ForeignAbortController();
  signal.addEventListener = () => {
    throw new TypeError('no listeners');
  };
  await expect(locks.acquire('k', { signal })).rejects.toThrow('no listeners');
  await expect(locks.acquire(['j', 'k'], { signal })).rejects.toThrow('no listeners');
  await expect(locks.inspect('k')).resolves.toMatchObject({ waiters: 0 });
  await lock.release();
  await expect(locks.tryAcquire(['j', 'k'])).resolves.not.toBeNull();
});
