import { readArguments } from '../../lib/cli/arguments.js';
import { verdictOn } from '../../lib/cli/exit-codes.js';

const redis = ['--redis', 'redis://a'];
const store = { store: 'redis', address: 'redis://a', namespace: undefined };

/** What the command line says of bad usage; it exits with 64. */
function refusal(args: readonly string[], environment: NodeJS.ProcessEnv = {}): string {
  try {
    readArguments(args, environment);
  } catch (error) {
    const { message, exitCode } = verdictOn(error);
    expect(exitCode).toBe(64);
    return message;
  }
  throw new Error('it was understood');
}

it('reads how to hold the lock, and leaves the rest to the program', () => {
  const options =
    '--ttl 1m --wait Infinity --limit 3 --min-hold 5s --max-hold 1h --kill-after 2s --label nightly';
  const program = ['sh', '-c', 'exit 1', '--', '--ttl', '--help'];
  const args = ['run', ...redis, 'k', ...options.split(' '), '--verbose', '--', ...program];
  expect(readArguments(args, {})).toEqual({
    command: 'run',
    store,
    key: 'k',
    program,
    hold: {
      ttl: 60_000,
      wait: Infinity,
      mode: undefined,
      limit: 3,
      minHold: '5s',
      maxHold: '1h',
    },
    label: 'nightly',
    killAfter: 2_000,
    verbose: true,
  });
});

it('has defaults', () => {
  const run = readArguments(['run', 'k', ...redis, '--', '/bin/backup'], {});
  expect(run).toMatchObject({ hold: { ttl: 30_000 }, label: 'backup', killAfter: 5_000 });
  const short = readArguments(['run', 'k', ...redis, '--ttl', '2s', '--shared', '--', 'a'], {});
  expect(short).toMatchObject({ hold: { mode: 'shared' }, killAfter: 500 });
  const brief = readArguments(['run', 'k', ...redis, '--max-hold', '1s', '--', 'a'], {});
  expect(brief).toMatchObject({ killAfter: 250 });
  expect(readArguments(['list', ...redis], {})).toEqual({ command: 'list', store, json: false });
  expect(readArguments(['release', 'k', ...redis], {})).toEqual({
    command: 'release',
    store,
    key: 'k',
    json: false,
    force: false,
    reason: '',
    grace: 10_000,
  });
  expect(readArguments(['dashboard', ...redis], {})).toEqual({
    command: 'dashboard',
    store,
    port: 0,
    writable: false,
  });
});

it('finds the backend in the environment, unless an option names one', () => {
  const environment = { NESTJS_LOCK_ETCD: 'a,b', NESTJS_LOCK_REDIS: '' };
  expect(readArguments(['list', '--namespace', 'shop'], environment)).toMatchObject({
    store: { store: 'etcd', address: 'a,b', namespace: 'shop' },
  });
  expect(readArguments(['list', ...redis], environment)).toMatchObject({ store });
});

it('takes the failover grace of the application, for one Redis', () => {
  for (const failoverGrace of ['on', 'strict', 'off']) {
    expect(readArguments(['list', ...redis, '--failover-grace', failoverGrace], {})).toMatchObject({
      store: { ...store, failoverGrace },
    });
  }
  expect(refusal(['list', ...redis, '--failover-grace', 'maybe'])).toContain(
    '--failover-grace must be on, strict, off',
  );
  expect(refusal(['list', '--etcd', 'a', '--failover-grace', 'on'])).toContain(
    '--failover-grace is for --redis',
  );
});

it('makes the schema in PostgreSQL, or shows it', () => {
  const postgres = ['postgres', 'migrate', '--postgres', 'a', '--schema', 'locks'];
  expect(readArguments(postgres, {})).toEqual({
    command: 'migrate',
    address: 'a',
    schema: 'locks',
    unlogged: undefined,
  });
  expect(readArguments([...postgres, '--unlogged'], {})).toMatchObject({ unlogged: true });
  const environment = { NESTJS_LOCK_POSTGRES: 'b', NESTJS_LOCK_REDIS: 'c' };
  expect(readArguments(['postgres', 'migrate'], environment)).toMatchObject({ address: 'b' });
  expect(readArguments(['postgres', 'migrate', '--print'], {})).toMatchObject({
    command: 'migrate',
    address: undefined,
  });
  expect(refusal(['postgres', 'drop'])).toBe('postgres takes the command migrate, got drop');
  expect(refusal(['list', ...redis, '--schema', 'locks'])).toBe(
    '--schema is for --postgres, got it with --redis',
  );
});

it('shows help wherever it is asked for it', () => {
  for (const args of [['--help'], ['-h'], ['run', '--help'], ['list', 'x', '-h', '--y']]) {
    expect(readArguments(args, {})).toEqual({ command: 'help' });
  }
  expect(readArguments(['--version'], {})).toEqual({ command: 'version' });
});

it.each<[string, string[], string]>([
  [
    'no command',
    [],
    'a command must be named: run, list, inspect, release, dashboard or postgres; see --help',
  ],
  [
    'an unknown command',
    ['lock', 'k'],
    'unknown command lock: it must be run, list, inspect, release, dashboard or postgres; see --help',
  ],
  ['an unknown option', ['list', '--all'], "Unknown option '--all'"],
  [
    'two backends',
    ['list', ...redis, '--etcd', 'b'],
    'only one backend can be used, got --redis and --etcd',
  ],
  ['no key', ['inspect', ...redis], 'inspect takes one KEY, got none'],
  ['two keys', ['release', 'a', 'b', ...redis], 'release takes one KEY, got a b'],
  [
    'two patterns',
    ['list', 'a', 'b', ...redis],
    'list takes one pattern, got a b: it may need quotes',
  ],
  [
    'no program',
    ['run', 'k', ...redis],
    'run needs a program: nestjs-lock run KEY [options] -- PROGRAM [ARGUMENT...]',
  ],
  [
    'a bad ttl',
    ['run', 'k', '--ttl', '1x', '--', 'a'],
    "--ttl must be a positive duration, got '1x'",
  ],
  ['no ttl', ['run', 'k', '--ttl', '--', 'a'], "Option '--ttl <value>' argument missing"],
  [
    'a bad limit',
    ['run', 'k', '--limit', '0', '--', 'a'],
    "--limit must be a positive whole number, got '0'",
  ],
  [
    'a long time to stop',
    ['run', 'k', '--ttl', '1s', '--kill-after', '1s', '--', 'a'],
    "--kill-after must be at most half of --ttl and --max-hold, which is 500 ms, got '1s'",
  ],
  [
    'a reason for who is not asked',
    ['release', 'k', ...redis, '--force', '--reason', 'a'],
    '--reason is for asking, and --force does not ask',
  ],
  [
    'a bad port',
    ['dashboard', ...redis, '--port', '80a'],
    "--port must be a number from 0 to 65535, got '80a'",
  ],
  ['a key for all keys', ['dashboard', 'k', ...redis], 'dashboard takes options only, got k'],
  [
    'a bad grace',
    ['release', 'k', ...redis, '--grace', 'soon'],
    "--grace must be a duration of 0 or more, got 'soon'",
  ],
])('refuses %s', (_, args, message) => {
  expect(refusal(args)).toBe(message);
});

it('refuses no backend, or two in the environment', () => {
  expect(refusal(['list'])).toMatch(
    /^one of --redis, --cluster, --redlock, --etcd, --postgres must say where the locks are, or one of NESTJS_LOCK_REDIS/,
  );
  expect(refusal(['list'], { NESTJS_LOCK_REDIS: 'a', NESTJS_LOCK_ETCD: 'b' })).toBe(
    'only one backend can be used, got NESTJS_LOCK_REDIS and NESTJS_LOCK_ETCD',
  );
});
