// Whether the tables of nestjs-lock on PostgreSQL grow under load: short locks on keys that come and go, one key
// that all want, and leases that are renewed, for some minutes.
import { setTimeout as sleep } from 'node:timers/promises';
import { describeMachine } from './harness/machine.mjs';
import { machineOf } from './harness/table.mjs';

const loops = 32;
const keys = 5_000;
/** One of so many is for the key that all want. */
const contended = 20;
const renewed = 100;
/** How often the tables are looked at after the first time. */
const looks = 4;

export async function bloat({ servers, options, print, progress }) {
  const { admin, url } = servers.postgres;
  const { LockService } = await import('nestjs-lock');
  const { migrateAt, PostgresBackend } = await import('nestjs-lock/postgres');
  print(machineOf(await describeMachine(servers, [{ packages: ['nestjs-lock', 'pg'] }])));
  await migrateAt(url);
  const services = Array.from({ length: 2 }, () => {
    const service = new LockService({ backend: new PostgresBackend({ connectionString: url }) });
    service.onModuleInit();
    return service;
  });
  for (let i = 0; i < renewed; i += 1) await services[0].acquire(`renewed ${i}`, { ttl: '2s' });

  let acquisitions = 0;
  let over = false;
  const loop = async (service) => {
    while (!over) {
      const isContended = Math.random() < 1 / contended;
      const key = isContended ? 'contended' : `key ${Math.floor(Math.random() * keys)}`;
      const lock = await service.acquire(key, { wait: '1m' });
      await lock.release();
      acquisitions += 1;
    }
  };
  const working = Promise.all(Array.from({ length: loops }, (_, n) => loop(services[n % 2])));
  const share = (options.minutes * 60_000) / (looks + 1);
  const rows = [];
  for (let look = 0; look <= looks; look += 1) {
    progress(`${acquisitions} acquisitions`);
    await Promise.race([working, sleep(share)]);
    rows.push(...(await tablesOf(admin, acquisitions)));
  }
  over = true;
  await working;
  print(asMarkdown(rows));
  return { rows, failures: [], svg: () => '' };
}

async function tablesOf(admin, acquisitions) {
  const { rows } = await admin.query(
    `SELECT relname AS table, pg_table_size(relid) / 1024 AS "table kB", pg_indexes_size(relid) / 1024 AS "indexes kB",
        n_dead_tup AS "dead rows", round(100.0 * n_tup_hot_upd / nullif(n_tup_upd, 0), 1) AS "HOT % of updates",
        autovacuum_count AS "autovacuums"
      FROM pg_stat_user_tables WHERE schemaname = 'nestjs_lock' AND relname IN ('buckets', 'leases', 'waiters')
      ORDER BY relname`,
  );
  return rows.map((row) => ({ acquisitions: acquisitions.toLocaleString('en-US'), ...row }));
}

function asMarkdown(rows) {
  const columns = Object.keys(rows[0]);
  const lines = [columns, columns.map(() => '---'), ...rows.map((row) => Object.values(row))];
  return lines.map((cells) => `| ${cells.map((cell) => cell ?? '–').join(' | ')} |`).join('\n');
}
