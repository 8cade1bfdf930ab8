import type { LockRequest } from '../../lib/backends/lock-backend.js';
import {
  type StoreReply,
  StoreRequests,
  type StoreRequestsContext,
} from '../../lib/backends/store-requests.js';
import { Deadline, Instant } from '../../lib/time/clock.js';
import { eventually } from '../support/eventually.js';

const asked: LockRequest = {
  ...{ id: 'one:1', key: 'k', ttl: 30_000 },
  ...{ queue: true, reserve: 0, mode: 'exclusive', limit: 1 },
};

const unused = () => {
  throw new Error('nothing is asked');
};

function withContext(context: Pick<StoreRequestsContext, 'ask' | 'cancel'>): StoreRequests {
  return new StoreRequests({
    ...context,
    patience: 1_000,
    insist: (attempt) => attempt(),
    toGrant: (_, told) => ({ state: 'granted', ...told }),
    ...{ attemptAll: unused, heartbeat: unused, toBackendError: unused },
    ...{ nextBeat: () => Deadline.in(1_000), looksAtOnce: () => false, looksPerMillisecond: 1 },
    isPassing: () => true,
  });
}

/** A promise that a test settles. */
function later<T>() {
  let resolve!: (value: T) => void;
  const promise = new Promise<T>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}

it('a try that leaves only after its request is over, and is not answered, is withdrawn once it cannot run', async () => {
  const withdrawn: boolean[] = [];
  let runs = Deadline.in(0);
  const connected = later<undefined>();
  const requests = withContext({
    ask: (request) => {
      requests.insist(request, async () => {
        await connected.promise;
        runs = Deadline.in(50);
        request.leave(runs);
        throw new Error('no reply');
      });
    },
    cancel: () => {
      withdrawn.push(runs.passed);
      return Promise.resolve();
    },
  });
  requests.acquire(asked).catch(() => undefined);
  await requests.cancel(asked);
  expect(withdrawn).toEqual([]);
  connected.resolve(undefined);
  await eventually('it is withdrawn', () => withdrawn.length > 0);
  expect(withdrawn).toEqual([true]);
  await requests.close();
});

it('a lease that is being given back is not withdrawn before that: calls may overtake each other', async () => {
  const order: string[] = [];
  const reply = later<StoreReply>();
  const requests = withContext({
    ask: (request) => {
      requests.insist(request, async () => {
        request.leave(Deadline.in(30_000));
        await requests.hear(request, await reply.promise);
      });
    },
    cancel: () => {
      order.push('withdrawn');
      return Promise.resolve();
    },
  });
  const answer = requests.acquire(asked);
  // The message of its grant comes before the reply that it waits.
  requests.waiters.hearGrant(asked.id, { token: 1, since: Instant.now(), ttl: 2_000 });
  expect(await answer).toMatchObject({ state: 'granted', token: 1 });
  const released = later<boolean>();
  const release = requests.release(asked, async () => {
    const outcome = await released.promise;
    order.push('released');
    return outcome;
  });
  reply.resolve({ state: 'waiting', remaining: 0, place: 0 });
  await new Promise((resolve) => setImmediate(resolve));
  released.resolve(true);
  expect(await release).toBe(true);
  await eventually('it is withdrawn as well', () => order.length === 2);
  expect(order).toEqual(['released', 'withdrawn']);
  await requests.close();
});
