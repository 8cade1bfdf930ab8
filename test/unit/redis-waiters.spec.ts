import { jest } from '@jest/globals';
import { Presence } from '../../lib/backends/redis-common/presence.js';
import type { RedisStore } from '../../lib/backends/redis/redis-store.js';
import { Pulse } from '../../lib/backends/redis/pulse.js';
import { RedisWaiters } from '../../lib/backends/redis/redis-waiters.js';
import { Register } from '../../lib/structures/register.js';

const COUNT = 2_000;

afterEach(() => {
  jest.restoreAllMocks();
});

it('many who are told to wait are gone through a few times, not once for each', () => {
  const unused = () => {
    throw new Error('nothing is asked');
  };
  const waiters = new RedisWaiters({
    store: {} as RedisStore,
    presence: new Presence({ probe: unused, renew: unused }, 2_000),
    pulse: new Pulse(1_000),
    confirm: undefined,
    askAgain: unused,
    end: unused,
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
