// W6: 1,000 waiters of one process that have nothing to do but to wait: all for one key, or each for
// one of its own, which another process holds.
import { setTimeout as sleep } from 'node:timers/promises';
import { now } from '../harness/clock.mjs';

const waiters = 1_000;
const settling = 4_000; // how long it takes until all stand in their queues, on etcd

export default ['same', 'distinct'].map((keys) => ({
  id: `W6/${keys}`,
  title:
    keys === 'same'
      ? `${waiters} idle waiters on one key that is held`
      : `${waiters} idle waiters, each on a held key of its own`,
  file: import.meta.url,
  stores: { redis: [1], etcd: [1], postgres: [1] },
  // Not for a thousand connections.
  appliesTo: ({ sessions }) => !sessions,
  lasts: false,
  rounds: 1,
  columns: [
    { figure: 'commandRate', label: 'commands/s', range: true },
    { figure: 'cpu', label: 'client CPU % of a core', range: true },
  ],
  // CPU is taken over one half of the time, and commands counted over the other.
  async measure(stage) {
    const names = Array.from(
      { length: keys === 'same' ? 1 : waiters },
      (_, i) => `key:${process.pid}:${Date.now()}:${i}`,
    );
    const [holder, crowd] = await Promise.all([
      stage.start('process', { names }),
      stage.start('process', { names }),
    ]);
    await holder.do('hold');
    const half = stage.time(5_000, 1_000);
    const from = now() + stage.time(settling, 500);
    const { cpu, elapsed } = await crowd.do('wait', { from, until: from + half });
    const { commands } = await stage.count(() => sleep(half), true);
    return { commandRate: commands / (half / 1_000), cpu: (cpu / 1_000 / elapsed) * 100 };
  },
}));

export const roles = {
  async process({ connect, parameters: { names } }) {
    const connection = await connect();
    return {
      async hold() {
        await Promise.all(names.map((name) => connection.acquire(name)));
      },
      async wait({ from, until }) {
        for (let i = 0; i < waiters; i += 1) {
          connection.acquire(names[i % names.length]).catch(() => {}); // ends with the process
        }
        await sleep(from - now());
        const start = now();
        const before = process.cpuUsage();
        await sleep(until - now());
        const { user, system } = process.cpuUsage(before);
        return { cpu: user + system, elapsed: now() - start };
      },
    };
  },
};
