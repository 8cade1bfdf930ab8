// @verrou/core: defaults (another try every 250 ms, for ever).
import { redisClients, ttl as defaultTtl } from './contestant.mjs';

export default {
  name: 'verrou',
  packages: ['@verrou/core'],
  store: 'redis',
  async connect({ redis }) {
    const { Verrou } = await import('@verrou/core');
    const { redisStore } = await import('@verrou/core/drivers/redis');
    const [connection] = await redisClients(redis);
    const verrou = new Verrou({
      default: 'redis',
      stores: { redis: { driver: redisStore({ connection }) } },
    });
    return {
      async acquire(key, { ttl = defaultTtl } = {}) {
        const lock = verrou.createLock(key, ttl);
        await lock.acquire();
        return lock;
      },
    };
  },
};
