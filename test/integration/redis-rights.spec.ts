import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { jest } from '@jest/globals';
import { Redis } from 'ioredis';
import { RedisBackend } from 'nestjs-lock/redis';
import { Redis as Redis5 } from '../nest-11/node_modules/ioredis/built/index.js';
import { eventually } from '../support/eventually.js';
import { root } from '../support/program.js';
import { RedisServer } from '../support/redis-server.js';
import {
  failure,
  openService,
  useEverything,
  useSharing,
  warnings,
} from '../support/two-processes.js';

const KEYS = '~{nestjs-lock:0}:*';
const CHANNELS = '&{nestjs-lock:0}:process:*';
/** What clients send themselves. */
const SENT = ['info', 'subscribe', 'scan', 'eval', 'evalsha'];
/** What the scripts call. */
const CALLED = [
  ...['time', 'publish', 'pubsub|numsub', 'get', 'set', 'del', 'exists', 'type', 'pexpire', 'pttl'],
  ...['hget', 'hset', 'hdel', 'hlen', 'hgetall'],
  ...['zadd', 'zrem', 'zscore', 'zrank', 'zcount', 'zrange', 'zrangebyscore'],
];
const COMMANDS = [...SENT, ...CALLED];
/** What locks of the default namespace need, and nothing more. */
const MINIMUM = ['resetchannels', KEYS, CHANNELS, ...COMMANDS.map((command) => `+${command}`)];

let server: RedisServer;
let admin: Redis;
const clients: { disconnect(): void }[] = [];

/** Lets a user of this name and password do just that. */
async function allow(...rights: string[]): Promise<void> {
  await admin.call('ACL', 'SETUSER', 'locks', 'reset', 'on', '>s3cret', ...rights);
  await admin.call('ACL', 'LOG', 'RESET');
  // The scripts of an earlier test would spare a client its EVAL.
  await admin.script('FLUSH');
}

/** What the user was refused. */
async function refusals(): Promise<unknown[]> {
  const entries = (await admin.call('ACL', 'LOG')) as unknown[][];
  return entries.map((entry) => entry[entry.indexOf('object') + 1]);
}

const backend = (db = 0) =>
  new RedisBackend({ url: `redis://locks:s3cret@127.0.0.1:${server.port}/${db}` });

beforeAll(async () => {
  // As Redis 6 has it: a new user may use every channel until told otherwise.
  server = await RedisServer.start(['--acl-pubsub-default', 'allchannels']);
  admin = server.client();
});

afterEach(() => {
  for (const client of clients.splice(0)) client.disconnect();
});

afterAll(async () => {
  admin.disconnect();
  await server.stop();
});

/** The check at the start is over when its script, alone in doing so, has counted a range. */
async function checked(): Promise<void> {
  const done = async () => (await admin.info('commandstats')).includes('cmdstat_zcount:');
  await eventually('the check at the start', done);
}

describe('the minimal rights', () => {
  beforeEach(async () => {
    await allow(...MINIMUM);
    await admin.config('RESETSTAT');
  });

  it('are what the docs say', () => {
    const line = `ACL SETUSER locks on >password ${MINIMUM.join(' ')}`;
    expect(readFileSync(join(root, 'docs/backends/redis.md'), 'utf8')).toContain(line);
  });

  it('are for exactly what the scripts call', () => {
    const source = ['redis', 'redis-common']
      .map((folder) => join(root, 'lib/backends', folder, 'scripts'))
      .flatMap((folder) => readdirSync(folder).map((file) => join(folder, file)))
      .filter((file) => file.endsWith('.lua') && !file.endsWith('check.lua'))
      .map((file) => readFileSync(file, 'utf8'));
    const calls = source.join('').matchAll(/redis\.p?call\('(\w+)'/g);
    const called = new Set([...calls].map(([, command]) => command!.toLowerCase()));
    // Only on a Cluster.
    const commands = CALLED.map((right) => right.split('|')[0]);
    expect([...called].sort()).toEqual([...commands, 'spublish'].sort());
  });

  it('are enough for everything, without a warning', async () => {
    openService(backend());
    await checked();
    await useEverything(backend());
    await useSharing(backend());
    // A lease that ends by itself: the waiter must look, for nobody tells it.
    await openService(backend()).acquire('k', { ttl: 200, renew: false });
    await (await openService(backend()).acquire('k')).release();
    expect(warnings).toEqual([]);
    expect(await refusals()).toEqual([]);
  });

  it('are enough for ioredis 5', async () => {
    const client = new Redis5({ port: server.port, username: 'locks', password: 's3cret' });
    clients.push(client);
    await useEverything(new RedisBackend({ client }));
    expect(warnings).toEqual([]);
    // It reports its name and version; an old server does not know that, and nobody needs it.
    expect((await refusals()).filter((what) => !String(what).startsWith('client'))).toEqual([]);
  });

  it('are enough for another database together with SELECT', async () => {
    await allow(...MINIMUM, '+select');
    await useEverything(backend(3));
    expect(warnings).toEqual([]);
    expect(await refusals()).toEqual([]);
  });

  it('keep the user out of all other keys and channels', async () => {
    const client = new Redis({ port: server.port, username: 'locks', password: 's3cret' });
    clients.push(client);
    await expect(client.get('other')).rejects.toThrow('NOPERM');
    await expect(client.publish('other', '')).rejects.toThrow('NOPERM');
    await expect(client.keys('*')).rejects.toThrow('NOPERM');
  });
});

describe('a user who lacks', () => {
  beforeEach(() => {
    // ioredis says by itself that it may not ask for INFO.
    jest.spyOn(console, 'warn').mockReturnValue();
  });

  afterEach(() => {
    jest.restoreAllMocks();
  });

  it.each(COMMANDS)('%s is warned of it at the start', async (command) => {
    await allow(...MINIMUM.filter((right) => right !== `+${command}`));
    openService(backend());
    await eventually('a warning', () => warnings.length > 0);
    expect(warnings.join('\n')).toContain('minimal ACL in docs/backends/redis.md');
    expect(warnings.join('\n').toLowerCase()).toContain(command.split('|')[0]);
  });

  it.each([
    ['the keys', KEYS],
    ['the channels', CHANNELS],
  ])('%s is warned of it at the start', async (_, pattern) => {
    await allow(...MINIMUM.filter((right) => right !== pattern));
    openService(backend());
    await eventually('a warning', () => warnings.length > 0);
    expect(warnings.join('\n')).toContain('minimal ACL in docs/backends/redis.md');
  });

  it('SELECT, with another database, locks in no other', async () => {
    await allow(...MINIMUM);
    const { message } = await failure(backend(3));
    expect(message).toMatch(/NOPERM/);
    expect(await admin.exists('{nestjs-lock:0}:lock:failing')).toBe(0);
  });

  it.each([...SENT.slice(3), 'time', 'exists', 'set'])(
    '%s gets an error that says so',
    async (command) => {
      await allow(...MINIMUM.filter((right) => right !== `+${command}`));
      const { message } = await failure(backend());
      expect(message).toContain('minimal ACL in docs/backends/redis.md');
    },
  );
});
