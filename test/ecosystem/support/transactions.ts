import assert from 'node:assert/strict';
import pg from 'pg';
import { type Database, onCommit, startPostgres } from './postgres.js';
import type { Scene } from './scene.js';

const TOGETHER = 10;

type Query = (sql: string) => Promise<unknown>;

/** Counts in one transaction; what it wrote is rolled back where it `fails`. */
export type Increment = (fails: boolean) => Promise<unknown>;

/** The body of a transaction: reads, works a moment, writes one more. */
export async function increment(scene: Scene, query: Query, fails: boolean): Promise<void> {
  const [row] = (await query('SELECT value FROM counter')) as { value: number }[];
  await scene.body(undefined);
  await query(`UPDATE counter SET value = ${Number(row?.value) + 1}`);
  if (fails) throw new Error('full');
}

/** Eleven increments: they are all there exactly if the lock is held over the commits. */
export async function countInTransactions(
  scene: Scene,
  start: (database: Database) => Promise<Increment>,
): Promise<void> {
  const { database, stop } = await startPostgres();
  scene.closeAtTheEnd(stop);
  const client = new pg.Client(database);
  await client.connect();
  scene.closeAtTheEnd(() => client.end());
  await client.query('CREATE TABLE counter AS SELECT 0 AS value');
  const count = async () => {
    const { rows } = await client.query<{ value: number }>('SELECT value FROM counter');
    return rows[0]?.value;
  };
  const call = await start(database);

  const forget = onCommit(() => {
    scene.end();
  });
  await scene.calls(() => call(false), TOGETHER);
  forget();
  const counted = await count();
  if (scene.order === 'above') assert.equal(counted, TOGETHER + 1);
  else assert.notEqual(counted, TOGETHER + 1);
  scene.remark = scene.order === 'above' ? 'no increment lost' : '**increments lost**';

  await assert.rejects(call(true), /full/);
  assert.equal(await count(), counted, 'the transaction that failed is rolled back');
}
