import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { jest } from '@jest/globals';
import { Logger } from '@nestjs/common';
import { context, diag, DiagConsoleLogger, trace } from '@opentelemetry/api';
import {
  type BackendMessage,
  CHANNELS,
  type Lock,
  type LockBackend,
  type LockOptions,
  LockService,
  MemoryBackend,
} from 'nestjs-lock';
import { instrumentLocks, type OpenTelemetryOptions } from 'nestjs-lock/opentelemetry';
import { RedisBackend } from 'nestjs-lock/redis';
import { eventually } from '../support/eventually.js';
import { RedisServer } from '../support/redis-server.js';
import { ScriptedBackend } from '../support/scripted-backend.js';
import { TelemetrySdk } from '../support/telemetry-sdk.js';

let sdk: TelemetrySdk;
let end: () => void;
const services: LockService[] = [];
const looks: BackendMessage[] = [];

const hear = (message: unknown) => {
  if ((message as BackendMessage).operation === 'inspect') looks.push(message as BackendMessage);
};

beforeEach(() => {
  jest.spyOn(Logger.prototype, 'warn').mockReturnValue(undefined);
  sdk = new TelemetrySdk();
  looks.length = 0;
  subscribe(`tracing:${CHANNELS.backend}:asyncEnd`, hear);
});

afterEach(async () => {
  unsubscribe(`tracing:${CHANNELS.backend}:asyncEnd`, hear);
  await closeAll();
  end();
  await sdk.stop();
  jest.restoreAllMocks();
});

async function closeAll(): Promise<void> {
  await Promise.all(services.splice(0).map((service) => service.close()));
}

function instrument(options: OpenTelemetryOptions = { holderLinks: true }): void {
  const { meterProvider, tracerProvider } = sdk;
  end = instrumentLocks({ meterProvider, tracerProvider, ...options });
}

/** To the store, each is a process of its own. */
function serve(backend: LockBackend): LockService {
  const service = new LockService({ backend, shutdownGrace: 0 });
  services.push(service);
  return service;
}

/** Waits for what is held until the store has said who holds it, and has it then. */
async function waitFor(
  locks: LockService,
  release: () => Promise<unknown>,
  options: LockOptions = {},
): Promise<void> {
  const waiting = sdk.under('waiter', () => locks.acquire('k', { template: 'w', ...options }));
  await hasAnswered(1);
  await release();
  await (await waiting).release();
}

async function hasAnswered(times: number): Promise<void> {
  await eventually('the store has said who holds it', () => looks.length === times);
  await new Promise(setImmediate);
}

/** The spans that one links to, with what is said of them. */
const linksOf = (span: string) =>
  sdk.span(span).links.map(({ context: { traceId, spanId }, attributes }) => {
    return [traceId, spanId, attributes];
  });

const linkTo = (span: string, token: number) => {
  const { traceId, spanId } = sdk.span(span).spanContext();
  return [traceId, spanId, { 'nestjs_lock.fencing_token': token }];
};

describe.each(['memory', 'redis'])('on %s', (name) => {
  let redis: RedisServer | undefined;
  let backend: LockBackend;

  beforeEach(async () => {
    if (name === 'memory') backend = new MemoryBackend();
    else backend = new RedisBackend({ url: (redis = await RedisServer.start()).url });
  });

  afterEach(async () => {
    await closeAll();
    await redis?.stop();
  });

  it.each(['waited', 'all'] as const)(
    'within a service, it links to the span of the hold: %s',
    async (spans) => {
      instrument({ holderLinks: true, spans });
      const locks = serve(backend);
      const held = await sdk.under('holder', () => locks.acquire('k', { template: 'h' }));
      const waiting = sdk.under('waiter', () => locks.acquire('k', { template: 'w' }));
      await eventually('it waits', () => locks.stats().waits.length > 0);
      await held.release();
      await (await waiting).release();
      expect(linksOf('acquire w')).toEqual([linkTo('hold h', held.fencingToken)]);
      expect(looks).toEqual([]);
    },
  );

  it.each([
    ['waited', 'holder'],
    ['all', 'acquire h'],
  ] as const)(
    'between processes, it links to the span in which it was asked for: %s',
    async (spans, asker) => {
      instrument({ holderLinks: true, spans });
      const [here, there] = [serve(backend), serve(backend)];
      const held = await sdk.under('holder', () => there.acquire('k', { template: 'h' }));
      await waitFor(here, () => held.release());
      await eventually('it has ended', () => sdk.spans.some((span) => span.name === asker));
      expect(linksOf('acquire w')).toEqual([linkTo(asker, held.fencingToken)]);
      const [link] = sdk.span('acquire w').links;
      expect(link!.context.isRemote).toBe(true);
    },
  );

  it('to each of several holders', async () => {
    instrument();
    const [here, there] = [serve(backend), serve(backend)];
    const held: Lock[] = [];
    for (const holder of ['first', 'second']) {
      held.push(await sdk.under(holder, () => there.acquire('k', { limit: 2 })));
    }
    await waitFor(here, () => Promise.all(held.map((lock) => lock.release())), { limit: 2 });
    expect(linksOf('acquire w')).toEqual([
      linkTo('first', held[0]!.fencingToken),
      linkTo('second', held[1]!.fencingToken),
    ]);
  });

  it('of several keys, to the holder of each for which it waits', async () => {
    instrument();
    const [here, there] = [serve(backend), serve(backend)];
    const [a, b] = [
      await sdk.under('first', () => there.acquire('a')),
      await sdk.under('second', () => there.acquire('b')),
    ];
    const waiting = here.acquire(['a', 'b'], { template: 'w' });
    await hasAnswered(1);
    await a.release();
    await hasAnswered(2);
    await b.release();
    await (await waiting).release();
    expect(linksOf('acquire w')).toEqual([
      linkTo('first', a.fencingToken),
      linkTo('second', b.fencingToken),
    ]);
  });

  it('to none whose holder has no span', async () => {
    instrument();
    const [here, there] = [serve(backend), serve(backend)];
    const held = await there.acquire('k');
    await waitFor(here, () => held.release());
    expect(linksOf('acquire w')).toEqual([]);
  });

  it('costs nothing without the option: nothing goes to the store, and it is not asked', async () => {
    instrument({});
    const [here, there] = [serve(backend), serve(backend)];
    const held = await sdk.under('holder', () => there.acquire('k'));
    const [holder] = (await here.inspect('k')).holders;
    expect(holder!.owner.traceparent).toBeUndefined();
    const waiting = sdk.under('waiter', () => here.acquire('k', { template: 'w' }));
    let asked = 1;
    await eventually('it waits', async () => {
      asked++;
      return (await there.inspect('k')).waiters > 0;
    });
    expect(looks).toHaveLength(asked);
    await held.release();
    await (await waiting).release();
    expect(linksOf('acquire w')).toEqual([]);
  });
});

it('a store is asked once for all who begin to wait meanwhile', async () => {
  instrument();
  const backend = new MemoryBackend();
  const [here, there] = [serve(backend), serve(backend)];
  const held = await sdk.under('holder', () => there.acquire('k'));
  const waiting = Array.from({ length: 20 }, () => here.withLock('k', { template: 'w' }, () => 1));
  await hasAnswered(1);
  await held.release();
  await Promise.all(waiting);
  const links = sdk.spans.filter(({ name }) => name === 'acquire w').map(({ links }) => links);
  expect(links).toHaveLength(20);
  for (const [link, ...others] of links) {
    expect(link!.context.spanId).toBe(sdk.span('holder').spanContext().spanId);
    expect(others).toEqual([]);
  }
});

describe('what the store says of the holder', () => {
  const traceId = '4bf92f3577b34da6a3ce929d0e0e4736';
  const spanId = '00f067aa0ba902b7';

  /** Waits for a lock which another has by a request of this id. */
  async function waitForHolder(
    inspect: ScriptedBackend['inspect'],
    spans: 'waited' | 'all' = 'waited',
  ): Promise<void> {
    const failure = jest.spyOn(Logger.prototype, 'error').mockReturnValue(undefined);
    instrument({ holderLinks: true, spans });
    const backend = new ScriptedBackend();
    let grant!: () => void;
    backend.inspect = inspect;
    backend.acquire = (request) => {
      const granted = new Promise<ReturnType<typeof backend.grant>>((resolve) => {
        grant = () => {
          resolve(backend.grant(request));
        };
      });
      return Promise.resolve({ state: 'waiting', granted });
    };
    const waiting = serve(backend).acquire('k', { template: 'w' });
    await eventually('the store was asked', () => backend.asked.inspect.length === 1);
    await new Promise(setImmediate);
    grant();
    expect((await waiting).held).toBe(true);
    expect(failure).not.toHaveBeenCalled();
  }

  const heldBy = (id: string) => () => {
    const holder = { id, token: 7, mode: 'exclusive', age: 1, remaining: 1_000 } as const;
    return Promise.resolve({ holders: [holder], waiters: 1, queue: [] });
  };

  it('is where the link leads', async () => {
    await waitForHolder(heldBy(`host#1##r:00-${traceId}-${spanId}-01:1`));
    expect(linksOf('acquire w')).toEqual([[traceId, spanId, { 'nestjs_lock.fencing_token': 7 }]]);
  });

  it.each([
    ['nothing', 'host#1##r:1'],
    ['nothing between the colons', 'host#1##r::1'],
    ['what is none', 'host#1##r:hello:1'],
    ['another version', `host#1##r:ff-${traceId}-${spanId}-01:1`],
    ['one that is too short', `host#1##r:00-${traceId.slice(1)}-${spanId}-01:1`],
    ['one of zeros', `host#1##r:00-${'0'.repeat(32)}-${spanId}-01:1`],
    ['one with more behind', `host#1##r:00-${traceId}-${spanId}-01-x:1`],
    ['a span that nobody sees', `host#1##r:00-${traceId}-${spanId}-00:1`],
    ['what others put there', 'legacy'],
    ['nothing at all', ''],
  ])('gives no link, and no error, if it is %s', async (_, id) => {
    await waitForHolder(heldBy(id));
    expect(linksOf('acquire w')).toEqual([]);
  });

  it.each<[string, ScriptedBackend['inspect']]>([
    ['never', () => new Promise(() => undefined)],
    ['that it failed', () => Promise.reject(new Error('refused'))],
    [
      'nothing but throws',
      () => {
        throw new Error('broken');
      },
    ],
  ])('does not keep anybody from a lock if it says %s', async (_, inspect) => {
    await waitForHolder(inspect);
    expect(linksOf('acquire w')).toEqual([]);
  });

  it('is not heard of after the grant, when the span has ended', async () => {
    const logger = new DiagConsoleLogger();
    const warn = jest.spyOn(logger, 'warn').mockReturnValue(undefined);
    diag.setLogger(logger);
    let answer!: () => void;
    const said = new Promise<void>((resolve) => (answer = resolve));
    await waitForHolder(() => said.then(heldBy(`host#1##r:00-${traceId}-${spanId}-01:1`)), 'all');
    answer();
    await new Promise(setImmediate);
    diag.disable();
    expect(warn).not.toHaveBeenCalled();
  });
});

it('a lock is had also where links cannot be made', async () => {
  const failure = jest.spyOn(Logger.prototype, 'error').mockReturnValue(undefined);
  instrument();
  const locks = serve(new MemoryBackend());
  const held = await locks.acquire('k', { template: 'h' });
  const broken = jest.spyOn(trace, 'getSpan').mockImplementation(() => {
    throw new Error('broken');
  });
  const waiting = locks.acquire('k');
  broken.mockRestore();
  await held.release();
  expect((await waiting).held).toBe(true);
  expect(failure).toHaveBeenCalledTimes(1);
  expect(trace.getSpan(context.active())).toBeUndefined();
});
