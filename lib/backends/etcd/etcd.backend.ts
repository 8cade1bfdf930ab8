import type { InspectOptionsStylized } from 'node:util';
import type { Etcd3, IOptions } from 'etcd3';
import { readDuration } from '../../options/duration.js';
import { LockConfigurationError } from '../../errors/index.js';
import { shown, shownAddress, shownOption } from '../../text/shown.js';
import { checkIsOptions } from '../../options/option-checks.js';
import { PRINTED, printed } from '../../text/printed.js';
import type { BackendConnection, LockBackend, LockProcess } from '../lock-backend.js';
import { type EtcdTarget, LEAST_KEEPALIVE, openClient } from './etcd-client.js';
import { EtcdConnection } from './etcd-connection.js';
import { Keyspace } from './keyspace.js';

interface EtcdBackendSettings {
  /**
   * Before every name at the server: a lock stands at `<namespace>/<key>/`, where Go's
   * `concurrency.Mutex` and `etcdctl lock <namespace>/<key>` stand in the same queue. Keeps the locks
   * of different applications on one cluster apart, as long as no namespace continues another
   * after a slash.
   * @default 'nestjs-lock'
   */
  namespace?: string;

  /**
   * How long to wait for an answer before a request is sent again, to another host if there is one.
   * One that was quick before is waited for at most 500 ms, once, where nothing was heard for 10 s or the
   * caller has `wait: 0`. Callers are bound by their own `wait` in any case.
   * @default '2s'
   */
  commandTimeout?: number | string;
}

/** Where etcd is: exactly one of `hosts` and `client`. */
export type EtcdBackendOptions = EtcdBackendSettings &
  (
    | {
        /** One or more members of the cluster: `https://host:2379`, or `http://` without TLS. */
        hosts: string | string[];
        /** For TLS: the certificate of who signs the server's, and if etcd asks for one, our own. */
        credentials?: IOptions['credentials'];
        /** User and password, where etcd has authentication enabled. */
        auth?: IOptions['auth'];
        /** Options of the gRPC channels. */
        grpcOptions?: IOptions['grpcOptions'];
        client?: never;
      }
    | {
        /**
         * A client of etcd3. It is used but never closed. Its own retries and circuit breakers come on
         * top of ours: an open breaker counts as an etcd that cannot be reached now.
         */
        client: Etcd3;
        hosts?: never;
        credentials?: never;
        auth?: never;
        grpcOptions?: never;
      }
  );

/**
 * Locks on an etcd cluster (3.4 or newer), for all processes that use the same namespace there.
 *
 * etcd counts whole seconds: a ttl is rounded up at the server to the next second, and to the
 * server's own minimum, which is 2 s at its default election timeout. Holders still end theirs when
 * the ttl that was asked for is over; only a crash costs the longer one. The same is true of a key
 * that stays taken for a while after its release.
 *
 * @throws LockConfigurationError for bad options
 */
export class EtcdBackend implements LockBackend {
  readonly name = 'etcd';
  readonly minTtl = 1_000;
  readonly supports = { shared: true, limit: true };
  /** Behind a function, into which no printer looks: it has credentials. */
  private readonly target: () => EtcdTarget;
  private readonly namespace: string;
  private readonly patience: number;

  constructor(options: EtcdBackendOptions) {
    checkIsOptions(options);
    const { namespace = 'nestjs-lock', commandTimeout = '2s', ...target } = options;
    checkNamespace(namespace);
    const where = readTarget(target);
    this.target = () => where;
    this.namespace = namespace;
    this.patience = readDuration('commandTimeout', commandTimeout);
  }

  connect(process: LockProcess): BackendConnection {
    const client = openClient(this.target(), this.patience);
    return new EtcdConnection(process, client, new Keyspace(this.namespace), this.patience);
  }

  /** @internal What is logged of it. */
  toJSON(): object {
    return { name: this.name, namespace: this.namespace };
  }

  /** @internal */
  [PRINTED](depth: number, options: InspectOptionsStylized): string {
    return printed('EtcdBackend', this.toJSON(), depth, options);
  }
}

/** What a namespace can be at most, in UTF-16 units. */
const LONGEST_NAMESPACE = 200;

function checkNamespace(namespace: unknown): asserts namespace is string {
  const fits =
    typeof namespace === 'string' &&
    /^\S*[^\s/]$/.test(namespace) &&
    namespace.isWellFormed() &&
    namespace.length <= LONGEST_NAMESPACE;
  if (!fits) {
    throw new LockConfigurationError(
      `namespace must be a string of 1 to ${LONGEST_NAMESPACE} characters without spaces and without a slash at its end, got ${shown(namespace)}`,
    );
  }
}

/** Each option that says where etcd is, with its check. */
const CHECKS: Readonly<Record<string, (value: unknown) => void>> = {
  hosts: checkHosts,
  client: checkClient,
  credentials: checkCredentials,
  auth: checkAuth,
  grpcOptions: checkGrpcOptions,
};

function readTarget(given: Record<string, unknown>): EtcdTarget {
  const named = Object.entries(given).filter(([, value]) => value !== undefined);
  for (const [option, value] of named) {
    if (Object.hasOwn(CHECKS, option)) continue;
    throw new LockConfigurationError(
      `unknown option ${shown(option)} of EtcdBackend, got ${shownOption(option, value)}`,
    );
  }
  const options = named.map(([option]) => option);
  if (options.includes('hosts') === options.includes('client')) {
    throw new LockConfigurationError(
      `EtcdBackend needs exactly one of hosts and client, got ${shown(options)}`,
    );
  }
  const [besides] = options.filter((option) => option !== 'client');
  if (options.includes('client') && besides !== undefined) {
    throw new LockConfigurationError(
      `${besides} is for hosts: a client brings its own, got ${shown(options)}`,
    );
  }
  for (const [option, value] of named) CHECKS[option]?.(value);
  return Object.fromEntries(named) as EtcdTarget;
}

function checkHosts(hosts: unknown): void {
  const all: unknown[] = [hosts].flat();
  const isHost = (host: unknown) =>
    typeof host === 'string' && /^(https?:\/\/)?[^\s/@]+(:\d+)?$/.test(host);
  if (all.length === 0 || !all.every(isHost)) {
    throw new LockConfigurationError(
      `hosts must be one or more of http://host:port or https://host:port, got ${shownAddress(hosts)}`,
    );
  }
  const secure = all.filter((host) => (host as string).startsWith('https:')).length;
  if (secure > 0 && secure < all.length) {
    throw new LockConfigurationError(
      `hosts must be all with https:// or all without, got ${shownAddress(hosts)}`,
    );
  }
}

function checkClient(client: unknown): void {
  const { kv, leaseClient, watchClient } = (client ?? {}) as Partial<Etcd3>;
  if (kv === undefined || leaseClient === undefined || watchClient === undefined) {
    throw new LockConfigurationError(`client must be an Etcd3 client, got ${shownAddress(client)}`);
  }
}

function checkCredentials(credentials: unknown): void {
  const { rootCertificate, privateKey, certChain } = (credentials ?? {}) as Record<string, unknown>;
  const isFile = (value: unknown) => value === undefined || Buffer.isBuffer(value);
  if (
    !Buffer.isBuffer(rootCertificate) ||
    ![privateKey, certChain].every(isFile) ||
    (privateKey === undefined) !== (certChain === undefined)
  ) {
    throw new LockConfigurationError(
      'credentials must have a rootCertificate, and privateKey and certChain both or neither, as Buffers',
    );
  }
}

function checkAuth(auth: unknown): void {
  const { username, password } = (auth ?? {}) as Record<string, unknown>;
  if (typeof username !== 'string' || username === '' || typeof password !== 'string') {
    throw new LockConfigurationError(
      `auth must have a username and a password, got the username ${shown(username)}`,
    );
  }
}

function checkGrpcOptions(grpcOptions: unknown): void {
  if (Object.prototype.toString.call(grpcOptions) !== '[object Object]') {
    throw new LockConfigurationError(
      `grpcOptions must be an object, got ${shownAddress(grpcOptions)}`,
    );
  }
  const keepalive = (grpcOptions as Record<string, unknown>)['grpc.keepalive_time_ms'];
  if (keepalive === undefined) return;
  if (typeof keepalive !== 'number' || !(keepalive >= LEAST_KEEPALIVE)) {
    throw new LockConfigurationError(
      `grpc.keepalive_time_ms must be at least ${LEAST_KEEPALIVE}, as etcd ends connections that ask more often, got ${shown(keepalive)}`,
    );
  }
}
