import { jest } from '@jest/globals';
import { Injectable } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import {
  getLockInterceptorToken,
  LeaderOnly,
  Locked,
  LockedStream,
  LockInterceptor,
  LockModule,
  LockNotWiredError,
  LockService,
} from 'nestjs-lock';
import { defer, lastValueFrom, type Observable, of } from 'rxjs';
import { closeAfterTest } from '../support/nest-application.js';

const ran: string[] = [];

beforeEach(() => {
  ran.length = 0;
});

@Injectable()
class Shop {
  @Locked('stock:{0}')
  async sell(item: string): Promise<string> {
    ran.push('sell');
    return `sold ${item}`;
  }

  @Locked('stock:{0}', { onBusy: 'skip' })
  async trySell(item: string): Promise<string> {
    ran.push('trySell');
    return `sold ${item}`;
  }

  @LeaderOnly('report')
  async report(): Promise<string> {
    ran.push('report');
    return 'reported';
  }

  @LockedStream('sales')
  async *sales() {
    ran.push('sales');
    yield 1;
  }

  @LockedStream('observed')
  observed(): Observable<number> {
    return defer(() => of(ran.push('observed')));
  }
}

const calls: [string, (shop: Shop) => Promise<unknown>][] = [
  ['@Locked', (shop) => shop.sell('tea')],
  ['@Locked that may be skipped', (shop) => shop.trySell('tea')],
  ['@LeaderOnly', (shop) => shop.report()],
  ['@LockedStream, iterated', async (shop) => shop.sales().next()],
  ['@LockedStream, subscribed to', async (shop) => lastValueFrom(shop.observed())],
];

/** Has whatever it is asked for, as the mocks of @golevelup/ts-jest, jest-mock-extended and @suites do. */
function autoMock(own: object = jest.fn()): unknown {
  const cache = new Map<PropertyKey, unknown>();
  return new Proxy(own, {
    get: (target, name): unknown => {
      if (name === 'then' || typeof name === 'symbol') return Reflect.get(target, name);
      if (!cache.has(name)) cache.set(name, autoMock());
      return cache.get(name);
    },
    apply: () => autoMock(),
  });
}

/** Each call of the class answers undefined. */
function stub<T extends object>(type: new (...args: never[]) => T): T {
  const prototype = type.prototype as T;
  const names = Object.getOwnPropertyNames(prototype).filter((name) => name !== 'constructor');
  const methods = names.map((name) => [name, { value: () => undefined }] as const);
  return Object.create(prototype, Object.fromEntries(methods)) as T;
}

async function shopWith(interceptor: unknown): Promise<Shop> {
  const builder = Test.createTestingModule({ providers: [Shop] }).useMocker(() => interceptor);
  return closeAfterTest(await builder.compile()).get(Shop);
}

describe.each<[string, () => unknown, RegExp]>([
  ['an auto-mock', () => autoMock(), /as its LockInterceptor/],
  ['an auto-mock of an object', () => autoMock({}), /as its LockInterceptor/],
  ['an empty object', () => ({}), /given \{\} as its LockInterceptor/],
  ['a number', () => 7, /given 7 as its LockInterceptor/],
  ['a mock function', () => ({ intercept: () => undefined }), /LockInterceptor (whose|that has)/],
  ['a stub of the class', () => stub(LockInterceptor), /whose \w+\(\) answered undefined/],
  [
    'one that answers auto-mocks',
    () => ({ intercept: () => autoMock() }),
    /LockInterceptor (whose|that has)/,
  ],
  [
    'an interceptor of an auto-mock',
    () => new LockInterceptor(autoMock() as LockService),
    /as its LockService/,
  ],
  [
    'an interceptor of an empty object',
    () => new LockInterceptor({} as LockService),
    /given \{\} as its LockService/,
  ],
])('in a test that injects %s', (_, interceptor, what) => {
  it.each(calls)('a call of %s says so, and does not run', async (__, call) => {
    const shop = await shopWith(interceptor());
    const calling = defer(() => call(shop));
    await expect(lastValueFrom(calling)).rejects.toThrow(LockNotWiredError);
    await expect(lastValueFrom(calling)).rejects.toThrow(what);
    await expect(lastValueFrom(calling)).rejects.toThrow(/Shop\.\w+ is locked.*most likely a mock/);
    expect(ran).toEqual([]);
  });
});

it('a mock of LockService that runs nothing is told from one that answers', async () => {
  const answering = (withLock: unknown) => new LockInterceptor({ withLock } as LockService);
  const silent = await shopWith(answering(() => undefined));
  await expect(silent.sell('tea')).rejects.toThrow(/whose withLock\(\) answered undefined/);
  const chosen = await shopWith(answering(async () => 'chosen'));
  await expect(chosen.sell('tea')).resolves.toBe('chosen');
});

describe('what the error advises', () => {
  const expectSold = async (builder: ReturnType<typeof Test.createTestingModule>) => {
    const module = closeAfterTest(await builder.useMocker(mocker).compile());
    await expect(module.get(Shop).sell('tea')).resolves.toBe('sold tea');
  };
  let mocker: (token: unknown) => unknown;

  it('works: LockModule.forRoot()', async () => {
    mocker = () => autoMock();
    await expectSold(
      Test.createTestingModule({ imports: [LockModule.forRoot()], providers: [Shop] }),
    );
  });

  it('works: a LockInterceptor by the mocker', async () => {
    mocker = (token) =>
      token === getLockInterceptorToken() ? new LockInterceptor(new LockService()) : autoMock();
    await expectSold(Test.createTestingModule({ providers: [Shop] }));
  });
});
