import type { LockBackend } from '../backends/lock-backend.js';
import { messageOf, shown } from '../text/shown.js';
import { CliError, EXIT, usageError } from './exit-codes.js';

/** Where the locks live, as the command line says it. */
export interface StoreChoice {
  readonly store: StoreName;
  readonly address: string;
  readonly namespace: string | undefined;
  readonly failoverGrace: FailoverGrace | undefined;
  readonly schema: string | undefined;
}

const GRACES = ['on', 'strict', 'off'] as const;
type FailoverGrace = (typeof GRACES)[number];

export const STORE_NAMES = ['redis', 'cluster', 'redlock', 'etcd', 'postgres'] as const;
export type StoreName = (typeof STORE_NAMES)[number];

/** The environment variable that stands in for the option of a store: with passwords, as `ps` shows options. */
const variableOf = (store: StoreName) => `NESTJS_LOCK_${store.toUpperCase()}`;

/** @throws CliError unless exactly one store is named, by an option or else in the environment */
export function chooseStore(
  values: Partial<
    Record<StoreName | 'namespace' | 'failover-grace' | 'schema', string | undefined>
  >,
  environment: NodeJS.ProcessEnv,
): StoreChoice {
  const { namespace, schema } = values;
  const given = STORE_NAMES.filter((store) => values[store] !== undefined);
  const stores =
    given.length > 0 ? given : STORE_NAMES.filter((store) => environment[variableOf(store)]);
  const [store, another] = stores;
  if (store === undefined) {
    const flags = STORE_NAMES.map((name) => `--${name}`).join(', ');
    const variables = STORE_NAMES.map(variableOf).join(', ');
    throw usageError(`one of ${flags} must say where the locks are, or one of ${variables}`);
  }
  if (another !== undefined) {
    const named = (name: StoreName) => (given.length > 0 ? `--${name}` : variableOf(name));
    throw usageError(`only one backend can be used, got ${stores.map(named).join(' and ')}`);
  }
  const failoverGrace = readGrace(values['failover-grace'], store);
  if (schema !== undefined && store !== 'postgres') {
    throw usageError(`--schema is for --postgres, got it with --${store}`);
  }
  const address = values[store] ?? environment[variableOf(store)] ?? '';
  return { store, address, namespace, failoverGrace, schema };
}

function readGrace(given: string | undefined, store: StoreName): FailoverGrace | undefined {
  if (given === undefined) return undefined;
  if (store !== 'redis')
    throw usageError(`--failover-grace is for --redis, got it with --${store}`);
  const grace = GRACES.find((one) => one === given);
  if (grace !== undefined) return grace;
  throw usageError(`--failover-grace must be ${GRACES.join(', ')}, got ${shown(given)}`);
}

type Opener = (addresses: string[], choice: StoreChoice) => Promise<LockBackend>;

/** The clients are optional peers: only the one that is asked for is loaded. */
const OPENERS: Record<StoreName, { client: string; open: Opener }> = {
  redis: {
    client: 'ioredis',
    open: async ([url = ''], { namespace, failoverGrace }) => {
      const { RedisBackend } = await import('../backends/redis/index.js');
      return new RedisBackend({ url, namespace, failoverGrace });
    },
  },
  cluster: {
    client: 'ioredis',
    open: async (cluster, { namespace }) => {
      const { RedisBackend } = await import('../backends/redis/index.js');
      return new RedisBackend({ cluster, namespace });
    },
  },
  redlock: {
    client: 'ioredis',
    open: async (nodes, { namespace }) => {
      const { RedlockBackend } = await import('../backends/redis/index.js');
      return new RedlockBackend({ nodes, namespace });
    },
  },
  etcd: {
    client: 'etcd3',
    open: async (hosts, { namespace }) => {
      const { EtcdBackend } = await import('../backends/etcd/index.js');
      return new EtcdBackend({ hosts, namespace });
    },
  },
  postgres: {
    client: 'pg',
    open: async ([connectionString = ''], { namespace, schema }) => {
      const { PostgresBackend } = await import('../backends/postgres/index.js');
      return new PostgresBackend({ connectionString, namespace, schema });
    },
  },
};

/** Those with one address, of which a comma may be part, as in a password. */
const OF_ONE: readonly StoreName[] = ['redis', 'postgres'];

/** @throws LockConfigurationError for a bad address; CliError when the client is not installed */
export function openStore(choice: StoreChoice): Promise<LockBackend> {
  const { store, address } = choice;
  const { client, open } = OPENERS[store];
  const addresses = OF_ONE.includes(store) ? [address] : address.split(',');
  return withClient(client, store, () => open(addresses, choice));
}

/** @throws CliError when the client is not installed */
export async function withClient<T>(
  client: string,
  store: StoreName,
  use: () => Promise<T>,
): Promise<T> {
  try {
    return await use();
  } catch (error) {
    const missing = (error as { code?: unknown }).code === 'ERR_MODULE_NOT_FOUND';
    if (!missing || !messageOf(error).includes(`'${client}'`)) throw error;
    throw new CliError(`--${store} needs ${client}: npm install ${client}`, EXIT.unavailable, {
      cause: error,
    });
  }
}
