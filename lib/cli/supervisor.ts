/**
 * The process between `nestjs-lock run` and the program that it runs; why there is one, and what it says,
 * is in supervision.ts. Started by program.ts with: the milliseconds from SIGTERM to SIGKILL, then the
 * program and its arguments.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { Deadline, Instant } from '../clock.js';
import type { Ending, FromSupervisor, ToSupervisor } from './supervision.js';

/** The longest and the shortest time between two looks, in milliseconds: timers do not count a machine's sleep. */
const SELDOM = 1_000;
const OFTEN = 10;

const [killAfter = '', command = '', ...args] = process.argv.slice(2);
const grace = Number(killAfter);

let asked: Instant | undefined;
/** Until when the lock is surely held, as far as `run` has answered. */
let held: Deadline | undefined;
let program: ChildProcess | undefined;
/** Until when the program may stop by itself; undefined while it need not. */
let stop: Deadline | undefined;
let timer: NodeJS.Timeout | undefined;

function look(): void {
  clearTimeout(timer);
  if (held !== undefined && held.remaining <= grace) stopWithin(held.remaining);
  if (stop?.passed) signalAll('SIGKILL');
  if (asked === undefined && process.connected) {
    asked = Instant.now();
    tell({ kind: 'ask' });
  }
  const next = stop?.remaining ?? (held === undefined ? SELDOM : (held.remaining - grace) / 2);
  timer = setTimeout(look, Math.min(SELDOM, Math.max(OFTEN, next)));
}

function hear(message: ToSupervisor): void {
  switch (message.kind) {
    case 'answer':
      if (asked === undefined) return;
      held = new Deadline(asked, message.remaining);
      asked = undefined;
      if (program === undefined) start();
      return;
    case 'signal':
      signalAll(message.signal);
      return;
    case 'stop':
      stopWithin(message.within ?? Infinity);
      look();
  }
}

function start(): void {
  look();
  if (stop !== undefined) {
    end({ code: null, signal: null, stopped: true });
    return;
  }
  // A session of its own, and so a process group: what it starts can be stopped with it.
  program = spawn(command, args, { stdio: 'inherit', detached: true });
  program.once('error', ({ errno }: NodeJS.ErrnoException) => {
    end({ code: null, signal: null, errno, stopped: false });
  });
  program.once('exit', (code, signal) => {
    // What it left behind would go on without the lock.
    if (stop !== undefined) signalAll('SIGKILL');
    end({ code, signal, stopped: stop !== undefined || held?.passed === true });
  });
  if (program.pid !== undefined) tell({ kind: 'started', pid: program.pid });
}

function stopWithin(ms: number): void {
  if (stop === undefined) signalAll('SIGTERM');
  stop = new Deadline(Instant.now(), ms).earliest(stop);
}

function signalAll(signal: NodeJS.Signals): void {
  if (program?.pid === undefined) return;
  try {
    process.kill(-program.pid, signal);
  } catch {
    // Nobody is left.
  }
}

function end(ending: Ending): void {
  clearTimeout(timer);
  tell({ kind: 'ended', ...ending }, () => process.exit());
}

function tell(message: FromSupervisor, told: () => void = () => undefined): void {
  if (process.connected) process.send?.(message, undefined, undefined, told);
  else told();
}

process.on('message', hear);
process.on('disconnect', () => {
  if (program === undefined) process.exit();
  // Nobody renews the lease any more.
  stopWithin(Math.min(grace, held?.remaining ?? 0));
  look();
});
// A service manager may signal all of its processes: what becomes of the program is for `run` to say.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => undefined);
look();
