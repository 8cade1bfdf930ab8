// redis-semaphore: defaults (another try every 10 ms, renewal at 80 % of the lockTimeout), but it
// waits for longer than its 10 s. What it does when a lock is lost is to throw in a timer, which
// ends the process: here it stays silent.
import { redisClients, ttl as defaultTtl } from './contestant.mjs';

export default {
  name: 'redis-semaphore',
  packages: ['redis-semaphore'],
  store: 'redis',
  nodes: [1, 3, 5],
  async connect({ redis }) {
    const { Mutex, RedlockMutex } = await import('redis-semaphore');
    const clients = await redisClients(redis);
    const make = (key, options) =>
      clients.length === 1
        ? new Mutex(clients[0], key, options)
        : new RedlockMutex(clients, key, options);
    return {
      async acquire(key, { ttl = defaultTtl } = {}) {
        const mutex = make(key, { lockTimeout: ttl, acquireTimeout: 600_000, onLockLost() {} });
        await mutex.acquire();
        return mutex;
      },
    };
  },
};
