// What W1 and W2 share: loops that acquire and release a free key each. One operation is both.
import { now } from '../harness/clock.mjs';
import { percentile } from '../harness/stats.mjs';

export const cycle = {
  columns: [
    { figure: 'ops', label: 'ops/s', range: true },
    { figure: 'ops', label: '× raw', ratio: true },
    { figure: 'p50', label: 'p50 µs' },
    { figure: 'p50', label: '× raw', ratio: true },
    { figure: 'p99', label: 'p99 µs' },
    { figure: 'commands', label: 'commands/op' },
    { figure: 'cpu', label: 'client CPU µs/op' },
  ],

  async measure(stage, atATime) {
    const actor = await stage.start('loops', { atATime, warmUp: stage.time(400) });
    const { result, commands } = await stage.count(() => actor.go({ window: stage.time(600) }));
    const { operations, elapsed, latencies, cpu } = result;
    return {
      ops: (operations / elapsed) * 1_000,
      p50: percentile(latencies, 0.5) * 1_000,
      p99: percentile(latencies, 0.99) * 1_000,
      commands: commands === undefined ? undefined : commands / operations,
      cpu: cpu / operations,
    };
  },

  roles: {
    async loops({ connect, go, parameters: { atATime, warmUp } }) {
      const connection = await connect();
      const keys = Array.from({ length: atATime }, (_, i) => `key:${process.pid}:${i}`);
      const run = (window) => {
        const latencies = [];
        const end = now() + window;
        const loop = async (key) => {
          for (let start = now(); start < end;) {
            const held = await connection.acquire(key);
            await held.release();
            const done = now();
            latencies.push(done - start);
            start = done;
          }
        };
        return Promise.all(keys.map(loop)).then(() => latencies);
      };

      await run(warmUp);
      const { window } = await go();
      const cpu = process.cpuUsage();
      const start = now();
      const latencies = await run(window);
      const elapsed = now() - start;
      const { user, system } = process.cpuUsage(cpu);
      return {
        operations: latencies.length,
        elapsed,
        latencies: Float64Array.from(latencies),
        cpu: user + system,
      };
    },
  },
};
