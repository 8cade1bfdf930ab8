import {
  type BeforeApplicationShutdown,
  Controller,
  Get,
  Global,
  Inject,
  Injectable,
  Module,
  type OnApplicationShutdown,
  type OnModuleDestroy,
} from '@nestjs/common';
import {
  type Lock,
  Locked,
  LockLostError,
  LockModule,
  LockService,
  LockShutdownError,
} from 'nestjs-lock';
import request from 'supertest';
import { eventually } from '../support/eventually.js';
import { Journal, lockedOnce } from '../support/journal.js';
import { start, startHttp } from '../support/nest-application.js';

const journal = new Journal();

beforeEach(() => {
  journal.clear();
});

/** A promise that the test resolves. */
function gate() {
  let open!: () => void;
  const passed = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { open, passed };
}

const aborted = ({ signal }: Lock) =>
  new Promise<unknown>((resolve) => {
    if (signal.aborted) resolve(signal.reason);
    else signal.addEventListener('abort', () => resolve(signal.reason));
  });

describe('while the application may be at work', () => {
  const locks = LockModule.forRoot({ backend: journal });

  /** Needs a lock in each hook that Nest calls at the end, as one that flushes what it kept. */
  @Injectable()
  class Flushes implements OnModuleDestroy, BeforeApplicationShutdown, OnApplicationShutdown {
    @Locked('flush')
    async flush(hook: string) {
      await journal.body('flush', undefined);
      journal.note('order', `${hook}, ${journal.closed} closed`);
    }

    /** Every application is closed once more behind its test. */
    async once(hook: string) {
      if (journal.closed === 0) await this.flush(hook);
    }

    onModuleDestroy() {
      return this.once('onModuleDestroy');
    }

    beforeApplicationShutdown() {
      return this.once('beforeApplicationShutdown');
    }

    onApplicationShutdown() {
      return this.once('onApplicationShutdown');
    }
  }

  @Global()
  @Module({ providers: [Flushes] })
  class GlobalModule {}

  @Module({ providers: [Flushes] })
  class DeepModule {}

  @Module({ imports: [DeepModule] })
  class FeatureModule {}

  it.each([
    ['a global module, imported before LockModule', [GlobalModule, locks]],
    ['a global module, imported after LockModule', [locks, GlobalModule]],
    ['a feature module, imported before LockModule', [FeatureModule, locks]],
    ['a feature module, imported after LockModule', [locks, FeatureModule]],
  ])('locks for all hooks of %s', async (_, imports) => {
    const app = await start({ imports });
    await app.close();
    expect(journal.of('order')).toEqual([
      'onModuleDestroy, 0 closed',
      'beforeApplicationShutdown, 0 closed',
      'onApplicationShutdown, 0 closed',
    ]);
    expect(journal.of('flush')).toEqual(lockedOnce(3));
    expect(journal.closed).toBe(1);
  });

  it('locks for a request that was accepted before', async () => {
    const working = gate();

    @Controller()
    class Orders {
      @Get('order')
      async order() {
        journal.note('order', 'accepted');
        await working.passed;
        return this.save();
      }

      @Locked('order')
      async save() {
        return journal.body('order', 'saved');
      }
    }
    const app = await startHttp({ imports: [locks], controllers: [Orders] });
    const answer = request(await app.getUrl())
      .get('/order')
      .then();
    await eventually('it was accepted', () => journal.of('order').length === 1);
    const closing = app.close();
    // By then it is in the last of the hooks, or waits for the server.
    await new Promise((resolve) => setTimeout(resolve, 50));
    working.open();

    expect(await answer).toMatchObject({ status: 200, text: 'saved' });
    await closing;
    expect(journal.of('order')).toEqual(['accepted', ...lockedOnce()]);
  });

  it('lets a body finish before what it works with is closed, and those who wait for it', async () => {
    const mayLeave = gate();

    @Injectable()
    class Database implements OnApplicationShutdown {
      isOpen = true;

      onApplicationShutdown() {
        this.isOpen = false;
      }
    }

    @Injectable()
    class Jobs {
      constructor(@Inject(Database) private readonly database: Database) {}

      @Locked('job')
      async run() {
        journal.note('job', 'enter');
        await mayLeave.passed;
        journal.note('job', this.database.isOpen ? 'leave' : 'has no database any more');
        return 'done';
      }
    }
    const app = await start({ imports: [locks], providers: [Database, Jobs] });
    const jobs = app.get(Jobs);
    const running = jobs.run();
    await eventually('it runs', () => journal.of('job').includes('enter'));
    const waiting = jobs.run();
    const closing = app.close();
    await new Promise((resolve) => setTimeout(resolve, 50));
    mayLeave.open();

    await expect(Promise.all([running, waiting])).resolves.toEqual(['done', 'done']);
    await closing;
    expect(journal.of('job')).toEqual(lockedOnce(2));
    expect(journal.closed).toBe(1);
  });
});

describe('when nothing new comes in', () => {
  @Injectable()
  class Transfers {
    readonly held = gate();

    constructor(@Inject(LockService) private readonly locks: LockService) {}

    /** Finishes when it is told to, with the locks that it needs for that. */
    @Locked('transfer')
    async run() {
      journal.note('transfer', 'enter');
      this.held.open();
      const reason = await aborted(this.locks.current()!);
      const result = [reason, await this.credit(), await this.audit(), await this.notify()];
      journal.note('transfer', 'leave');
      return result;
    }

    @Locked('credit')
    credit() {
      return journal.body('credit', 'credited');
    }

    @Locked(() => ['audit:1', 'audit:2'], { name: 'audits' })
    async audit() {
      return 'audited';
    }

    notify() {
      return this.locks.manager().request('notify', async () => 'notified');
    }

    @Locked('transfer')
    async another() {
      journal.note('transfer', 'another');
    }

    @Locked('other')
    async other() {
      journal.note('other', 'ran');
    }
  }

  it.each([
    ['first', ['locks', 'audits'] as const],
    ['last', ['audits', 'locks'] as const],
  ])('tells holders, who finish; others are refused, with the service %s', async (_, order) => {
    const modules = {
      locks: LockModule.forRoot({ backend: journal }),
      audits: LockModule.forRoot({ name: 'audits' }),
    };
    const app = await start({
      imports: order.map((name) => modules[name]),
      providers: [Transfers],
    });
    const transfers = app.get(Transfers);
    const running = transfers.run();
    await transfers.held.passed;
    const waiting = transfers.another();
    const closing = app.close();

    await expect(waiting).rejects.toThrow(LockShutdownError);
    const late = transfers.other().catch((error: unknown) => error);
    const [reason, ...done] = await running;
    expect(reason).toBeInstanceOf(LockLostError);
    expect(reason).toMatchObject({ reason: 'shutdown' });
    expect(done).toEqual(['credited', 'audited', 'notified']);
    await expect(late).resolves.toBeInstanceOf(LockShutdownError);
    await closing;
    expect(journal.of('transfer')).toEqual(lockedOnce());
    expect(journal.of('credit')).toEqual(lockedOnce());
    expect(journal.of('other')).toEqual([]);
    expect(journal.closed).toBe(1);
  });

  it('deposes a leader, whose bodies finish', async () => {
    const app = await start({ imports: [LockModule.forRoot({ backend: journal })] });
    const locks = app.get(LockService);
    const leadership = locks.leader('reports');
    await eventually('it leads', () => leadership.isLeader);
    const events: string[] = [];
    leadership.onDeposed(() => events.push('deposed'));
    const running = leadership.run(async ({ signal }) => {
      await new Promise((resolve) => signal.addEventListener('abort', resolve));
      return locks.withLock('nested', () => events.push('finished'));
    });
    await app.close();
    await running;
    expect(events).toEqual(['finished', 'deposed']);
    expect(journal.of('reports')).toEqual(['granted', 'released']);
  });

  it('gives back what is held when the grace is over', async () => {
    const app = await start({
      imports: [LockModule.forRoot({ backend: journal, shutdownGrace: 50 })],
    });
    const lock = await app.get(LockService).acquire('k');
    await app.close();
    expect(lock.held).toBe(false);
    expect(lock.signal.reason).toMatchObject({ reason: 'shutdown' });
    expect(journal.of('k')).toEqual(['granted', 'released']);
    expect(journal.closed).toBe(1);
  });
});

it('does not wait for ever for a request that waits for who would have to be told', async () => {
  @Controller()
  class Waits {
    @Get('wait')
    @Locked('kept', { wait: Infinity })
    async wait() {
      return 'had it';
    }
  }
  const app = await startHttp({
    imports: [LockModule.forRoot({ backend: journal, shutdownGrace: 100 })],
    controllers: [Waits],
  });
  const locks = app.get(LockService);
  const kept = locks.withLock('kept', aborted);
  const answer = request(await app.getUrl())
    .get('/wait')
    .then();
  await eventually('it waits', async () => (await locks.inspect('kept')).waiters === 1);

  await app.close();
  await expect(kept).resolves.toMatchObject({ reason: 'shutdown' });
  expect((await answer).status).toBe(500);
  expect(journal.closed).toBe(1);
});
