import { once } from 'node:events';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { setImmediate as turn } from 'node:timers/promises';
import { type Lock, LockLostError, LockService } from 'nestjs-lock';
import { runAsEvent, runUnder } from '../../lib/lock/lock-context.js';
import type { LockHandle } from '../../lib/lock/lock-handle.js';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

const ROUNDS = 1_000;

/** As many as the runtime itself may have at hand. */
const FEW = 10;

let locks: LockService;

beforeEach(() => {
  locks = new LockService();
});

afterEach(() => locks.close());

describe('a body that starts the next one', () => {
  /** So many bodies, each started by the one before; how many of their locks the last one keeps alive. */
  function relay(body: (round: number, startNext: () => void) => Promise<void>): Promise<number> {
    const seen: WeakRef<Lock>[] = [];
    return new Promise((resolve, reject) => {
      const start = (round: number) => {
        const run = async (lock: Lock) => {
          seen.push(new WeakRef(lock));
          if (round < ROUNDS) {
            await body(round, () => {
              start(round + 1);
            });
            return;
          }
          // From inside: all that this context remembers is still at hand.
          await turn();
          collectGarbage();
          resolve(seen.filter((one) => one.deref() !== undefined).length);
        };
        locks.withLock(keyOf(round), run).catch(reject);
      };
      start(1);
    });
  }

  const keyOf = (round: number) => `job ${round % 2}`;

  it.each([
    ['a timer', (next: () => void) => setTimeout(next, 0)],
    ['an immediate', (next: () => void) => setImmediate(next)],
  ])('when it is over, by %s, is forgotten', async (_, later) => {
    const kept = await relay((_round, startNext) => {
      later(startNext);
      return Promise.resolve();
    });
    expect(kept).toBeLessThan(FEW);
  });

  it('and ends after that one has begun is forgotten', async () => {
    const begun: (() => void)[] = [];
    const kept = await relay((round, startNext) => {
      begun[round]?.();
      const next = new Promise<void>((resolve) => (begun[round + 1] = resolve));
      setImmediate(startNext);
      return round === ROUNDS - 1 ? Promise.resolve() : next;
    });
    expect(kept).toBeLessThan(FEW);
  });

  it('by an event, while a body around them all goes on, is forgotten', async () => {
    const seen: WeakRef<object>[] = [];
    const run = async (round: number, done: () => void): Promise<void> => {
      const service = {};
      seen.push(new WeakRef(service));
      await runUnder(service, (await locks.acquire(keyOf(round))) as LockHandle, async () => {
        if (round < ROUNDS) {
          runAsEvent(() => setImmediate(() => void run(round + 1, done)));
          return;
        }
        await turn();
        collectGarbage();
        done();
      });
    };
    await locks.withLock('around', () => new Promise<void>((resolve) => void run(1, resolve)));
    expect(seen.filter((one) => one.deref() !== undefined).length).toBeLessThan(FEW);
  });
});

describe('who handles an event that was emitted under a lock', () => {
  it('may end the waiting for it by a signal', async () => {
    const caller = new AbortController();
    await locks.withLock('k', async () => {
      const { signal } = caller;
      const waiting = runAsEvent(() => locks.acquire('k', { signal, wait: Infinity }));
      caller.abort(new TypeError('enough'));
      await expect(waiting).rejects.toThrow('enough');
      await expect(runAsEvent(() => locks.acquire('k', { signal }))).rejects.toThrow('enough');
    });
  });

  it('waits like anybody for one that was lost', async () => {
    let next!: Promise<Lock>;
    const outer = locks.withLock('k', { maxHold: 20 }, async ({ signal }) => {
      // On a busy machine it may be over before this begins.
      if (!signal.aborted) await once(signal, 'abort');
      next = runAsEvent(() => locks.acquire('k', { reentrant: true }));
    });
    await expect(outer).rejects.toBeInstanceOf(LockLostError);
    await (await next).release();
  });

  it('runs under it still, as far as it looks', async () => {
    await locks.withLock('k', (outer) =>
      runAsEvent(async () => {
        expect(locks.current('k')).toBe(outer);
        await locks.withLock('k', { reentrant: true }, ({ fencingToken }) => {
          expect(fencingToken).toBe(outer.fencingToken);
        });
      }),
    );
  });
});

describe('who enters again a lock that was lost is told so', () => {
  it.each([
    ['acquire', () => locks.acquire('k')],
    ['tryAcquire', () => locks.tryAcquire('k')],
    ['withLock', () => locks.withLock('k', () => 'ran')],
    ['acquire with reentrant', () => locks.acquire('k', { reentrant: true })],
    ['withLock with reentrant', () => locks.withLock('k', { reentrant: true }, () => 'ran')],
  ])('by %s', async (_, enter) => {
    const errors: unknown[] = [];
    const outer = locks.withLock('k', { maxHold: 20 }, async ({ signal }) => {
      // On a busy machine it may be over before this begins.
      if (!signal.aborted) await once(signal, 'abort');
      errors.push(await enter().catch((error: unknown) => error));
    });
    await expect(outer).rejects.toBeInstanceOf(LockLostError);
    expect(errors).toMatchObject([{ code: 'LOCK_LOST', reason: 'maxHold', key: 'k' }]);
  });
});

it('who enters again with a signal that is aborted is refused, as everybody is', async () => {
  const signal = AbortSignal.abort(new TypeError('enough'));
  await locks.withLock('k', async () => {
    const again = locks.acquire('k', { reentrant: true, signal });
    await expect(again).rejects.toThrow('enough');
  });
});
