import { jest } from '@jest/globals';
import { StoreWaiters } from '../../lib/backends/store-waiters.js';
import { Deadline } from '../../lib/time/clock.js';
import { Register } from '../../lib/structures/register.js';

const COUNT = 2_000;

afterEach(() => {
  jest.restoreAllMocks();
});

it('many who are told to wait are gone through a few times, not once for each', () => {
  const unused = () => {
    throw new Error('nothing is asked');
  };
  const nextBeat = () => Deadline.in(1_000);
  const waiters = new StoreWaiters({
    ...{
      heartbeat: unused,
      toGrant: unused,
      toBackendError: unused,
      askAgain: unused,
      end: unused,
    },
    ...{ nextBeat, looksAtOnce: () => true, looksPerMillisecond: 500, isPassing: () => true },
  });
  const walks = jest.spyOn(Register.prototype, 'values');
  for (let number = 1; number <= COUNT; number++) {
    const terms = { ttl: 30_000, queue: true, reserve: 0, mode: 'exclusive', limit: 1 } as const;
    const request = waiters.add({ id: `one:${number}`, key: `k${number}`, ...terms });
    waiters.stand(request, 30_000, 0);
  }
  expect(walks.mock.calls.length).toBeLessThan(5);
  waiters.close();
});
