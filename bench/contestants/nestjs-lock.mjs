// nestjs-lock on each of its backends, with its default settings (ttl 30 s, renewal, fencing, FIFO),
// but it waits for longer than its 10 s, as the others do. With `--baseline` an earlier commit of it
// takes part as well.
import { existsSync } from 'node:fs';
import { join } from 'node:path';

const BASELINE = 'nestjs-lock-baseline';
const hasBaseline = existsSync(join(import.meta.dirname, '../node_modules', BASELINE));

export default [
  ...contestantsOf('nestjs-lock', 'nestjs-lock'),
  ...(hasBaseline ? contestantsOf('baseline', BASELINE) : []),
];

/** @param library the package that is loaded */
function contestantsOf(name, library) {
  const contestant = (backend, store, nodes, open, more) => ({
    ...more,
    name: `${name}/${backend}`,
    packages: [library],
    library,
    store,
    nodes,
    ours: true,
    fair: true,
    async connect(env) {
      const { LockService } = await import(library);
      const locks = new LockService({ backend: await open(env), wait: '10m' });
      locks.onModuleInit(); // what Nest does at the start of an application: connects
      return {
        acquire: (key, { ttl } = {}) =>
          ttl === undefined ? locks.acquire(key) : locks.acquire(key, { ttl }),
      };
    },
  });
  const openPostgres = async (connectionString, schema, options) => {
    const { migrateAt, PostgresBackend } = await import(`${library}/postgres`);
    await migrateAt(connectionString, schema, options);
    return new PostgresBackend({ connectionString, schema });
  };
  return [
    contestant('redis', 'redis', [1], async ({ redis }) => {
      const { RedisBackend } = await import(`${library}/redis`);
      return new RedisBackend({ url: redis[0] });
    }),
    contestant('redlock', 'redis', [3, 5], async ({ redis }) => {
      const { RedlockBackend } = await import(`${library}/redis`);
      return new RedlockBackend({ nodes: redis });
    }),
    contestant('etcd', 'etcd', [1], async ({ etcd }) => {
      const { EtcdBackend } = await import(`${library}/etcd`);
      return new EtcdBackend({ hosts: etcd });
    }),
    contestant('postgres', 'postgres', [1], ({ postgres }) => openPostgres(postgres, name)),
    contestant(
      'postgres-unlogged',
      'postgres',
      [1],
      ({ postgres }) => openPostgres(postgres, `${name}-unlogged`, { unlogged: true }),
      { onlyIfNamed: true },
    ),
    contestant('memory', 'memory', [1], async () => {
      const { MemoryBackend } = await import(library);
      return new MemoryBackend();
    }),
  ];
}
