// nestjs-lock on each of its backends, with its default settings (ttl 30 s, renewal, fencing, FIFO),
// but it waits for longer than its 10 s, as the others do.

export default [
  contestant('redis', 'redis', [1], async ({ redis }) => {
    const { RedisBackend } = await import('nestjs-lock/redis');
    return new RedisBackend({ url: redis[0] });
  }),
  contestant('redlock', 'redis', [3, 5], async ({ redis }) => {
    const { RedlockBackend } = await import('nestjs-lock/redis');
    return new RedlockBackend({ nodes: redis });
  }),
  contestant('etcd', 'etcd', [1], async ({ etcd }) => {
    const { EtcdBackend } = await import('nestjs-lock/etcd');
    return new EtcdBackend({ hosts: etcd });
  }),
  contestant('memory', 'memory', [1], async () => {
    const { MemoryBackend } = await import('nestjs-lock');
    return new MemoryBackend();
  }),
];

function contestant(backend, store, nodes, open) {
  return {
    name: `nestjs-lock/${backend}`,
    packages: ['nestjs-lock'],
    store,
    nodes,
    ours: true,
    fair: true,
    async connect(env) {
      const { LockService } = await import('nestjs-lock');
      const locks = new LockService({ backend: await open(env), wait: '10m' });
      locks.onModuleInit(); // what Nest does at the start of an application: connects
      return {
        acquire: (key, { ttl } = {}) =>
          ttl === undefined ? locks.acquire(key) : locks.acquire(key, { ttl }),
      };
    },
  };
}
