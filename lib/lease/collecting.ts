import { Deadline, within } from '../time/clock.js';
import { LockBackendError, type LockLostError, LockTimeoutError } from '../errors/index.js';
import type { LeaseHolding } from './lease.js';
import { ATTEMPT_PATIENCE, type Wish } from './waiter.js';

/**
 * Who is refused waits this long, within its own `wait`, until what was taken for it is given back,
 * in milliseconds: so that it does not find that in its way when it tries again at once.
 */
const GIVE_BACK_PATIENCE = 100;

/** On what terms one key is held while others are still sought: nothing begins, and nothing stays. */
const NEUTRAL = { renew: true, minHold: 0, maxHold: undefined } as const;

/** A lock of one of the keys, from the caller's own acquisition or a reentrant one. */
export interface Part {
  readonly holding: LeaseHolding;
  readonly lost: LockLostError | undefined;
  release(): Promise<unknown>;
}

/** How keys are taken. */
export interface Taker<P extends Part, W extends Wish> {
  one(key: string, wish: W): Promise<P>;
  /** One attempt at each of them, in one step where the backend has one. */
  all(keys: readonly string[], wish: W): Promise<P>[];
}

/** What became of taking several: without a failure all of them are taken. */
interface Taking<P> {
  readonly parts: readonly P[];
  readonly failure?: unknown;
}

/**
 * Takes several keys, all or nothing, within `wait` for all of them. First all at once, as most are
 * free; then one after the other, so that no two callers wait for each other. They are collected on
 * neutral terms: those of the wish begin when all are there.
 *
 * @param keys sorted: the same order for everybody
 */
export async function collect<P extends Part, W extends Wish>(
  keys: readonly string[],
  wish: W,
  take: Taker<P, W>,
): Promise<readonly P[]> {
  const { wait, signal } = wish;
  const whole = wait || ATTEMPT_PATIENCE;
  const end = Deadline.in(whole);
  const forGivingBack = Math.min(GIVE_BACK_PATIENCE, whole / 10);
  const left = () => Math.ceil(end.remaining - forGivingBack);
  const neutral = { ...wish, ...NEUTRAL };

  const settle = async ({ parts, failure }: Taking<P>): Promise<Taking<P>> => {
    const reason = failure ?? (await begin(parts, wish, end));
    if (reason === undefined) return { parts };
    // It goes on alone after that, and never rejects.
    const givenBack = Promise.all(parts.map((part) => part.release()));
    await within(Math.min(GIVE_BACK_PATIENCE, end.remaining), givenBack);
    return { parts, failure: reason };
  };

  const attempt = Math.min(ATTEMPT_PATIENCE, left());
  const once = { ...neutral, wait: 0, attempt, waitsThen: wait > 0 };
  let taking = await settle(await takeAtOnce(keys, once, take));
  if (taking.failure !== undefined && wait > 0 && mayPass(taking.failure)) {
    signal?.throwIfAborted();
    taking = await settle(await takeInTurn(keys, neutral, left, taking.failure, take));
  }
  if (taking.failure === undefined) return taking.parts;
  signal?.throwIfAborted();
  throw withWait(taking.failure, wait);
}

async function takeAtOnce<P extends Part, W extends Wish>(
  keys: readonly string[],
  wish: W,
  take: Taker<P, W>,
): Promise<Taking<P>> {
  const answers = await Promise.allSettled(take.all(keys, wish));
  const parts = answers.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value] : []));
  const failures = answers.flatMap((answer) =>
    answer.status === 'rejected' ? [answer.reason as unknown] : [],
  );
  const failure =
    failures.find((one) => !mayPass(one)) ??
    failures.find((one) => !(one instanceof LockTimeoutError)) ??
    failures[0];
  return { parts, failure };
}

/** @param before why they were not to be had at once, which is also why there is no time left */
async function takeInTurn<P extends Part, W extends Wish>(
  keys: readonly string[],
  wish: W,
  left: () => number,
  before: unknown,
  take: Taker<P, W>,
): Promise<Taking<P>> {
  const parts: P[] = [];
  for (const key of keys) {
    const wait = left();
    if (wait <= 0) return { parts, failure: before };
    try {
      parts.push(await take.one(key, { ...wish, wait }));
    } catch (failure) {
      // With little time left, silence says nothing of the backend.
      const silent = failure instanceof LockBackendError && failure.cause === undefined;
      return { parts, failure: silent && wait < ATTEMPT_PATIENCE ? before : failure };
    }
  }
  return { parts };
}

/**
 * All are there: each is held on the caller's own terms from now on, and lives for its whole ttl.
 * Those of a lock that the caller runs under already are not touched. Returns why it cannot be.
 */
async function begin(parts: readonly Part[], wish: Wish, end: Deadline): Promise<unknown> {
  const own = parts.map(({ holding }) => holding).filter(({ isShared }) => !isShared);
  const aged = wish.renew ? [] : own.filter(({ lease }) => lease.remaining < 0.9 * wish.ttl);
  if (aged.length > 0) {
    const renewals = Promise.allSettled(aged.map(({ lease }) => lease.renew()));
    const [slow] = aged;
    const answers = await within(end.remaining, renewals);
    if (answers === undefined && slow !== undefined) {
      const silence = 'the backend did not answer when it was renewed for the others';
      return new LockBackendError(`Lock "${slow.key}" was not granted: ${silence}`, slow.key);
    }
    const failed = answers?.find((answer) => answer.status === 'rejected');
    if (failed !== undefined) return failed.reason as unknown;
  }
  const lost = parts.find((part) => part.lost !== undefined)?.lost;
  if (lost === undefined) for (const { lease } of own) lease.begin(wish);
  return lost;
}

/** Whether waiting may help: others hold it, or the backend did not answer. */
function mayPass(failure: unknown): boolean {
  return failure instanceof LockTimeoutError || failure instanceof LockBackendError;
}

/** The same, where a key is busy with the `wait` that the caller gave for all of them. */
function withWait(failure: unknown, wait: number): unknown {
  return failure instanceof LockTimeoutError
    ? new LockTimeoutError(failure.key ?? '', wait)
    : failure;
}
