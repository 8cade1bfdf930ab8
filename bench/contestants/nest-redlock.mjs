// @anchan828/nest-redlock, a Nest module over redlock 5 beta, by its service and on Nest 12. Its
// defaults but that it may try for ever. Loaded as CommonJS, as Node cannot import its ESM build.
import { createRequire } from 'node:module';
import { redisClients, ttl as defaultTtl } from './contestant.mjs';

export default {
  name: 'nest-redlock',
  packages: ['@anchan828/nest-redlock', '@nestjs/core'],
  store: 'redis',
  async connect({ redis }) {
    const { RedlockService } = createRequire(import.meta.url)('@anchan828/nest-redlock');
    const redlock = new RedlockService({
      clients: await redisClients(redis),
      settings: { retryCount: -1 },
    });
    redlock.on('error', () => {}); // it reports each failed try, and nobody listening is an error
    return { acquire: (key, { ttl = defaultTtl } = {}) => redlock.acquire([key], ttl) };
  },
};
