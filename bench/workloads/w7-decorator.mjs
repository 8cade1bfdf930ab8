// W7: what the decorator, and the interceptor that it calls, cost on a call in a Nest application on
// the memory backend. All ways run in turns in one process, on one instance of one service.
import { now } from '../harness/clock.mjs';
import { median } from '../harness/stats.mjs';

export default {
  id: 'W7',
  title: 'a call of a method on the memory backend, µs over the undecorated one',
  file: import.meta.url,
  stores: { memory: [1] },
  appliesTo: ({ ours }) => ours === true,
  columns: [
    { figure: 'undecorated', label: 'undecorated itself' },
    { figure: 'literal', label: "@Locked('key')", range: true },
    { figure: 'template', label: "@Locked('key:{0}')", range: true },
    { figure: 'withLock', label: 'withLock' },
    { figure: 'acquire', label: 'acquire + release' },
  ],
  async measure(stage) {
    const { actors, fresh } = await stage.lasting('application');
    const [application] = actors;
    if (fresh) await application.do('costs', stage.time(200, 20));
    const { undecorated, ...others } = await application.do('costs', stage.time(60, 20));
    const over = Object.entries(others).map(([name, cost]) => [name, cost - undecorated]);
    return { undecorated, ...Object.fromEntries(over) };
  },
};

const turns = 10;

export const roles = {
  async application({ library }) {
    await import('reflect-metadata');
    const { Module } = await import('@nestjs/common');
    const { NestFactory } = await import('@nestjs/core');
    const { Locked, LockModule, LockService } = await import(library);

    class Service {
      async undecorated(id) {
        return id;
      }
      async literal(id) {
        return id;
      }
      async template(id) {
        return id;
      }
    }
    decorate(Service, 'literal', Locked('key'));
    decorate(Service, 'template', Locked('key:{0}'));
    class Application {}
    Module({ imports: [LockModule.forRoot()], providers: [Service] })(Application);
    const app = await NestFactory.createApplicationContext(Application, { logger: false });
    const service = app.get(Service);
    const locks = app.get(LockService);

    const ways = {
      undecorated: () => service.undecorated(7),
      literal: () => service.literal(7),
      template: () => service.template(7),
      withLock: () => locks.withLock('key', () => service.undecorated(7)),
      acquire: async () => {
        const lock = await locks.acquire('key');
        await service.undecorated(7);
        await lock.release();
      },
    };
    return {
      /** Microseconds a call, by each way; `turn` is how many ms one has at a time. */
      async costs(turn) {
        const costs = Object.fromEntries(Object.keys(ways).map((name) => [name, []]));
        for (let i = 0; i < turns; i += 1) {
          for (const [name, call] of Object.entries(ways)) {
            costs[name].push(await costOf(call, turn));
          }
        }
        return Object.fromEntries(Object.entries(costs).map(([name, all]) => [name, median(all)]));
      },
    };
  },
};

/** Microseconds a call. The clock is looked at every 100 calls. */
async function costOf(call, ms) {
  let calls = 0;
  const start = now();
  while (now() - start < ms) {
    for (let i = 0; i < 100; i += 1) await call();
    calls += 100;
  }
  return ((now() - start) / calls) * 1_000;
}

/** What TypeScript makes of a decorated method. */
function decorate(type, method, decorator) {
  const descriptor = Object.getOwnPropertyDescriptor(type.prototype, method);
  const replaced = decorator(type.prototype, method, descriptor) ?? descriptor;
  Object.defineProperty(type.prototype, method, replaced);
}
