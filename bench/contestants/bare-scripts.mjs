// What of our own cost is not ours to save on the client: the scripts that nestjs-lock sends, each by
// hand on one bare connection of ioredis. For free keys only: nobody is told of anything.
import { join } from 'node:path';
import { redisClients, ttl as defaultTtl } from './contestant.mjs';

const scripts = join(
  import.meta.dirname,
  '../node_modules/nestjs-lock/dist/esm/backends/redis/scripts/sources.js',
);
const tag = '{bare-scripts:0}:';
const shared = [`${tag}sequence`, `${tag}guard`];
const address = `ordinary ${tag}process:`;
const liveness = 3_500;
const never = Number.MAX_SAFE_INTEGER;

export default {
  name: 'bare-scripts/redis',
  packages: ['ioredis', 'nestjs-lock'],
  store: 'redis',
  onlyIfNamed: true,
  async connect({ redis }) {
    const [client] = await redisClients(redis);
    const { sources } = await import(scripts);
    const load = (source) => client.script('LOAD', source);
    const [acquire, release] = [await load(sources.acquire), await load(sources.release)];
    let count = 0;
    return {
      async acquire(key, { ttl = defaultTtl } = {}) {
        const id = `bare${process.pid}:${++count}`;
        const keys = [
          ...shared,
          ...['lock', 'queue', 'deadlines'].map((kind) => `${tag}${kind}:${key}`),
        ];
        const wanted = ['', address, liveness, never, `${id} 1 0 ${ttl}`];
        await client.evalsha(acquire, keys.length, ...keys, ...wanted);
        return { release: () => client.evalsha(release, keys.length, ...keys, '', address, id) };
      },
    };
  },
};
