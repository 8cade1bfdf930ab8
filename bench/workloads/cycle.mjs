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
    const { actors, fresh } = await stage.lasting('loops', { atATime });
    const [loops] = actors;
    // Long enough for the compiler, and some more as the others had the processor meanwhile.
    await loops.do('run', stage.time(fresh ? 2_500 : 150));
    const { result, commands } = await stage.count(() => loops.do('run', stage.time(450)));
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
    async loops({ connect, parameters: { atATime } }) {
      const connection = await connect();
      const keys = Array.from({ length: atATime }, (_, i) => `key:${process.pid}:${i}`);
      return {
        async run(window) {
          const latencies = [];
          const cpu = process.cpuUsage();
          const begin = now();
          const loop = async (key) => {
            for (let start = now(); start < begin + window;) {
              const held = await connection.acquire(key);
              await held.release();
              const done = now();
              latencies.push(done - start);
              start = done;
            }
          };
          await Promise.all(keys.map(loop));
          const elapsed = now() - begin;
          const { user, system } = process.cpuUsage(cpu);
          return {
            operations: latencies.length,
            elapsed,
            latencies: Float64Array.from(latencies),
            cpu: user + system,
          };
        },
      };
    },
  },
};
