// W5: what a holder that is killed costs the next one, and, where waiters are served in the order of
// their arrival, what a waiter in the middle of the queue that is stopped costs those behind it.
import { setTimeout as sleep } from 'node:timers/promises';
import { now } from '../harness/clock.mjs';

const ttl = 2_000;

export default [
  {
    id: 'W5/kill',
    title: `from SIGKILL of the holding process to the next holder, at a ttl of ${ttl / 1_000} s`,
    file: import.meta.url,
    stores: { redis: [1, 3], etcd: [1] },
    lasts: false,
    rounds: 1,
    columns: [
      { figure: 'afterKill', label: 'ms after the kill', range: true },
      { figure: 'afterLease', label: "ms after the lease's end", range: true },
    ],
    async measure(stage) {
      const key = `key:${process.pid}:${Date.now()}`;
      const [holder, waiter] = await Promise.all([stage.start('process'), stage.start('process')]);
      const granted = await holder.do('acquire', key, ttl);
      const entered = waiter.do('enter', key, ttl);
      await sleep(200);
      holder.kill('SIGKILL');
      const killed = now();
      const next = await entered;
      return { afterKill: next - killed, afterLease: next - granted - ttl };
    },
  },
  {
    id: 'W5/stop',
    title: 'from a release to the third in the queue, when the second is stopped (SIGSTOP)',
    file: import.meta.url,
    stores: { redis: [1, 3], etcd: [1] },
    appliesTo: ({ fair }) => fair === true,
    lasts: false,
    rounds: 3,
    columns: [{ figure: 'delay', label: 'delay ms', range: true }],
    async measure(stage) {
      const key = `key:${process.pid}:${Date.now()}`;
      const [holder, ...waiters] = await Promise.all([
        ...[0, 1, 2, 3].map(() => stage.start('process')),
      ]);
      await holder.do('acquire', key);
      const entries = [];
      for (const waiter of waiters) {
        entries.push(waiter.do('enter', key));
        await sleep(150); // so that they stand in this order
      }
      entries[1].catch(() => {}); // it is killed before it can tell
      waiters[1].kill('SIGSTOP');
      const left = await holder.do('release');
      return { delay: (await entries[2]) - left };
    },
  },
];

export const roles = {
  async process({ connect }) {
    const connection = await connect();
    let held;
    return {
      /** Resolves to when it had it. */
      async acquire(key, ttl) {
        held = await connection.acquire(key, { ttl });
        return now();
      },
      /** Resolves to when it began. */
      async release() {
        const left = now();
        await held.release();
        return left;
      },
      /** Enters and leaves again; resolves to when it entered. */
      async enter(key, ttl) {
        held = await connection.acquire(key, { ttl });
        const entered = now();
        await held.release();
        return entered;
      },
    };
  },
};
