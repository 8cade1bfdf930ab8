// `npm run screenshots`: looks at a dashboard of made-up locks, from the package that was built last, and
// writes what it sees to docs/images.
import 'reflect-metadata';
import { mkdirSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import os from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { chromium } from 'playwright-core';

const folder = join(import.meta.dirname, '../docs/images');

// The pictures are to look the same wherever they are taken.
os.hostname = () => 'web-1';
syncBuiltinESMExports();

const { LockModule, LockService, MemoryBackend } = await import('nestjs-lock');
const { LockDashboardModule } = await import('nestjs-lock/dashboard');

const backend = new MemoryBackend();
const [shop, checkout, reports, mail] = ['shop', 'checkout', 'reports', 'mail'].map(
  (label) => new LockService({ backend, label, shutdownGrace: 0 }),
);

class Application {}
Module({
  imports: [
    LockModule.forRoot({ backend, label: 'admin', shutdownGrace: 0 }),
    LockDashboardModule.forRoot({ authorize: () => true, readOnly: false }),
  ],
})(Application);

const app = await NestFactory.create(Application, { logger: ['error'] });
await app.listen(0, '127.0.0.1');
const browser = await chromium.launch({
  executablePath: process.env.TEST_CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox'],
});
try {
  await setTheScene();
  const viewport = { width: 1240, height: 520 };
  const url = `${await app.getUrl()}/locks/`;
  const look = async (colorScheme) => {
    const context = await browser.newContext({ viewport, colorScheme });
    const page = await context.newPage();
    await page.goto(url);
    await page.getByRole('button', { name: 'report:nightly' }).waitFor();
    return page;
  };
  const [light, dark] = [await look('light'), await look('dark')];
  // Until there is a line to see.
  await comeAndGo(90_000);
  mkdirSync(folder, { recursive: true });
  await light.screenshot({ path: join(folder, 'dashboard.png') });
  await dark.screenshot({ path: join(folder, 'dashboard-dark.png') });
  await light.setViewportSize({ width: 1240, height: 900 });
  await light.getByRole('button', { name: 'order:1042', exact: true }).click();
  await light.getByRole('dialog').getByText('checkout').first().waitFor();
  await light.screenshot({ path: join(folder, 'dashboard-key.png') });
} finally {
  await browser.close();
  for (const service of [shop, checkout, reports, mail]) await service.close();
  await app.close();
}

/** Some that are held, some for which others wait, and a leadership. */
async function setTheScene() {
  await shop.acquire('order:1042');
  for (const service of [checkout, reports, mail]) wait(service, 'order:1042');
  await checkout.acquire('catalog', { mode: 'shared' });
  await mail.acquire('catalog', { mode: 'shared' });
  wait(reports, 'catalog');
  await reports.acquire('report:nightly');
  for (let n = 0; n < 2; n++) await mail.acquire('smtp', { limit: 3 });
  app.get(LockService).leader('reports:leader');
}

/** In vain, until all is over. */
function wait(service, key) {
  service.acquire(key, { wait: Infinity }).catch(() => undefined);
}

/** One key changes hands, with more or fewer who wait for it. */
async function comeAndGo(ms) {
  const end = performance.now() + ms;
  for (let round = 0; performance.now() < end; round++) {
    const crowd = [shop, checkout, reports, mail].slice(0, 1 + (round % 4));
    await Promise.all(
      crowd.map((service) => service.withLock('stock:tea', { wait: '1m' }, () => sleep(1_200))),
    );
  }
}
