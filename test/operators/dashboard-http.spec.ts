import { jest } from '@jest/globals';
import { Controller, Get, type INestApplication } from '@nestjs/common';
import { ExpressAdapter } from '@nestjs/platform-express';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { LockModule, LockService } from 'nestjs-lock';
import { LockDashboardModule, type LockDashboardOptions } from 'nestjs-lock/dashboard';
import request from 'supertest';
import type { DashboardState } from '../../lib/dashboard/dashboard-state.js';
import { eventually } from '../support/eventually.js';
import { Log, startHttp } from '../support/nest-application.js';
import { PageEvents } from '../support/page-events.js';

const OWN_HEADERS = { 'content-type': 'application/json', 'x-nestjs-lock': 'test' };

@Controller()
class ShopController {
  @Get('shop')
  shop() {
    return { open: true };
  }
}

/** The wall clock goes on by so many milliseconds more than time does. */
function passTime(ms: number): void {
  const ahead = Date.now() - performance.timeOrigin - performance.now() + ms;
  jest
    .spyOn(Date, 'now')
    .mockImplementation(() => performance.timeOrigin + performance.now() + ahead);
}

async function isToldAgain(page: PageEvents): Promise<void> {
  const { count } = page;
  await eventually('it is told again', () => page.count > count);
}

const anybody = () => true;
const pages: PageEvents[] = [];

afterEach(() => {
  jest.restoreAllMocks();
  for (const page of pages.splice(0)) page.close();
});

describe.each([
  ['Express', () => new ExpressAdapter()],
  ['Fastify', () => new FastifyAdapter()],
])('the dashboard on %s', (_, adapter) => {
  let app: INestApplication;
  let log: Log;
  let url: string;
  let locks: LockService;

  async function serve(
    options: LockDashboardOptions = { authorize: anybody },
    prepare?: (app: INestApplication) => unknown,
  ): Promise<void> {
    log = new Log();
    const imports = [
      LockModule.forRoot({ label: 'the shop', shutdownGrace: 0 }),
      LockDashboardModule.forRoot(options),
    ];
    const controllers = [ShopController];
    app = await startHttp({ imports, controllers }, prepare, { adapter: adapter(), log });
    url = await app.getUrl();
    locks = app.get(LockService);
  }

  async function look(query = '', at = '/locks'): Promise<PageEvents> {
    const page = await PageEvents.open(`${url}${at}/events${query}`);
    pages.push(page);
    return page;
  }

  const order = (operation: string, body: object = { key: 'k' }, headers: object = {}) =>
    request(url)
      .post(`/locks/${operation}`)
      .set({ ...OWN_HEADERS, origin: url, ...headers })
      .send(JSON.stringify(body));

  it('serves the page and its files, in nobody’s frame and with nothing of others', async () => {
    await serve();
    const page = await request(url)
      .get('/locks/')
      .expect(200)
      .expect('content-type', /text\/html/);
    expect(page.headers).toMatchObject({
      'content-security-policy': expect.stringMatching(
        /default-src 'none'.*script-src 'self'.*frame-ancestors 'none'/,
      ) as string,
      'x-content-type-options': 'nosniff',
      'x-frame-options': 'DENY',
      'referrer-policy': 'no-referrer',
      'cache-control': expect.stringContaining('no-store') as string,
    });
    expect(page.text).not.toMatch(/https?:|\bstyle=|\bon\w+=|<script(?! type="module" src=)/);
    const files = [...page.text.matchAll(/(?:href|src)="([^"]+)"/g)].map(([, file]) => file!);
    expect(files.sort()).toEqual(['icon.svg', 'main.js', 'style.css']);
    for (const file of files) await request(url).get(`/locks/${file}`).expect(200);

    const redirect = await request(url).get('/locks').expect(308);
    expect(new URL(redirect.headers.location!, `${url}/locks`).pathname).toBe('/locks/');
    await request(url).get('/locks/sources.ts').expect(404);
    await request(url).put('/locks/').expect(405).expect('allow', 'GET, HEAD');
    await request(url).get('/locks/revoke').expect(405).expect('allow', 'POST');
    await request(url).head('/locks/').expect(200);
  });

  it('leaves the rest of the application alone', async () => {
    await serve();
    expect((await request(url).get('/shop')).body).toEqual({ open: true });
    await request(url).get('/locksmith').expect(404);
    await request(url).get('/').expect(404);
  });

  it('is behind the global prefix, and where it is told to be', async () => {
    await serve({ authorize: anybody, path: '/ops/locks.html' }, (it) => it.setGlobalPrefix('api'));
    await request(url).get('/api/ops/locks.html/main.js').expect(200);
    const redirect = await request(url).get('/api/ops/locks.html').expect(308);
    expect(redirect.headers.location).toBe('locks.html/');
    await request(url).get('/ops/locks.html/').expect(404);
  });

  describe('without authorize', () => {
    const before = process.env.NODE_ENV;

    afterEach(() => {
      process.env.NODE_ENV = before;
    });

    it.each(['production', 'test', ''])('answers nobody when NODE_ENV is "%s"', async (is) => {
      process.env.NODE_ENV = is;
      await serve({});
      for (const path of ['', '/', '/main.js', '/events', '/nothing']) {
        await request(url).get(`/locks${path}`).expect(403);
      }
      expect(log.warnings).toEqual([expect.stringMatching(/answers nobody .* authorize/)]);
    });

    it('answers localhost in development, by no other name', async () => {
      process.env.NODE_ENV = 'development';
      await serve({});
      await request(url).get('/locks/').expect(200);
      await request(url).get('/locks/').set('host', 'localhost:3000').expect(200);
      await request(url).get('/locks/').set('host', 'rebound.example').expect(403);
      await order('revoke').expect(403, { message: 'this dashboard is read-only' });
      expect(log.warnings).toEqual([]);
    });
  });

  it('asks authorize for each request, and takes nothing but true for a yes', async () => {
    const answers: unknown[] = [
      false,
      'yes',
      Promise.resolve(false),
      new Error('no session'),
      true,
    ];
    await serve({
      authorize: () => {
        const answer = answers.shift();
        if (answer instanceof Error) throw answer;
        return answer as boolean;
      },
    });
    for (let n = 0; n < 4; n++) await request(url).get('/locks/').expect(403);
    await request(url).get('/locks/').expect(200);
    expect(log.errors).toEqual([expect.stringMatching(/authorize failed.*no session/)]);
  });

  it('asks authorize again while a page is open, and ends it within 30 seconds of a no', async () => {
    let mayLook = true;
    const asked: string[] = [];
    await serve({
      authorize: (_, action) => {
        asked.push(action);
        return mayLook;
      },
    });
    const page = await look();
    await page.until('state', 'it is told', () => true);
    asked.length = 0;

    passTime(25_000);
    await isToldAgain(page);
    expect(asked).toEqual([]);
    passTime(5_000);
    await eventually('it was asked again', () => asked.length > 0);
    await isToldAgain(page);

    mayLook = false;
    passTime(30_000);
    await eventually('the page is told', () => page.ended);
    expect(page.response.complete).toBe(true);
    expect(asked).toEqual(['view', 'view']);
    expect((await look()).response.statusCode).toBe(403);
  });

  it('has a hundred pages open at most: the next is told to come later', async () => {
    await serve();
    const all = await Promise.all(Array.from({ length: 100 }, () => look()));
    expect(new Set(all.map(({ response }) => response.statusCode))).toEqual(new Set([200]));
    const refused = await request(url).get('/locks/events').expect(503).expect('retry-after', '5');
    expect(refused.body).toEqual({ message: 'too many look at the locks, or it closes' });
    await request(url).get('/locks/').expect(200);

    all[0]!.close();
    let next: PageEvents | undefined;
    await eventually('there is room', async () => {
      next = await look();
      return next.response.statusCode === 200;
    });
    await next!.until('state', 'it is told', () => true);
    await request(url).get('/locks/events').expect(503);
  });

  it('tells who holds what, who waits, and what changes', async () => {
    await serve();
    const lock = await locks.acquire('order:7');
    const next = locks.acquire('order:7', { mode: 'shared' });
    const page = await look('?key=order:7');
    expect(page.response.headers['content-type']).toMatch(/^text\/event-stream/);

    const isThere = ({ rows }: DashboardState) => rows[0]?.waiters === 1;
    const { totals, rows, opened } = await page.until('state', 'both are seen', isThere);
    const owner = { label: 'the shop', pid: process.pid, isSelf: true };
    const token = lock.fencingToken;
    expect(totals).toEqual({ keys: 1, holders: 1, waiters: 1 });
    expect(rows).toMatchObject([
      { key: 'order:7', holders: [{ token, mode: 'exclusive', ...owner }], isLeadership: false },
    ]);
    expect(rows[0]!.longestWait).toBeGreaterThanOrEqual(0);
    expect(rows[0]!.line.at(-1)!.slice(1)).toEqual([1, 1]);
    expect(opened).toMatchObject({
      key: 'order:7',
      holders: [{ token }],
      queue: [{ place: 0, mode: 'shared', ...owner }],
    });
    expect(page.last('allowed')).toEqual({ revoke: false, forceRelease: false });

    await lock.release();
    await (await next).release();
    await page.until<DashboardState>('state', 'it is free', ({ totals }) => totals.keys === 0);
  });

  it('shows what is looked for, and the slowest first', async () => {
    await serve();
    for (const key of ['order:1', 'order:2', 'report']) {
      await locks.acquire(key);
      // Since when one is held is known to a millisecond or two.
      const taken = Date.now();
      await eventually('time passes', () => Date.now() > taken + 5);
    }
    void locks.acquire('order:2', { wait: Infinity }).catch(() => undefined);
    const seen = async (query: string) => {
      const page = await look(query);
      const all = ({ totals }: DashboardState) => totals.keys === 3 && totals.waiters === 1;
      const { rows, matching } = await page.until('state', 'all are seen', all);
      return [matching, ...rows.map(({ key }) => key)];
    };
    expect(await seen('')).toEqual([3, 'order:2', 'order:1', 'report']);
    expect(await seen('?filter=order:*')).toEqual([2, 'order:2', 'order:1']);
    expect(await seen('?filter=rde')).toEqual([2, 'order:2', 'order:1']);
    expect(await seen('?filter=order:?&limit=1')).toEqual([2, 'order:2']);
    expect(await seen('?filter=order')).toEqual([2, 'order:2', 'order:1']);
    expect(await seen('?filter=%3F')).toEqual([0]);
  });

  it('knows the terms of leaderships for which this process stands', async () => {
    await serve();
    const reports = locks.leader('reports');
    const page = await look('?key=reports');
    const terms = (number: number) => (state: DashboardState) =>
      state.opened?.terms.length === number && state.opened.terms[0]!.ended === null;
    const first = await page.until('state', 'one leads', terms(1));
    expect(first.rows).toMatchObject([{ key: 'reports', isLeadership: true }]);
    await reports.stepDown();
    const { opened } = await page.until('state', 'one leads again', terms(2));
    const [now, before] = opened!.terms;
    expect(before).toMatchObject({ token: first.opened!.terms[0]!.token, isSelf: true });
    expect(before!.ended).toBeGreaterThanOrEqual(0);
    expect(now!.token).toBeGreaterThan(before!.token);
  });

  it('asks a holder for its lock, in the operator’s words', async () => {
    await serve({ authorize: anybody, readOnly: false });
    const lock = await locks.acquire('k');
    expect((await look()).last('allowed') ?? true).toBeTruthy();
    await order('revoke', { key: 'k', reason: 'deploy', grace: '1m' }).expect(200, { holders: 1 });
    await eventually('it is told', () => lock.revocation.aborted);
    expect((lock.revocation.reason as Error).cause).toMatchObject({ message: 'deploy' });
    expect(lock.held).toBe(true);
    await order('revoke', { key: 'nobody' }).expect(200, { holders: 0 });
    expect(log.warnings).toContainEqual(
      expect.stringMatching(/revoke of 'k', which had 1 holders/),
    );
  });

  it('breaks a lock', async () => {
    await serve({ authorize: anybody, readOnly: false });
    const lock = await locks.acquire('k');
    await order('force-release').expect(200, { holders: 1 });
    await eventually('it is lost', () => lock.signal.aborted);
    expect(await locks.tryAcquire('k')).not.toBeNull();
  });

  it.each<[string, object, number, RegExp]>([
    ['as a form', { 'content-type': 'application/x-www-form-urlencoded' }, 403, /Content-Type/],
    ['as text', { 'content-type': 'text/plain' }, 403, /Content-Type/],
    ['without the own header', { 'x-nestjs-lock': undefined }, 403, /x-nestjs-lock/],
    ['of another origin', { origin: 'https://elsewhere.example' }, 403, /origin/],
    ['of no origin', { origin: undefined }, 403, /origin/],
    ['of an origin that is hidden', { origin: 'null' }, 403, /origin/],
    ['of another site, as the browser says', { 'sec-fetch-site': 'cross-site' }, 403, /origin/],
    ['of a sibling, as the browser says', { 'sec-fetch-site': 'same-site' }, 403, /origin/],
  ])('does nothing for a request %s', async (_, headers, status, message) => {
    await serve({ authorize: anybody, readOnly: false });
    const lock = await locks.acquire('k');
    for (const operation of ['revoke', 'force-release']) {
      const sent = order(operation, { key: 'k' }, headers);
      for (const [name, value] of Object.entries(headers))
        if (value === undefined) sent.unset(name);
      const reply = await sent.expect(status);
      expect((reply.body as { message: string }).message).toMatch(message);
    }
    expect(lock.revocation.aborted).toBe(false);
    expect(lock.held).toBe(true);
  });

  it('does nothing when it is read-only, or authorize says no to this', async () => {
    await serve({ authorize: anybody });
    const lock = await locks.acquire('k');
    for (const operation of ['revoke', 'force-release']) {
      await order(operation).expect(403, { message: 'this dashboard is read-only' });
    }
    expect(lock.held).toBe(true);
    await app.close();

    await serve({ authorize: (_, action) => action !== 'forceRelease', readOnly: false });
    const another = await locks.acquire('k');
    await order('force-release').expect(403, { message: 'not authorized to forceRelease' });
    expect(another.held).toBe(true);
    await order('revoke').expect(200);
    const allowed = await (await look()).until('allowed', 'it is told', () => true);
    expect(allowed).toEqual({ revoke: true, forceRelease: false });
  });

  it.each<[string, object, RegExp]>([
    ['no key', {}, /JSON with a key/],
    ['a key that is none', { key: 7 }, /JSON with a key/],
    ['a list', ['k'], /JSON with a key/],
    ['an empty key', { key: '' }, /key/],
    ['a grace that is none', { key: 'k', grace: 'long' }, /grace must be .* got 'long'/],
    ['what nobody knows', { key: 'k', force: true }, /unknown option 'force'/],
  ])('refuses %s', async (_, body, message) => {
    await serve({ authorize: anybody, readOnly: false });
    const reply = await order('revoke', body).expect(400);
    expect((reply.body as { message: string }).message).toMatch(message);
  });

  it('closes with pages open', async () => {
    await serve();
    const page = await look();
    await page.until('state', 'it is told', () => true);
    await app.close();
    await eventually('the page is told', () => page.ended);
    expect(page.response.complete).toBe(true);
  });

  it('closes after a page has gone', async () => {
    await serve();
    const page = await look();
    await page.until('state', 'it is told', () => true);
    page.close();
    await eventually('it has ended', () => page.ended);
    await expect(app.close()).resolves.toBeUndefined();
  });
});

it('shows the locks of a named module, with options of a factory', async () => {
  const app = await startHttp({
    imports: [
      LockModule.forRoot({ shutdownGrace: 0 }),
      LockModule.forRoot({ name: 'billing' }),
      LockDashboardModule.forRootAsync({
        useFactory: () => ({ name: 'billing', path: '/billing/locks', authorize: anybody }),
      }),
      LockDashboardModule.forRoot({ authorize: anybody }),
    ],
  });
  const url = await app.getUrl();
  await app.get(LockService).acquire('unnamed');
  const page = await PageEvents.open(`${url}/billing/locks/events`);
  pages.push(page);
  await page.until<DashboardState>('state', 'all was seen', ({ sweep }) => sweep !== undefined);
  expect((page.last('state') as DashboardState).rows).toEqual([]);
  const other = await PageEvents.open(`${url}/locks/events`);
  pages.push(other);
  const isSeen = ({ rows }: DashboardState) => rows.length === 1;
  const { rows } = await other.until('state', 'it is seen', isSeen);
  expect(rows).toMatchObject([{ key: 'unnamed' }]);
});

it.each<[string, object, RegExp]>([
  ['path', { path: 'locks' }, /path must be a path such as '\/locks', got 'locks'/],
  ['path', { path: '/' }, /path must be/],
  ['authorize', { authorize: true }, /authorize must be a function, got true/],
  ['readOnly', { readOnly: 'no' }, /readOnly must be true or false, got 'no'/],
  ['looksPerSecond', { looksPerSecond: 0 }, /looksPerSecond must be a number of 1 or more, got 0/],
  ['name', { name: '' }, /name must be a non-empty string/],
  ['name', { name: 'none' }, /no LockModule 'none' is registered/],
  ['nothing', { readonly: false }, /unknown option 'readonly' of the dashboard/],
])('does not start with a bad %s', async (_, options, message) => {
  const imports = [LockModule.forRoot(), LockDashboardModule.forRoot(options)];
  await expect(startHttp({ imports })).rejects.toThrow(message);
});
