import type { InspectOptionsStylized } from 'node:util';
import { readDuration } from '../../options/duration.js';
import { LockConfigurationError } from '../../errors/index.js';
import { shown, shownAddress, shownOption } from '../../text/shown.js';
import { checkIsOptions } from '../../options/option-checks.js';
import { PRINTED, printed } from '../../text/printed.js';
import type { BackendConnection, LockBackend, LockProcess } from '../lock-backend.js';
import { Keyspace, LockNames } from '../redis-common/keyspace.js';
import { ProvidedLogin, type RedisCredentialsProvider } from '../redis-common/login.js';
import { checkNamespace } from '../redis-common/namespace.js';
import { checkClient, checkCredentials, checkUrl } from '../redis-common/target-checks.js';
import {
  keyPrefixOf,
  openClient,
  openCommandClient,
  type DuplicableRedisClient,
  type SingleTarget,
} from '../redis-common/ioredis-client.js';
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

  /**
   * Gives username and password of now, the same for all nodes: as that of RedisBackend.
   * @default what the URL of a node or the options of its client say when a connection is made
   */
  credentials?: RedisCredentialsProvider;
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
  readonly supports = { shared: true, limit: false };
  /** Behind a function, into which no printer looks: they have credentials. */
  private readonly nodes: () => readonly SingleTarget[];
  private readonly namespace: string;
  private readonly patience: number;
  private readonly credentials: RedisCredentialsProvider | undefined;

  constructor(options: RedlockBackendOptions) {
    checkIsOptions(options);
    const {
      nodes,
      namespace = 'nestjs-lock',
      commandTimeout = '1s',
      credentials,
      ...unknown
    } = options;
    for (const [option, value] of Object.entries(unknown)) {
      if (value === undefined) continue;
      throw new LockConfigurationError(
        `unknown option ${shown(option)} of RedlockBackend, got ${shownOption(option, value)}`,
      );
    }
    checkNamespace(namespace);
    checkCredentials(credentials);
    this.credentials = credentials;
    const targets = readNodes(nodes);
    this.nodes = () => targets;
    this.namespace = namespace;
    this.patience = readDuration('commandTimeout', commandTimeout);
  }

  connect(process: LockProcess): BackendConnection {
    const patience = this.patience;
    const nodes = this.nodes();
    const login = this.credentials && new ProvidedLogin(this.credentials, patience);
    return new RedlockConnection(
      process,
      (hooks) => {
        return nodes.map((target, index) => {
          const warn = (message: string) => {
            process.warn(`Redlock node ${index + 1} of ${nodes.length}: ${message}`);
          };
          const prefix = keyPrefixOf(target);
          const keyspace = new Keyspace(prefix, this.namespace);
          const names = new LockNames(prefix, this.namespace, false);
          const paused = (ms: number, why: string) => process.paused?.(index + 1, ms, why);
          const own = { processId: process.id, keyspace, names, patience, warn, paused };
          const context = { ...hooks, ...own };
          return new RedlockNode(
            openCommandClient(target, patience, login),
            openClient(target, patience, login),
            context,
          );
        });
      },
      patience,
    );
  }

  /** @internal What is logged of it. */
  toJSON(): object {
    return { name: this.name, namespace: this.namespace };
  }

  /** @internal */
  [PRINTED](depth: number, options: InspectOptionsStylized): string {
    return printed('RedlockBackend', this.toJSON(), depth, options);
  }
}

function readNodes(nodes: unknown): SingleTarget[] {
  const all: unknown[] = Array.isArray(nodes) ? nodes : [];
  if (all.length < 3 || all.length % 2 === 0) {
    const got = Array.isArray(nodes) ? `${all.length}` : shownAddress(nodes);
    throw new LockConfigurationError(`nodes must be an odd number of nodes from 3, got ${got}`);
  }
  const targets = all.map(readNode);
  const addresses = targets.map(addressOf);
  const twice = all.find((_, index) => addresses.indexOf(addresses[index]) < index);
  if (twice !== undefined) {
    throw new LockConfigurationError(
      `nodes must be different from each other, got ${shownAddress(twice)} twice`,
    );
  }
  return targets;
}

function readNode(node: unknown): SingleTarget {
  if (typeof node === 'string') {
    checkUrl(node);
    return { url: node };
  }
  checkClient(node);
  const client = node as DuplicableRedisClient;
  if (client.isCluster === true) {
    throw new LockConfigurationError('nodes must be of one Redis each, got a Cluster');
  }
  return { client };
}

/** What two nodes must not have in common: databases of one Redis would be lost together. */
function addressOf(target: SingleTarget): unknown {
  if (!('url' in target)) return 'client' in target ? target.client : target.options;
  const { hostname, port } = new URL(target.url);
  return `${hostname}:${port || 6379}`;
}
