import { once } from 'node:events';
import { get, type IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';
import { setImmediate as turn } from 'node:timers/promises';
import {
  Controller,
  Get,
  Inject,
  Injectable,
  type MessageEvent,
  Param,
  Scope,
  Sse,
  StreamableFile,
  UseFilters,
  UseInterceptors,
} from '@nestjs/common';
import {
  LockBusyFilter,
  LockedStream,
  LockConfigurationError,
  LockInterceptor,
  LockKeyError,
  LockLostError,
  LockModule,
  LockService,
  LockTimeoutError,
} from 'nestjs-lock';
import {
  BehaviorSubject,
  concat,
  defer,
  EMPTY,
  finalize,
  firstValueFrom,
  from,
  lastValueFrom,
  NEVER,
  Observable,
  of,
  range,
  retry,
  Subject,
  switchMap,
  take,
  tap,
  throwError,
  toArray,
} from 'rxjs';
import request from 'supertest';
import { eventually } from '../support/eventually.js';
import { Journal } from '../support/journal.js';
import { start, startHttp } from '../support/nest-application.js';

const journal = new Journal();
const locks = LockModule.forRoot({ backend: journal });

beforeEach(() => {
  journal.clear();
});

/** The journal of so many streams that each ran under one lock of its own, one after the other. */
const streamedOnce = (streams = 1) =>
  Array.from({ length: streams }, () => ['granted', 'open', 'close', 'released']).flat();

async function expectStreamed(key: string, streams = 1): Promise<void> {
  const expected = streamedOnce(streams);
  await eventually(`${key} is free again`, () => journal.of(key).length >= expected.length);
  expect(journal.of(key)).toEqual(expected);
}

/** Notes when it is subscribed to and when that is over. */
function noted<T>(key: string, source: Observable<T>): Observable<T> {
  return defer(() => {
    journal.note(key, 'open');
    return source.pipe(
      finalize(() => {
        journal.note(key, 'close');
      }),
    );
  });
}

const boom = new Error('boom');

describe('@LockedStream on a method that returns an Observable', () => {
  @Injectable()
  class Feed {
    readonly subject = new Subject<number>();
    calls = 0;

    constructor(@Inject(LockService) private readonly service: LockService) {}

    @LockedStream('feed:{0}')
    feed<T>(name: string, source: Observable<T>): Observable<T> {
      this.calls++;
      return noted(`feed:${name}`, source);
    }

    @LockedStream('current')
    current(): Observable<unknown> {
      const here = () => this.service.current()?.key;
      const called = here();
      return of(1).pipe(
        switchMap(async () => turn()),
        switchMap(async () => [called, here()]),
      );
    }

    @LockedStream('throws')
    throwsAtOnce(): Observable<never> {
      journal.note('throws', 'open');
      throw boom;
    }

    @LockedStream('lost', { ttl: 200, renew: false })
    lost(): Observable<number> {
      return noted('lost', concat(of(1), NEVER));
    }

    @LockedStream('busy', { wait: 0 })
    busy(): Observable<number> {
      return noted('busy', of(1));
    }

    @LockedStream('waits', { wait: Infinity })
    waits(): Observable<number> {
      return noted('waits', of(1));
    }

    @LockedStream('wrong')
    wrong(result: unknown): Observable<unknown> {
      return result as Observable<unknown>;
    }
  }

  let feed: Feed;
  let service: LockService;

  beforeEach(async () => {
    const app = await start({ imports: [locks], providers: [Feed] });
    feed = app.get(Feed);
    service = app.get(LockService);
  });

  it('runs and locks nothing before it is subscribed to', async () => {
    const stream = feed.feed('a', of(1, 2, 3));
    expect(stream).toBeInstanceOf(Observable);
    await turn();
    expect(feed.calls).toBe(0);
    expect(journal.of('feed:a')).toEqual([]);

    await expect(lastValueFrom(stream.pipe(toArray()))).resolves.toEqual([1, 2, 3]);
    expect(journal.of('feed:a')).toEqual(streamedOnce());
  });

  it('locks each subscription once, one after the other, with the method run for each', async () => {
    const stream = feed.feed('b', from([1, 2]));
    const answers = [stream, stream, feed.feed('b', from([1, 2]))].map((it) =>
      lastValueFrom(it.pipe(toArray())),
    );
    await expect(Promise.all(answers)).resolves.toEqual([
      [1, 2],
      [1, 2],
      [1, 2],
    ]);
    expect(feed.calls).toBe(3);
    expect(journal.of('feed:b')).toEqual(streamedOnce(3));
  });

  it('holds the lock until the source completes, however long it says nothing', async () => {
    const subject = new Subject<number>();
    const first = lastValueFrom(feed.feed('c', subject).pipe(toArray()));
    const second = lastValueFrom(feed.feed('c', of(9)));
    await eventually('the first is open', () => journal.of('feed:c').includes('open'));
    for (const value of [1, 2]) {
      subject.next(value);
      await turn();
    }
    expect(journal.of('feed:c')).toEqual(['granted', 'open']);

    subject.complete();
    await expect(Promise.all([first, second])).resolves.toEqual([[1, 2], 9]);
    expect(journal.of('feed:c')).toEqual(streamedOnce(2));
  });

  it('completes without a value where the source does', async () => {
    await expect(lastValueFrom(feed.feed('empty', EMPTY).pipe(toArray()))).resolves.toEqual([]);
    expect(journal.of('feed:empty')).toEqual(streamedOnce());
  });

  it('ends with the very error of the source, after the release', async () => {
    const failing = feed.feed(
      'd',
      concat(
        of(1),
        throwError(() => boom),
      ),
    );
    const events: unknown[] = [];
    await new Promise<void>((resolve) => {
      failing.subscribe({
        next: (value) => events.push(value),
        error: (error) => {
          events.push(error);
          expect(journal.of('feed:d')).toEqual(streamedOnce());
          resolve();
        },
      });
    });
    expect(events).toEqual([1, boom]);
  });

  it('ends with what the method throws before it returns anything', async () => {
    await expect(lastValueFrom(feed.throwsAtOnce())).rejects.toBe(boom);
    expect(journal.of('throws')).toEqual(['granted', 'open', 'released']);
  });

  it('gives the lock back when it is unsubscribed from', async () => {
    const subscription = feed.feed('e', NEVER).subscribe();
    await eventually('it is open', () => journal.of('feed:e').includes('open'));
    subscription.unsubscribe();
    subscription.unsubscribe();
    await expectStreamed('feed:e');
  });

  it.each([
    ['a BehaviorSubject', new BehaviorSubject(1)],
    ['a first value at once', concat(of(1), NEVER)],
    ['a first value later', concat(from(turn(1)), NEVER)],
  ])('gives the lock back when the consumer has enough: %s', async (what, source) => {
    await expect(firstValueFrom(feed.feed(what, source))).resolves.toBe(1);
    await expectStreamed(`feed:${what}`);
    await expect(lastValueFrom(feed.feed(what, source).pipe(take(1)))).resolves.toBe(1);
    await expectStreamed(`feed:${what}`, 2);
  });

  it('leaves nothing behind, whenever between subscription and grant it is unsubscribed from', async () => {
    const patience = Array.from({ length: 30 }, (_, microtasks) => microtasks);
    for (const microtasks of patience) {
      const subscription = feed.feed(`early ${microtasks}`, NEVER).subscribe();
      for (let n = 0; n < microtasks; n++) await Promise.resolve();
      subscription.unsubscribe();
    }
    for (const key of patience.map((microtasks) => `feed:early ${microtasks}`)) {
      const free = async () => (await service.inspect(key)).holders.length === 0;
      await eventually(`${key} is free`, free);
      const opened = journal.of(key).filter((event) => event === 'open');
      expect(journal.of(key).filter((event) => event === 'close')).toHaveLength(opened.length);
    }
    // Both sides of the grant were tried.
    expect(journal.of('feed:early 0')).not.toContain('open');
    expect(journal.of('feed:early 29')).toEqual(streamedOnce());
  });

  it('leaves the queue when it is unsubscribed from while it waits', async () => {
    const lock = await service.acquire('waits');
    const subscription = feed.waits().subscribe();
    await eventually('it waits', async () => (await service.inspect('waits')).waiters === 1);
    subscription.unsubscribe();
    await eventually('it has left', async () => (await service.inspect('waits')).waiters === 0);
    await lock.release();
    await turn();
    expect(journal.of('waits')).toEqual(['granted', 'released']);
  });

  it('runs under its lock from end to end', async () => {
    await expect(lastValueFrom(feed.current())).resolves.toEqual(['current', 'current']);
    expect(service.current()).toBeUndefined();
  });

  it('ends when the lock is lost, and leaves the source', async () => {
    const seen: number[] = [];
    const lost = lastValueFrom(feed.lost().pipe(switchMap(async (value) => seen.push(value))));
    await expect(lost).rejects.toThrow(LockLostError);
    await expect(lost).rejects.toMatchObject({ key: 'lost', reason: 'expired' });
    expect(seen).toEqual([1]);
    expect(journal.of('lost').slice(0, 3)).toEqual(['granted', 'open', 'close']);
    expect((await service.inspect('lost')).holders).toEqual([]);
  });

  it('ends with LockTimeoutError when the lock is busy, and can be tried again', async () => {
    const lock = await service.acquire('busy');
    const stream = feed.busy();
    await expect(lastValueFrom(stream)).rejects.toThrow(LockTimeoutError);
    await lock.release();
    await expect(lastValueFrom(stream.pipe(retry(3)))).resolves.toBe(1);
    expect(journal.of('busy')).toEqual(['granted', 'released', ...streamedOnce()]);
  });

  it('ends with LockKeyError where the arguments give no key', async () => {
    const stream = feed.feed(undefined as unknown as string, of(1));
    await expect(lastValueFrom(stream)).rejects.toThrow(LockKeyError);
    expect(feed.calls).toBe(0);
  });

  it.each([1, 'text', null, undefined, [1], Promise.resolve(1)])(
    'ends with an error, and no value, where the method returned %p',
    async (result) => {
      const seen: unknown[] = [];
      const stream = new Promise((resolve, reject) => {
        feed.wrong(result).subscribe({
          next: (value) => seen.push(value),
          error: reject,
          complete: () => {
            resolve(undefined);
          },
        });
      });
      await expect(stream).rejects.toThrow(LockConfigurationError);
      await expect(stream).rejects.toThrow(/Feed\.wrong returned/);
      expect(seen).toEqual([]);
      expect((await service.inspect('wrong')).holders).toEqual([]);
    },
  );

  it('stops a source that says all at once when its consumer has enough', async () => {
    const app = await start({ imports: [locks], providers: [Feed] });
    let said = 0;
    const endless = defer(() => range(0, 1_000).pipe(tap(() => said++)));
    await expect(lastValueFrom(app.get(Feed).feed('f', endless).pipe(take(3)))).resolves.toBe(2);
    expect(said).toBe(3);
  });

  it('ends when the application shuts down', async () => {
    const app = await start({ imports: [locks], providers: [Feed] });
    const open = lastValueFrom(app.get(Feed).feed('f', NEVER));
    await eventually('it is open', () => journal.of('feed:f').includes('open'));
    const waiting = lastValueFrom(app.get(Feed).feed('f', NEVER));

    const [ends] = await Promise.all([Promise.allSettled([open, waiting]), app.close()]);
    expect(ends).toMatchObject([
      { reason: { code: 'LOCK_LOST', reason: 'shutdown' } },
      { reason: { code: 'LOCK_SHUTDOWN' } },
    ]);
    expect(journal.of('feed:f')).toEqual(streamedOnce());
  });
});

describe('@LockedStream on an async generator', () => {
  @Injectable()
  class Rows {
    constructor(@Inject(LockService) private readonly service: LockService) {}

    @LockedStream('rows:{0}')
    async *rows(name: string, ...values: unknown[]): AsyncGenerator<unknown, string> {
      const key = `rows:${name}`;
      journal.note(key, 'open');
      try {
        for (const value of values) {
          await turn();
          if (value === boom) throw boom;
          yield value;
        }
      } finally {
        await turn();
        journal.note(key, 'close');
      }
      return 'done';
    }

    @LockedStream('current')
    async *current() {
      const here = () => this.service.current()?.key;
      yield here();
      await turn();
      yield here();
      yield* (async function* () {
        yield here();
      })();
    }

    @LockedStream('echo')
    async *echo(): AsyncGenerator<string, void, string> {
      journal.note('echo', 'open');
      let heard = yield 'first';
      while (heard !== 'stop') {
        try {
          heard = yield `heard ${heard}`;
        } catch (error) {
          heard = `caught ${String(error)}`;
        }
      }
      journal.note('echo', 'close');
    }

    @LockedStream('lost', { ttl: 200, renew: false })
    async *lost(): AsyncGenerator<number> {
      try {
        journal.note('lost', 'open');
        yield 1;
        journal.note('lost', 'went on');
        yield 2;
      } finally {
        journal.note('lost', 'close');
      }
    }

    @LockedStream('lost', { ttl: 200, renew: false })
    async *lostInside(error?: Error): AsyncGenerator<number> {
      try {
        yield 1;
        const signal = this.service.current()?.signal;
        await eventually('the loss', () => signal?.aborted === true);
        if (error) throw error;
        yield 2;
      } finally {
        journal.note('lost', 'close');
      }
    }

    @LockedStream('busy', { wait: 0 })
    async *busy(): AsyncGenerator<number> {
      journal.note('busy', 'open');
      yield 1;
    }

    @LockedStream('waits', { wait: Infinity })
    async *waits(): AsyncGenerator<number> {
      journal.note('waits', 'open');
      yield 1;
    }

    @LockedStream('short', { ttl: 200 })
    async *short(): AsyncGenerator<number> {
      journal.note('short', 'open');
      for (let value = 0; value < 3; value++) yield value;
      journal.note('short', 'close');
    }
  }

  let rows: Rows;
  let service: LockService;

  beforeEach(async () => {
    const app = await start({ imports: [locks], providers: [Rows] });
    rows = app.get(Rows);
    service = app.get(LockService);
  });

  const all = async (iterable: AsyncIterable<unknown>) => {
    const values: unknown[] = [];
    for await (const value of iterable) values.push(value);
    return values;
  };

  it('locks nothing before the first next()', async () => {
    const iterator = rows.rows('a', 1);
    await turn();
    expect(journal.of('rows:a')).toEqual([]);
    await expect(iterator.next()).resolves.toEqual({ value: 1, done: false });
    expect(journal.of('rows:a')).toEqual(['granted', 'open']);
    await expect(iterator.next()).resolves.toMatchObject({ done: true });
    expect(journal.of('rows:a')).toEqual(streamedOnce());
    await expect(iterator.next()).resolves.toEqual({ value: undefined, done: true });
    expect(journal.of('rows:a')).toEqual(streamedOnce());
  });

  it('takes no lock when it is returned from before the first next()', async () => {
    const iterator = rows.rows('b', 1);
    await expect(iterator.return('early')).resolves.toEqual({ value: 'early', done: true });
    await expect(iterator.next()).resolves.toEqual({ value: undefined, done: true });
    await expect(rows.rows('b', 1).throw(boom)).rejects.toBe(boom);
    expect(journal.of('rows:b')).toEqual([]);
  });

  it('locks each iteration once, one after the other', async () => {
    const runs = [rows.rows('c', 1, 2), rows.rows('c', 3), rows.rows('c')].map(all);
    await expect(Promise.all(runs)).resolves.toEqual([[1, 2], [3], []]);
    expect(journal.of('rows:c')).toEqual(streamedOnce(3));
  });

  it('gives the lock back before a loop that was left goes on', async () => {
    for await (const value of rows.rows('d', 1, 2, 3)) {
      expect(journal.of('rows:d')).toEqual(['granted', 'open']);
      if (value === 2) break;
    }
    expect(journal.of('rows:d')).toEqual(streamedOnce());
  });

  it('gives the lock back when the loop throws', async () => {
    const loop = async () => {
      for await (const value of rows.rows('e', 1, 2)) throw new RangeError(String(value));
    };
    await expect(loop()).rejects.toThrow(RangeError);
    expect(journal.of('rows:e')).toEqual(streamedOnce());
  });

  it('ends with the very error of the generator, after the release', async () => {
    await expect(all(rows.rows('f', 1, boom))).rejects.toBe(boom);
    expect(journal.of('rows:f')).toEqual(streamedOnce());
  });

  it('hears what is sent and thrown into it', async () => {
    const echo = rows.echo();
    await expect(echo.next('nobody hears this')).resolves.toMatchObject({ value: 'first' });
    await expect(echo.next('a')).resolves.toMatchObject({ value: 'heard a' });
    await expect(echo.throw('b')).resolves.toMatchObject({ value: 'heard caught b' });
    expect(journal.of('echo')).toEqual(['granted', 'open']);
    await expect(echo.next('stop')).resolves.toMatchObject({ done: true });
    expect(journal.of('echo')).toEqual(streamedOnce());
  });

  it('ends with what is thrown into it and not caught', async () => {
    const iterator = rows.rows('g', 1, 2);
    await iterator.next();
    await expect(iterator.throw(boom)).rejects.toBe(boom);
    expect(journal.of('rows:g')).toEqual(streamedOnce());
  });

  it('keeps the value that the generator returns, and the one that it is made to return', async () => {
    const iterator = rows.rows('h', 1);
    await iterator.next();
    await expect(iterator.next()).resolves.toEqual({ value: 'done', done: true });

    const returned = rows.rows('h', 1);
    await returned.next();
    await expect(returned.return('early')).resolves.toEqual({ value: 'early', done: true });
    expect(journal.of('rows:h')).toEqual(streamedOnce(2));
  });

  it('keeps the order of calls that do not wait for each other', async () => {
    const iterator = rows.rows('i', 1, 2);
    const steps = [iterator.next(), iterator.next(), iterator.next(), iterator.next()];
    await expect(Promise.all(steps)).resolves.toMatchObject([
      { value: 1 },
      { value: 2 },
      { done: true },
      { done: true },
    ]);
    expect(journal.of('rows:i')).toEqual(streamedOnce());
  });

  it('runs under its lock in every step, and lends it to nobody else', async () => {
    await expect(all(rows.current())).resolves.toEqual(['current', 'current', 'current']);
    for await (const key of rows.current())
      expect([key, service.current()]).toEqual(['current', undefined]);
  });

  it('keeps its lock for as long as the consumer takes, however short the ttl', async () => {
    const slow = async () => {
      const seen: number[] = [];
      for await (const value of rows.short()) {
        seen.push(value);
        const start = performance.now();
        await eventually('most of the ttl', () => performance.now() - start > 150);
      }
      return seen;
    };
    await expect(Promise.all([slow(), slow()])).resolves.toEqual([
      [0, 1, 2],
      [0, 1, 2],
    ]);
    expect(journal.of('short')).toEqual(streamedOnce(2));
  });

  it('runs no further step after the lock was lost between two, and is cleaned up', async () => {
    const iterator = rows.lost();
    await expect(iterator.next()).resolves.toEqual({ value: 1, done: false });
    await using lock = await service.acquire('lost');
    expect(lock.held).toBe(true);
    const step = iterator.next();
    await expect(step).rejects.toThrow(LockLostError);
    await expect(iterator.next()).resolves.toEqual({ value: undefined, done: true });
    expect(journal.of('lost')).not.toContain('went on');
    expect(journal.of('lost')).toContain('close');
    expect(lock.held).toBe(true);
  });

  it('gives out nothing after the lock was lost inside of a step, and is cleaned up', async () => {
    const iterator = rows.lostInside();
    await iterator.next();
    await expect(iterator.next()).rejects.toThrow(LockLostError);
    await expect(iterator.next()).resolves.toEqual({ value: undefined, done: true });
    expect(journal.of('lost')).toContain('close');
  });

  it("ends with the generator's own error even when the lock was lost too", async () => {
    const iterator = rows.lostInside(boom);
    await iterator.next();
    await expect(iterator.next()).rejects.toBe(boom);
  });

  it('tells a loop that was left that its lock had been lost', async () => {
    const iterator = rows.lost();
    await iterator.next();
    await using lock = await service.acquire('lost');
    await expect(iterator.return(undefined)).rejects.toThrow(LockLostError);
    expect(journal.of('lost')).toContain('close');
    expect(lock.held).toBe(true);
  });

  it('rejects the first next() when the lock is busy, and runs nothing', async () => {
    const lock = await service.acquire('busy');
    const iterator = rows.busy();
    await expect(iterator.next()).rejects.toThrow(LockTimeoutError);
    await expect(iterator.next()).resolves.toEqual({ value: undefined, done: true });
    await lock.release();
    await expect(all(rows.busy())).resolves.toEqual([1]);
    expect(journal.of('busy')).toEqual(['granted', 'released', 'granted', 'open', 'released']);
  });

  it('leaves the queue when it is returned from while it waits', async () => {
    const lock = await service.acquire('waits');
    const iterator = rows.waits();
    const first = iterator.next();
    await eventually('it waits', async () => (await service.inspect('waits')).waiters === 1);
    await expect(iterator.return('enough')).resolves.toEqual({ value: 'enough', done: true });
    await expect(first).resolves.toEqual({ value: undefined, done: true });
    expect((await service.inspect('waits')).waiters).toBe(0);
    await lock.release();
    await turn();
    expect(journal.of('waits')).toEqual(['granted', 'released']);
  });

  it('rejects the first next() where the arguments give no key', async () => {
    await expect(rows.rows(undefined as unknown as string).next()).rejects.toThrow(LockKeyError);
  });

  it('gives the lock back when a web stream that reads it is cancelled', async () => {
    const reader = ReadableStream.from(rows.rows('k', 'a', 'b', 'c')).getReader();
    await reader.read();
    await reader.cancel();
    await expectStreamed('rows:k');
  });

  it('gives the lock back when a Readable that reads it is destroyed', async () => {
    const readable = Readable.from(rows.rows('j', 'a', 'b', 'c'));
    await once(readable, 'data');
    readable.destroy();
    await expectStreamed('rows:j');
  });
});

describe('@LockedStream on a method that returns an async iterable', () => {
  class Iterated {
    opened = 0;

    @LockedStream('iterated')
    iterable(): AsyncIterable<number> {
      this.opened++;
      return {
        [Symbol.asyncIterator]() {
          let value = 0;
          return {
            next: async () => {
              if (value === 0) journal.note('iterated', 'open');
              if (value < 2) return { value: ++value, done: false };
              journal.note('iterated', 'close');
              return { value: undefined, done: true };
            },
          };
        },
      };
    }

    @LockedStream('generated')
    generator(): AsyncGenerator<number> {
      return this.generate();
    }

    @LockedStream('readable')
    readable(): Readable {
      journal.note('readable', 'open');
      return Readable.from(['a', 'b']).on('close', () => {
        journal.note('readable', 'close');
      });
    }

    @LockedStream('iterated observable')
    observable(): Observable<number> {
      return noted('iterated observable', of(1));
    }

    private async *generate() {
      try {
        journal.note('generated', 'open');
        yield 1;
        yield 2;
      } finally {
        journal.note('generated', 'close');
      }
    }
  }

  let iterated: Iterated;

  beforeEach(async () => {
    iterated = (await start({ imports: [locks], providers: [Iterated] })).get(Iterated);
  });

  const sum = async (iterable: AsyncIterable<number>) => {
    let total = 0;
    for await (const value of iterable) total += value;
    return total;
  };

  it('locks each iteration once, the method run for each', async () => {
    const iterable = iterated.iterable();
    await turn();
    expect(iterated.opened).toBe(0);
    await expect(Promise.all([sum(iterable), sum(iterable)])).resolves.toEqual([3, 3]);
    expect(iterated.opened).toBe(2);
    expect(journal.of('iterated')).toEqual(streamedOnce(2));
  });

  it('gives the lock back when a loop over an iterator without return() is left', async () => {
    for await (const value of iterated.iterable()) {
      expect(value).toBe(1);
      break;
    }
    expect(journal.of('iterated')).toEqual(['granted', 'open', 'released']);
  });

  it('is still the generator that it says it is', async () => {
    const generator = iterated.generator();
    await expect(generator.next()).resolves.toEqual({ value: 1, done: false });
    expect(journal.of('generated')).toEqual(['granted', 'open']);
    await expect(generator.return(7)).resolves.toEqual({ value: 7, done: true });
    expect(journal.of('generated')).toEqual(streamedOnce());
  });

  it('locks a Readable that is iterated', async () => {
    const read: unknown[] = [];
    for await (const chunk of iterated.readable()) read.push(chunk);
    expect(read).toEqual(['a', 'b']);
    expect(journal.of('readable').slice(0, 2)).toEqual(['granted', 'open']);
    expect(journal.of('readable')).toContain('released');
  });

  it('refuses to subscribe to an iterable', async () => {
    const stream = iterated.iterable() as unknown as Observable<number>;
    await expect(lastValueFrom(stream)).rejects.toThrow(/Iterated\.iterable .* be subscribed to/);
    expect(journal.of('iterated')).toEqual(['granted', 'released']);
  });

  it('refuses to iterate an Observable', async () => {
    const stream = iterated.observable() as unknown as AsyncIterable<number>;
    await expect(sum(stream)).rejects.toThrow(LockConfigurationError);
    await expect(sum(stream)).rejects.toThrow(/Iterated\.observable .* be iterated/);
    expect(journal.of('iterated observable')).not.toContain('open');
  });
});

describe('@LockedStream in Nest', () => {
  const ticks = new Subject<number>();

  @Controller()
  class StreamController {
    @Get('above')
    @UseInterceptors(LockInterceptor)
    @LockedStream('above')
    above(): Observable<number[]> {
      return noted('above', of([1], [2]));
    }

    @LockedStream('below:{0}')
    @Get('below/:id')
    below(@Param('id') id: string): Observable<{ id: string }> {
      return noted(`below:${id}`, of({ id }));
    }

    @Get('busy')
    @UseFilters(LockBusyFilter)
    @LockedStream('busy', { wait: 0 })
    busy(): Observable<string> {
      return noted('busy', of('done'));
    }

    @Sse('events')
    @LockedStream('events')
    events(): Observable<MessageEvent> {
      return noted('events', ticks.pipe(switchMap((tick) => of({ data: String(tick) }))));
    }
  }

  it('locks a route once a request and answers with the last value', async () => {
    const app = await startHttp({ imports: [locks], controllers: [StreamController] });
    const server = await app.getUrl();
    const ask = (path: string) => request(server).get(path).expect(200);

    const [first, second] = await Promise.all([ask('/above'), ask('/above')]);
    expect([first.body, second.body]).toEqual([[2], [2]]);
    expect(journal.of('above')).toEqual(streamedOnce(2));

    const { text } = await ask('/below/7');
    expect(JSON.parse(text)).toEqual({ id: '7' });
    expect(journal.of('below:7')).toEqual(streamedOnce());
  });

  it('answers 409 through LockBusyFilter', async () => {
    const app = await startHttp({ imports: [locks], controllers: [StreamController] });
    const server = await app.getUrl();
    const lock = await app.get(LockService).acquire('busy');
    const { headers } = await request(server).get('/busy').expect(409);
    expect(headers['retry-after']).toBe('1');
    await lock.release();
    await request(server).get('/busy').expect(200, 'done');
  });

  it('holds the lock of server-sent events for as long as the client listens', async () => {
    const app = await startHttp({ imports: [locks], controllers: [StreamController] });
    const [response] = (await once(get(`${await app.getUrl()}/events`), 'response')) as [
      IncomingMessage,
    ];
    await eventually('it is open', () => journal.of('events').includes('open'));
    let heard = '';
    response.setEncoding('utf8').on('data', (chunk: string) => {
      heard += chunk;
    });
    ticks.next(1);
    await eventually('the first event', () => heard.includes('data: 1\n'));
    expect(journal.of('events')).toEqual(['granted', 'open']);

    response.destroy();
    await expectStreamed('events');
  });

  it('holds the lock of a download until it was read, or its client has gone', async () => {
    const rest = new Subject<string>();

    @Controller()
    class DownloadController {
      @Get('download')
      download(): StreamableFile {
        return new StreamableFile(Readable.from(this.rows()));
      }

      @LockedStream('download')
      async *rows(): AsyncGenerator<string> {
        journal.note('download', 'open');
        try {
          yield 'first row\n';
          yield await firstValueFrom(rest);
        } finally {
          journal.note('download', 'close');
        }
      }
    }
    const app = await startHttp({ imports: [locks], controllers: [DownloadController] });
    const url = `${await app.getUrl()}/download`;
    const [read] = (await once(get(url), 'response')) as [IncomingMessage];
    let heard = '';
    read.setEncoding('utf8').on('data', (chunk: string) => {
      heard += chunk;
    });
    const other = get(url).on('error', () => undefined);
    await eventually('it is read', () => heard === 'first row\n' && rest.observed);
    expect(journal.of('download')).toEqual(['granted', 'open']);
    rest.next('last row\n');
    await once(read, 'end');
    expect(heard).toBe('first row\nlast row\n');

    await eventually(
      'the next one reads',
      () => journal.of('download').length > 5 && rest.observed,
    );
    expect(journal.of('download').slice(3)).toEqual(['released', 'granted', 'open']);
    other.destroy();
    // A generator ends when it has what it waits for.
    await eventually('it ends', () => {
      rest.next('unread');
      return journal.of('download').length > 7;
    });
    await expectStreamed('download', 2);
  });

  it('locks in a request-scoped instance', async () => {
    @Injectable({ scope: Scope.REQUEST })
    class Scoped {
      @LockedStream('scoped')
      values(): Observable<number> {
        return noted('scoped', of(1));
      }
    }
    const app = await start({ imports: [locks], providers: [Scoped] });
    const [one, two] = await Promise.all([app.resolve(Scoped), app.resolve(Scoped)]);
    await Promise.all([lastValueFrom(one.values()), lastValueFrom(two.values())]);
    expect(journal.of('scoped')).toEqual(streamedOnce(2));
  });
});
