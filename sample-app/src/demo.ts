// `npm run demo`: many buyers at once for few tickets, without and with @Locked.
//
// With LOCK_BACKEND=redis REDIS_URL=… (or cluster, redlock, etcd) they are served by several
// processes (PROCESSES, else four), as behind a load balancer; without, by one. Ends with 0 only if the
// locked run sold exactly the stock.
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Order, Purchase } from './demo-worker.js';
import { Settings } from './settings.js';

const TICKETS = 100;
const BUYERS = 200;

async function main(): Promise<void> {
  const settings = new Settings();
  const { kind } = settings.store;
  const processes = kind === 'memory' ? 1 : settings.processes;
  const where = `${processes} ${processes === 1 ? 'process' : 'processes'}, ${kind}`;
  console.log(`${BUYERS} buyers, ${TICKETS} tickets, ${where}`);

  const workers = Array.from({ length: processes }, startWorker);
  try {
    await Promise.all(workers.map(answer));
    const without = await rush(workers, false);
    const locked = await rush(workers, true);
    console.table({ 'without @Locked': without, 'with @Locked': locked });
    process.exitCode = locked.sold === TICKETS ? 0 : 1;
  } finally {
    for (const worker of workers) if (worker.connected) worker.disconnect();
  }
}

async function rush(workers: ChildProcess[], locked: boolean) {
  const show = `demo-${process.pid}-${Date.now()}`;
  const ask = (worker: ChildProcess, order: Order) => {
    worker.send(order);
    return answer(worker) as Promise<Purchase[]>;
  };
  const [first] = workers as [ChildProcess]; // all of them see the same stock

  await ask(first, { task: 'open', show, tickets: TICKETS });
  const start = performance.now();
  const rushes = workers.map((worker, index) => {
    const buyers = Math.floor((BUYERS + index) / workers.length);
    return ask(worker, { task: 'rush', show, buyers, locked });
  });
  const purchases = (await Promise.all(rushes)).flat();
  const time = performance.now() - start;
  await ask(first, { task: 'close', show });

  const sold = purchases.flatMap(({ ticket }) => ticket ?? []);
  const waits = purchases.map(({ waited }) => waited).sort((a, b) => a - b);
  const tokens = sold.flatMap(({ fencingToken }) => fencingToken ?? []);
  const wait = (share: number) => Math.round(waits[Math.ceil(share * waits.length) - 1] ?? 0);
  return {
    sold: sold.length,
    oversold: Math.max(0, sold.length - TICKETS),
    'time (ms)': Math.round(time),
    'wait p50 (ms)': wait(0.5),
    'wait p99 (ms)': wait(0.99),
    ...(locked && { 'first token': Math.min(...tokens), 'last token': Math.max(...tokens) }),
  };
}

function startWorker(): ChildProcess {
  return fork(fileURLToPath(new URL('./demo-worker.js', import.meta.url)));
}

/** The next message of the worker. */
async function answer(worker: ChildProcess): Promise<unknown> {
  const answered = new AbortController();
  const { signal } = answered;
  const death = once(worker, 'exit', { signal }).then(() => {
    throw new Error('A worker process ended before its work was done');
  });
  try {
    const [message] = (await Promise.race([once(worker, 'message', { signal }), death])) as [
      unknown,
    ];
    return message;
  } finally {
    answered.abort();
  }
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
});
