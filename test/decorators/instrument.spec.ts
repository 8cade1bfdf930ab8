import { Controller, Get, Inject, Injectable, Module, UseFilters } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import {
  LeaderOnly,
  Locked,
  LockBusyFilter,
  LockedStream,
  LockModule,
  LockReentrancyError,
  LockService,
  LockTimeoutError,
  MemoryBackend,
} from 'nestjs-lock';
import { lastValueFrom, type Observable, of } from 'rxjs';
import { closeAfterTest, Log } from '../support/nest-application.js';

/** What tools for tracing put around each instance: `this` of its methods is the proxy then. */
const instrument = { instanceDecorator: (instance: unknown) => proxied(instance) };

function proxied(instance: unknown): unknown {
  return typeof instance === 'object' && instance !== null ? new Proxy(instance, {}) : instance;
}

const backend = new MemoryBackend();

@Injectable()
class Books {
  constructor(@Inject(LockService) readonly locks: LockService) {}

  @Locked('books')
  async post(): Promise<string | undefined> {
    return Promise.resolve(this.locks.current()?.key);
  }

  @Locked('books')
  async again(): Promise<unknown> {
    return this.post();
  }

  @Locked('books', { reentrant: true })
  async within(): Promise<unknown> {
    return this.locks.withLock('books', { reentrant: true }, ({ held }) => held);
  }

  @LockedStream('books')
  read(): Observable<string | undefined> {
    return of(this.locks.current()?.key);
  }

  @LeaderOnly('books:leader')
  async lead(): Promise<string | undefined> {
    return Promise.resolve(this.locks.current()?.key);
  }

  @Locked('books', { onBusy: 'skip' })
  async skip(): Promise<string> {
    return Promise.resolve('posted');
  }
}

@Controller()
class Desk {
  constructor(@Inject(Books) private readonly books: Books) {}

  @Get('post')
  @UseFilters(LockBusyFilter)
  post(): Promise<unknown> {
    return this.books.post();
  }
}

describe('where the application puts a proxy around each instance', () => {
  @Module({
    imports: [LockModule.forRoot({ backend, wait: 0 })],
    controllers: [Desk],
    providers: [
      Books,
      {
        provide: 'made',
        useFactory: (locks: LockService) => new Books(locks),
        inject: [LockService],
      },
    ],
  })
  class Shop {}

  async function startHttp() {
    const logger = new Log();
    const app = closeAfterTest(
      await NestFactory.create(Shop, { instrument, logger, abortOnError: false }),
    );
    await app.listen(0, '127.0.0.1');
    return app;
  }

  it.each([
    ['a class', Books],
    ['a factory', 'made'],
  ])('a method of what %s makes is locked', async (_, token) => {
    const app = await startHttp();
    const books = app.get<Books>(token);
    await expect(books.post()).resolves.toBe('books');
    await expect(lastValueFrom(books.read())).resolves.toBe('books');
    const elsewhere = new LockService({ backend });
    await elsewhere.withLock('books', async () => {
      await expect(books.post()).rejects.toBeInstanceOf(LockTimeoutError);
      await expect(books.skip()).resolves.toBeUndefined();
    });
    await elsewhere.close();
  });

  it('a lock that the caller has is known to be its own', async () => {
    const books = (await startHttp()).get(Books);
    await expect(books.again()).rejects.toBeInstanceOf(LockReentrancyError);
    await expect(books.within()).resolves.toBe(true);
  });

  it('a leader leads, and its body knows its lock', async () => {
    const books = (await startHttp()).get(Books);
    const leadership = books.locks.leader('books:leader');
    await new Promise((resolve) => leadership.onElected(resolve));
    await expect(books.lead()).resolves.toBe('books:leader');
  });

  it('the service does all that it does', async () => {
    const { locks } = (await startHttp()).get(Books);
    const lock = await locks.acquire(['a', 'b']);
    await expect(locks.tryAcquire('a')).resolves.toBeNull();
    const listed: string[] = [];
    for await (const { key } of locks.list('?')) listed.push(key);
    expect(listed).toEqual(['a', 'b']);
    await expect(locks.revoke('a')).resolves.toBe(1);
    await expect(locks.forceRelease('a')).resolves.toBe(1);
    await lock.release();
    await expect(locks.manager().request('web', (own) => own?.name)).resolves.toBe('web');
    const attached = locks.attach(new Books(locks));
    await expect(attached.again()).rejects.toBeInstanceOf(LockReentrancyError);
  });

  it('a request that found its lock busy is answered by the filter', async () => {
    const app = await startHttp();
    const elsewhere = new LockService({ backend });
    const answer = await elsewhere.withLock('books', async () =>
      fetch(`${await app.getUrl()}/post`),
    );
    expect(answer.status).toBe(409);
    await elsewhere.close();
  });
});
