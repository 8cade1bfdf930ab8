import { setImmediate } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import type { Lock, LockService } from 'nestjs-lock';
import { RedisBackend } from 'nestjs-lock/redis';
import { eventually } from '../support/eventually.js';
import { RedisServer } from '../support/redis-server.js';
import { openService } from '../support/two-processes.js';

/** INFO counts what the scripts call too; no client of ours sends these by itself. */
const INSIDE_OF_SCRIPTS =
  /^(time|publish|pubsub\|numsub|get|set|del|exists|type|pexpire|pttl|hget|hset|hdel|hlen|hgetall|zadd|zrem|zscore|zrank|zcount|zrange|zrangebyscore)$/;
const OWN_QUESTIONS = /^(info|config\|resetstat|dbsize)$/;

let server: RedisServer;
let admin: Redis;

beforeAll(async () => {
  server = await RedisServer.start();
  admin = server.client();
});

afterAll(async () => {
  admin.disconnect();
  await server.stop();
});

/** Services that have done all that they do once, at the start. */
async function openQuiet(count: number): Promise<LockService[]> {
  const services = Array.from({ length: count }, () =>
    openService(new RedisBackend({ url: server.url })),
  );
  for (const service of services) {
    const lock = await service.acquire('warm');
    await lock.renew();
    await lock.release();
  }
  await eventually('all listen', async () => {
    const channels = (await admin.call('PUBSUB', 'CHANNELS')) as string[];
    return channels.length === count;
  });
  return services;
}

/** How many commands of each kind clients send while this runs. */
async function commandsOf(work: () => Promise<unknown>): Promise<Record<string, number>> {
  await admin.config('RESETSTAT');
  await work();
  const statistics = await admin.info('commandstats');
  const counts = [...statistics.matchAll(/^cmdstat_([^:]+):calls=(\d+)/gm)]
    .map(([, command, calls]) => [command!, Number(calls)] as const)
    .filter(([command]) => !INSIDE_OF_SCRIPTS.test(command) && !OWN_QUESTIONS.test(command));
  return Object.fromEntries(counts);
}

it('an uncontended lock costs one command, and its release another', async () => {
  const [service] = await openQuiet(1);
  const locks: Lock[] = [];
  const acquiring = await commandsOf(async () => {
    for (let n = 0; n < 50; n++) locks.push(await service!.acquire(`k${n}`));
  });
  const releasing = await commandsOf(async () => {
    for (const lock of locks) await lock.release();
  });
  expect([acquiring, releasing]).toEqual([{ evalsha: 50 }, { evalsha: 50 }]);
});

it('32 locks that are asked for in one turn cost one command, and their releases another', async () => {
  const [service] = await openQuiet(1);
  const keys = Array.from({ length: 32 }, (_, n) => `k${n}`);
  let locks: Lock[] = [];
  const acquiring = await commandsOf(async () => {
    locks = await Promise.all(keys.map((key) => service!.acquire(key)));
  });
  const releasing = await commandsOf(() => Promise.all(locks.map((lock) => lock.release())));
  expect([acquiring, releasing]).toEqual([{ evalsha: 1 }, { evalsha: 1 }]);
  expect(new Set(locks.map(({ fencingToken }) => fencingToken)).size).toBe(32);
});

it.each([
  ['a reader', { mode: 'shared' }],
  ['a permit', { limit: 100 }],
] as const)(
  '%s costs one command, and its release another, also beside others',
  async (_, sharing) => {
    const [service] = await openQuiet(1);
    const locks: Lock[] = [];
    const acquiring = await commandsOf(async () => {
      for (let n = 0; n < 50; n++) locks.push(await service!.acquire('k', sharing));
    });
    const releasing = await commandsOf(async () => {
      for (const lock of locks) await lock.release();
    });
    expect([acquiring, releasing]).toEqual([{ evalsha: 50 }, { evalsha: 50 }]);
  },
);

it('several keys as one lock cost one command, and their release another', async () => {
  const [service] = await openQuiet(1);
  const keys = ['account:1', 'account:2', 'account:3'];
  await (await service!.acquire(keys)).release(); // the server learns the script
  let lock: Lock | undefined;
  const acquiring = await commandsOf(async () => {
    lock = await service!.acquire(keys);
  });
  const releasing = await commandsOf(() => lock!.release());
  expect([acquiring, releasing]).toEqual([{ evalsha: 1 }, { evalsha: 1 }]);
});

it('a hundred callers of one process cost a few commands, and hand it over in their order', async () => {
  const [service] = await openQuiet(1);
  const order: number[] = [];
  const tokens: number[] = [];
  const start = performance.now();
  const { evalsha = 0 } = await commandsOf(() =>
    Promise.all(
      Array.from({ length: 100 }, (_, n) =>
        service!.withLock('k', (lock) => {
          order.push(n);
          tokens.push(lock.fencingToken);
        }),
      ),
    ),
  );
  expect(order).toEqual([...order].sort((a, b) => a - b));
  expect(tokens).toEqual([...new Set(tokens)].sort((a, b) => a - b));
  // For each turn of the process one to acquire and one to release; how many depends on the machine.
  const turns = 5 + Math.floor((performance.now() - start) / 20);
  expect(evalsha).toBeLessThanOrEqual(2 * turns);
});

it('a contended lock costs at most three', async () => {
  const services = await openQuiet(4);
  const grants: number[] = [];
  const start = performance.now();
  const {
    evalsha = 0,
    eval: texts = 0,
    ...others
  } = await commandsOf(() =>
    Promise.all(
      services.map(async (service) => {
        for (let turn = 0; turn < 50; turn++) {
          await service.withLock('k', (lock) => {
            grants.push(lock.fencingToken);
            return setImmediate();
          });
        }
      }),
    ),
  );
  expect(others).toEqual({});
  // On a machine so slow that somebody waits for seconds, it is the first heartbeat at this server.
  expect(texts).toBeLessThanOrEqual(services.length);
  expect(grants).toEqual([...new Set(grants)].sort((a, b) => a - b));
  // There each second has its heartbeats as well.
  const heartbeats = services.length * Math.floor((performance.now() - start) / 1_000);
  expect((evalsha - heartbeats) / grants.length).toBeLessThanOrEqual(3);
  // Were it not contended, two would do: this shows that it was.
  expect(evalsha / grants.length).toBeGreaterThan(2);
});

it('readers who are let in together assert their leases together', async () => {
  const [writer, readers] = await openQuiet(2);
  const COUNT = 200;
  const held = await writer!.acquire('k');
  const waiting = Array.from({ length: COUNT }, () => readers!.acquire('k', { mode: 'shared' }));
  await eventually('all stand in the queue', async () => {
    return (await admin.zcard('{nestjs-lock:0}:queue:k')) === COUNT;
  });
  const { evalsha } = await commandsOf(async () => {
    await held.release();
    await Promise.all(waiting);
  });
  expect(evalsha).toBeLessThan(COUNT / 4);
  for (const lock of await Promise.all(waiting)) await lock.release();
});

it('a hundred keys that are waited for cost a command each 1.25 s', async () => {
  const [holder, waiting] = await openQuiet(2);
  const keys = Array.from({ length: 100 }, (_, n) => `wait${n}`);
  const locks = await Promise.all(keys.map((key) => holder!.acquire(key, { renew: false })));
  const abort = new AbortController();
  const waits = { wait: Infinity, signal: abort.signal };
  const waiters = keys.map((key) => waiting!.acquire(key, waits).catch(() => undefined));
  await eventually('all wait', async () => {
    return (await admin.keys('{nestjs-lock:0}:queue:*')).length === keys.length;
  });
  const start = performance.now();
  const {
    evalsha,
    eval: first = 0,
    ...others
  } = await commandsOf(() =>
    eventually('some heartbeats', () => performance.now() - start > 4_500),
  );
  expect(evalsha).toBeGreaterThanOrEqual(2);
  expect(evalsha).toBeLessThanOrEqual((performance.now() - start) / 1_250 + 1);
  // For the text of the script.
  expect(first).toBeLessThanOrEqual(1);
  expect(others).toEqual({});
  abort.abort();
  await Promise.all([...waiters, ...locks.map((lock) => lock.release())]);
});

it('a hundred thousand keys leave nothing behind', async () => {
  const [service] = await openQuiet(1);
  const idle = await admin.keys('*');
  expect(idle).toEqual(['{nestjs-lock:0}:sequence']);

  const COUNT = 100_000;
  let next = 0;
  let most = 0;
  const caller = async () => {
    while (next < COUNT) {
      const lock = await service!.acquire(`order:${next++}`);
      if (next % 1_000 === 0) most = Math.max(most, await admin.dbsize());
      await lock.release();
    }
  };
  const commands = await commandsOf(() => Promise.all(Array.from({ length: 200 }, caller)));
  expect(Object.keys(commands)).toEqual(['evalsha']);
  expect(commands.evalsha).toBeLessThan(COUNT / 10);
  expect(most).toBeGreaterThan(1);
  expect(await admin.keys('*')).toEqual(idle);
});

it('readers, permits and what is kept leave nothing behind, and no errors in the statistics', async () => {
  const services = await openQuiet(3);
  const idle = ['{nestjs-lock:0}:sequence'];
  const kinds = [{ mode: 'shared' }, {}, { limit: 3 }, { mode: 'shared', minHold: 20 }] as const;
  const caller = async (service: LockService, kind: number) => {
    for (let n = 0; n < 100; n++) {
      const key = kind === 2 ? `permits:${n % 10}` : `read:${n % 10}`;
      // Some are forgotten, and end by themselves.
      const forgotten = n % 20 === 0 && kind !== 1;
      const ttl = forgotten ? 1_000 : 10_000;
      const lock = await service.acquire(key, { ttl, renew: false, wait: 30_000, ...kinds[kind]! });
      if (!forgotten) await lock.release();
    }
  };
  await admin.config('RESETSTAT');
  await Promise.all(services.flatMap((service) => kinds.map((_, kind) => caller(service, kind))));
  for (const service of services) await service.close();
  await eventually('nothing left', async () => {
    return (await admin.keys('*')).join() === idle.join();
  });
  expect(await admin.info('errorstats')).not.toContain('WRONGTYPE');
});
