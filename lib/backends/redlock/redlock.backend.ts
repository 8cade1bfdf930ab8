import { readDuration } from '../../duration.js';
import { LockConfigurationError } from '../../errors/index.js';
import { shown } from '../../errors/shown.js';
import { checkIsOptions } from '../../option-checks.js';
import type { BackendConnection, LockBackend, LockProcess } from '../lock-backend.js';
import { Keyspace } from '../redis/keyspace.js';
import { checkClient, checkNamespace, checkUrl } from '../redis/redis-options.js';
import {
  keyPrefixOf,
  openClient,
  type DuplicableRedisClient,
  type SingleTarget,
} from '../redis/redis-client.js';
import { RedlockConnection } from './redlock-connection.js';
import { RedlockNode } from './redlock-node.js';

export interface RedlockBackendOptions {
  /**
   * An odd number of Redis nodes, 3 or more, that know nothing of each other: each a URL, or a client
   * of ioredis 5 or 6, which is duplicated, never used itself and never closed. All processes must
   * name the same nodes.
   */
  nodes: readonly (string | DuplicableRedisClient)[];

  /**
   * Keeps the locks of different applications on the same nodes apart.
   * @default 'nestjs-lock'
   */
  namespace?: string;

  /**
   * How long a node may take for an answer; after that it counts as not there. A majority does not
   * wait for it.
   * @default '1s'
   */
  commandTimeout?: number | string;
}

/**
 * Locks on a quorum of independent Redis nodes (6.2 or newer): they hold while a majority lives.
 * Opens two connections to each node for each LockService.
 *
 * @throws LockConfigurationError for bad options
 */
export class RedlockBackend implements LockBackend {
  readonly name = 'redlock';
  readonly minTtl = 10;
  readonly #nodes: readonly SingleTarget[];
  readonly #namespace: string;
  readonly #patience: number;

  constructor(options: RedlockBackendOptions) {
    checkIsOptions(options);
    const { nodes, namespace = 'nestjs-lock', commandTimeout = '1s', ...unknown } = options;
    const [other] = Object.keys(unknown);
    if (other !== undefined) {
      throw new LockConfigurationError(`unknown option ${shown(other)} of RedlockBackend`);
    }
    checkNamespace(namespace);
    this.#nodes = readNodes(nodes);
    this.#namespace = namespace;
    this.#patience = readDuration('commandTimeout', commandTimeout);
  }

  connect(process: LockProcess): BackendConnection {
    const patience = this.#patience;
    const warn = (message: string) => {
      process.warn(message);
    };
    return new RedlockConnection((hooks) => {
      return this.#nodes.map((target) => {
        const keyspace = new Keyspace(keyPrefixOf(target), this.#namespace);
        const context = { ...hooks, processId: process.id, keyspace, patience, warn };
        return new RedlockNode(openClient(target, patience), openClient(target, patience), context);
      });
    }, patience);
  }
}

function readNodes(nodes: unknown): SingleTarget[] {
  const all: unknown[] = Array.isArray(nodes) ? nodes : [];
  if (all.length < 3 || all.length % 2 === 0) {
    const got = Array.isArray(nodes) ? `${all.length}` : shown(nodes);
    throw new LockConfigurationError(`nodes must be an odd number of nodes from 3, got ${got}`);
  }
  if (new Set(all).size < all.length) {
    const twice = all.find((node, index) => all.indexOf(node) < index);
    throw new LockConfigurationError(
      `nodes must be different from each other, got ${shown(twice)} twice`,
    );
  }
  return all.map((node) => {
    if (typeof node === 'string') {
      checkUrl(node);
      return { url: node };
    }
    checkClient(node);
    if ((node as DuplicableRedisClient).isCluster === true) {
      throw new LockConfigurationError('a node must be one Redis, got a Cluster');
    }
    return { client: node as DuplicableRedisClient };
  });
}
