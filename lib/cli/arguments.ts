import { basename } from 'node:path';
import { parseArgs, type ParseArgsConfig } from 'node:util';
import { readDuration } from '../options/duration.js';
import { messageOf, shown } from '../text/shown.js';
import type { LockHoldOptions } from '../interfaces/index.js';
import { LONGEST_LABEL } from '../options/lock-options.js';
import { usageError } from './exit-codes.js';
import { chooseStore, type StoreChoice } from './stores.js';

/** What the command line asks for. */
export type Invocation =
  | { readonly command: 'help' }
  | { readonly command: 'version' }
  | RunInvocation
  | ListInvocation
  | InspectInvocation
  | ReleaseInvocation
  | DashboardInvocation
  | MigrateInvocation;

export interface RunInvocation {
  readonly command: 'run';
  readonly store: StoreChoice;
  readonly key: string;
  readonly program: readonly string[];
  readonly hold: LockHoldOptions;
  readonly label: string;
  /** How long the program may take to stop, in milliseconds. */
  readonly killAfter: number;
  readonly verbose: boolean;
}

export interface ListInvocation {
  readonly command: 'list';
  readonly store: StoreChoice;
  readonly pattern: string | undefined;
  readonly json: boolean;
}

export interface InspectInvocation {
  readonly command: 'inspect';
  readonly store: StoreChoice;
  readonly key: string;
  readonly json: boolean;
}

export interface ReleaseInvocation {
  readonly command: 'release';
  readonly store: StoreChoice;
  readonly key: string;
  readonly json: boolean;
  /** Breaks the lock, instead of asking for it. */
  readonly force: boolean;
  readonly reason: string;
  /** Milliseconds. */
  readonly grace: number;
}

export interface DashboardInvocation {
  readonly command: 'dashboard';
  readonly store: StoreChoice;
  /** 0 for any that is free. */
  readonly port: number;
  /** Whether locks can be asked for and broken. */
  readonly writable: boolean;
}

export interface MigrateInvocation {
  readonly command: 'migrate';
  /** Where the schema is to be made; undefined when it is only to be shown. */
  readonly address: string | undefined;
  readonly schema: string | undefined;
  /** Whether its tables are not to be logged; undefined to leave them as they are. */
  readonly unlogged: boolean | undefined;
}

const text = { type: 'string' } as const;
const flag = { type: 'boolean' } as const;
const STORE = {
  redis: text,
  cluster: text,
  redlock: text,
  etcd: text,
  postgres: text,
  namespace: text,
  'failover-grace': text,
  schema: text,
} as const;

const COMMANDS = 'run, list, inspect, release, dashboard or postgres';

/** @throws CliError, or a LockConfigurationError, that names the option and what was given */
export function readArguments(
  args: readonly string[],
  environment: NodeJS.ProcessEnv = process.env,
): Invocation {
  const [command, ...rest] = args;
  // What comes after -- belongs to the program.
  const end = rest.indexOf('--');
  const own = end === -1 ? rest : rest.slice(0, end);
  const asks = (...names: string[]) => names.some((name) => command === name || own.includes(name));
  if (asks('--help', '-h')) return { command: 'help' };
  if (asks('--version')) return { command: 'version' };
  switch (command) {
    case 'run':
      return readRun(own, end === -1 ? [] : rest.slice(end + 1), environment);
    case 'list':
      return readList(rest, environment);
    case 'inspect':
      return readInspect(rest, environment);
    case 'release':
      return readRelease(rest, environment);
    case 'dashboard':
      return readDashboard(rest, environment);
    case 'postgres':
      return readPostgres(rest, environment);
    case undefined:
      throw usageError(`a command must be named: ${COMMANDS}; see --help`);
    default:
      throw usageError(`unknown command ${command}: it must be ${COMMANDS}; see --help`);
  }
}

function readRun(
  args: readonly string[],
  program: readonly string[],
  environment: NodeJS.ProcessEnv,
): RunInvocation {
  const { values, positionals } = parse(args, {
    ...STORE,
    ttl: text,
    wait: text,
    shared: flag,
    limit: text,
    'min-hold': text,
    'max-hold': text,
    'kill-after': text,
    label: text,
    verbose: flag,
  });
  const key = onlyKey('run', positionals);
  const [command] = program;
  if (command === undefined) {
    throw usageError('run needs a program: nestjs-lock run KEY [options] -- PROGRAM [ARGUMENT...]');
  }
  const ttl = readDuration('ttl', values.ttl ?? '30s');
  const killAfter = readKillAfter(values['kill-after'], ttl, values['max-hold']);
  const { wait } = values;
  const limit = values.limit === undefined ? undefined : readLimit(values.limit);
  return {
    command: 'run',
    store: chooseStore(values, environment),
    key,
    program,
    hold: {
      ttl,
      wait: wait === 'Infinity' ? Infinity : wait,
      mode: values.shared ? 'shared' : undefined,
      limit,
      minHold: values['min-hold'],
      maxHold: values['max-hold'],
    },
    label: values.label ?? basename(command).slice(0, LONGEST_LABEL).toWellFormed(),
    killAfter,
    verbose: values.verbose ?? false,
  };
}

/** Enough for most programs, in milliseconds. */
const KILL_AFTER = 5_000;

/**
 * The program is stopped so much before its time is over: the ttl, of which two thirds are left when it is
 * renewed, or the most that it may hold the lock.
 */
function readKillAfter(given: string | undefined, ttl: number, maxHold: string | undefined) {
  const most = maxHold === undefined ? ttl : Math.min(ttl, readDuration('maxHold', maxHold));
  if (given === undefined) return Math.min(KILL_AFTER, Math.floor(most / 4));
  const killAfter = readDuration('killAfter', given, { least: 0 });
  if (killAfter <= most / 2) return killAfter;
  throw usageError(
    `--kill-after must be at most half of --ttl and --max-hold, which is ${most / 2} ms, got ${shown(given)}`,
  );
}

function readLimit(given: string): number {
  if (/^[1-9]\d*$/.test(given)) return Number(given);
  throw usageError(`--limit must be a positive whole number, got ${shown(given)}`);
}

function readList(args: readonly string[], environment: NodeJS.ProcessEnv): ListInvocation {
  const { values, positionals } = parse(args, { ...STORE, json: flag });
  const [pattern, another] = positionals;
  if (another !== undefined) {
    throw usageError(`list takes one pattern, got ${positionals.join(' ')}: it may need quotes`);
  }
  const store = chooseStore(values, environment);
  return { command: 'list', store, pattern, json: values.json ?? false };
}

function readInspect(args: readonly string[], environment: NodeJS.ProcessEnv): InspectInvocation {
  const { values, positionals } = parse(args, { ...STORE, json: flag });
  const key = onlyKey('inspect', positionals);
  const store = chooseStore(values, environment);
  return { command: 'inspect', store, key, json: values.json ?? false };
}

function readRelease(args: readonly string[], environment: NodeJS.ProcessEnv): ReleaseInvocation {
  const { values, positionals } = parse(args, {
    ...STORE,
    json: flag,
    force: flag,
    reason: text,
    grace: text,
  });
  const { force = false, json = false, reason = '', grace } = values;
  for (const name of ['reason', 'grace'] as const) {
    if (force && values[name] !== undefined) {
      throw usageError(`--${name} is for asking, and --force does not ask`);
    }
  }
  return {
    command: 'release',
    store: chooseStore(values, environment),
    key: onlyKey('release', positionals),
    json,
    force,
    reason,
    grace: readDuration('grace', grace ?? '10s', { least: 0 }),
  };
}

function readDashboard(
  args: readonly string[],
  environment: NodeJS.ProcessEnv,
): DashboardInvocation {
  const { values, positionals } = parse(args, { ...STORE, port: text, writable: flag });
  if (positionals.length > 0) {
    throw usageError(`dashboard takes options only, got ${positionals.join(' ')}`);
  }
  return {
    command: 'dashboard',
    store: chooseStore(values, environment),
    port: readPort(values.port ?? '0'),
    writable: values.writable ?? false,
  };
}

function readPort(given: string): number {
  if (/^\d{1,5}$/.test(given) && Number(given) <= 65_535) return Number(given);
  throw usageError(`--port must be a number from 0 to 65535, got ${shown(given)}`);
}

function readPostgres(args: readonly string[], environment: NodeJS.ProcessEnv): MigrateInvocation {
  const options = { postgres: text, schema: text, print: flag, unlogged: flag };
  const { values, positionals } = parse(args, options);
  if (positionals.join(' ') !== 'migrate') {
    throw usageError(`postgres takes the command migrate, got ${positionals.join(' ') || 'none'}`);
  }
  const { schema, unlogged } = values;
  if (values.print) return { command: 'migrate', address: undefined, schema, unlogged };
  const { address } = chooseStore(values, {
    NESTJS_LOCK_POSTGRES: environment.NESTJS_LOCK_POSTGRES,
  });
  return { command: 'migrate', address, schema, unlogged };
}

function parse<Options extends NonNullable<ParseArgsConfig['options']>>(
  args: readonly string[],
  options: Options,
) {
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true });
  } catch (error) {
    // Its first sentence; what follows is advice for another kind of command.
    throw usageError(messageOf(error).split('. ')[0] ?? '');
  }
}

function onlyKey(command: string, positionals: readonly string[]): string {
  const [key, another] = positionals;
  if (key !== undefined && another === undefined) return key;
  throw usageError(`${command} takes one KEY, got ${positionals.join(' ') || 'none'}`);
}
