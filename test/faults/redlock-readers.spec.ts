import { setTimeout as sleep } from 'node:timers/promises';
import { LockBackendError, type LockService } from 'nestjs-lock';
import { eventually } from '../support/eventually.js';
import { entered, machineTime, visit, type Visit } from '../support/history.js';
import { inAnHour, keyspace, type QuorumNode, startQuorum } from '../support/quorum.js';
import { Scene } from '../support/scene.js';

const READ = { mode: 'shared' } as const;

interface SharedVisit extends Visit {
  readonly reads: boolean;
}

describe('readers at a quorum of Redis nodes', () => {
  const scene = new Scene();

  afterAll(() => scene.end());

  it.concurrent(
    'of which one is down: they hold together, and a writer comes after the last of them',
    async () => {
      const { nodes, service } = await startQuorum(scene);
      const [one, other] = [service(), service()];
      for (const locks of [one, other]) await locks.withLock('warm up', () => undefined);
      await nodes[2].server.kill();
      const first = await one.acquire('k', READ);
      const last = await other.acquire('k', READ);
      expect(last.fencingToken).toBeGreaterThan(first.fencingToken);
      expect(await other.tryAcquire('k')).toBeNull();
      const granted = entered(one.acquire('k'));
      await eventually('it waits', async () => (await other.inspect('k')).waiters === 1);
      expect(await other.tryAcquire('k', READ)).toBeNull();
      await first.release();
      expect((await other.inspect('k')).waiters).toBe(1);
      await last.release();
      const { lock, token } = await granted;
      expect(token).toBeGreaterThan(last.fencingToken);
      await lock.release();
    },
  );

  it.concurrent(
    'of which one was wiped: they assert their leases there, and no writer comes in between',
    async () => {
      const ttl = 1_500;
      const { nodes, service } = await startQuorum(scene);
      const [, wiped, away] = nodes;
      const [one, other] = [service({ ttl }), service({ ttl })];
      for (const locks of [one, other]) await locks.withLock('warm up', () => undefined);
      const readers = [await one.acquire('k', READ), await other.acquire('k', READ)];
      await eventually('at all nodes', async () => (await away.readers('k')) === 2);
      await wiped.wipe();
      await eventually('they are there again', async () => (await wiped.readers('k')) === 2);
      // With the one that was wiped, and the one that comes now, there is a majority.
      await away.network.refuse();
      expect(
        await service({ ttl })
          .tryAcquire('k')
          .catch(() => null),
      ).toBeNull();
      await away.network.admit();
      for (const reader of readers) {
        expect(reader).toMatchObject({ held: true, signal: { aborted: false } });
        expect(await reader.release()).toBe('released');
      }
      await (await other.acquire('k')).release();
    },
  );

  it.concurrent(
    'of which one was away at a downgrade: the next renewal makes the lease a shared one there',
    async () => {
      const { nodes, service } = await startQuorum(scene);
      const [, , away] = nodes;
      const [one, other] = [service({ ttl: 1_500 }), service()];
      for (const locks of [one, other]) await locks.withLock('warm up', () => undefined);
      const lock = await one.acquire('k');
      await eventually('at all nodes', async () => {
        return (await away.admin.exists(keyspace.of('k')[0])) === 1;
      });
      await away.network.refuse();
      const reader = entered(other.acquire('k', READ));
      await eventually('it waits', async () => (await one.inspect('k')).waiters === 1);
      await lock.downgrade();
      const second = await reader;
      expect(await away.readers('k')).toBeUndefined();
      await away.network.admit();
      await eventually('both read there', async () => (await away.readers('k')) === 2);
      expect(second.token).toBeGreaterThan(lock.fencingToken);
      expect(await lock.release()).toBe('released');
      expect(await second.lock.release()).toBe('released');
    },
  );

  // Alone, after all the others: it takes what the machine has.
  it('of which each is wiped in turn: a writer is alone, and no token is given twice', async () => {
    const ttl = 1_000;
    const goal = 400;
    const { nodes, service } = await startQuorum(scene);
    const services = Array.from({ length: 4 }, () => service({ ttl, wait: 60_000 }));
    const history: SharedVisit[] = [];
    const ahead = inAnHour();
    for (const { admin } of nodes.slice(1)) await admin.set(keyspace.sequence, ahead);
    const caller = async (locks: LockService, key: string) => {
      while (history.length < goal) {
        const reads = Math.random() < 0.7;
        const grant = await entered(locks.acquire(key, reads ? READ : {})).catch(refusal);
        // A busy machine may take longer than the ttl.
        if (grant instanceof LockBackendError) continue;
        const { lock, ...entry } = grant;
        await sleep(5 * Math.random());
        const leave = machineTime();
        history.push({ ...visit(key, entry, leave, lock.held), reads });
        await lock.release();
      }
    };
    const wiper = async () => {
      while (history.length < goal) {
        const [victim, away] = [...nodes].sort(() => Math.random() - 0.5) as [
          QuorumNode,
          QuorumNode,
        ];
        await away.network.refuse();
        const before = history.length;
        await eventually('grants', () => history.length > before + 10);
        await victim.wipe();
        await away.network.admit();
        await sleep(2 * ttl);
      }
    };
    const wiping = wiper();
    const callers = services.flatMap((locks) =>
      ['a', 'b'].flatMap((key) => [caller(locks, key), caller(locks, key)]),
    );
    await Promise.all(callers);
    await wiping;
    expect(clashes(history)).toEqual([]);
    expect(history.some(({ reads }) => !reads)).toBe(true);
    expect(together(history)).toBe(true);
  }, 240_000);
});

/** The error that says so, if that is what it is. */
function refusal(error: unknown): LockBackendError {
  if (error instanceof LockBackendError) return error;
  throw error;
}

/** All pairs of valid visits to a key, the first of each came first. */
function* pairs(history: readonly SharedVisit[]): Generator<[SharedVisit, SharedVisit]> {
  const valid = history.filter(({ valid }) => valid).sort((one, two) => one.enter - two.enter);
  for (const [index, one] of valid.entries()) {
    for (const two of valid.slice(index + 1)) if (one.key === two.key) yield [one, two];
  }
}

/** What must not be: a writer inside with another, or a token that does not rise past it. */
function clashes(history: readonly SharedVisit[]): string[] {
  const found: string[] = [];
  for (const [one, two] of pairs(history)) {
    const words = `${JSON.stringify(two)} after ${JSON.stringify(one)}`;
    if (one.token === two.token) found.push(`the same token: ${words}`);
    if (one.reads && two.reads) continue;
    if (two.enter < one.leave) found.push(`inside together: ${words}`);
    if (two.token < one.token) found.push(`a smaller token: ${words}`);
  }
  return found;
}

function together(history: readonly SharedVisit[]): boolean {
  for (const [one, two] of pairs(history)) if (two.enter < one.leave) return true;
  return false;
}
