import { Instant, type LockBackend, type LockRequest } from 'nestjs-lock';
import { type Fault, faulty } from '../support/faulty-backend.js';
import { compare } from '../support/model/comparison.js';
import { Disagreement } from '../support/model/disagreement.js';
import { mixing } from '../support/mixing-backend.js';

/** Asks for something else than it should. */
function withRequests(change: (request: LockRequest) => LockRequest): Fault {
  return (right) => ({ acquire: (request) => right.acquire(change(request)) });
}

/** What is put off until somebody asks something else. */
function late(): LockBackend {
  let owed = (): unknown => undefined;
  const pay = () => {
    owed();
    owed = () => undefined;
  };
  return faulty((right) => ({
    acquire: (request) => {
      pay();
      return right.acquire(request);
    },
    cancel: (request) => {
      pay();
      owed = () => right.cancel(request);
      return Promise.resolve();
    },
  }));
}

/** What a fault has put off to the end of its test. */
const closings: (() => Promise<void>)[] = [];

afterEach(() => Promise.all(closings.splice(0).map((close) => close())));

/** A fault, what it is called, and in how many steps it shows. */
const faults: [name: string, create: () => LockBackend, steps: number][] = [
  [
    'a reader passes a writer who waits',
    () =>
      faulty((right) => ({
        acquire: async (request) => {
          const { holders } = await right.inspect(request.key);
          const answer = await right.acquire(request);
          const readers = [...holders, request].every(({ mode }) => mode === 'shared');
          if (answer.state !== 'waiting' || !readers) return answer;
          return {
            state: 'granted',
            token: Date.now() * 1e3,
            since: Instant.now(),
            ttl: request.ttl,
          };
        },
      })),
    3,
  ],
  [
    'a limit is off by one',
    () =>
      faulty(
        withRequests(({ limit, ...rest }) => ({ ...rest, limit: limit > 1 ? limit + 1 : limit })),
      ),
    4,
  ],
  ['those with different limits are inside together', mixing, 2],
  ['who gives up waiting lets in those behind it only later', late, 4],
  [
    'who asks again loses its place',
    () =>
      faulty((right) => ({
        acquire: async (request) => {
          const { queue } = await right.inspect(request.key);
          if (queue.some(({ id }) => id === request.id)) await right.cancel(request);
          return right.acquire(request);
        },
      })),
    5,
  ],
  [
    'a token comes twice',
    () =>
      faulty((right) => ({
        acquire: async (request) => {
          const answer = await right.acquire(request);
          return answer.state === 'granted' ? { ...answer, token: 7 } : answer;
        },
      })),
    2,
  ],
  ['no lease is ever broken', () => faulty(() => ({ forceRelease: () => Promise.resolve(1) })), 2],
  [
    'who is dead waits still',
    () =>
      faulty((right) => ({
        close: () => {
          closings.push(() => right.close());
          return Promise.resolve();
        },
      })),
    4,
  ],
  [
    'a lease outlives its time',
    () => faulty(withRequests((request) => ({ ...request, ttl: 2 * request.ttl + 500 }))),
    1,
  ],
  [
    'a lease ends before its time',
    () => faulty(withRequests((request) => ({ ...request, ttl: request.ttl / 2 }))),
    1,
  ],
];

/** Memory needs no time for what it does at once. */
const pace = { prompt: 30, haunted: 30, hidden: 0, short: 60, late: 30 };

const extent = { pace, slow: 30, steps: 10_000, lanes: 1, seed: 1, shrinking: 10_000 };

describe('a backend that is wrong is found out by a program as short as can be', () => {
  it.each(faults)('%s', async (_, create, steps) => {
    const found: unknown = await compare(create(), extent).catch((error: unknown) => error);
    expect(found).toBeInstanceOf(Disagreement);
    // Shrinking may stop at a program that cannot lose any one step.
    expect((found as Disagreement).trial.words.length).toBeLessThanOrEqual(2 * steps);
  });
});
