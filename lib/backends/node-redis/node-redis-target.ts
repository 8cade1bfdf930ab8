import { LockConfigurationError } from '../../errors/index.js';
import { shown, shownAddress, shownOption } from '../../text/shown.js';
import type { ClusterOptions } from './node-redis-cluster.js';
import { clientFor, type DuplicableClient } from './node-redis-client.js';
import type { SentinelOptions } from './sentinel.js';

/**
 * A client of the user's, made by createClient, createSentinel or createCluster of `redis` (node-redis):
 * we only make copies of it.
 */
export interface DuplicableNodeRedisClient {
  readonly isOpen: boolean;
  duplicate(...args: never[]): unknown;
}

/** Where to connect to. */
export type NodeRedisTarget =
  | { readonly kind: 'node'; readonly client: DuplicableClient }
  | { readonly kind: 'sentinel'; readonly options: SentinelOptions }
  | { readonly kind: 'cluster'; readonly options: ClusterOptions };

/** The user's key prefix: we put it before our names ourselves, for channels have it too. */
export function keyPrefixOf(target: NodeRedisTarget): string {
  const { keyPrefix } = (target.kind === 'node' ? target.client.options : target.options) ?? {};
  return String(keyPrefix ?? '');
}

const WANTED = 'a client of createClient, createSentinel or createCluster of redis (node-redis)';

export function readTarget(given: Record<string, unknown>): NodeRedisTarget {
  const named = Object.entries(given).filter(([, value]) => value !== undefined);
  for (const [option, value] of named) {
    if (option === 'url' || option === 'client') continue;
    throw new LockConfigurationError(
      `unknown option ${shown(option)} of NodeRedisBackend, got ${shownOption(option, value)}`,
    );
  }
  const [way, another] = named;
  if (way === undefined || another !== undefined) {
    throw new LockConfigurationError(
      `NodeRedisBackend needs exactly one of url and client, got ${shown(named.map(([option]) => option))}`,
    );
  }
  return way[0] === 'url' ? readUrl(way[1]) : readClient(way[1]);
}

function readUrl(url: unknown): NodeRedisTarget {
  if (typeof url !== 'string' || !/^rediss?:\/\//.test(url) || !URL.canParse(url)) {
    throw new LockConfigurationError(
      `url must be a redis:// or rediss:// URL, got ${shownAddress(url)}`,
    );
  }
  if (new URL(url).search !== '') {
    throw new LockConfigurationError(`url must not have parameters, got ${shownAddress(url)}`);
  }
  return { kind: 'node', client: clientFor(url) };
}

function readClient(client: unknown): NodeRedisTarget {
  const has = (name: string) => typeof (client as Record<string, unknown>)[name] === 'function';
  if (typeof client !== 'object' || client === null || !has('duplicate')) throw unfit(client);
  if (has('call') && 'status' in client) {
    throw new LockConfigurationError(
      `client must be ${WANTED}, got one of ioredis: it is for RedisBackend of nestjs-lock/redis`,
    );
  }
  if (has('getSentinelNode')) {
    return { kind: 'sentinel', options: optionsOf(client) as SentinelOptions };
  }
  if (has('getSlotRandomNode')) {
    return { kind: 'cluster', options: optionsOf(client) as ClusterOptions };
  }
  if (!has('sendCommand') || !has('sSubscribe') || has('cleanup')) throw unfit(client);
  return { kind: 'node', client: client as DuplicableClient };
}

function unfit(client: unknown): LockConfigurationError {
  return new LockConfigurationError(`client must be ${WANTED}, got ${shownAddress(client)}`);
}

/**
 * The options of a client that shows them to nobody but its copies: one is made that only takes them.
 * What the user changes in them later is seen.
 */
function optionsOf(client: object): object {
  let taken: object | undefined;
  function take(options: object): void {
    taken = options;
  }
  try {
    const copy: unknown = Object.create(
      { constructor: take },
      { _self: { value: (client as { _self?: unknown })._self } },
    );
    (client as { duplicate(): unknown }).duplicate.call(copy);
  } catch {
    // Of another version than those it was written for.
  }
  if (taken !== undefined) return taken;
  throw new LockConfigurationError(
    'client must be of redis 5 or 6 where it is one of createSentinel or createCluster',
  );
}
