// redlock-universal: defaults (another try after 100 ms), but it may try for ever. Its handle is
// made once per key, as its documentation does.
import { redisClients, ttl as defaultTtl } from './contestant.mjs';

export default {
  name: 'redlock-universal',
  packages: ['redlock-universal'],
  store: 'redis',
  nodes: [1, 3, 5],
  async connect({ redis }) {
    const { createLock, createRedlock, IoredisAdapter } = await import('redlock-universal');
    const adapters = (await redisClients(redis)).map((client) => new IoredisAdapter(client));
    const locks = new Map();
    const lockFor = (key, ttl) => {
      const options = { key, ttl, retryAttempts: Number.MAX_SAFE_INTEGER };
      return adapters.length === 1
        ? createLock({ ...options, adapter: adapters[0] })
        : createRedlock({ ...options, adapters });
    };
    return {
      async acquire(key, { ttl = defaultTtl } = {}) {
        let lock = locks.get(key);
        if (lock === undefined) locks.set(key, (lock = lockFor(key, ttl)));
        const handle = await lock.acquire();
        return { release: () => lock.release(handle) };
      },
    };
  },
};
