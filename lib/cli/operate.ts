import { setTimeout as sleep } from 'node:timers/promises';
import type { LockBackend } from '../backends/lock-backend.js';
import { Deadline } from '../time/clock.js';
import type { LockState } from '../interfaces/index.js';
import type { LockService } from '../lock.service.js';
import type { InspectInvocation, ListInvocation, ReleaseInvocation } from './arguments.js';
import { EXIT } from './exit-codes.js';
import { describeList, describeState, print } from './output.js';
import { withService } from './service.js';

/** The commands of operators: they look, ask for locks, and break them. */
export function operate(
  invocation: ListInvocation | InspectInvocation | ReleaseInvocation,
  backend: LockBackend,
): Promise<number> {
  return withService(backend, 'nestjs-lock', (service) => {
    switch (invocation.command) {
      case 'list':
        return list(invocation, service);
      case 'inspect':
        return inspect(invocation, service);
      case 'release':
        return release(invocation, service);
    }
  });
}

async function list({ pattern, json }: ListInvocation, service: LockService): Promise<number> {
  const states: LockState[] = [];
  for await (const state of service.list(pattern)) {
    if (json) print(JSON.stringify(state));
    else states.push(state);
  }
  if (!json) print(describeList(states));
  return EXIT.ok;
}

async function inspect({ key, json }: InspectInvocation, service: LockService): Promise<number> {
  const state = await service.inspect(key);
  print(json ? JSON.stringify(state) : describeState(state));
  return EXIT.ok;
}

/** What became of a lock that was to be released. */
interface Release {
  readonly outcome: 'free' | 'broken' | 'given back' | 'still held';
  readonly sentence: string;
}

async function release(invocation: ReleaseInvocation, service: LockService): Promise<number> {
  const { key, json, force } = invocation;
  const before = await service.inspect(key);
  // At once: who is asked may take its time.
  if (!json) print(describeState(before));
  const held = before.holders.length > 0;
  const { outcome, sentence } = !held
    ? { outcome: 'free' as const, sentence: 'nothing to release' }
    : force
      ? await breakLock(key, service)
      : await askFor(before, invocation, service);
  print(json ? JSON.stringify({ key, outcome, before }) : sentence);
  return outcome === 'still held' ? EXIT.busy : EXIT.ok;
}

async function breakLock(key: string, service: LockService): Promise<Release> {
  const broken = await service.forceRelease(key);
  const whoever = broken === 1 ? 'its holder' : `its ${broken} holders`;
  return {
    outcome: 'broken',
    sentence: `broken: ${whoever} may run on until told, at the next renewal at the latest`,
  };
}

/** So long after the grace a holder may take to give the lock back, in milliseconds. */
const LATITUDE = 1_000;

async function askFor(
  { key, holders }: LockState,
  { reason, grace }: ReleaseInvocation,
  service: LockService,
): Promise<Release> {
  const patience = Deadline.in(grace + LATITUDE);
  await service.revoke(key, { reason, grace });
  const asked = new Set(holders.map(({ fencingToken }) => fencingToken));
  for (;;) {
    const now = await service.inspect(key);
    if (!now.holders.some(({ fencingToken }) => asked.has(fencingToken))) {
      return { outcome: 'given back', sentence: 'given back' };
    }
    if (patience.passed) {
      return {
        outcome: 'still held',
        sentence: 'still held after the grace: --force breaks the lock',
      };
    }
    await sleep(Math.min(100, patience.remaining));
  }
}
