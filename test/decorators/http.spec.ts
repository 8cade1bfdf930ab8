import {
  applyDecorators,
  BadGatewayException,
  Body,
  type CallHandler,
  type CanActivate,
  Catch,
  ConflictException,
  Controller,
  type ExceptionFilter,
  type ExecutionContext,
  Get,
  Header,
  HttpCode,
  Inject,
  Injectable,
  type ArgumentsHost,
  type INestApplication,
  type NestInterceptor,
  NotFoundException,
  Param,
  ParseIntPipe,
  Post,
  Res,
  Scope,
  SetMetadata,
  UseFilters,
  UseGuards,
  UseInterceptors,
  VersioningType,
  Version,
} from '@nestjs/common';
import { APP_FILTER, APP_GUARD, APP_INTERCEPTOR, Reflector, REQUEST } from '@nestjs/core';
import {
  LockBusyFilter,
  Locked,
  LockInterceptor,
  LockModule,
  LockService,
  LockShutdownError,
} from 'nestjs-lock';
import type { Observable } from 'rxjs';
import request from 'supertest';
import { Journal, lockedOnce } from '../support/journal.js';
import { startHttp } from '../support/nest-application.js';

interface Reply {
  setHeader(name: string, value: string): void;
  json(body: unknown): void;
}

const journal = new Journal();
const locks = LockModule.forRoot({ backend: journal });

const Role = (role: string) => SetMetadata('role', role);

/** Reads metadata of the handler, and notes when it ran. */
@Injectable()
class RoleGuard implements CanActivate {
  constructor(@Inject(Reflector) private readonly reflector: Reflector) {}

  canActivate(context: ExecutionContext): boolean {
    const needed = this.reflector.get<string | undefined>('role', context.getHandler());
    const { path, headers } = context
      .switchToHttp()
      .getRequest<{ path: string; headers: Record<string, string> }>();
    if (needed !== undefined) journal.note(path.slice(1), 'guard');
    return needed === undefined || headers['x-role'] === needed;
  }
}

@Injectable()
class NotingInterceptor implements NestInterceptor {
  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    const { path } = context.switchToHttp().getRequest<{ path: string }>();
    journal.note(path.slice(1), 'interceptor');
    return next.handle();
  }
}

@Catch(RangeError)
class RangeFilter implements ExceptionFilter {
  catch(error: RangeError, host: ArgumentsHost): void {
    host
      .switchToHttp()
      .getResponse<{ status(code: number): Reply }>()
      .status(422)
      .json({ range: error.message });
  }
}

async function order(where: string, id: number, amount: number) {
  if (amount > 100) throw new RangeError('too many');
  return journal.body(`${where}/${id}`, { id, kind: typeof id, amount });
}

/** Several decorators in one, as applications write them. */
const OrderRoute = () =>
  applyDecorators(
    Locked('composed/{0}') as MethodDecorator,
    Post('composed/:id'),
    HttpCode(202),
    Header('x-shop', 'open'),
    Role('owner'),
    UseGuards(RoleGuard),
    UseInterceptors(NotingInterceptor),
    UseFilters(RangeFilter),
  );

/** The same handler, with the lock over, under and amid what else decorates it. */
@Controller()
class OrderController {
  @Locked('above/{0}')
  @Post('above/:id')
  @HttpCode(202)
  @Header('x-shop', 'open')
  @Role('owner')
  @UseGuards(RoleGuard)
  @UseInterceptors(NotingInterceptor)
  @UseFilters(RangeFilter)
  async above(@Param('id', ParseIntPipe) id: number, @Body() { amount }: { amount: number }) {
    return order('above', id, amount);
  }

  @Post('below/:id')
  @HttpCode(202)
  @Header('x-shop', 'open')
  @Role('owner')
  @UseGuards(RoleGuard)
  @UseInterceptors(NotingInterceptor)
  @UseFilters(RangeFilter)
  @Locked('below/{0}')
  async below(@Param('id', ParseIntPipe) id: number, @Body() { amount }: { amount: number }) {
    return order('below', id, amount);
  }

  @HttpCode(202)
  @UseGuards(RoleGuard)
  @UseFilters(RangeFilter)
  @Locked('amid/{0}')
  @Post('amid/:id')
  @Header('x-shop', 'open')
  @Role('owner')
  @UseInterceptors(NotingInterceptor)
  async amid(@Param('id', ParseIntPipe) id: number, @Body() { amount }: { amount: number }) {
    return order('amid', id, amount);
  }

  @OrderRoute()
  async composed(@Param('id', ParseIntPipe) id: number, @Body() { amount }: { amount: number }) {
    return order('composed', id, amount);
  }
}

let server: string;

async function listen(app: INestApplication): Promise<void> {
  server = await app.getUrl();
}

describe.each(['above', 'below', 'amid', 'composed'])(
  '@Locked and other decorators, %s',
  (where) => {
    beforeEach(async () => {
      await listen(await startHttp({ imports: [locks], controllers: [OrderController] }));
    });

    const send = (id: string, role: string, amount = 2) =>
      request(server).post(`/${where}/${id}`).set('x-role', role).send({ amount });

    it('locks a request once, after guards and interceptors, with what pipes made of it', async () => {
      const reply = await send('1', 'owner').expect(202);

      expect(reply.headers['x-shop']).toBe('open');
      expect(reply.body).toEqual({ id: 1, kind: 'number', amount: 2 });
      expect(journal.of(`${where}/1`)).toEqual(['guard', 'interceptor', ...lockedOnce()]);
    });

    it('locks concurrent requests one after the other', async () => {
      const replies = await Promise.all([
        send('5', 'owner'),
        send('5', 'owner'),
        send('5', 'owner'),
      ]);

      expect(replies.map(({ status }) => status)).toEqual([202, 202, 202]);
      const before = ['guard', 'interceptor'];
      const events = journal.of(`${where}/5`).filter((event) => !before.includes(event));
      expect(events).toEqual(lockedOnce(3));
    });

    it('takes no lock for what a guard refuses', async () => {
      await send('2', 'stranger').expect(403);
      expect(journal.of(`${where}/2`)).toEqual(['guard']);
    });

    it('takes no lock for what a pipe refuses', async () => {
      await send('three', 'owner').expect(400);
      expect(journal.of(`${where}/three`)).toEqual(['guard', 'interceptor']);
    });

    it("lets the handler's own filter answer for its body", async () => {
      await send('4', 'owner', 101).expect(422, { range: 'too many' });
      expect(journal.of(`${where}/4`)).toEqual(['guard', 'interceptor', 'granted', 'released']);
    });
  },
);

describe('a locked handler', () => {
  it('takes its key from its own arguments, not from the request', async () => {
    @Controller()
    class UserController {
      @Post('users')
      @Locked('user:{0.user.id}')
      async rename(@Body() dto: { user: { id: string } }) {
        return journal.body(`user:${dto.user.id}`, dto.user.id);
      }
    }
    await listen(await startHttp({ imports: [locks], controllers: [UserController] }));
    const rename = (id: string) => request(server).post('/users').send({ user: { id } });

    await Promise.all([rename('ann').expect(201), rename('bob').expect(201)]);

    expect(journal.of('user:ann')).toEqual(lockedOnce());
    expect(journal.of('user:bob')).toEqual(lockedOnce());
    // An object is no key: users would share it.
    await request(server)
      .post('/users')
      .send({ user: { id: { a: 1 } } })
      .expect(500);
  });

  it('keeps the status of an HttpException, whatever its kind', async () => {
    @Controller()
    class FailingController {
      @Get('missing')
      @Locked('missing')
      async missing() {
        await journal.body('missing', undefined);
        throw new NotFoundException('no such order');
      }

      @Locked('gateway')
      @Get('gateway')
      async gateway() {
        throw new BadGatewayException({ shop: 'closed' });
      }
    }
    await listen(await startHttp({ imports: [locks], controllers: [FailingController] }));

    const reply = await request(server).get('/missing').expect(404);
    expect(reply.body).toMatchObject({ statusCode: 404, message: 'no such order' });
    expect(journal.of('missing')).toEqual(lockedOnce());
    await request(server).get('/gateway').expect(502, { shop: 'closed' });
  });

  it('is routed by its version, above and below', async () => {
    @Controller('versions')
    class VersionedController {
      @Version('1')
      @Get()
      @Locked('version:1')
      async one() {
        return journal.body('version:1', 'one');
      }

      @Locked('version:2')
      @Version('2')
      @Get()
      async two() {
        return journal.body('version:2', 'two');
      }
    }
    const app = await startHttp({ imports: [locks], controllers: [VersionedController] }, (it) =>
      it.enableVersioning({ type: VersioningType.URI }),
    );
    await listen(app);

    await request(server).get('/v1/versions').expect(200, 'one');
    await request(server).get('/v2/versions').expect(200, 'two');
    expect(journal.of('version:1')).toEqual(lockedOnce());
    expect(journal.of('version:2')).toEqual(lockedOnce());
  });

  it('may write the response itself', async () => {
    @Controller()
    class RawController {
      @Get('raw')
      @Locked('raw')
      async raw(@Res() response: Reply) {
        response.json(await journal.body('raw', { by: 'hand' }));
      }
    }
    await listen(await startHttp({ imports: [locks], controllers: [RawController] }));

    await request(server).get('/raw').expect(200, { by: 'hand' });
    expect(journal.of('raw')).toEqual(lockedOnce());
  });

  it('locks in a request-scoped controller, each request in an instance of its own', async () => {
    const instances = new Set<object>();

    @Controller({ path: 'scoped', scope: Scope.REQUEST })
    class ScopedController {
      constructor(@Inject(REQUEST) private readonly request: { query: { n: string } }) {}

      @Get()
      @Locked('scoped')
      async scoped() {
        instances.add(this);
        return journal.body('scoped', this.request.query.n);
      }
    }
    await listen(await startHttp({ imports: [locks], controllers: [ScopedController] }));

    await Promise.all(
      ['1', '2', '3'].map((n) => request(server).get(`/scoped?n=${n}`).expect(200, n)),
    );
    expect(instances.size).toBe(3);
    expect(journal.of('scoped')).toEqual(lockedOnce(3));
  });

  it('is inherited by a controller', async () => {
    class BaseController {
      @Get('inherited')
      @Locked('inherited')
      async inherited() {
        return journal.body('inherited', this.constructor.name);
      }
    }
    @Controller()
    class DerivedController extends BaseController {}
    await listen(await startHttp({ imports: [locks], controllers: [DerivedController] }));

    await request(server).get('/inherited').expect(200, 'DerivedController');
    expect(journal.of('inherited')).toEqual(lockedOnce());
  });
});

describe('LockInterceptor beside @Locked', () => {
  @Controller()
  class InterceptedController {
    @UseInterceptors(LockInterceptor)
    @Get('over')
    @Locked('over')
    async over() {
      return journal.body('over', 'over');
    }

    @Locked('under')
    @UseInterceptors(LockInterceptor)
    @Get('under')
    async under() {
      return journal.body('under', 'under');
    }

    @Get('plain')
    async plain() {
      return journal.body('plain', 'plain');
    }
  }

  const expectEachLockedOnce = async () => {
    for (const route of ['over', 'under']) {
      const before = journal.of(route).length;
      const get = () => request(server).get(`/${route}`).expect(200, route);
      await Promise.all([get(), get()]);
      expect(journal.of(route).slice(before)).toEqual(lockedOnce(2));
    }
  };

  it('does not lock twice when used at the handler', async () => {
    await listen(await startHttp({ imports: [locks], controllers: [InterceptedController] }));
    await expectEachLockedOnce();
  });

  it('does not lock twice as APP_INTERCEPTOR, nor locks what is not decorated', async () => {
    const app = await startHttp({
      imports: [locks],
      controllers: [InterceptedController],
      providers: [
        { provide: APP_INTERCEPTOR, useClass: LockInterceptor },
        { provide: APP_INTERCEPTOR, useExisting: LockInterceptor },
      ],
    });
    await listen(app);
    await expectEachLockedOnce();

    await request(server).get('/plain').expect(200);
    expect(journal.of('plain')).toEqual(['enter', 'leave']);
  });

  it('does not lock twice as a global interceptor, and global guards still run before the lock', async () => {
    const held: number[] = [];

    @Injectable()
    class LookingGuard implements CanActivate {
      constructor(@Inject(LockService) private readonly service: LockService) {}

      async canActivate(context: ExecutionContext): Promise<boolean> {
        const { path } = context.switchToHttp().getRequest<{ path: string }>();
        const { holders } = await this.service.inspect(path.slice(1));
        held.push(holders.length);
        return true;
      }
    }
    const app = await startHttp(
      {
        imports: [locks],
        controllers: [InterceptedController],
        providers: [{ provide: APP_GUARD, useClass: LookingGuard }],
      },
      (it) => it.useGlobalInterceptors(it.get(LockInterceptor)),
    );
    await listen(app);

    await request(server).get('/over').expect(200);
    await request(server).get('/under').expect(200);
    expect(held).toEqual([0, 0]);
    await expectEachLockedOnce();
  });
});

describe('LockBusyFilter', () => {
  /** Since Nest 12, HttpExceptions carry one. */
  const errorCode = (code: string) =>
    'errorCode' in new ConflictException() ? { errorCode: code } : {};

  class PatientFilter extends LockBusyFilter {
    protected override readonly retryAfter = 7;
  }

  @Controller()
  class BusyController {
    @Get('busy')
    @Locked('busy', { wait: 0 })
    async busy() {
      return journal.body('busy', 'done');
    }

    @Get('filtered')
    @UseFilters(PatientFilter)
    @Locked('busy', { wait: 0 })
    async filtered() {
      return journal.body('busy', 'done');
    }

    @Get('mapped')
    @Locked('busy', {
      wait: 0,
      onBusy: (error) => {
        throw new ConflictException(`try again: ${error.key ?? ''}`);
      },
    })
    async mapped() {
      return journal.body('busy', 'done');
    }
  }

  const whileBusy = async (app: INestApplication, act: () => Promise<void>) => {
    await listen(app);
    await using lock = await app.get(LockService).acquire('busy');
    const before = journal.of('busy');
    await act();
    // Neither did the body run nor did the one who came late touch the lock.
    expect(journal.of('busy')).toEqual(before);
    expect(lock.held).toBe(true);
  };

  it('answers 409 with Retry-After as APP_FILTER', async () => {
    const app = await startHttp({
      imports: [locks],
      controllers: [BusyController],
      providers: [{ provide: APP_FILTER, useClass: LockBusyFilter }],
    });
    await whileBusy(app, async () => {
      const reply = await request(server).get('/busy').expect(409);
      expect(reply.headers['retry-after']).toBe('1');
      expect(reply.body).toEqual({
        statusCode: 409,
        error: 'Conflict',
        message: 'Lock "busy" is held by another',
        ...errorCode('LOCK_TIMEOUT'),
      });
    });
    await request(server).get('/busy').expect(200, 'done');
  });

  it('answers 503 with Retry-After when the application closes', async () => {
    @Controller()
    class ClosingController {
      @Get('closing')
      async closing() {
        throw new LockShutdownError('k');
      }
    }
    const app = await startHttp({
      controllers: [ClosingController],
      providers: [{ provide: APP_FILTER, useClass: LockBusyFilter }],
    });
    await listen(app);
    const reply = await request(server).get('/closing').expect(503);
    expect(reply.headers['retry-after']).toBe('1');
    expect(reply.body).toEqual({
      statusCode: 503,
      error: 'Service Unavailable',
      message: 'Lock "k" is not to be had: the application is shutting down',
      ...errorCode('LOCK_SHUTDOWN'),
    });
  });

  it('answers at one handler alone, with a number of its own', async () => {
    const app = await startHttp({ imports: [locks], controllers: [BusyController] });
    await whileBusy(app, async () => {
      const { headers } = await request(server).get('/filtered').expect(409);
      expect(headers['retry-after']).toBe('7');
      await request(server).get('/busy').expect(500);
    });
  });

  it('as a global filter leaves other errors to Nest', async () => {
    @Controller()
    class OtherController {
      @Get('other')
      @Locked('other')
      async other() {
        throw new NotFoundException();
      }
    }
    const app = await startHttp({ imports: [locks], controllers: [OtherController] }, (it) =>
      it.useGlobalFilters(new LockBusyFilter(it.getHttpAdapter())),
    );
    await listen(app);
    const reply = await request(server).get('/other');
    expect(reply.status).toBe(404);
  });

  it('is not needed where onBusy throws an HttpException', async () => {
    const app = await startHttp({ imports: [locks], controllers: [BusyController] });
    await whileBusy(app, async () => {
      const reply = await request(server).get('/mapped').expect(409);
      expect(reply.body).toMatchObject({ message: 'try again: busy' });
    });
  });
});

describe('the journal that these specs read', () => {
  it('shows a body that ran unlocked', async () => {
    @Controller()
    class UnlockedController {
      @Get('unlocked')
      async unlocked() {
        return journal.body('unlocked', 'ran');
      }
    }
    await listen(await startHttp({ imports: [locks], controllers: [UnlockedController] }));
    await request(server).get('/unlocked').expect(200);
    expect(journal.of('unlocked')).toEqual(['enter', 'leave']);
  });
});
