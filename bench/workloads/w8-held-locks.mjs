// W8: 100,000 locks that one process holds at the default ttl, for most of a minute's renewals.
import { setTimeout as sleep } from 'node:timers/promises';
import { ttl as defaultTtl } from '../contestants/contestant.mjs';
import { now } from '../harness/clock.mjs';

export default {
  id: 'W8',
  title: '100,000 locks held by one process at the default ttl of 30 s',
  file: import.meta.url,
  stores: { redis: [1], memory: [1] },
  appliesTo: ({ ours }) => ours === true,
  patience: 120_000,
  lasts: false,
  rounds: 1,
  columns: [
    { figure: 'cpu', label: 'client CPU % of a core', range: true },
    { figure: 'commandRate', label: 'commands/s' },
    { figure: 'rss', label: 'RSS MB over idle', range: true },
    { figure: 'heap', label: 'heap MB over idle' },
    { figure: 'server', label: 'server bytes a lock' },
    { figure: 'acquired', label: 'acquired/s' },
  ],
  measure: (stage) => holdMany(stage, { count: stage.size(100_000), time: stage.time(20_000) }),
};

/** Also used by the growth program, for other counts and other ttls. */
export async function holdMany(stage, { count, time, ttl }) {
  // Renewals come in bursts, so the window is a whole number of them, if there is time for one.
  const period = (ttl ?? defaultTtl) / 3;
  const window = Math.round(time / period) * period || time;
  const redis = stage.contestant.store === 'redis' ? stage.servers.admins[0] : undefined;
  const holder = await stage.start('holder', { ttl }, ['--expose-gc']);
  const before = await usedMemory(redis);
  const { acquired, rss, heap } = await holder.do('hold', count);
  const server = redis && ((await usedMemory(redis)) - before) / count;
  // There are so few commands that counting them does not disturb.
  const { result, commands } = await stage.count(() => holder.do('keep', window), true);
  const { cpu, elapsed } = result;
  return {
    cpu: (cpu / 1_000 / elapsed) * 100,
    commandRate: commands === undefined ? undefined : (commands / elapsed) * 1_000,
    rss,
    heap,
    server,
    acquired,
  };
}

export const roles = {
  async holder({ connect, parameters: { ttl } }) {
    const connection = await connect();
    const options = ttl === undefined ? undefined : { ttl };
    await (await connection.acquire('warm-up', options)).release();
    const idle = memory();
    const held = [];
    return {
      async hold(count) {
        const start = now();
        const batch = 1_000; // at a time: as many as a busy service would ask for
        for (let i = 0; i < count; i += batch) {
          const names = Array.from({ length: Math.min(batch, count - i) }, (_, j) => `${i + j}`);
          held.push(...(await Promise.all(names.map((name) => connection.acquire(name, options)))));
        }
        const acquired = (count / (now() - start)) * 1_000;
        await sleep(500);
        const full = memory();
        return { acquired, rss: full.rss - idle.rss, heap: full.heap - idle.heap };
      },
      /** What it costs to do nothing but to hold them. */
      async keep(window) {
        const before = process.cpuUsage();
        const from = now();
        await sleep(window);
        const { user, system } = process.cpuUsage(before);
        return { cpu: user + system, elapsed: now() - from };
      },
    };
  },
};

/** Megabytes, without garbage. */
function memory() {
  globalThis.gc();
  globalThis.gc();
  const { rss, heapUsed, external } = process.memoryUsage();
  return { rss: rss / 2 ** 20, heap: (heapUsed + external) / 2 ** 20 };
}

export async function usedMemory(redis) {
  return redis && Number(/used_memory:(\d+)/.exec(await redis.info('memory'))[1]);
}
