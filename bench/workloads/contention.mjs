// What W3 and W4 share: waiters that ask for one key again and again, and what their history tells.
import { setTimeout as sleep } from 'node:timers/promises';
import { now } from '../harness/clock.mjs';
import { jain, percentile } from '../harness/stats.mjs';

export const contention = {
  columns: [
    { figure: 'ops', label: 'hand-offs/s', range: true },
    { figure: 'ops', label: '× raw', ratio: true },
    { figure: 'entries', label: 'entries/s' },
    { figure: 'p50', label: 'wait p50 ms' },
    { figure: 'p99', label: 'wait p99 ms' },
    { figure: 'everyone', label: 'everyone served ms' },
    { figure: 'gap', label: 'gap p50 µs' },
    { figure: 'crossGap', label: 'across processes µs' },
    { figure: 'commands', label: 'commands/op' },
    { figure: 'cpu', label: 'client CPU µs/op' },
    { figure: 'outOfOrder', label: 'out of order %' },
    { figure: 'jainProcesses', label: 'Jain processes' },
    { figure: 'jainWaiters', label: 'Jain waiters' },
    { figure: 'violations', label: 'violations', total: true },
  ],

  /**
   * @param {object} shape
   * @param {number} shape.inside ms that a holder stays
   * @param {number} shape.warmUp ms before the first window, for the compiler
   * @param {number} shape.window ms that are measured
   */
  async measure(stage, { processes, waiters, inside, warmUp, window }) {
    const key = `key:${process.pid}:${Date.now()}`;
    const { actors, fresh } = await stage.lasting('waiters', { waiters, inside }, processes);
    const from = now() + 50 + (fresh ? warmUp : leadIn);
    const until = from + window;
    const { result: histories, commands } = await stage.count(() =>
      Promise.all(actors.map((actor) => actor.do('contend', { key, from, until }))),
    );
    // Some never come to an end: they must not go on while others are measured.
    if (!histories.every(({ drained }) => drained)) await stage.dismiss();
    const { all, ...figures } = judge(histories, { from, until });
    return { ...figures, commands: commands === undefined ? undefined : commands / all };
  },

  roles: {
    async waiters({ connect, parameters: { waiters, inside } }) {
      const connection = await connect();
      return {
        async contend({ key, from, until }) {
          const grants = [];
          const waiting = new Map();
          let tickets = 0;
          let cpuBefore;
          const loop = async (waiter) => {
            for (let asked = now(); asked < until; asked = now()) {
              const ticket = tickets++;
              waiting.set(ticket, asked);
              const held = await connection.acquire(key);
              const entered = now();
              if (entered >= from) cpuBefore ??= process.cpuUsage();
              waiting.delete(ticket);
              if (inside > 0) await sleep(inside);
              const left = now();
              grants.push(asked, entered, left, waiter, ticket, held.fencingToken ?? NaN);
              await held.release();
            }
          };

          setTimeout(() => (cpuBefore ??= process.cpuUsage()), from - now());
          const loops = Promise.all(Array.from({ length: waiters }, (_, waiter) => loop(waiter)));
          await Promise.race([loops, sleep(until - now())]);
          const { user, system } = process.cpuUsage(cpuBefore);
          const stillWaiting = Float64Array.from(waiting.values());
          const drained = await Promise.race([loops.then(() => true), sleep(drainTime, false)]);
          return {
            waiters,
            grants: Float64Array.from(grants),
            waiting: stillWaiting,
            drained,
            cpu: user + system,
          };
        },
      };
    },
  },
};

const leadIn = 300; // ms from the start of a round to its window: all stand in the queue by then
const drainTime = 1_500; // ms that those who wait at the end of the window get to be served

const fields = 6;

function judge(histories, { from, until }) {
  const inWindow = (entered) => entered >= from && entered <= until;
  const holdings = [];
  const waits = [];
  const perProcess = [];
  const perWaiter = [];
  const firstTurns = [];
  let begin = Infinity;
  let outOfOrder = 0;
  histories.forEach(({ waiters, grants, waiting }, process) => {
    const shares = new Array(waiters).fill(0);
    const firstTurn = new Array(waiters).fill(until + drainTime);
    const granted = new Set();
    let first = 0; // the ticket that has waited the longest
    for (let i = 0; i < grants.length; i += fields) {
      const [asked, entered, left, waiter, ticket, token] = grants.subarray(i, i + fields);
      holdings.push({ entered, left, process, waiter, token });
      begin = Math.min(begin, asked);
      firstTurn[waiter] = Math.min(firstTurn[waiter], entered);
      if (inWindow(entered)) {
        waits.push(entered - asked);
        shares[waiter] += 1;
        if (ticket !== first) outOfOrder += 1;
      }
      granted.add(ticket);
      while (granted.delete(first)) first += 1;
    }
    // Who still waits at the end counts with the time until then: else starvation would not show.
    for (const asked of waiting) if (asked < until) waits.push(until - asked);
    perProcess.push(shares.reduce((a, b) => a + b, 0));
    perWaiter.push(...shares);
    firstTurns.push(...firstTurn);
  });

  holdings.sort((a, b) => a.entered - b.entered);
  const gaps = [];
  const crossGaps = [];
  let handOffs = 0;
  let violations = 0;
  let lastLeft = -Infinity;
  let lastToken = -Infinity;
  let last;
  for (const holding of holdings) {
    if (holding.entered < lastLeft) violations += 1; // two were inside at once
    if (holding.token <= lastToken) violations += 1; // a fencing token did not rise
    if (last !== undefined && inWindow(holding.entered)) {
      const gap = holding.entered - last.left;
      gaps.push(gap);
      if (holding.process !== last.process || holding.waiter !== last.waiter) handOffs += 1;
      if (holding.process !== last.process) crossGaps.push(gap);
    }
    lastLeft = Math.max(lastLeft, holding.left);
    if (!Number.isNaN(holding.token)) lastToken = Math.max(lastToken, holding.token);
    last = holding;
  }

  const grants = perProcess.reduce((a, b) => a + b, 0);
  const micro = (ms) => (ms === undefined ? undefined : ms * 1_000);
  const cpu = histories.reduce((sum, history) => sum + history.cpu, 0);
  return {
    ops: (handOffs / (until - from)) * 1_000,
    entries: (grants / (until - from)) * 1_000,
    p50: percentile(waits, 0.5),
    p99: percentile(waits, 0.99),
    all: holdings.length,
    // At least so long: who was not served at all counts with the end.
    everyone: holdings.length === 0 ? undefined : Math.max(...firstTurns) - begin,
    gap: micro(percentile(gaps, 0.5)),
    crossGap: micro(percentile(crossGaps, 0.5)),
    crossings: crossGaps.length,
    cpu: grants === 0 ? undefined : cpu / grants,
    outOfOrder: grants === 0 ? undefined : (outOfOrder / grants) * 100,
    jainProcesses: histories.length > 1 ? jain(perProcess) : undefined,
    jainWaiters: jain(perWaiter),
    violations,
  };
}
