import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { AsyncLocalStorage } from 'node:async_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { alarm, Deadline } from '../../lib/time/clock.js';
import { LockService, MemoryBackend } from '../../lib/index.js';
import { ScriptedBackend } from '../support/scripted-backend.js';

const HOUR = 3_600_000;

/** What comes of it, or that it does not come, by real timers. */
async function soon<T>(promise: Promise<T>): Promise<T> {
  const late = async () => {
    await sleep(5_000, undefined, { ref: false });
    throw new Error('still pending');
  };
  return Promise.race([promise, late()]);
}

afterEach(() => {
  jest.useRealTimers();
});

describe('alarms, together', () => {
  beforeEach(() => {
    jest.useFakeTimers({ doNotFake: ['nextTick', 'queueMicrotask'] });
  });

  it('ring in the order of their deadlines, whoever leaves meanwhile, on one timer', () => {
    const rung: number[] = [];
    const all = Array.from({ length: 500 }, (_, index) => {
      const after = (index * 7919) % 1009;
      return { after, off: alarm(Deadline.in(after), () => rung.push(after)) };
    });
    const [stay, leave] = [all.filter((_, i) => i % 3 > 0), all.filter((_, i) => i % 3 === 0)];
    for (const { off } of leave) off();
    expect(jest.getTimerCount()).toBe(1);
    jest.advanceTimersByTime(2_000);
    expect(rung).toEqual(stay.map(({ after }) => after).sort((one, other) => one - other));
  });

  it('ring one after the other although one of them throws', () => {
    const ring = jest.fn();
    alarm(Deadline.in(10), () => {
      throw new Error('own');
    });
    alarm(Deadline.in(10), ring);
    expect(() => jest.advanceTimersByTime(10)).toThrow('own');
    jest.advanceTimersByTime(1);
    expect(ring).toHaveBeenCalledTimes(1);
  });

  it('ring soon after the machine slept, also those that were set before and were due later', () => {
    const rung: string[] = [];
    alarm(Deadline.in(HOUR), () => rung.push('before'));
    const off = alarm(Deadline.in(10 * HOUR), () => rung.push('later'));
    jest.setSystemTime(Date.now() + HOUR);
    alarm(Deadline.in(10_000), () => rung.push('after'));
    jest.advanceTimersByTime(1_000);
    expect(rung).toEqual(['before']);
    jest.advanceTimersByTime(9_000);
    expect(rung).toEqual(['before', 'after']);
    off();
  });

  it('do not ring for what never comes', () => {
    const ring = jest.fn();
    const off = alarm(Deadline.in(Infinity), ring, true);
    jest.advanceTimersByTime(1_000 * HOUR);
    expect(ring).not.toHaveBeenCalled();
    off();
  });
});

describe('a caller that waits', () => {
  const keptAlive = () =>
    process.getActiveResourcesInfo().filter((resource) => resource === 'Timeout').length;

  it.each([Infinity, 60_000])('keeps the process from exiting, for %d ms', async (wait) => {
    const backend = new ScriptedBackend();
    backend.acquire = () => new Promise(() => undefined);
    const locks = new LockService({ backend, shutdownGrace: 0 });
    const leaving = new AbortController();
    const before = keptAlive();
    const waiting = locks.acquire('k', { wait, signal: leaving.signal });
    expect(keptAlive()).toBe(before + 1);
    leaving.abort();
    await expect(waiting).rejects.toBe(leaving.signal.reason);
    expect(keptAlive()).toBe(before);
    await locks.close();
  });
});

describe('fake timers that fake everything', () => {
  it('that are gone take no alarm with them', async () => {
    jest.useFakeTimers();
    const off = alarm(Deadline.in(HOUR), () => undefined);
    jest.useRealTimers();
    const ringing = new Promise((resolve) => alarm(Deadline.in(1), () => resolve('rang'), true));
    await expect(soon(ringing)).resolves.toBe('rang');
    off();
  });

  it('drive alarms that were set before them', () => {
    const ring = jest.fn();
    alarm(Deadline.in(HOUR), ring);
    jest.useFakeTimers();
    alarm(Deadline.in(1), () => undefined);
    jest.advanceTimersByTime(HOUR);
    expect(ring).toHaveBeenCalledTimes(1);
  });

  it('let a lock be renewed, and a refusal be told', async () => {
    jest.useFakeTimers();
    const locks = new LockService({ shutdownGrace: 0 });
    const lock = await soon(locks.acquire('k'));
    await expect(soon(locks.acquire('k', { limit: 2, wait: 0 }))).rejects.toThrow('limit');
    await soon(lock.renew());
    await soon(lock.release());
    await soon(locks.close());
  });

  it('leave it to real ones to renew the locks of the next test', async () => {
    const backend = new MemoryBackend();
    const locks = new LockService({ backend, ttl: 3_000, shutdownGrace: 0 });
    jest.useFakeTimers();
    await (await locks.acquire('k')).release();
    jest.useRealTimers();
    const lock = await locks.acquire('k');
    const renewed = async () => {
      let before = Infinity;
      while (lock.held && lock.remaining <= before) {
        before = lock.remaining;
        await sleep(20);
      }
      return lock.held;
    };
    expect(await renewed()).toBe(true);
    await lock.release();
    await locks.close();
  });
});

describe('contexts of users', () => {
  const requests = new AsyncLocalStorage<string>();
  const objects = new AsyncLocalStorage<object>();
  const contextOfAlarmIn = (ms: number) =>
    new Promise((resolve) => alarm(Deadline.in(ms), () => resolve(requests.getStore()), true));
  const contextOfAbort = (signal: AbortSignal) =>
    new Promise((resolve) => {
      signal.addEventListener('abort', () => resolve(requests.getStore()));
    });

  it('are not those of alarms', async () => {
    const seen = await requests.run('one', () =>
      Promise.all([contextOfAlarmIn(1), contextOfAlarmIn(5)]),
    );
    expect(seen).toEqual([undefined, undefined]);
  });

  it('are not those of renewals, of connections, nor of who is told of a loss', async () => {
    const backend = new MemoryBackend();
    const seenIn: unknown[] = [];
    const connect = backend.connect.bind(backend);
    backend.connect = (process) => {
      seenIn.push(requests.getStore());
      const connection = connect(process);
      const renew = connection.renew.bind(connection);
      connection.renew = (leases) => {
        seenIn.push(requests.getStore());
        return renew(leases);
      };
      return connection;
    };
    const locks = new LockService({ backend, ttl: 300, shutdownGrace: 0 });
    const toldIn = await requests.run('one', async () => {
      const lock = await locks.acquire('k', { maxHold: 250 });
      await lock.renew();
      return contextOfAbort(lock.signal);
    });
    expect(toldIn).toBeUndefined();
    expect(seenIn.length).toBeGreaterThan(1);
    expect(new Set(seenIn)).toEqual(new Set([undefined]));
    await locks.close();
  });

  it('are not kept alive by locks that are held, or were waited for', async () => {
    const locks = new LockService({ ttl: '30s', shutdownGrace: 0 });
    const gone: WeakRef<object>[] = [];
    const inRequest = <T>(body: () => Promise<T>): Promise<T> => {
      const request = {};
      gone.push(new WeakRef(request));
      return objects.run(request, body);
    };
    const held = await inRequest(() => locks.acquire('held'));
    await Promise.all([
      inRequest(() => locks.acquire('held', { wait: 50 }).catch(() => undefined)),
      inRequest(() => locks.withLock('k', () => sleep(150))),
    ]);
    await inRequest(() => held.renew());
    await sleep(1);
    setFlagsFromString('--expose-gc');
    (runInNewContext('gc') as () => void)();
    expect(gone.map((request) => request.deref())).toEqual(gone.map(() => undefined));
    expect(held.held).toBe(true);
    await locks.close();
  });

  it('of operators are not those of the holders whom they ask or break', async () => {
    const locks = new LockService({ shutdownGrace: 0 });
    const [asked, broken] = [await locks.acquire('asked'), await locks.acquire('broken')];
    const toldIn = [asked.revocation, asked.signal, broken.signal].map(contextOfAbort);
    await requests.run('operator', async () => {
      await locks.revoke('asked', { grace: 0 });
      await locks.forceRelease('broken');
    });
    expect(await Promise.all(toldIn)).toEqual([undefined, undefined, undefined]);
    await locks.close();
  });
});
