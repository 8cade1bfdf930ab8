import type { LockRequest } from '../../lib/backends/lock-backend.js';
import { StoreRequests } from '../../lib/backends/store-requests.js';
import { Deadline } from '../../lib/time/clock.js';
import { eventually } from '../support/eventually.js';

const asked: LockRequest = {
  ...{ id: 'one:1', key: 'k', ttl: 30_000 },
  ...{ queue: false, reserve: 0, mode: 'exclusive', limit: 1 },
};

it('a try that leaves only after its request is over, and is not answered, is withdrawn once it cannot run', async () => {
  const withdrawn: boolean[] = [];
  let runs = Deadline.in(0);
  let connect!: () => void;
  const connected = new Promise<void>((resolve) => {
    connect = resolve;
  });
  const unused = () => {
    throw new Error('nothing is asked');
  };
  const requests = new StoreRequests({
    patience: 1_000,
    ask: (request) => {
      requests.insist(request, async () => {
        await connected;
        runs = Deadline.in(50);
        request.leave(runs);
        throw new Error('no reply');
      });
    },
    cancel: () => {
      withdrawn.push(runs.passed);
      return Promise.resolve();
    },
    insist: (attempt) => attempt(),
    ...{ attemptAll: unused, heartbeat: unused, toGrant: unused },
    ...{ nextBeat: unused, looksAtOnce: unused, looksPerMillisecond: 1 },
    ...{ isPassing: () => true, toBackendError: unused },
  });
  requests.acquire(asked).catch(() => undefined);
  await requests.cancel(asked);
  expect(withdrawn).toEqual([]);
  connect();
  await eventually('it is withdrawn', () => withdrawn.length > 0);
  expect(withdrawn).toEqual([true]);
  await requests.close();
});
