import { nextTick } from 'node:process';
import { jest } from '@jest/globals';
import { Instant, type Lock, LockLostError, LockService, LockTimeoutError } from 'nestjs-lock';
import { alarm, Deadline, pause, within } from '../../lib/time/clock.js';
import { ScriptedBackend } from '../support/scripted-backend.js';

const HOUR = 3_600_000;

/** What an administrator, a time server, or a lid that closes does: only the wall clock moves. */
const moveWallClock = (ms: number) => jest.setSystemTime(Date.now() + ms);

beforeEach(() => {
  jest.useFakeTimers({ doNotFake: ['nextTick', 'queueMicrotask'] });
});

afterEach(() => {
  jest.useRealTimers();
});

describe('Instant', () => {
  it('counts the time that passed', () => {
    const moment = Instant.now();
    expect(moment.elapsed).toBe(0);
    jest.advanceTimersByTime(250);
    expect(moment.elapsed).toBe(250);
  });

  it('counts the time that a suspended machine slept, which the monotonic clock does not', () => {
    const moment = Instant.now();
    moveWallClock(HOUR);
    expect(moment.elapsed).toBe(HOUR);
    jest.advanceTimersByTime(1);
    expect(moment.elapsed).toBe(HOUR + 1);
  });

  it('does not count back when the wall clock is set back', () => {
    const moment = Instant.now();
    jest.advanceTimersByTime(100);
    moveWallClock(-HOUR);
    expect(moment.elapsed).toBe(100);
    jest.advanceTimersByTime(100);
    expect(moment.elapsed).toBe(200);
  });

  it('can be moved, into the past and the future', () => {
    const moment = Instant.now();
    jest.advanceTimersByTime(100);
    expect(moment.plus(40).elapsed).toBe(60);
    expect(moment.plus(-40).elapsed).toBe(140);
    expect(moment.plus(150).elapsed).toBe(-50);
  });
});

describe('Deadline', () => {
  it('passes when its time is over, and not before', () => {
    const deadline = Deadline.in(100);
    jest.advanceTimersByTime(99);
    expect([deadline.remaining, deadline.passed]).toEqual([1, false]);
    jest.advanceTimersByTime(1);
    expect([deadline.remaining, deadline.passed]).toEqual([0, true]);
    jest.advanceTimersByTime(1);
    expect(deadline.remaining).toBe(0);
  });

  it('passes at once when the machine slept over it', () => {
    const deadline = Deadline.in(100);
    moveWallClock(100);
    expect(deadline.passed).toBe(true);
  });

  it('does not move away when the wall clock is set back', () => {
    const deadline = Deadline.in(100);
    moveWallClock(-HOUR);
    expect(deadline.remaining).toBe(100);
    jest.advanceTimersByTime(100);
    expect(deadline.passed).toBe(true);
  });
});

describe('alarm', () => {
  it('rings once, when the deadline has passed', () => {
    const ring = jest.fn();
    alarm(Deadline.in(100), ring);
    jest.advanceTimersByTime(99);
    expect(ring).not.toHaveBeenCalled();
    jest.advanceTimersByTime(1);
    expect(ring).toHaveBeenCalledTimes(1);
    jest.advanceTimersByTime(1_000);
    expect(ring).toHaveBeenCalledTimes(1);
  });

  it('does not ring when it was called off', () => {
    const ring = jest.fn();
    const disarm = alarm(Deadline.in(100), ring);
    jest.advanceTimersByTime(50);
    disarm();
    jest.advanceTimersByTime(1_000);
    expect(ring).not.toHaveBeenCalled();
    expect(jest.getTimerCount()).toBe(0);
  });

  it('does not ring early when its timer does', () => {
    const ring = jest.fn();
    const passes = Instant.now();
    // To the timer 100 ms pass, to the clocks only 99.7: node counts whole milliseconds.
    const late = jest.spyOn(performance, 'now');
    const wall = jest.spyOn(Date, 'now');
    const [monotonicNow, wallNow] = [performance.now(), Date.now()];
    alarm(Deadline.in(100), () => ring(passes.elapsed));
    late.mockImplementation(() => monotonicNow + 99.7);
    wall.mockImplementation(() => wallNow + 99);
    jest.advanceTimersByTime(100);
    expect(ring).not.toHaveBeenCalled();
    late.mockImplementation(() => monotonicNow + 100.4);
    wall.mockImplementation(() => wallNow + 100);
    jest.advanceTimersByTime(1);
    expect(ring).toHaveBeenCalledTimes(1);
    late.mockRestore();
    wall.mockRestore();
  });

  it('rings although the wall clock was set back', () => {
    const ring = jest.fn();
    alarm(Deadline.in(100), ring);
    moveWallClock(-HOUR);
    jest.advanceTimersByTime(100);
    expect(ring).toHaveBeenCalledTimes(1);
  });

  it('keeps the process from exiting only when it is told to', async () => {
    jest.useRealTimers();
    const timers = () =>
      process.getActiveResourcesInfo().filter((resource) => resource === 'Timeout').length;
    const before = timers();
    const disarm = alarm(Deadline.in(HOUR), () => undefined);
    expect(timers()).toBe(before);
    const disarmKeeping = alarm(Deadline.in(HOUR), () => undefined, true);
    expect(timers()).toBe(before + 1);
    disarmKeeping();
    disarm();
    await new Promise(nextTick);
    expect(timers()).toBe(before);
  });
});

describe('pause', () => {
  it('is over after its time', async () => {
    const over = jest.fn();
    const pausing = pause(100).then(over);
    await jest.advanceTimersByTimeAsync(99);
    expect(over).not.toHaveBeenCalled();
    await jest.advanceTimersByTimeAsync(1);
    await pausing;
    expect(over).toHaveBeenCalledTimes(1);
  });
});

describe('within', () => {
  it('answers what comes in time, and leaves no timer', async () => {
    await expect(within(100, Promise.resolve('value'))).resolves.toBe('value');
    await expect(within(100, Promise.reject(new Error('own')))).rejects.toThrow('own');
    await new Promise(nextTick);
    expect(jest.getTimerCount()).toBe(0);
  });

  it('answers undefined to what comes too late, whatever that becomes', async () => {
    const late = new Promise<never>((_, reject) =>
      setTimeout(() => reject(new Error('too late')), 200),
    );
    const answer = within(100, late);
    await jest.advanceTimersByTimeAsync(100);
    await expect(answer).resolves.toBeUndefined();
    await jest.advanceTimersByTimeAsync(100);
    expect(jest.getTimerCount()).toBe(0);
  });
});

describe('a lock, by the clocks', () => {
  const TTL = 10_000;
  const MARGIN = TTL / 100;
  let backend: ScriptedBackend;
  let locks: LockService;

  beforeEach(() => {
    backend = new ScriptedBackend();
    locks = new LockService({ backend, ttl: TTL, shutdownGrace: 0 });
  });

  afterEach(async () => {
    const closing = locks.close();
    await jest.advanceTimersByTimeAsync(1);
    await closing;
  });

  const reasonOf = (lock: Lock) => (lock.signal.reason as LockLostError).reason;

  it('is lost at the first look after the wall clock jumped beyond its ttl', async () => {
    const lock = await locks.acquire('k');
    const { signal } = lock;
    moveWallClock(TTL);
    expect([lock.held, lock.remaining, signal.aborted]).toEqual([false, 0, true]);
    expect(reasonOf(lock)).toBe('expired');
    expect(() => lock.assertHeld()).toThrow(LockLostError);
  });

  it('is still held while a jump leaves some of its validity', async () => {
    const lock = await locks.acquire('k');
    moveWallClock(TTL - MARGIN - 1);
    expect([lock.held, lock.remaining]).toEqual([true, 1]);
    moveWallClock(1);
    expect([lock.held, lock.remaining]).toEqual([false, 0]);
  });

  it('never gains validity when the wall clock is set back', async () => {
    const lock = await locks.acquire('k', { renew: false });
    jest.advanceTimersByTime(1_000);
    const { remaining } = lock;
    moveWallClock(-HOUR);
    expect(lock.remaining).toBe(remaining);
    jest.advanceTimersByTime(remaining - 1);
    expect([lock.held, lock.remaining]).toEqual([true, 1]);
    jest.advanceTimersByTime(1);
    expect([lock.held, lock.remaining]).toEqual([false, 0]);
  });

  it('does not come back when a wall clock that was set forward is corrected', async () => {
    const lock = await locks.acquire('k');
    moveWallClock(HOUR);
    expect(lock.held).toBe(false);
    moveWallClock(-HOUR);
    expect([lock.held, lock.remaining, lock.signal.aborted]).toEqual([false, 0, true]);
  });

  it('is renewed in time although the wall clock was set back', async () => {
    const lock = await locks.acquire('k');
    moveWallClock(-HOUR);
    await jest.advanceTimersByTimeAsync(5 * TTL);
    expect(lock.held).toBe(true);
    expect(backend.asked.renew.length).toBeGreaterThanOrEqual(14);
    await lock.release();
  });

  it('is lost at the first look after a blocked event loop, by the monotonic clock alone', async () => {
    const lock = await locks.acquire('k');
    const now = performance.now();
    const blocked = jest.spyOn(performance, 'now').mockImplementation(() => now + TTL);
    expect([lock.held, lock.signal.aborted]).toEqual([false, true]);
    blocked.mockRestore();
  });

  it('tells it when the machine wakes up: the first timer aborts the signal', async () => {
    const lock = await locks.acquire('k');
    const aborted = jest.fn();
    lock.signal.addEventListener('abort', aborted);
    moveWallClock(HOUR);
    await jest.advanceTimersByTimeAsync(TTL / 3 + 1);
    expect(aborted).toHaveBeenCalledTimes(1);
    expect(backend.asked.renew).toEqual([]);
  });

  it('ends the waiting of a caller whose machine slept', async () => {
    backend.acquire = () =>
      Promise.resolve({ state: 'waiting', granted: new Promise(() => undefined) });
    const refused = locks.acquire('k', { wait: 1_000 }).catch((error: unknown) => error);
    await jest.advanceTimersByTimeAsync(1);
    moveWallClock(HOUR);
    await jest.advanceTimersByTimeAsync(1_000);
    expect(await refused).toBeInstanceOf(LockTimeoutError);
  });

  it('counts maxHold like every other time', async () => {
    const lock = await locks.acquire('k', { ttl: HOUR, maxHold: 5_000 });
    moveWallClock(4_999);
    expect([lock.held, lock.remaining]).toEqual([true, 1]);
    moveWallClock(1);
    expect(lock.held).toBe(false);
    expect(reasonOf(lock)).toBe('maxHold');
  });
});
