import { Deadline, Instant } from '../../time/clock.js';
import { BROKEN, readAcquire } from './acquire-reply.js';
import { Batch } from './batch.js';
import type { RedisEntry, RedisEntryContext } from './redis-entry.js';
import { isReply } from '../redis-common/redis-errors.js';
import type { StoreRequest } from '../store-request.js';
import type { StoreReply } from '../store-requests.js';
import type { AcquireAnswers } from './scripts/calls.js';
import { termsOf } from '../redis-common/terms.js';

/** Is told what became of a request: a function for many, so that asking costs little. */
export type Tell = (request: StoreRequest, reply: StoreReply) => void;

interface AskedAcquire {
  readonly request: StoreRequest;
  readonly tell: Tell;
}

/** What is asked for under one hash tag: the requests of one turn of the event loop travel together. */
export class AcquireBatch {
  readonly #batch = new Batch<AskedAcquire>((asked) => {
    this.#send(wanted(asked));
  });

  constructor(
    private readonly entry: RedisEntry,
    private readonly context: RedisEntryContext,
  ) {}

  add(request: StoreRequest, tell: Tell): void {
    this.#batch.add({ request, tell });
  }

  #send(asked: readonly AskedAcquire[]): void {
    const fail = (error: unknown) => {
      for (const { request, tell } of asked) tell(request, { state: 'failed', error });
    };
    if (asked.length === 0) return;
    const { entry } = this;
    const { guard, keyspace, runner } = this.context;
    const voidAfter = entry.clock.timeIn(runner.patience);
    // What was known when it was asked may not be known any more.
    if (voidAfter === undefined || !entry.isEntered()) {
      fail(new Error('the connection was lost'));
      return;
    }
    const keys: [string, string, ...string[]] = [keyspace.sequence, keyspace.guard];
    let lines = '';
    const since = Instant.now();
    const mayRunUntil = new Deadline(since, runner.patience);
    for (const { request } of asked) {
      const { id, key, ttl, queue, reserve } = request.asked;
      guard?.learn(ttl);
      request.leave(mayRunUntil);
      keys.push(...keyspace.of(key));
      lines += `${id} ${queue ? 1 : 0} ${reserve} ${termsOf(request.asked)}\n`;
    }
    const hurried = asked.some(({ request }) => !request.asked.queue);
    const args = [entry.run, entry.address, entry.liveness, voidAfter, lines] as const;
    entry.send('acquire', keys, args, hurried).then(
      (reply) => {
        for (const { request } of asked) request.answered(mayRunUntil);
        this.#hear(asked, reply, since);
      },
      (error: unknown) => {
        // Of many, some may have been granted before the error came.
        if (isReply(error) && asked.length === 1) asked[0]?.request.answered(mayRunUntil);
        fail(error);
      },
    );
  }

  #hear(asked: readonly AskedAcquire[], answers: AcquireAnswers, since: Instant): void {
    const { entry } = this;
    const { guard } = this.context;
    const [now, longest] = answers;
    entry.clock.learn(since, now);
    if (longest === 'stranger') entry.forget();
    asked.forEach(({ request, tell }, index) => {
      const reply = readAcquire(answers, index, request.asked, since);
      const isGranted = reply.state === 'granted';
      if (isGranted) guard?.learn(longest as number, reply.token + (reply.reserve ?? 0));
      const isBroken = isGranted && request.isBroken(reply.token);
      tell(request, isBroken ? { state: 'failed', error: new Error(BROKEN) } : reply);
    });
  }
}

/** Those that nobody has withdrawn meanwhile. */
function wanted(gathered: readonly AskedAcquire[]): readonly AskedAcquire[] {
  return gathered.some(({ request }) => request.isSettled())
    ? gathered.filter(({ request }) => !request.isSettled())
    : gathered;
}
