// A PostgreSQL of a run: with its defaults, fsync on, in a folder that goes with the run.
import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { chmodSync, chownSync, existsSync, mkdirSync, readdirSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';

const debian = '/usr/lib/postgresql';
const nobody = 65_534; // it does not run as root
const patience = 20_000;

/** @param start starts a program, and ends it by the signal that is given when the run ends */
export async function startPostgres(folder, port, start) {
  const data = join(folder, 'postgres');
  mkdirSync(data, { mode: 0o700 });
  const user = process.getuid() === 0 ? { uid: nobody, gid: nobody } : {};
  if (user.uid !== undefined) {
    chmodSync(folder, 0o755);
    chownSync(data, user.uid, user.gid);
  }
  const cluster = ['--auth=trust', '--username=postgres', '--locale=C', '--encoding=UTF8'];
  execFileSync(program('initdb'), [`--pgdata=${data}`, ...cluster], {
    ...{ cwd: data, stdio: 'ignore' },
    ...user,
  });
  const server = start(
    program('postgres'),
    `-D ${data} -h 127.0.0.1 -p ${port} -c max_connections=400 -k`.split(' ').concat(''),
    { cwd: data, stdio: ['ignore', 'ignore', 'pipe'], ...user },
    'SIGQUIT', // its sessions are processes, and end with it
  );
  const url = `postgres://postgres@127.0.0.1:${port}/postgres`;
  return { url, admin: await connect(url), log: server.stderr.setEncoding('utf8') };
}

/**
 * Counts the messages with statements that clients send while `body` runs: the server writes each to its
 * log, which slows it down.
 */
export async function countStatements({ admin, log }, body) {
  let count = 0;
  let seen = () => {};
  let marker = randomUUID();
  const read = (text) => {
    count += text.match(/ LOG: {2}(statement|execute [^:]*): /g)?.length ?? 0;
    if (text.includes(marker)) seen();
  };
  log.on('data', read);
  await set(admin, 'all');
  const passed = async () => {
    const heard = new Promise((resolve) => (seen = resolve));
    // Until the setting has come to the sessions.
    const asking = setInterval(() => admin.query(`SELECT '${marker}'`), 50);
    await heard;
    clearInterval(asking);
    return count;
  };
  const before = await passed();
  const result = await body();
  marker = randomUUID();
  const commands = (await passed()) - before - 1;
  await set(admin, 'none');
  log.off('data', read);
  return { result, commands };
}

async function set(admin, which) {
  await admin.query(`ALTER SYSTEM SET log_statement = '${which}'`);
  await admin.query('SELECT pg_reload_conf()');
}

async function connect(url) {
  for (const start = Date.now(); Date.now() - start < patience; await sleep(50)) {
    const client = new pg.Client(url);
    try {
      await client.connect();
      return client;
    } catch {
      // It is not up yet.
    }
  }
  throw new Error('PostgreSQL does not start');
}

/** On the PATH, or of the newest version that Debian has installed. */
function program(name) {
  const folders = (process.env.PATH ?? '').split(delimiter);
  const versions = existsSync(debian) ? readdirSync(debian).map(Number) : [];
  for (const version of versions.sort((one, other) => other - one)) {
    folders.push(join(debian, String(version), 'bin'));
  }
  const found = folders.map((folder) => join(folder, name)).find(existsSync);
  if (found === undefined) throw new Error(`there is no ${name} of PostgreSQL`);
  return found;
}
