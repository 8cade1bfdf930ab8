import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { jest } from '@jest/globals';
import { Injectable, Logger } from '@nestjs/common';
import { context, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import type { ReadableSpan } from '@opentelemetry/sdk-trace';
import {
  LeaderOnly,
  Locked,
  LockedStream,
  type LockBackend,
  LockService,
  MemoryBackend,
} from 'nestjs-lock';
import { instrumentLocks, type OpenTelemetryOptions } from 'nestjs-lock/opentelemetry';
import { RedisBackend } from 'nestjs-lock/redis';
import { from, lastValueFrom, type Observable, tap } from 'rxjs';
import { eventually } from '../support/eventually.js';
import { RedisServer } from '../support/redis-server.js';
import { ScriptedBackend } from '../support/scripted-backend.js';
import { TelemetrySdk } from '../support/telemetry-sdk.js';

let sdk: TelemetrySdk;
let end: () => void;
let locks: LockService;

beforeEach(() => {
  jest.spyOn(Logger.prototype, 'warn').mockReturnValue(undefined);
  sdk = new TelemetrySdk();
});

afterEach(async () => {
  await locks.close();
  end();
  await sdk.stop();
  jest.restoreAllMocks();
});

function serve(
  backend: LockBackend = new MemoryBackend(),
  options: OpenTelemetryOptions = {},
): LockService {
  const { meterProvider, tracerProvider } = sdk;
  end = instrumentLocks({ meterProvider, tracerProvider, ...options });
  return (locks = new LockService({ backend, shutdownGrace: 0 }));
}

const names = () => sdk.spans.map(({ name }) => name);
const parentOf = ({ parentSpanContext }: ReadableSpan) => parentSpanContext?.spanId;
const hereSpan = () => trace.getSpan(context.active());
const here = () => hereSpan()?.spanContext().spanId;

@Injectable()
class Orders {
  readonly seen: (string | undefined)[] = [];

  @Locked('order:{0}', { wait: 0 })
  async ship(_id: number): Promise<void> {
    await Promise.resolve();
    this.seen.push(here());
  }

  @Locked('order:{0}', { wait: 0, onBusy: 'skip' })
  async tryShip(_id: number): Promise<string> {
    return 'shipped';
  }

  @LockedStream('all')
  async *iterated(): AsyncGenerator<number> {
    for (const order of [1, 2]) {
      this.seen.push(here());
      yield order;
    }
  }

  @LockedStream('all')
  observed(): Observable<number> {
    return from([1, 2]).pipe(tap(() => this.seen.push(here())));
  }

  @LeaderOnly('reports')
  async report(): Promise<void> {}
}

describe.each(['memory', 'redis'])('on %s', (name) => {
  let redis: RedisServer | undefined;
  let backend: LockBackend;

  beforeEach(async () => {
    if (name === 'memory') backend = new MemoryBackend();
    else backend = new RedisBackend({ url: (redis = await RedisServer.start()).url });
  });

  afterEach(async () => {
    await locks.close();
    await redis?.stop();
  });

  it('what runs under a lock does so under a span of it, which is of the trace of its caller', async () => {
    const orders = serve(backend).attach(new Orders());
    await sdk.under('request', () => orders.ship(7));
    const [hold, request] = sdk.spans;
    expect(names()).toEqual(['hold order:{0}', 'request']);
    expect(parentOf(hold!)).toBe(request!.spanContext().spanId);
    expect(orders.seen).toEqual([hold!.spanContext().spanId]);
    expect(hold).toMatchObject({ kind: SpanKind.INTERNAL, status: { code: SpanStatusCode.UNSET } });
    expect(hold!.attributes).toEqual({
      'nestjs_lock.backend': name,
      'nestjs_lock.key.template': 'order:{0}',
      'nestjs_lock.mode': 'exclusive',
      'nestjs_lock.limit': 1,
      'nestjs_lock.fencing_token': expect.any(Number) as unknown,
      'nestjs_lock.hold.result': 'released',
      'code.function.name': 'Orders.ship',
    });
  });

  it('of a stream every step does', async () => {
    const orders = serve(backend).attach(new Orders());
    await sdk.under('request', async () => {
      for await (const order of orders.iterated()) expect(order).toBeGreaterThan(0);
      await lastValueFrom(orders.observed());
    });
    const holds = sdk.spans.filter((span) => span.name === 'hold all');
    const [iterated, observed] = holds.map((span) => span.spanContext().spanId);
    expect(orders.seen).toEqual([iterated, iterated, observed, observed]);
  });

  it('of withLock as well; a lock in a lock is a span in a span', async () => {
    serve(backend);
    await locks.withLock('outer', () => locks.withLock('inner', { template: 't' }, () => 1));
    const [inner, outer] = sdk.spans;
    expect(names()).toEqual(['hold t', 'hold lock']);
    expect(parentOf(inner!)).toBe(outer!.spanContext().spanId);
  });

  it("a handle has a span from its grant to its release, which is nobody's parent", async () => {
    serve(backend);
    await sdk.under('request', async () => {
      const lock = await locks.acquire('k', { template: 't' });
      const inside = here();
      await lock.release();
      expect(inside).toBe(here());
    });
    await eventually('both have ended', () => sdk.spans.length === 2);
    expect(parentOf(sdk.span('hold t'))).toBe(sdk.span('request').spanContext().spanId);
  });

  it('who waited has a span for that: from the call on, of the trace of the caller', async () => {
    serve(backend);
    const lock = await locks.acquire('k', { template: 't' });
    const waiting = sdk.under('request', () =>
      locks.withLock(
        'k',
        { template: 't', ttl: '5s', wait: '1m' },
        () => new Promise(setImmediate),
      ),
    );
    await eventually('it waits', () => locks.stats().waits.length > 0);
    await new Promise((resolve) => setTimeout(resolve, 30));
    await lock.release();
    await waiting;
    const acquire = sdk.span('acquire t');
    expect(parentOf(acquire)).toBe(sdk.span('request').spanContext().spanId);
    expect(acquire.attributes).toEqual({
      'nestjs_lock.backend': name,
      'nestjs_lock.key.template': 't',
      'nestjs_lock.mode': 'exclusive',
      'nestjs_lock.limit': 1,
      'nestjs_lock.ttl': 5,
      'nestjs_lock.wait': 60,
      'nestjs_lock.acquire.result': 'granted',
      'nestjs_lock.acquire.waited': true,
      'nestjs_lock.fencing_token': expect.any(Number) as unknown,
    });
    const [seconds, nanoseconds] = acquire.duration;
    expect(seconds * 1_000 + nanoseconds / 1_000_000).toBeGreaterThan(25);
    expect(names().filter((span) => span.startsWith('acquire'))).toHaveLength(1);
  });

  it('an operator who asks for a lock, and one who takes it, are events of its span', async () => {
    serve(backend);
    const lock = await locks.acquire('k', { template: 't' });
    await locks.revoke('k', { reason: 'a deploy', grace: '1m' });
    await eventually('it is asked for', () => lock.revocation.aborted);
    await locks.forceRelease('k');
    await eventually('it is lost', () => !lock.held);
    await eventually('its span has ended', () => sdk.spans.length > 0);
    const hold = sdk.span('hold t');
    expect(hold.events.map((event) => event.name)).toEqual([
      'nestjs_lock.revocation',
      'nestjs_lock.lost',
    ]);
    expect(hold.events[1]?.attributes).toEqual({ 'nestjs_lock.lost.reason': 'stolen' });
    expect(hold.status).toEqual({ code: SpanStatusCode.ERROR });
    expect(hold.attributes).toMatchObject({
      'nestjs_lock.hold.result': 'lost',
      'nestjs_lock.lost.reason': 'stolen',
      'error.type': 'LOCK_LOST',
    });
  });

  it('a term of a leadership has a span of its own trace, if that is asked for', async () => {
    serve(backend, { leadershipSpans: true });
    const orders = locks.attach(new Orders());
    await sdk.under('request', () => orders.report());
    await eventually('it leads', () => locks.leader('reports').isLeader);
    await locks.leader('reports').withdraw();
    const lead = sdk.span('lead reports');
    expect(parentOf(lead)).toBeUndefined();
    expect(lead.spanContext().traceId).not.toBe(sdk.span('request').spanContext().traceId);
    expect(lead.attributes).toEqual({
      'nestjs_lock.backend': name,
      'nestjs_lock.key.template': 'reports',
      'nestjs_lock.fencing_token': expect.any(Number) as unknown,
    });
  });
});

it('a leadership has no span by default', async () => {
  serve().leader('reports');
  await eventually('it leads', () => locks.leader('reports').isLeader);
  await locks.leader('reports').withdraw();
  expect(names()).toEqual([]);
});

describe('which requests have a span', () => {
  let options: OpenTelemetryOptions = {};
  const serveAndTake = () => serve(new MemoryBackend(), options);
  const acquires = () => names().filter((span) => span.startsWith('acquire'));

  it("'waited', the default: those that waited or failed", async () => {
    options = {};
    serveAndTake();
    await locks.acquire('taken');
    await askOthers();
    expect(acquires()).toEqual(['acquire lock']);
    expect(sdk.span('acquire lock')).toMatchObject({
      status: { code: SpanStatusCode.ERROR },
      attributes: {
        'nestjs_lock.acquire.result': 'busy',
        'nestjs_lock.acquire.waited': true,
        'error.type': 'LOCK_TIMEOUT',
      },
    });
  });

  it("'all': and that the lock is busy is no error where it is none to the caller", async () => {
    options = { spans: 'all' };
    serveAndTake();
    await locks.acquire('taken');
    await askOthers();
    const codes = sdk.spans
      .filter((span) => span.name.startsWith('acquire'))
      .map((span) => span.status.code);
    const { ERROR, UNSET } = SpanStatusCode;
    expect(codes).toEqual([UNSET, UNSET, UNSET, ERROR]);
  });

  it("'none': nor has what runs under a lock", async () => {
    options = { spans: 'none' };
    serveAndTake();
    await locks.withLock('k', () => Promise.resolve());
    expect(names()).toEqual([]);
  });

  async function askOthers(): Promise<void> {
    expect(await locks.tryAcquire('taken')).toBeNull();
    expect(await locks.attach(new Orders()).tryShip(7)).toBe('shipped');
    await expect(locks.acquire('taken', { wait: 5 })).rejects.toThrow('held by another');
  }

  it('one that fails at a backend that is down', async () => {
    const backend = new ScriptedBackend();
    backend.acquire = () => Promise.reject(new Error('refused'));
    serve(backend);
    await expect(locks.acquire('k')).rejects.toThrow('refused');
    expect(sdk.span('acquire lock').attributes).toMatchObject({
      'nestjs_lock.acquire.result': 'failed',
      'error.type': 'LOCK_BACKEND',
    });
  });

  it("of 'all' it is the parent of what the client does", async () => {
    const backend = new ScriptedBackend();
    let seen: string | undefined;
    backend.acquire = (request) => {
      seen = here();
      return Promise.resolve(backend.grant(request));
    };
    serve(backend, { spans: 'all' });
    await sdk.under('request', () => locks.acquire('k'));
    expect(seen).toBe(sdk.span('acquire lock').spanContext().spanId);
  });
});

describe('keys', () => {
  const keyOf = (span: string) => sdk.span(span).attributes['nestjs_lock.key'];

  it("are shown to nobody by default, also where the lock is lost: 'none'", async () => {
    serve();
    await locks.acquire('customer:ann', { ttl: 20, renew: false });
    await eventually('it is lost', () => sdk.spans.length > 0);
    await locks.acquire('customer:ann');
    await expect(locks.acquire('customer:ann', { wait: 5 })).rejects.toThrow('customer:ann');
    const shown = JSON.stringify(
      sdk.spans.map(({ name, attributes, events, status }) => [name, attributes, events, status]),
    );
    expect(shown).not.toContain('ann');
  });

  it("are shown as they are: 'plain'", async () => {
    serve(new MemoryBackend(), { keys: 'plain' });
    await locks.withLock('a', () => 1);
    expect(keyOf('hold lock')).toBe('a');
    await locks.withLock(['b', 'c'], { template: 'two' }, () => 1);
    expect(keyOf('hold two')).toEqual(['b', 'c']);
  });

  it("are shown by a hash, the same for the same key: 'hash'", async () => {
    serve(new MemoryBackend(), { keys: 'hash' });
    for (const [key, template] of [
      ['a', '1'],
      ['a', '2'],
      ['b', '3'],
    ] as const) {
      await locks.withLock(key, { template }, () => 1);
    }
    const hashes = ['1', '2', '3'].map((template) => keyOf(`hold ${template}`));
    expect(hashes[0]).toMatch(/^[0-9a-f]{16}$/);
    expect(hashes[1]).toBe(hashes[0]);
    expect(hashes[2]).not.toBe(hashes[0]);
  });
});

it('a body runs once, and its lock is given back, whatever the tracing does', async () => {
  const failure = jest.spyOn(Logger.prototype, 'error').mockReturnValue(undefined);
  serve();
  const broken = jest.spyOn(context, 'with').mockImplementation(() => {
    throw new Error('broken');
  });
  const body = jest.fn(() => Promise.resolve('ran'));
  expect(await locks.withLock('k', body)).toBe('ran');
  broken.mockRestore();
  jest.spyOn(context, 'active').mockImplementation(() => {
    throw new Error('broken');
  });
  expect(await locks.withLock('k', body)).toBe('ran');
  expect(body).toHaveBeenCalledTimes(2);
  expect(locks.stats().holds).toEqual([]);
  expect(failure).toHaveBeenCalledTimes(1);
});

it("beside ioredis' own tracing: no command that works for others is of a request's trace", async () => {
  const redis = await RedisServer.start();
  const seen: (string | undefined)[] = [];
  const hear = () => {
    seen.push(here());
  };
  subscribe('tracing:ioredis:command:start', hear);
  try {
    serve(new RedisBackend({ url: redis.url }), { spans: 'all' });
    await sdk.under('request', () =>
      locks.withLock('k', { ttl: '300ms', template: 't' }, async ({ signal }) => {
        const before = seen.length;
        await eventually('it is renewed', () => seen.length > before);
        expect(signal.aborted).toBe(false);
        expect(seen.slice(before)).toEqual(seen.slice(before).fill(undefined));
      }),
    );
    expect(seen.length).toBeGreaterThan(2);
    expect(names()).toEqual(['acquire t', 'hold t', 'request']);
  } finally {
    unsubscribe('tracing:ioredis:command:start', hear);
    await locks.close();
    await redis.stop();
  }
});
