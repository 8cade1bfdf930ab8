import { Injectable, Scope } from '@nestjs/common';
import {
  CommandBus,
  CommandHandler,
  CqrsModule,
  EventBus,
  EventsHandler,
  type IEvent,
  ofType,
  Saga,
} from '@nestjs/cqrs';
import { EventEmitter2, EventEmitterModule, OnEvent } from '@nestjs/event-emitter';
import { jest } from '@jest/globals';
import {
  Locked,
  LockModule,
  LockReentrancyError,
  LockService,
  LockTimeoutError,
  MemoryBackend,
} from 'nestjs-lock';
import { delay, map, type Observable } from 'rxjs';
import { AsyncResource } from 'node:async_hooks';
import { setImmediate as turn } from 'node:timers/promises';
import { eventually } from '../support/eventually.js';
import { Log, start } from '../support/nest-application.js';

/** Who went in and out, in that order. */
const trace: string[] = [];
let log: Log;

beforeEach(() => {
  trace.length = 0;
  log = new Log();
});

afterEach(() => {
  jest.useRealTimers();
});

/** A body that lets everything else run while it is inside. */
async function body(name: string, work: () => unknown = () => undefined): Promise<string> {
  trace.push(`${name} in`);
  await work();
  for (let turns = 0; turns < 5; turns++) await turn();
  trace.push(`${name} out`);
  return name;
}

const AFTER_THE_BODY = ['body in', 'body out', 'handler in', 'handler out'];

async function expectTrace(...expected: string[]): Promise<void> {
  await eventually('all bodies', () => trace.length >= expected.length);
  expect(trace).toEqual(expected);
  expect(log.errors).toEqual([]);
}

const locks = LockModule.forRoot();

describe('an event that is emitted under a lock', () => {
  @Injectable()
  class Listener {
    constructor(private readonly locks: LockService) {}

    @Locked('order:{0.id}')
    @OnEvent('above', { suppressErrors: false })
    async above(_order: { id: number }) {
      return body('handler');
    }

    @OnEvent('below', { suppressErrors: false })
    @Locked('order:{0.id}')
    async below(_order: { id: number }) {
      return body('handler');
    }

    @OnEvent('several')
    @Locked(({ id }: { id: number }) => ['account:1', `order:${id}`, 'stock:1'])
    async several(_order: { id: number }) {
      return body('handler');
    }

    @OnEvent('around')
    @Locked('around')
    async around(order: { id: number }) {
      return this.above(order);
    }

    @OnEvent('inside')
    @Locked('inside')
    async inside({ id }: { id: number }) {
      return this.locks.withLock(`order:${id}`, () => body('handler'));
    }

    @OnEvent('write')
    @Locked('order:{0.id}')
    async write(_order: { id: number }) {
      return body('handler');
    }

    @OnEvent('chain')
    @Locked('order:{0.id}')
    async chain(order: { id: number }) {
      const emitter = this.emitter;
      return body('handler', () => emitter?.emit('above', order));
    }

    emitter: EventEmitter2 | undefined;

    @OnEvent('impatient', { suppressErrors: false })
    @Locked('order:{0.id}', { wait: 20 })
    async impatient(_order: { id: number }) {
      return body('handler');
    }

    @OnEvent('impatient several', { suppressErrors: false })
    @Locked(({ id }: { id: number }) => ['account:1', `order:${id}`], { wait: 200 })
    async impatientSeveral(_order: { id: number }) {
      return body('handler');
    }

    @OnEvent('at once', { suppressErrors: false })
    @Locked('order:{0.id}', { wait: 0, onBusy: 'skip' })
    async atOnce(_order: { id: number }) {
      return body('handler');
    }

    @OnEvent('endless', { suppressErrors: false })
    @Locked('order:{0.id}', { wait: Infinity })
    async endless(_order: { id: number }) {
      return body('handler');
    }

    @OnEvent('reentrant', { suppressErrors: false })
    @Locked('order:{0.id}', { reentrant: true })
    async reentrant(_order: { id: number }) {
      return body('handler');
    }
  }

  @Injectable({ scope: Scope.REQUEST })
  class ScopedListener {
    @Locked('order:{0.id}')
    @OnEvent('scoped')
    async scoped(_order: { id: number }) {
      return body('handler');
    }
  }

  async function application() {
    const imports = [locks, EventEmitterModule.forRoot()];
    const app = await start({ imports, providers: [Listener, ScopedListener] }, { log });
    const emitter = app.get(EventEmitter2);
    app.get(Listener).emitter = emitter;
    return { emitter, service: app.get(LockService) };
  }

  it.each(['above', 'below', 'several', 'around', 'inside', 'scoped', 'endless'])(
    'is handled after the body: %s',
    async (event) => {
      const { emitter, service } = await application();
      await service.withLock('order:7', () => body('body', () => emitter.emit(event, { id: 7 })));
      await expectTrace(...AFTER_THE_BODY);
    },
  );

  it('is handled after all readers, when its handler writes', async () => {
    const { emitter, service } = await application();
    await service.withLock('order:7', { mode: 'shared' }, () =>
      body('body', () => emitter.emit('write', { id: 7 })),
    );
    await expectTrace(...AFTER_THE_BODY);
  });

  it('is handled after the handler that emitted it, and that after the body', async () => {
    const { emitter, service } = await application();
    await service.withLock('order:7', () => body('body', () => emitter.emit('chain', { id: 7 })));
    await expectTrace(...AFTER_THE_BODY, 'handler in', 'handler out');
  });

  it('is handled beside the body, when its handler may enter again', async () => {
    const { emitter, service } = await application();
    await service.withLock('order:7', () =>
      body('body', () => emitter.emitAsync('reentrant', { id: 7 })),
    );
    expect(trace).toEqual(['body in', 'handler in', 'handler out', 'body out']);
  });

  it.each([
    ['impatient', 20],
    ['impatient several', 200],
    ['at once', 0],
  ])(
    'is refused when the wait is over, while the body waits for its handlers: %s',
    async (event, wait) => {
      const { emitter, service } = await application();
      const outcome = service.withLock('order:7', () => emitter.emitAsync(event, { id: 7 }));
      const error: unknown = await outcome.catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(LockReentrancyError);
      expect(error).toMatchObject({ code: 'LOCK_REENTRANCY', key: 'order:7' });
      expect((error as Error).message).toContain(`not granted within ${wait} ms`);
      expect(trace).toEqual([]);
      const next = await service.acquire('order:7', { wait: 0 });
      await next.release();
    },
  );

  it('is refused after a minute, while the body waits, when the wait is endless', async () => {
    const { emitter, service } = await application();
    jest.useFakeTimers({ doNotFake: ['nextTick', 'queueMicrotask', 'setImmediate'] });
    let settled = false;
    const outcome = service
      .withLock('order:7', () => emitter.emitAsync('endless', { id: 7 }))
      .catch((reason: unknown) => reason)
      .finally(() => (settled = true));
    await jest.advanceTimersByTimeAsync(59_000);
    expect(settled).toBe(false);
    await jest.advanceTimersByTimeAsync(2_000);
    expect(settled).toBe(true);
    expect(await outcome).toMatchObject({ code: 'LOCK_REENTRANCY', key: 'order:7' });
  });

  it('waits on for others after the body, when the wait is endless', async () => {
    const backend = new MemoryBackend();
    const others = new LockService({ backend });
    const imports = [LockModule.forRoot({ backend }), EventEmitterModule.forRoot()];
    const app = await start({ imports, providers: [Listener] }, { log });
    jest.useFakeTimers({ doNotFake: ['nextTick', 'queueMicrotask', 'setImmediate'] });
    const service = app.get(LockService);

    const other = await service.withLock('order:7', async () => {
      const waiting = others.acquire('order:7', { wait: '10m' });
      await jest.advanceTimersByTimeAsync(1);
      app.get(EventEmitter2).emit('endless', { id: 7 });
      return { waiting };
    });
    const held = await other.waiting;
    await jest.advanceTimersByTimeAsync(120_000);
    expect(trace).toEqual([]);
    await held.release();
    // Still under fake timers: a clock that jumps under the handler would cost it its lock.
    while (!trace.includes('handler out')) await turn();
    expect(trace).toEqual(['handler in', 'handler out']);
    expect(log.errors).toEqual([]);
    jest.useRealTimers();
    await others.close();
  });

  it('is refused as busy when others have the lock after the body', async () => {
    const backend = new MemoryBackend();
    const others = new LockService({ backend });
    const imports = [LockModule.forRoot({ backend }), EventEmitterModule.forRoot()];
    const app = await start({ imports, providers: [Listener] }, { log });

    const { waiting, handled } = await app.get(LockService).withLock('order:7', () => ({
      waiting: others.acquire('order:7'),
      handled: app.get(EventEmitter2).emitAsync('impatient', { id: 7 }),
    }));
    await expect(handled).rejects.toThrow(LockTimeoutError);
    await (await waiting).release();
    await others.close();
  });

  it('is handled after the body by a listener that left its context', async () => {
    const { emitter, service } = await application();
    const book = () => {
      void service.withLock('order:7', () => body('handler'));
    };
    emitter.on('by hand', AsyncResource.bind(book));
    await service.withLock('order:7', () => body('body', () => emitter.emit('by hand')));
    await expectTrace(...AFTER_THE_BODY);
  });

  it('does not let the body itself enter twice', async () => {
    const { service } = await application();
    await service.withLock('order:7', async () => {
      await expect(service.acquire('order:7')).rejects.toThrow(LockReentrancyError);
    });
  });
});

describe('an event of @nestjs/cqrs that is published under a lock', () => {
  class Paid {
    constructor(readonly id: number) {}
  }

  class Shipped {
    constructor(readonly id: number) {}
  }

  class Ship {
    constructor(readonly id: number) {}
  }

  @EventsHandler(Paid)
  class PaidHandler {
    @Locked('order:{0.id}')
    async handle(_paid: Paid) {
      await body('handler');
    }
  }

  @EventsHandler(Paid, { scope: Scope.REQUEST })
  class ScopedPaidHandler extends PaidHandler {}

  @CommandHandler(Ship)
  class ShipHandler {
    @Locked('order:{0.id}', { wait: 200 })
    async execute(_ship: Ship) {
      return body('handler');
    }
  }

  @Injectable()
  class Sagas {
    @Saga()
    paid = (events: Observable<IEvent>): Observable<Ship> =>
      events.pipe(
        ofType(Paid),
        map(({ id }) => new Ship(id)),
      );

    @Saga()
    shipped = (events: Observable<IEvent>): Observable<Ship> =>
      events.pipe(
        ofType(Shipped),
        delay(1),
        map(({ id }) => new Ship(id)),
      );
  }

  it.each([
    ['its handler', Paid, [PaidHandler]],
    ['its request-scoped handler', Paid, [ScopedPaidHandler]],
    ['the command of a saga', Paid, [Sagas, ShipHandler]],
    ['the command of a saga that takes its time', Shipped, [Sagas, ShipHandler]],
  ])('is handled after the body by %s', async (_, Event, providers) => {
    const app = await start({ imports: [CqrsModule, locks], providers }, { log });
    const publish = () => app.get(EventBus).publish(new Event(7)) as unknown;
    await app.get(LockService).withLock('order:7', () => body('body', publish));
    await expectTrace(...AFTER_THE_BODY);
  });

  it('is refused when the wait is over, while the body waits for the command', async () => {
    const app = await start({ imports: [CqrsModule, locks], providers: [ShipHandler] }, { log });
    const outcome = app
      .get(LockService)
      .withLock('order:7', () => app.get(CommandBus).execute(new Ship(7)));
    await expect(outcome).rejects.toMatchObject({ code: 'LOCK_REENTRANCY', key: 'order:7' });
    expect(trace).toEqual([]);
  });
});
