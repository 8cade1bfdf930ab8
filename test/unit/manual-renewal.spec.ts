import { jest } from '@jest/globals';
import { LockBackendError, LockService } from 'nestjs-lock';
import { never, ScriptedBackend } from '../support/scripted-backend.js';

const TTL = 3_000;
/** For so long after it was asked for, a lease of TTL may be believed in. */
const VALID = TTL - TTL / 100;

describe('renew() of a lock that does not renew itself', () => {
  let backend: ScriptedBackend;
  let locks: LockService;

  beforeEach(() => {
    jest.useFakeTimers({
      doNotFake: ['nextTick', 'queueMicrotask', 'setImmediate', 'clearImmediate'],
    });
    backend = new ScriptedBackend();
    locks = new LockService({ backend, ttl: TTL, renew: false, shutdownGrace: 0 });
  });

  afterEach(async () => {
    const closing = locks.close();
    await pass(5_000);
    await closing;
    jest.useRealTimers();
  });

  const pass = (ms: number) => jest.advanceTimersByTimeAsync(ms);

  /** The next renewal is answered so, and all others well. */
  function answerOnce(answer: () => Promise<boolean[]>): void {
    const { renew } = backend;
    backend.renew = () => {
      backend.renew = renew;
      return answer();
    };
  }

  it('that fails is not followed by others', async () => {
    const lock = await locks.acquire('k');
    answerOnce(() => Promise.reject(new Error('connection refused')));
    await expect(lock.renew()).rejects.toBeInstanceOf(LockBackendError);
    await pass(VALID - 1);
    expect([lock.held, backend.asked.renew.length]).toEqual([true, 1]);
    await pass(1);
    expect(lock.held).toBe(false);
    await pass(TTL);
    expect(backend.asked.renew).toHaveLength(1);
  });

  it('that hangs is not followed by others', async () => {
    const lock = await locks.acquire('k');
    answerOnce(() => never);
    void lock.renew();
    await pass(VALID);
    expect([lock.held, backend.asked.renew.length]).toEqual([false, 1]);
    await pass(TTL);
    expect(backend.asked.renew).toHaveLength(1);
  });

  it('that succeeds when another has failed gives its ttl, and no more', async () => {
    const lock = await locks.acquire('k');
    answerOnce(() => Promise.reject(new Error('connection refused')));
    await expect(lock.renew()).rejects.toBeInstanceOf(LockBackendError);
    await pass(1_000);
    await lock.renew();
    expect(lock.remaining).toBe(VALID);
    await pass(TTL);
    expect([lock.held, backend.asked.renew.length]).toEqual([false, 2]);
  });
});
