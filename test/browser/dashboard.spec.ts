import type { INestApplication } from '@nestjs/common';
import { type LockBackend, LockModule, LockService, MemoryBackend } from 'nestjs-lock';
import { LockDashboardModule, type LockDashboardOptions } from 'nestjs-lock/dashboard';
import { RedisBackend } from 'nestjs-lock/redis';
import type { Locator, Page } from 'playwright-core';
import { FIRST_START, TestBrowser } from '../support/browser.js';
import { eventually } from '../support/eventually.js';
import { startHttp } from '../support/nest-application.js';
import { RedisServer } from '../support/redis-server.js';

let browser: TestBrowser;
let app: INestApplication;
let locks: LockService;
let page: Page;

beforeAll(async () => {
  browser = await TestBrowser.start();
}, FIRST_START);

afterEach(() => {
  browser.complaints.length = 0;
});

afterAll(() => browser.stop());

async function serve(
  options: LockDashboardOptions = {},
  backend: LockBackend = new MemoryBackend(),
  port = 0,
  label = 'the shop',
): Promise<void> {
  const imports = [
    LockModule.forRoot({ backend, label, shutdownGrace: 0 }),
    LockDashboardModule.forRoot({ authorize: () => true, ...options }),
  ];
  app = await startHttp({ imports }, undefined, { port });
  locks = app.get(LockService);
}

async function open(options?: Parameters<TestBrowser['open']>[1]): Promise<void> {
  page = await browser.open(`${await app.getUrl()}/locks`, options);
}

/** The row of a key, as a screen reader finds it. */
function row(key: string): Locator {
  return page.getByRole('row').filter({ has: page.getByRole('rowheader', { name: key }) });
}

function button(key: string): Locator {
  return page.getByRole('button', { name: key, exact: true });
}

const rows = () => page.locator('#rows tr');
const shown = () => page.locator('#rows th button').allTextContents();

async function expectText(locator: Locator, text: RegExp): Promise<void> {
  await eventually(`it says ${String(text)}`, async () =>
    text.test((await locator.textContent()) ?? ''),
  );
}

it('shows what is held and who waits, as it changes', async () => {
  await serve();
  const lock = await locks.acquire('order:7');
  await open();
  await row('order:7').waitFor();
  const cells = await row('order:7').getByRole('cell').allTextContents();
  expect(cells).toEqual([
    expect.stringMatching(/^the shop, \S+\/\d+ \(this process\)$/),
    'exclusive',
    expect.stringMatching(/ s$/),
    expect.stringMatching(/ s$/),
    String(lock.fencingToken),
    '0',
    '–',
    '',
  ]);

  const next = locks.acquire('order:7');
  await expectText(row('order:7').getByRole('cell').nth(5), /^1$/);
  await locks.acquire('another');
  await row('another').waitFor();
  // Somebody waits for it.
  expect(await shown()).toEqual(['order:7', 'another']);
  await expectText(page.locator('#totals'), /^2 keys held, 1 waiting/);

  await lock.release();
  await (await next).release();
  await row('order:7').waitFor({ state: 'detached' });
  await row('another').getByRole('img', { name: 'at most 0 waited' }).waitFor();
  expect(browser.complaints).toEqual([]);
});

it('looks for a part of the key, or by a pattern, and keeps that in its address', async () => {
  await serve();
  for (const key of ['order:1', 'order:12', 'report']) await locks.acquire(key);
  await open();
  await eventually('all are there', async () => (await rows().count()) === 3);
  const filter = page.getByRole('searchbox', { name: 'Filter' });
  await filter.fill('order:?');
  await eventually('one is there', async () => String(await shown()) === 'order:1');
  await expectText(page.locator('#matching'), /^1 key$/);
  await filter.fill('epo');
  await eventually('another is there', async () => String(await shown()) === 'report');
  await page.reload();
  await eventually('it is there again', async () => String(await shown()) === 'report');
  expect(await filter.inputValue()).toBe('epo');
});

it('asks for a lock with a reason, by keyboard alone', async () => {
  await serve({ readOnly: false });
  const lock = await locks.acquire('order:7');
  await open();
  await button('order:7').focus();
  // It stays on its row while that changes.
  void locks.acquire('order:7').catch(() => undefined);
  await expectText(row('order:7').getByRole('cell').nth(5), /^1$/);
  await page.keyboard.press('Enter');
  await page.getByRole('dialog', { name: 'order:7' }).waitFor();
  const press = async (...keys: string[]) => {
    for (const key of keys) await page.keyboard.press(key);
  };
  await press('Tab');
  await page.keyboard.type('deploy');
  await press('Tab');
  await page.keyboard.type('1m');
  await press('Tab', 'Enter');
  await expectText(page.locator('#order-result'), /^Its holder was asked for it\.$/);
  await eventually('it is told', () => lock.revocation.aborted);
  expect((lock.revocation.reason as Error).cause).toMatchObject({ message: 'deploy' });
  expect(lock.held).toBe(true);

  await press('Escape');
  await page.getByRole('dialog').waitFor({ state: 'hidden' });
  const focused = page.locator('*:focus');
  expect(await focused.textContent()).toBe('order:7');
  expect(browser.complaints).toEqual([]);
});

it('breaks a lock for who has said what that means', async () => {
  await serve({ readOnly: false });
  const lock = await locks.acquire('order:7');
  await open();
  await button('order:7').click();
  const breakIt = page.getByRole('button', { name: 'Break it' });
  await breakIt.click();
  expect(await page.locator('#order-result').textContent()).toBe('');
  expect(lock.held).toBe(true);
  await page.getByRole('checkbox').check();
  await breakIt.click();
  await expectText(page.locator('#order-result'), /^Its holder lost it\.$/);
  await eventually('it is lost', () => lock.signal.aborted);
  await page.getByText('Nobody holds it now.').waitFor();
});

it('offers nothing where it is read-only, and the server refuses it', async () => {
  await serve();
  const lock = await locks.acquire('order:7');
  await open();
  await button('order:7').click();
  await page
    .getByRole('cell', { name: String(lock.fencingToken) })
    .last()
    .waitFor();
  expect(await page.getByRole('button', { name: /ask|break/i }).count()).toBe(0);
  const refusal = await page.evaluate(async () => {
    const headers = { 'Content-Type': 'application/json', 'X-Nestjs-Lock': 'test' };
    const body = JSON.stringify({ key: 'order:7' });
    const reply = await fetch('force-release', { method: 'POST', headers, body });
    return [reply.status, await reply.text()];
  });
  expect(refusal).toEqual([403, '{"message":"this dashboard is read-only"}']);
  expect(lock.held).toBe(true);
});

it('shows keys, labels and reasons as text, whatever is in them', async () => {
  const label = '<i>shop</i>';
  await serve({}, new MemoryBackend(), 0, label);
  await locks.acquire('<b>x</b>');
  await locks.acquire('a\u202eb\n');
  await open();
  await button('<b>x</b>').click();
  await page.getByRole('heading', { name: '<b>x</b>' }).waitFor();
  await page.getByRole('cell', { name: label, exact: true }).waitFor();
  expect(await page.locator('main b, main i, dialog b, dialog i').count()).toBe(0);
  expect(await shown()).toContain('a\\u{202e}b\\u{a}');
});

it('is dark where it is to be', async () => {
  await serve();
  const ground = () => page.evaluate('getComputedStyle(document.body).backgroundColor');
  await open({ colorScheme: 'light' });
  const light = await ground();
  await open({ colorScheme: 'dark' });
  expect([light, await ground()]).toEqual(['rgb(255, 255, 255)', 'rgb(20, 23, 26)']);
});

it('says that it is not connected, and goes on when the application is back', async () => {
  await serve();
  await open();
  await expectText(page.locator('#connection'), /^Live$/);
  const { port } = new URL(await app.getUrl());
  await app.close();
  await expectText(page.locator('#connection'), /^Not connected/);
  await serve({}, new MemoryBackend(), Number(port));
  await expectText(page.locator('#connection'), /^Live$/);
});

it('can be used where ten thousand keys are held', async () => {
  const server = await RedisServer.start();
  const looksPerSecond = 5_000;
  await serve({ looksPerSecond }, new RedisBackend({ url: server.url }));
  const keys = Array.from({ length: 10_000 }, (_, n) => `order:${n}`);
  await Promise.all(keys.map((key) => locks.acquire(key, { ttl: '10m', renew: false })));
  await open();
  await expectText(page.locator('#totals'), /^10000 keys held, 0 waiting; all seen in/);
  expect(await rows().count()).toBe(100);
  await expectText(page.locator('#matching'), /^the slowest 100 of 10000$/);
  await page.getByRole('button', { name: 'Show more' }).click();
  await eventually('there are more', async () => (await rows().count()) === 300);
  await page.getByRole('searchbox').fill('order:9876');
  await eventually('it is found', async () => String(await shown()) === 'order:9876');
  await button('order:9876').click();
  await page.getByRole('dialog', { name: 'order:9876' }).waitFor();
  expect(browser.complaints).toEqual([]);
  await server.stop();
});
