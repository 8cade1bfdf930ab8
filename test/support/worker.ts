// The program of a process that a test may kill, stop and hold up. It runs on the built package,
// as a user's process would; worker-process.ts starts it and speaks to it over IPC. It imports
// packages only, no neighbours: it is handed to node as text.
import { writeSync } from 'node:fs';
import type { INestApplicationContext } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { Redis } from 'ioredis';
import {
  type Lock,
  type LockBackend,
  LockError,
  LockModule,
  type LockOptions,
  LockService,
} from 'nestjs-lock';
import type { PostgresBackendOptions } from 'nestjs-lock/postgres';
import type { RedisBackendOptions } from 'nestjs-lock/redis';
import type { Visit } from './history.js';

/** A backend by its name, with its options: all of it travels as JSON. */
export type Locks =
  | { readonly redis: RedisBackendOptions }
  | { readonly redlock: { readonly nodes: string[] } }
  | { readonly etcd: { readonly hosts: string[] } }
  | { readonly postgres: PostgresBackendOptions };

export interface WorkerSettings {
  /** Where the locks live. */
  readonly locks: Locks;
  /** Where the resource lives that the locks protect. */
  readonly resource: string;
  /** Whether the service belongs to a Nest application, or stands alone. */
  readonly nest: boolean;
  /** The shutdownGrace of the service, in milliseconds. */
  readonly grace: number;
}

/** What a holder sees of its lock, all at one moment. */
export interface Look {
  readonly held: boolean;
  readonly aborted: boolean;
  readonly reason: string | undefined;
  readonly at: number;
}

export interface Granted {
  readonly token: number;
  readonly at: number;
}

/** An error, as it travels. */
export interface Failure {
  readonly name: string;
  readonly message: string;
  readonly reason: string | undefined;
}

export interface Call {
  readonly call: number;
  readonly method: keyof Methods;
  readonly args: unknown[];
}

export type Report =
  | { readonly ready: true }
  | { readonly call: number; readonly value: unknown }
  | { readonly call: number; readonly failure: Failure }
  | { readonly event: 'lost' | 'paused'; readonly lock: string; readonly look: Look }
  | { readonly visit: Visit };

/** How often a visitor looks at its lock, in milliseconds. */
const LOOK_EVERY = 5;

const settings = JSON.parse(process.env.WORKER_SETTINGS ?? '') as WorkerSettings;
let { app, service } = await open(settings.locks);
const resource = new Redis(settings.resource, { lazyConnect: true });
const locks = new Map<string, Lock>();
let leaving = false;

async function open(where: Locks) {
  const options = { backend: await backendOf(where), shutdownGrace: settings.grace };
  const app: INestApplicationContext | undefined = settings.nest
    ? await NestFactory.createApplicationContext(LockModule.forRoot(options), { logger: false })
    : undefined;
  return { app, service: app?.get(LockService) ?? new LockService(options) };
}

async function backendOf(where: Locks): Promise<LockBackend> {
  if ('etcd' in where) return new (await import('nestjs-lock/etcd')).EtcdBackend(where.etcd);
  if ('postgres' in where) {
    return new (await import('nestjs-lock/postgres')).PostgresBackend(where.postgres);
  }
  const { RedisBackend, RedlockBackend } = await import('nestjs-lock/redis');
  return 'redis' in where ? new RedisBackend(where.redis) : new RedlockBackend(where.redlock);
}

const now = () => Number(process.hrtime.bigint()) / 1e6;
const report = (message: Report) => process.send?.(message);

function lockOf(name: string): Lock {
  const lock = locks.get(name);
  if (lock === undefined) throw new Error(`no lock called ${name} here`);
  return lock;
}

function look(name: string): Look {
  const { held, signal } = lockOf(name);
  const reason = (signal.reason as { reason?: string } | undefined)?.reason;
  return { held, aborted: signal.aborted, reason, at: now() };
}

const methods = {
  async acquire(name: string, key: string, options?: LockOptions): Promise<Granted> {
    const lock = await service.acquire(key, options);
    const granted = { token: lock.fencingToken, at: now() };
    locks.set(name, lock);
    lock.signal.addEventListener('abort', () => {
      report({ event: 'lost', lock: name, look: look(name) });
    });
    return granted;
  },

  release: (name: string) => lockOf(name).release(),

  renew: (name: string) => lockOf(name).renew(),

  look,

  /** Holds up the event loop, and looks before anything else can run. */
  block(name: string, ms: number): Look {
    // It does not run, as in a long computation, but leaves the processor to others.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
    return look(name);
  },

  /** From now on reports the first look after this process did nothing for `gap` milliseconds. */
  watch(name: string, gap: number): void {
    let last = now();
    const watch = setInterval(() => {
      if (now() - last > gap) {
        clearInterval(watch);
        report({ event: 'paused', lock: name, look: look(name) });
      }
      last = now();
    }, 1);
  },

  /** Writes under this lock by a script of the resource, see fenced-resource.ts. */
  async write(name: string, script: string, where: string): Promise<boolean> {
    return (await resource.eval(script, 1, where, lockOf(name).fencingToken)) === 1;
  },

  /**
   * So many callers add 1 to an unprotected counter for so many milliseconds, and append the token
   * of each visit to the list `<counter>:tokens`.
   */
  async count(key: string, counter: string, callers: number, ms: number): Promise<Visit[]> {
    const end = now() + ms;
    const visits: Visit[] = [];
    const caller = async () => {
      while (now() < end) {
        await service.withLock(key, { wait: 30_000 }, async (lock) => {
          const token = lock.fencingToken;
          const enter = now();
          const count = Number((await resource.get(counter)) ?? 0);
          await resource.rpush(`${counter}:tokens`, token);
          await resource.set(counter, count + 1);
          visits.push({ key, token, enter, leave: now(), valid: lock.held });
        });
      }
    };
    await Promise.all(Array.from({ length: callers }, caller));
    return visits;
  },

  /**
   * So many callers take the lock over and over until {@link goHome}, stay for `stay` milliseconds,
   * and bear with all that may happen to it. A visit ends at the last look at which the lock was held.
   * Each is told when it begins and when it ends, for the case that this process is killed.
   */
  async visit(key: string, callers: number, stay: number, options: LockOptions): Promise<Visit[]> {
    const visits: Visit[] = [];
    const { mode, limit } = options;
    const body = async (lock: Lock, asked: number) => {
      const enter = now();
      const visit = { key, token: lock.fencingToken, enter, valid: true, asked, mode, limit };
      report({ visit: { ...visit, leave: Infinity } });
      let leave = enter;
      for (;;) {
        const at = now();
        if (!lock.held) break;
        leave = at;
        if (at > enter + stay) break;
        await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY));
      }
      // Before the release: who has not told is inside.
      report({ visit: { ...visit, leave } });
      visits.push({ ...visit, leave });
    };
    const caller = async () => {
      while (!leaving) {
        const asked = now();
        await service
          .withLock(key, options, (lock) => body(lock, asked))
          .catch((error: unknown) => {
            if (!(error instanceof LockError)) throw error;
          });
      }
    };
    await Promise.all(Array.from({ length: callers }, caller));
    return visits;
  },

  /**
   * Stands for a leadership, and all the time while it leads appends `<name> <token> <moment>` to the
   * list `<key>:terms` of the resource.
   */
  lead(name: string, key: string, ttl: number): void {
    const leadership = service.leader(key, { ttl });
    setInterval(() => {
      const moment = now();
      const { term } = leadership;
      if (term === undefined) return;
      resource
        .rpush(`${key}:terms`, `${name} ${term.fencingToken} ${moment}`)
        .catch(() => undefined);
    }, 3).unref();
  },

  goHome(): void {
    leaving = true;
  },

  /** Is done with the store. */
  async leave(): Promise<void> {
    leaving = true;
    await (app ?? service).close();
  },

  /** After {@link leave}: goes on at another store. */
  async enter(where: Locks): Promise<void> {
    ({ app, service } = await open(where));
    locks.clear();
    leaving = false;
  },

  /** Closes what was opened here; then nothing but a leaked handle keeps the process alive. */
  async close(): Promise<void> {
    await methods.leave();
    resource.disconnect();
    process.off('disconnect', abandoned);
    process.disconnect();
  },

  /** Ends the process in the middle of everything. */
  exit(code: number): void {
    process.exit(code);
  },
};

export type Methods = typeof methods;

function abandoned(): void {
  process.exit(1);
}

async function answer({ call, method, args }: Call): Promise<void> {
  try {
    const value: unknown = await (methods[method] as (...given: unknown[]) => unknown)(...args);
    if (process.connected) report({ call, value });
  } catch (error) {
    const { name, message, reason } = error as Failure;
    report({ call, failure: { name, message, reason } });
  }
}

// Nothing keeps it alive any more, or it was told to exit.
process.on('exit', (code) => writeSync(2, `\nexits with ${code}\n`));
process.on('disconnect', abandoned);
process.on('message', (call) => void answer(call as Call));
report({ ready: true });
