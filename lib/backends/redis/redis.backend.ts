import type { RedisOptions } from 'ioredis';
import { LockConfigurationError } from '../../errors/index.js';
import { shown } from '../../errors/shown.js';
import { readDuration } from '../../duration.js';
import type { BackendConnection, LockBackend, LockProcess } from '../lock-backend.js';
import { Keyspace } from './keyspace.js';
import {
  keyPrefixOf,
  openClient,
  unwelcomeParameters,
  type DuplicableRedisClient,
  type RedisTarget,
} from './redis-client.js';
import { RedisConnection } from './redis-connection.js';

interface RedisBackendSettings {
  /**
   * Keeps the locks of different applications on one server apart. It becomes part of every name
   * at the server: `{namespace:0}:lock:order:7`.
   * @default 'nestjs-lock'
   */
  namespace?: string;

  /**
   * How long to wait for a reply before a request is sent again and the connection made anew.
   * Callers are bound by their own `wait` in any case.
   * @default '2s'
   */
  commandTimeout?: number | string;
}

/** Where the server is: exactly one of `url`, `options` and `client`. */
export type RedisBackendOptions = RedisBackendSettings &
  (
    | {
        /** `redis://user:password@host:6379/0`, or `rediss://` for TLS. */
        url: string;
        options?: never;
        client?: never;
      }
    | {
        /** Options of ioredis. */
        options: RedisOptions;
        url?: never;
        client?: never;
      }
    | {
        /** A client of ioredis 5 or 6. It is duplicated, never used itself and never closed. */
        client: DuplicableRedisClient;
        url?: never;
        options?: never;
      }
  );

/**
 * Locks on one Redis node (6.2 or newer), for all processes that use the same namespace there.
 * Opens two connections for each LockService: one for commands, one to be told of grants.
 *
 * @throws LockConfigurationError for bad options
 */
export class RedisBackend implements LockBackend {
  readonly name = 'redis';
  readonly minTtl = 10;
  readonly #target: RedisTarget;
  readonly #keyspace: Keyspace;
  readonly #patience: number;

  constructor(options: RedisBackendOptions) {
    const { namespace = 'nestjs-lock', commandTimeout = '2s', ...target } = options;
    if (typeof namespace !== 'string' || !/^[^{}\s]+$/.test(namespace)) {
      throw new LockConfigurationError(
        `namespace must be a non-empty string without braces and spaces, got ${shown(namespace)}`,
      );
    }
    this.#target = readTarget(target);
    this.#keyspace = new Keyspace(keyPrefixOf(this.#target), namespace);
    this.#patience = readDuration('commandTimeout', commandTimeout);
  }

  connect(process: LockProcess): BackendConnection {
    const open = () => openClient(this.#target, this.#patience);
    return new RedisConnection(process, open(), open(), this.#keyspace, this.#patience);
  }
}

function readTarget(given: Record<string, unknown>): RedisTarget {
  const ways = ['url', 'options', 'client'];
  const named = Object.keys(given).filter((option) => given[option] !== undefined);
  const unknown = named.find((option) => !ways.includes(option));
  if (unknown !== undefined) {
    throw new LockConfigurationError(
      `unknown option ${shown(unknown)} of RedisBackend, got ${shown(given[unknown])}`,
    );
  }
  if (named.length !== 1) {
    throw new LockConfigurationError(
      `RedisBackend needs exactly one of url, options and client, got ${shown(named)}`,
    );
  }
  const { url, options, client } = given;
  if (url !== undefined && (typeof url !== 'string' || !/^rediss?:\/\//.test(url))) {
    throw new LockConfigurationError(
      `url must be a redis:// or rediss:// URL, got ${withoutSecret(url)}`,
    );
  }
  const [parameter] = typeof url === 'string' ? unwelcomeParameters(url) : [];
  if (parameter !== undefined) {
    throw new LockConfigurationError(`url must not set ${parameter}, got ${withoutSecret(url)}`);
  }
  if (options !== undefined && (typeof options !== 'object' || options === null)) {
    throw new LockConfigurationError(
      `options must be an object of ioredis options, got ${shown(options)}`,
    );
  }
  if (client !== undefined) checkClient(client as Partial<DuplicableRedisClient>);
  return given as RedisTarget;
}

/** What was given as URL, fit for a log. */
function withoutSecret(url: unknown): string {
  return shown(typeof url === 'string' ? url.replace(/\/\/[^@/]*@/, '//***@') : url);
}

function checkClient(client: Partial<DuplicableRedisClient>): void {
  if (typeof client.duplicate !== 'function') {
    throw new LockConfigurationError(`client must be an ioredis client, got ${shown(client)}`);
  }
  if (client.isCluster) {
    throw new LockConfigurationError('client is a Redis Cluster, which is not supported yet');
  }
}
