// redlock 5 beta: defaults (another try every 200 ± 100 ms), but it may try for ever.
import { redisClients, ttl as defaultTtl } from './contestant.mjs';

export default {
  name: 'redlock',
  packages: ['redlock'],
  store: 'redis',
  nodes: [1, 3, 5],
  async connect({ redis }) {
    const { default: Redlock } = await import('redlock');
    const redlock = new Redlock(await redisClients(redis), { retryCount: -1 });
    redlock.on('error', () => {}); // it reports each failed try, and nobody listening is an error
    return { acquire: (key, { ttl = defaultTtl } = {}) => redlock.acquire([key], ttl) };
  },
};
