// The limit: what one connection of ioredis does with the two commands that a lock needs at least.
// No fencing, no renewal, no queue: a waiter tries again about every 10 ms.
import { redisClients, shortPause, ttl as defaultTtl } from './contestant.mjs';

const compareAndDelete = `
if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end
return 0`;

export default {
  name: 'raw/redis',
  packages: ['ioredis'],
  store: 'redis',
  async connect({ redis }) {
    const [client] = await redisClients(redis);
    client.defineCommand('compareAndDelete', { numberOfKeys: 1, lua: compareAndDelete });
    let count = 0;
    return {
      async acquire(key, { ttl = defaultTtl } = {}) {
        const value = `${process.pid}:${++count}`;
        while ((await client.set(key, value, 'PX', ttl, 'NX')) !== 'OK') await shortPause();
        return { release: () => client.compareAndDelete(key, value) };
      },
    };
  },
};
