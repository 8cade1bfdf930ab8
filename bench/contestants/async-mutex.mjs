// async-mutex: one process only, no ttl. A Mutex per key, kept.

export default {
  name: 'async-mutex',
  packages: ['async-mutex'],
  store: 'memory',
  async connect() {
    const { Mutex } = await import('async-mutex');
    const mutexes = new Map();
    return {
      async acquire(key) {
        let mutex = mutexes.get(key);
        if (mutex === undefined) mutexes.set(key, (mutex = new Mutex()));
        const release = await mutex.acquire();
        return { release: async () => release() };
      },
    };
  },
};
