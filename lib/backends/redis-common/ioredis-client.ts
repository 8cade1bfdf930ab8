import { Redis, type RedisOptions } from 'ioredis';
import { LockConfigurationError } from '../../errors/index.js';
import { shown } from '../../text/shown.js';
import { FollowedLogin, type Login, logInBy } from './login.js';
import type { RedisClient } from './redis-client.js';

interface ClientOptions {
  readonly keyPrefix?: string | undefined;
  readonly keepAlive?: number | undefined;
  readonly username?: string | undefined;
  readonly password?: string | undefined;
}

/** A `Redis` or a `Cluster` of the user's: we only make copies of it. */
export interface DuplicableRedisClient {
  readonly isCluster?: boolean;
  readonly options: ClientOptions & { readonly redisOptions?: ClientOptions | undefined };
  duplicate(...args: never[]): unknown;
}

/** Where to connect to. */
export type RedisTarget =
  | { readonly url: string }
  | { readonly options: RedisOptions }
  | { readonly client: DuplicableRedisClient }
  | { readonly cluster: readonly string[] };

/** One of those that are one server at a time. */
export type SingleTarget = Exclude<RedisTarget, { readonly cluster: readonly string[] }>;

/** The user's key prefix: we put it before our names ourselves, for channels have it too. */
export function keyPrefixOf(target: RedisTarget): string {
  if ('options' in target) return target.options.keyPrefix ?? '';
  if (!('client' in target)) return '';
  const { keyPrefix, redisOptions } = target.client.options;
  return keyPrefix ?? redisOptions?.keyPrefix ?? '';
}

const OWN = {
  lazyConnect: true,
  // How long a server that does not answer may hold up the end of a connection, in milliseconds.
  disconnectTimeout: 200,
  keyPrefix: '',
  stringNumbers: false,
  // A command that waits somewhere runs at a time when nobody wants it any more: each is sent now
  // or fails now, and whether to send it again is for those to decide who know what it means.
  enableOfflineQueue: false,
  autoResendUnfulfilledCommands: false,
  maxRetriesPerRequest: 0,
  autoResubscribe: false,
  enableAutoPipelining: false,
  // The user's own may reconnect on NOSCRIPT, which is an answer.
  reconnectOnError: null,
  retryStrategy: (times: number) => Math.min(50 * times, 1_000) * (0.5 + Math.random() / 2),
} satisfies RedisOptions;

/** What our own connections insist on, and when they give up a server that is silent, in milliseconds. */
export function ownOptions(silence: number) {
  return {
    ...OWN,
    // Of those that can ask a replica: what stands there is too old for locks.
    scaleReads: 'master' as const,
    socketTimeout: silence,
    connectTimeout: silence,
    // A sentinel that hangs would else be waited for for ever, though the next one would answer.
    sentinelCommandTimeout: silence,
  };
}

/** Well below the minutes after which firewalls and load balancers forget an idle connection, in milliseconds. */
const KEEP_ALIVE = 30_000;

/** How often an idle connection says that it is there, to whoever is in between: as they wish, if that is oftener. */
export function keepAlive(theirs: Pick<RedisOptions, 'keepAlive'> = {}): { keepAlive: number } {
  const { keepAlive: often = 0 } = theirs;
  return { keepAlive: often > 0 && often < KEEP_ALIVE ? often : KEEP_ALIVE };
}

/** The query parameters of a URL that would override what we insist on, or would not be heard by us. */
export function unwelcomeParameters(url: string): string[] {
  return [...new URL(url).searchParams.keys()].filter((name) => Object.hasOwn(ownOptions(0), name));
}

/**
 * A connection of our own, not yet connected.
 * @param silence after how many milliseconds without an answer it is given up and made anew
 * @param login what it logs in with, if that is not where the target says
 */
export function openClient(target: SingleTarget, silence: number, login?: Login): RedisClient {
  const own = ownOptions(silence);
  if ('url' in target) {
    return loggingIn(new Redis(target.url, { ...own, ...keepAlive() }), login);
  }
  const { options } = 'client' in target ? target.client : target;
  const all = { ...own, ...keepAlive(options) };
  return loggingIn(
    'client' in target ? duplicated(target.client, all) : new Redis({ ...options, ...all }),
    login ?? new FollowedLogin(() => options),
  );
}

function loggingIn(client: unknown, login: Login | undefined): RedisClient {
  if (login !== undefined) logInBy(login, client as Parameters<typeof logInBy>[1]);
  return client as RedisClient;
}

/**
 * The same for commands: once it is ready it is for a ScriptRunner to say that the server is silent,
 * which reads first what came while the event loop was busy.
 */
export function openCommandClient(
  target: SingleTarget,
  silence: number,
  login?: Login,
): RedisClient {
  const client = openClient(target, silence, login) as RedisClient & {
    readonly options: { socketTimeout?: number | undefined };
  };
  client.on('ready', () => {
    client.options.socketTimeout = undefined;
  });
  client.on('close', () => {
    client.options.socketTimeout = silence;
  });
  return client;
}

/**
 * A copy of a client of the user's, by whatever it takes to make one.
 * @throws LockConfigurationError when it makes none
 */
export function duplicated(client: DuplicableRedisClient, ...args: unknown[]): unknown {
  const copy = (client as { duplicate(...args: unknown[]): unknown }).duplicate(...args);
  const { call, connect, on, options } = (copy ?? {}) as Record<string, unknown>;
  if ([call, connect, on].every((one) => typeof one === 'function') && options) return copy;
  throw new LockConfigurationError(
    `client must be an ioredis client: its duplicate() gives another, got ${shown(copy)}`,
  );
}
