// How many different keys one process takes, has all at once, and gives back; and what is left of
// them at the server then.
import { now } from '../harness/clock.mjs';
import { usedMemory } from '../workloads/w8-held-locks.mjs';

export default {
  id: 'keys',
  title: 'distinct keys, all taken, then all given back',
  file: import.meta.url,
  stores: { redis: [1_000, 10_000, 100_000, 1_000_000] },
  columns: [
    { figure: 'acquired', label: 'acquired/s', range: true },
    { figure: 'released', label: 'released/s', range: true },
    { figure: 'server', label: 'server bytes a held key' },
    { figure: 'names', label: 'names left' },
    { figure: 'left', label: 'server kB left' },
  ],
  patience: 600_000, // a million keys take their time
  lasts: false,
  rounds: 1,
  plotted: 'acquired',
  async measure(stage, keys) {
    const [redis] = stage.servers.admins;
    const user = await stage.start('user', { keys: stage.size(keys) }, [
      '--max-old-space-size=8192',
    ]);
    const empty = await usedMemory(redis);
    const acquired = await user.do('acquire');
    const full = await usedMemory(redis);
    const released = await user.do('release');
    return {
      acquired,
      released,
      server: (full - empty) / stage.size(keys),
      names: await redis.dbsize(),
      left: ((await usedMemory(redis)) - empty) / 1_024,
    };
  },
};

const batch = 512; // at a time

export const roles = {
  async user({ connect, parameters: { keys } }) {
    const connection = await connect();
    await (await connection.acquire('warm-up')).release();
    const held = [];
    return {
      acquire: () =>
        inBatches(keys, async (i) => {
          held[i] = await connection.acquire(`key:${i}`);
        }),
      release: () => inBatches(keys, (i) => held[i].release()),
    };
  },
};

/** Resolves to how many a second were done. */
async function inBatches(count, work) {
  const start = now();
  for (let i = 0; i < count; i += batch) {
    const size = Math.min(batch, count - i);
    await Promise.all(Array.from({ length: size }, (_, j) => work(i + j)));
  }
  return (count / (now() - start)) * 1_000;
}
