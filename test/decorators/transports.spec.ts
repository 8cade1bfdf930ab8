import {
  type CanActivate,
  Controller,
  type ExecutionContext,
  Inject,
  Injectable,
  type INestApplication,
  type ModuleMetadata,
  Scope,
  SetMetadata,
  UseFilters,
  UseGuards,
  UseInterceptors,
} from '@nestjs/common';
import { ApolloDriver, type ApolloDriverConfig } from '@nestjs/apollo';
import { Reflector } from '@nestjs/core';
import {
  CommandBus,
  CommandHandler,
  CqrsModule,
  EventBus,
  EventsHandler,
  QueryBus,
  QueryHandler,
} from '@nestjs/cqrs';
import { EventEmitter2, EventEmitterModule, OnEvent } from '@nestjs/event-emitter';
import {
  Args,
  Field,
  GraphQLModule,
  GraphQLSchemaHost,
  Int,
  Mutation,
  ObjectType,
  Parent,
  Query,
  ResolveField,
  Resolver,
  Subscription,
} from '@nestjs/graphql';
import {
  type ClientProxy,
  ClientProxyFactory,
  EventPattern,
  MessagePattern,
  Payload,
  RpcException,
  Transport,
} from '@nestjs/microservices';
import { Cron, Interval, ScheduleModule, SchedulerRegistry, Timeout } from '@nestjs/schedule';
import { type ExecutionResult, parse, subscribe } from 'graphql';
import {
  LockBusyFilter,
  Locked,
  LockedStream,
  LockInterceptor,
  LockModule,
  LockService,
} from 'nestjs-lock';
import { firstValueFrom, lastValueFrom, type Observable, of, timeout, toArray } from 'rxjs';
import request from 'supertest';
import { eventually } from '../support/eventually.js';
import { freePort } from '../support/free-port.js';
import { Journal, lockedOnce } from '../support/journal.js';
import { closeAfterTest, Log, start, startHttp } from '../support/nest-application.js';

const journal = new Journal();
const locks = LockModule.forRoot({ backend: journal });
const orders = ['above', 'below'] as const;

beforeEach(() => {
  journal.clear();
});

/** For callers that are told nothing when their handler is done. */
async function expectLockedOnce(key: string, calls: number): Promise<void> {
  const expected = lockedOnce(calls);
  await eventually(`${expected.length} events of ${key}`, () => {
    return journal.of(key).length >= expected.length;
  });
  expect(journal.of(key)).toEqual(expected);
}

const Needs = (role: string) => SetMetadata('role', role);

/** Lets nobody in whose handler was not marked with the role that the test gives. */
@Injectable()
class RoleGuard implements CanActivate {
  constructor(@Inject(Reflector) private readonly reflector: Reflector) {}

  canActivate(context: ExecutionContext): boolean {
    return this.reflector.get('role', context.getHandler()) === 'worker';
  }
}

describe('@nestjs/schedule', () => {
  /** The first of January: far enough for any test. */
  const NEVER = '0 0 1 1 *';

  @Injectable()
  class Jobs {
    #runs = 0;

    @Locked('cron above')
    @Cron(NEVER, { name: 'above' })
    async cronAbove() {
      this.#runs++;
      return journal.body('cron above', this.#runs);
    }

    @Cron(NEVER, { name: 'below' })
    @Locked('cron below')
    async cronBelow() {
      this.#runs++;
      return journal.body('cron below', this.#runs);
    }

    @Locked('interval above')
    @Interval('above', 2)
    async intervalAbove() {
      return journal.body('interval above', undefined);
    }

    @Interval('below', 2)
    @Locked('interval below')
    async intervalBelow() {
      return journal.body('interval below', undefined);
    }

    @Locked('timeout above')
    @Timeout('above', 2)
    async timeoutAbove() {
      return journal.body('timeout above', undefined);
    }

    @Timeout('below', 2)
    @Locked('timeout below')
    async timeoutBelow() {
      return journal.body('timeout below', undefined);
    }

    @Cron(NEVER, { name: 'one replica' })
    @Locked('one replica', { wait: 0, onBusy: 'skip' })
    async oneReplica() {
      return journal.body('one replica', undefined);
    }
  }

  const imports: [string, NonNullable<ModuleMetadata['imports']>][] = [
    ['before', [LockModule.forRoot({ backend: journal }), ScheduleModule.forRoot()]],
    ['after', [ScheduleModule.forRoot(), LockModule.forRoot({ backend: journal })]],
  ];

  describe.each(imports)('with LockModule imported %s ScheduleModule', (_, modules) => {
    let registry: SchedulerRegistry;

    beforeEach(async () => {
      registry = (await start({ imports: modules, providers: [Jobs] })).get(SchedulerRegistry);
    });

    it.each(orders)('locks a job once, @Locked %s @Cron', async (where) => {
      const job = registry.getCronJob(where);
      await Promise.all([job.fireOnTick(), job.fireOnTick()]);
      await expectLockedOnce(`cron ${where}`, 2);
    });

    it.each(orders)('locks each run once, @Locked %s @Interval', async (where) => {
      const key = `interval ${where}`;
      await eventually(`two runs of ${key}`, () => journal.of(key).length >= 8);
      registry.deleteInterval(where);
      expect(journal.of(key).slice(0, 8)).toEqual(lockedOnce(2));
    });

    it.each(orders)('locks the run once, @Locked %s @Timeout', async (where) => {
      await expectLockedOnce(`timeout ${where}`, 1);
    });
  });

  it('skips the job quietly while another replica runs it', async () => {
    const log = new Log();
    const app = await start(
      { imports: [ScheduleModule.forRoot(), locks], providers: [Jobs] },
      { log },
    );
    const job = app.get(SchedulerRegistry).getCronJob('one replica');
    const lock = await app.get(LockService).acquire('one replica');

    await job.fireOnTick();
    await lock.release();
    await job.fireOnTick();

    await eventually('the second run', () => journal.of('one replica').length >= 6);
    expect(journal.of('one replica')).toEqual(['granted', 'released', ...lockedOnce()]);
    expect(log.errors).toEqual([]);
  });
});

describe('@nestjs/event-emitter', () => {
  @Injectable()
  class Listener {
    @Locked('event above:{0.id}')
    @OnEvent('above', { suppressErrors: false })
    async above({ id }: { id: string }) {
      return journal.body(`event above:${id}`, [this.constructor.name, id]);
    }

    @OnEvent('below', { suppressErrors: false })
    @Locked('event below:{0.id}')
    async below({ id }: { id: string }) {
      return journal.body(`event below:${id}`, [this.constructor.name, id]);
    }

    @OnEvent('twice')
    @Locked('event twice')
    @OnEvent('again')
    async twice() {
      return journal.body('event twice', 'done');
    }
  }

  @Injectable({ scope: Scope.REQUEST })
  class ScopedListener {
    @Locked('event scoped')
    @OnEvent('scoped')
    async scoped() {
      return journal.body('event scoped', 'done');
    }
  }

  it.each([
    ['above', [locks, EventEmitterModule.forRoot()]],
    ['below', [locks, EventEmitterModule.forRoot()]],
    ['above', [EventEmitterModule.forRoot(), locks]],
    ['below', [EventEmitterModule.forRoot(), locks]],
  ])('locks each event once, @Locked %s @OnEvent', async (where, imports) => {
    const emitter = (await start({ imports, providers: [Listener] })).get(EventEmitter2);

    const emit = () => emitter.emitAsync(where, { id: 'a' });
    const answers = await Promise.all([emit(), emit()]);

    expect(answers).toEqual([[['Listener', 'a']], [['Listener', 'a']]]);
    expect(journal.of(`event ${where}:a`)).toEqual(lockedOnce(2));
  });

  it('locks once for each of several @OnEvent, above and below', async () => {
    const imports = [locks, EventEmitterModule.forRoot()];
    const emitter = (await start({ imports, providers: [Listener] })).get(EventEmitter2);

    await Promise.all([emitter.emitAsync('twice'), emitter.emitAsync('again')]);
    expect(journal.of('event twice')).toEqual(lockedOnce(2));
  });

  it('locks in a request-scoped listener', async () => {
    const imports = [locks, EventEmitterModule.forRoot()];
    const emitter = (await start({ imports, providers: [ScopedListener] })).get(EventEmitter2);

    await Promise.all([emitter.emitAsync('scoped', {}), emitter.emitAsync('scoped', {})]);
    expect(journal.of('event scoped')).toEqual(lockedOnce(2));
  });
});

describe('@nestjs/microservices over TCP', () => {
  @Controller()
  @UseGuards(RoleGuard)
  class Workers {
    @Locked('message above:{0.id}')
    @MessagePattern('above')
    @Needs('worker')
    async above(@Payload() { id }: { id: string }) {
      return journal.body(`message above:${id}`, { id, by: this.constructor.name });
    }

    @MessagePattern('below')
    @Needs('worker')
    @Locked('message below:{0.id}')
    async below(@Payload() { id }: { id: string }) {
      return journal.body(`message below:${id}`, { id, by: this.constructor.name });
    }

    @MessagePattern('intercepted')
    @Needs('worker')
    @UseInterceptors(LockInterceptor)
    @Locked('message intercepted:{0.id}')
    async intercepted(@Payload() { id }: { id: string }) {
      return journal.body(`message intercepted:${id}`, { id, by: this.constructor.name });
    }

    @MessagePattern('guarded')
    @Needs('boss')
    @Locked('message guarded')
    async guarded() {
      return journal.body('message guarded', 'ran');
    }

    @EventPattern('event')
    @Needs('worker')
    @Locked('message event')
    async event(@Payload() _data: unknown) {
      return journal.body('message event', undefined);
    }

    @MessagePattern('failing')
    @Needs('worker')
    @Locked('message failing')
    async failing() {
      throw new RpcException('out of stock');
    }

    @MessagePattern('busy')
    @Needs('worker')
    @UseFilters(LockBusyFilter)
    @Locked('message busy', { wait: 0 })
    async busy() {
      return journal.body('message busy', 'ran');
    }

    @MessagePattern('busy, unfiltered')
    @Needs('worker')
    @Locked('message busy', { wait: 0 })
    async unfiltered() {
      return journal.body('message busy', 'ran');
    }

    @MessagePattern('stream')
    @Needs('worker')
    @LockedStream('message stream')
    stream(): Observable<number> {
      journal.note('message stream', 'enter');
      return of(1, 2, 3);
    }
  }

  let app: INestApplication;
  let client: ClientProxy;

  beforeEach(async () => {
    const options = { host: '127.0.0.1', port: await freePort() };
    app = await startHttp({ imports: [locks], controllers: [Workers] }, (it) =>
      it.connectMicroservice({ transport: Transport.TCP, options }),
    );
    await app.startAllMicroservices();
    client = ClientProxyFactory.create({ transport: Transport.TCP, options });
    closeAfterTest({
      close: async () => {
        await client.close();
      },
    });
  });

  it.each([...orders, 'intercepted'])('locks each message once, %s', async (where) => {
    const send = () => firstValueFrom(client.send<unknown>(where, { id: 'a' }));
    const answers = await Promise.all([send(), send(), send()]);

    expect(answers).toEqual(Array(3).fill({ id: 'a', by: 'Workers' }));
    expect(journal.of(`message ${where}:a`)).toEqual(lockedOnce(3));
  });

  it('takes no lock for what a guard refuses', async () => {
    await expect(firstValueFrom(client.send('guarded', {}))).rejects.toMatchObject({
      message: 'Forbidden resource',
    });
    expect(journal.of('message guarded')).toEqual([]);
  });

  it('locks each event once', async () => {
    client.emit('event', {});
    client.emit('event', {});
    await expectLockedOnce('message event', 2);
  });

  it('answers with the RpcException of the body', async () => {
    await expect(firstValueFrom(client.send('failing', {}))).rejects.toMatchObject({
      message: 'out of stock',
    });
    expect(journal.of('message failing')).toEqual(['granted', 'released']);
  });

  it('answers with an error when the lock is busy, the same with and without LockBusyFilter', async () => {
    const send = (pattern: string) => firstValueFrom(client.send(pattern, {}).pipe(timeout(2_000)));
    {
      await using lock = await app.get(LockService).acquire('message busy');
      for (const pattern of ['busy', 'busy, unfiltered']) {
        const answer: unknown = await send(pattern).catch((error: unknown) => error);
        expect(answer).toEqual({ status: 'error', message: 'Internal server error' });
      }
      expect(journal.of('message busy')).toEqual(['granted']);
      expect(lock.held).toBe(true);
    }
    await expect(send('busy')).resolves.toBe('ran');
  });

  it('holds the lock of a streamed answer to its end', async () => {
    const stream = () => lastValueFrom(client.send<number>('stream', {}).pipe(toArray()));
    await expect(Promise.all([stream(), stream()])).resolves.toEqual([
      [1, 2, 3],
      [1, 2, 3],
    ]);
    expect(journal.of('message stream')).toEqual([
      ...['granted', 'enter', 'released'],
      ...['granted', 'enter', 'released'],
    ]);
  });
});

describe('@nestjs/cqrs', () => {
  class Ship {
    constructor(readonly id: string) {}
  }
  class Look {
    constructor(readonly id: string) {}
  }
  class Shipped {
    constructor(readonly id: string) {}
  }

  @CommandHandler(Ship)
  class ShipHandler {
    @Locked('command:{0.id}')
    async execute({ id }: Ship) {
      return journal.body(`command:${id}`, `shipped ${id}`);
    }
  }

  @QueryHandler(Look)
  class LookHandler {
    @Locked((look: Look) => `query:${look.id}`)
    async execute({ id }: Look) {
      return journal.body(`query:${id}`, `seen ${id}`);
    }
  }

  @EventsHandler(Shipped)
  class ShippedHandler {
    @Locked('handled:{0.id}')
    async handle({ id }: Shipped) {
      await journal.body(`handled:${id}`, undefined);
    }
  }

  @CommandHandler(Ship, { scope: Scope.REQUEST })
  class ScopedShipHandler extends ShipHandler {}

  it.each([ShipHandler, ScopedShipHandler])('locks execute of %p once a command', async (it) => {
    const bus = (await start({ imports: [locks, CqrsModule], providers: [it] })).get(CommandBus);

    const ship = () => bus.execute(new Ship('a'));
    await expect(Promise.all([ship(), ship()])).resolves.toEqual(['shipped a', 'shipped a']);
    expect(journal.of('command:a')).toEqual(lockedOnce(2));
  });

  it('locks queries and events once', async () => {
    const providers = [LookHandler, ShippedHandler];
    const app = await start({ imports: [CqrsModule, locks], providers });

    await expect(app.get(QueryBus).execute(new Look('a'))).resolves.toBe('seen a');
    expect(journal.of('query:a')).toEqual(lockedOnce());

    void app.get(EventBus).publish(new Shipped('a'));
    void app.get(EventBus).publish(new Shipped('a'));
    await expectLockedOnce('handled:a', 2);
  });
});

describe('@nestjs/graphql', () => {
  @ObjectType()
  class Item {
    @Field(() => Int)
    id!: number;
  }

  @Resolver(() => Item)
  class ItemResolver {
    @Query(() => Item)
    @Needs('worker')
    @UseGuards(RoleGuard)
    @Locked('query:{0}')
    async item(@Args('id', { type: () => Int }) id: number) {
      return journal.body(`query:${id}`, { id });
    }

    @Needs('boss')
    @Locked('guarded')
    @Query(() => Item)
    @UseGuards(RoleGuard)
    async guarded() {
      return journal.body('guarded', { id: 0 });
    }

    @Query(() => Item)
    @UseFilters(LockBusyFilter)
    @Locked('busy', { wait: 0 })
    async busy() {
      return journal.body('busy', { id: 0 });
    }

    @Query(() => Item)
    @Locked('busy', { wait: 0 })
    async unfiltered() {
      return journal.body('busy', { id: 0 });
    }

    @Locked('mutation:{0}')
    @Mutation(() => Item)
    @UseInterceptors(LockInterceptor)
    async rename(@Args('id', { type: () => Int }) id: number) {
      return journal.body(`mutation:${id}`, { id });
    }

    @ResolveField(() => String)
    @Locked('field below:{0.id}')
    async below(@Parent() { id }: Item) {
      return journal.body(`field below:${id}`, `below ${id}`);
    }

    @Locked('field above:{0.id}')
    @ResolveField(() => String)
    async above(@Parent() { id }: Item) {
      return journal.body(`field above:${id}`, `above ${id}`);
    }

    @Subscription(() => Int)
    @LockedStream('subscription')
    async *counted() {
      journal.note('subscription', 'enter');
      yield { counted: 1 };
      yield { counted: 2 };
    }

    @LockedStream('iterable subscription')
    @Subscription(() => Int)
    async *listed() {
      journal.note('iterable subscription', 'enter');
      yield* (async function* () {
        yield { listed: 1 };
        yield { listed: 2 };
      })();
    }
  }

  @Injectable({ scope: Scope.REQUEST })
  @Resolver(() => Item)
  class ScopedResolver {
    @Query(() => Item)
    @Locked('scoped:{0}')
    async item(@Args('id', { type: () => Int }) id: number) {
      return journal.body(`scoped:${id}`, { id });
    }
  }

  const startGraphql = (resolver: new () => object) =>
    startHttp({
      imports: [
        GraphQLModule.forRoot<ApolloDriverConfig>({
          driver: ApolloDriver,
          autoSchemaFile: true,
          fieldResolverEnhancers: ['interceptors', 'guards'],
        }),
        locks,
      ],
      providers: [resolver],
    });

  interface Reply {
    data: unknown;
    errors?: { message: string; extensions?: object }[];
  }

  const ask = async (app: INestApplication, query: string) => {
    const reply = await request(await app.getUrl())
      .post('/graphql')
      .send({ query });
    return reply.body as Reply;
  };

  const withoutStacks = ({ data, errors }: Reply) => ({
    data,
    errors: errors?.map(({ extensions, ...error }) => ({
      ...error,
      extensions: { ...extensions, stacktrace: undefined },
    })),
  });

  it('locks queries, mutations and fields once, @Locked above and below', async () => {
    const app = await startGraphql(ItemResolver);
    const query = '{ item(id: 1) { id below above } }';

    await expect(Promise.all([ask(app, query), ask(app, query)])).resolves.toEqual(
      Array(2).fill({ data: { item: { id: 1, below: 'below 1', above: 'above 1' } } }),
    );
    for (const key of ['query:1', 'field below:1', 'field above:1']) {
      expect(journal.of(key)).toEqual(lockedOnce(2));
    }

    const mutation = 'mutation { rename(id: 2) { id } }';
    await Promise.all([ask(app, mutation), ask(app, mutation)]);
    expect(journal.of('mutation:2')).toEqual(lockedOnce(2));
  });

  it('takes no lock for what a guard refuses', async () => {
    const app = await startGraphql(ItemResolver);
    const { errors } = await ask(app, '{ guarded { id } }');
    expect(errors?.[0]?.message).toBe('Forbidden resource');
    expect(journal.of('guarded')).toEqual([]);
  });

  it('answers with an error when the lock is busy, the same with and without LockBusyFilter', async () => {
    const app = await startGraphql(ItemResolver);
    await using lock = await app.get(LockService).acquire('busy');
    const [filtered, unfiltered] = await Promise.all([
      ask(app, '{ told: busy { id } }'),
      ask(app, '{ told: unfiltered { id } }'),
    ]);
    expect(filtered.errors?.[0]?.message).toBe('Lock "busy" is held by another');
    expect(withoutStacks(filtered)).toEqual(withoutStacks(unfiltered));
    expect(journal.of('busy')).toEqual(['granted']);
    expect(lock.held).toBe(true);
  });

  it('locks in a request-scoped resolver', async () => {
    const app = await startGraphql(ScopedResolver);
    const query = '{ item(id: 3) { id } }';
    await Promise.all([ask(app, query), ask(app, query)]);
    expect(journal.of('scoped:3')).toEqual(lockedOnce(2));
  });

  it.each([
    ['an async generator', 'counted', 'subscription'],
    ['an async generator that passes on an iterable', 'listed', 'iterable subscription'],
  ])('holds the lock of a subscription to its end: %s', async (_, field, key) => {
    const app = await startGraphql(ItemResolver);
    const { schema } = app.get(GraphQLSchemaHost);
    const document = parse(`subscription { ${field} }`);

    const results = (await subscribe({ schema, document })) as AsyncIterable<ExecutionResult>;
    const seen: unknown[] = [];
    for await (const { data } of results) seen.push(data?.[field]);

    expect(seen).toEqual([1, 2]);
    expect(journal.of(key)).toEqual(['granted', 'enter', 'released']);
  });
});
