/**
 * The process between `nestjs-lock run` and the program that it runs; why there is one, and what it says,
 * is in supervision.ts. Started by program.ts with: the milliseconds from SIGTERM to SIGKILL, then the
 * program and its arguments.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { Deadline, Instant } from '../time/clock.js';
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
/** How the program ended that was stopped, while processes that it started may go on. */
let ended: Ending | undefined;
let over = false;
let timer: NodeJS.Timeout | undefined;

function look(): void {
  clearTimeout(timer);
  if (held !== undefined && held.remaining <= grace) stopWithin(held.remaining);
  if (stop?.passed) signalAll('SIGKILL');
  if (ended !== undefined && (stop?.passed || !signalAll(0))) {
    end(ended);
    return;
  }
  if (asked === undefined && process.connected) {
    asked = Instant.now();
    tell({ kind: 'ask' });
  }
  const left = held === undefined ? 0 : held.remaining - grace;
  // Half of it each time: the answer that prolongs it comes meanwhile, or the looks become frequent.
  const next = Math.min(SELDOM, stop?.remaining ?? Infinity, left > 0 ? left / 2 : Infinity);
  timer = setTimeout(look, ended === undefined ? Math.max(OFTEN, next) : OFTEN);
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
      if (program === undefined) end({ code: null, signal: message.signal, stopped: false });
      else signalAll(message.signal);
      return;
    case 'stop':
      stopWithin(message.within ?? Infinity);
      look();
  }
}

function start(): void {
  if (over) return;
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
    if (stop === undefined) {
      end({ code, signal, stopped: held?.passed === true });
    } else {
      // A shell goes at once, and what it started has the same time to stop.
      ended = { code, signal, stopped: true };
      look();
    }
  });
  if (program.pid !== undefined) tell({ kind: 'started', pid: program.pid });
}

function stopWithin(ms: number): void {
  if (stop === undefined) signalAll('SIGTERM');
  stop = new Deadline(Instant.now(), ms).earliest(stop);
}

/** Signals the program and what it started; false when nobody of them is left. */
function signalAll(signal: NodeJS.Signals | 0): boolean {
  if (over || program?.pid === undefined) return false;
  try {
    return process.kill(-program.pid, signal);
  } catch {
    return false;
  }
}

function end(ending: Ending): void {
  over = true;
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
