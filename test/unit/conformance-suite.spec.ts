import {
  type Answer,
  type BackendConnection,
  type Grant,
  Instant,
  type LeaseIdentity,
  type LockBackend,
  type LockProcess,
  type LockRequest,
  MemoryBackend,
} from 'nestjs-lock';
import { describeLockBackend } from 'nestjs-lock/testing';
import { block, SOON } from '../../lib/testing/patience.js';
import { type Fault, faulty } from '../support/faulty-backend.js';
import { mixing } from '../support/mixing-backend.js';

/** The tests of the suite for a backend, by their sentences, as a runner is given them. */
function testsFor(create: () => LockBackend): Map<string, () => Promise<void>> {
  const tests = new Map<string, () => Promise<void>>();
  describeLockBackend(
    {
      describe: (_, body) => body(),
      it: (sentence, body) => {
        if (tests.has(sentence)) throw new Error(`two tests say: ${sentence}`);
        tests.set(sentence, body);
      },
    },
    { name: 'faulty', create: () => ({ backend: create(), close: () => undefined }) },
  );
  return tests;
}

/** Changes every grant, at once or by hand-off. */
function withGrants(change: (grant: Grant, request: LockRequest) => Grant): Fault {
  return (right) => ({
    acquire: async (request): Promise<Answer> => {
      const answer = await right.acquire(request);
      if (answer.state === 'granted') return change(answer, request);
      if (answer.state === 'busy') return answer;
      return { state: 'waiting', granted: answer.granted.then((grant) => change(grant, request)) };
    },
  });
}

/** Remembers who asked last for each key, which in most tests is who holds it. */
function withLast(
  fault: (
    right: BackendConnection,
    last: ReadonlyMap<string, LockRequest>,
  ) => Partial<BackendConnection>,
): () => LockBackend {
  return () => {
    const last = new Map<string, LockRequest>();
    return faulty((right) => ({
      acquire: (request) => {
        last.set(request.key, request);
        return right.acquire(request);
      },
      ...fault(right, last),
    }));
  };
}

const renamed =
  (rename: (key: string) => string): Fault =>
  (right) => {
    const as = <T extends LeaseIdentity>(lease: T): T => ({ ...lease, key: rename(lease.key) });
    return {
      acquire: (request) => right.acquire(as(request)),
      cancel: (request) => right.cancel(as(request)),
      renew: (leases) => right.renew(leases.map(as)),
      release: (lease, keepFor) => right.release(as(lease), keepFor),
      inspect: (key) => right.inspect(rename(key)),
    };
  };

/** A fault, what it is called, and a test that must not pass with it. */
const faults: [name: string, create: () => LockBackend, caughtBy: string][] = [
  [
    'each process has locks of its own',
    () => ({
      name: 'faulty',
      minTtl: 10,
      supports: { shared: true, limit: true },
      connect: (process) => new MemoryBackend().connect(process),
    }),
    'who does not want to queue is told that the lock is busy, and leaves nothing behind',
  ],
  [
    'each process has locks of its own, seen by a service',
    () => ({
      name: 'faulty',
      minTtl: 10,
      supports: { shared: true, limit: true },
      connect: (process) => new MemoryBackend().connect(process),
    }),
    'fifty increments by three processes are fifty, one after the other, with rising tokens',
  ],
  [
    'everybody is granted at once',
    () => faulty(() => ({ acquire: ({ ttl }) => Promise.resolve(grantOf(ttl)) })),
    'two requests of one process exclude each other like any two',
  ],
  [
    'a request that is sent again is another request',
    () => {
      let again = 0;
      return faulty((right) => ({
        acquire: (request) => right.acquire({ ...request, id: `${request.id}${again++}` }),
      }));
    },
    'the same request again has the same grant',
  ],
  [
    'nobody can queue',
    () =>
      faulty((right) => ({ acquire: (request) => right.acquire({ ...request, queue: false }) })),
    'a release grants the first in the queue',
  ],
  [
    'everybody queues',
    () => faulty((right) => ({ acquire: (request) => right.acquire({ ...request, queue: true }) })),
    'who does not want to queue is told that the lock is busy, and leaves nothing behind',
  ],
  [
    'the wrong one is served: the second of three requests gets what the first waits for',
    () => {
      const waiting: LockRequest[] = [];
      return faulty((right) => ({
        acquire: async (request) => {
          const answer = await right.acquire(request);
          if (answer.state === 'waiting') waiting.push(request);
          // The first that waits is put behind the second.
          if (waiting.length === 2 && waiting[1] === request) {
            await right.cancel(waiting[0]!);
            void right.acquire(waiting[0]!);
          }
          return answer;
        },
      }));
    },
    'five processes are served in the order in which they came',
  ],
  [
    'who is granted by hand-off is not told',
    () =>
      faulty((right) => ({
        acquire: async (request) => {
          const answer = await right.acquire(request);
          return answer.state === 'waiting'
            ? { ...answer, granted: new Promise(() => undefined) }
            : answer;
        },
      })),
    'who waits is granted at the release, and not when its patience ends',
  ],
  [
    'a release only says that it releases',
    () => faulty(() => ({ release: () => Promise.resolve(true) })),
    'from the release on the lock belongs to the next one: nobody comes in between',
  ],
  [
    'a lease lives half as long as it is said to',
    () =>
      faulty((right) => ({
        acquire: async (request) => {
          const answer = await right.acquire({ ...request, ttl: request.ttl / 2 });
          return answer.state === 'granted' ? { ...answer, ttl: request.ttl } : answer;
        },
      })),
    'a holder that died is followed when its ttl is over, and never before',
  ],
  [
    'tokens are said to be reserved, and are given to others',
    () => faulty(withGrants((grant) => ({ ...grant, reserve: 1e9 }))),
    "that are reserved with a grant are nobody else's",
  ],
  [
    'a lease begins, as the backend has it, when the grant is heard',
    () => faulty(withGrants((grant) => ({ ...grant, since: Instant.now().plus(1_000) }))),
    'a lease does not begin after its grant was heard',
  ],
  [
    'a dead holder holds for ever',
    () => faulty((right) => ({ acquire: (request) => right.acquire({ ...request, ttl: 1e9 }) })),
    'a lease that ended by itself is not seen any more',
  ],
  [
    'renewals are answered in another order',
    () =>
      faulty((right) => ({ renew: async (leases) => [...(await right.renew(leases))].reverse() })),
    'many are renewed in one call, and answered in their order',
  ],
  [
    'every renewal is said to succeed',
    () => faulty(() => ({ renew: (leases) => Promise.resolve(leases.map(() => true)) })),
    'a lease that ended is not created anew',
  ],
  [
    'every renewal is said to succeed, seen by a service',
    () => faulty(() => ({ renew: (leases) => Promise.resolve(leases.map(() => true)) })),
    'a lock is kept through five ttl, and nobody else gets in',
  ],
  [
    'a renewal creates a lease that has ended',
    () =>
      faulty((right) => ({
        renew: (leases) =>
          Promise.all(
            leases.map(async (lease) => {
              const answer = await right.acquire({ ...lease, queue: false, reserve: 0 });
              return answer.state === 'granted';
            }),
          ),
      })),
    'a lease that ended is not created anew',
  ],
  [
    'a renewal prolongs whatever lease the key has',
    withLast((right, last) => ({
      renew: async (leases) => {
        await right.renew(
          leases.map((lease) => ({ ...lease, id: last.get(lease.key)?.id ?? lease.id })),
        );
        return right.renew(leases);
      },
    })),
    'who lost a lease does not prolong that of its successor',
  ],
  [
    'a renewal gives a ttl of its own',
    () =>
      faulty((right) => ({
        renew: (leases) => right.renew(leases.map((lease) => ({ ...lease, ttl: 60_000 }))),
      })),
    'a lease that is not renewed any more ends at the ttl of its last renewal',
  ],
  [
    'a renewal gives less than it is asked for',
    () =>
      faulty((right) => ({
        renew: (leases) => right.renew(leases.map((lease) => ({ ...lease, ttl: lease.ttl / 2 }))),
      })),
    'a renewal gives its ttl from now on, and never takes any away',
  ],
  [
    'anybody releases any lease',
    withLast((right, last) => ({
      release: (lease, keepFor) =>
        right.release({ ...lease, id: last.get(lease.key)?.id ?? lease.id }, keepFor),
    })),
    'a release that comes too late leaves the lease of the successor alone',
  ],
  [
    'a release is never said to have been too late',
    () =>
      faulty((right) => ({
        release: async (lease, keepFor) => {
          await right.release(lease, keepFor);
          return true;
        },
      })),
    'the owner ends its lease, once',
  ],
  [
    'a withdrawal does nothing',
    () => faulty(() => ({ cancel: () => Promise.resolve() })),
    'a waiter leaves the queue, and is never granted',
  ],
  [
    'a withdrawal leaves a lease as it is',
    () =>
      faulty((right) => {
        const granted = new Set<string>();
        return {
          acquire: async (request) => {
            const answer = await right.acquire(request);
            if (answer.state === 'granted') granted.add(request.id);
            return answer;
          },
          cancel: async (request) => {
            if (!granted.has(request.id)) await right.cancel(request);
          },
        };
      }),
    'the lease of a holder ends, and goes to the next in the queue',
  ],
  [
    'a withdrawal forgets a lease that was handed over meanwhile',
    () =>
      faulty((right) => {
        const places = new Map<string, Promise<Grant>>();
        return {
          acquire: async (request) => {
            const answer = await right.acquire(request);
            if (answer.state === 'waiting') places.set(request.id, answer.granted);
            return answer;
          },
          cancel: async (request) => {
            const granted = await Promise.race([places.get(request.id), Promise.resolve()]);
            if (granted === undefined) await right.cancel(request);
          },
        };
      }),
    'a hand-off that races the withdrawal of its waiter is not leaked',
  ],
  [
    'anybody withdraws any lease',
    withLast((right, last) => ({
      cancel: async (request) => {
        await right.cancel(last.get(request.key) ?? request);
      },
    })),
    'who lost a lease does not withdraw that of its successor',
  ],
  [
    'all tokens are the same',
    () => faulty(withGrants((grant) => ({ ...grant, token: 1 }))),
    'rise with each hand-off',
  ],
  [
    'tokens are counted by each process',
    () => {
      const counted: Fault = (right, process) => {
        let last = 0;
        return withGrants((grant) => ({ ...grant, token: ++last }))(right, process);
      };
      return faulty(counted);
    },
    'rise with each grant after a release, whoever asks',
  ],
  [
    'tokens start anew when all have gone',
    () => {
      let [last, here] = [0, 0];
      return faulty((right, process) => {
        here++;
        return {
          ...withGrants((grant) => ({ ...grant, token: ++last }))(right, process),
          close: () => {
            if (--here === 0) last = 0;
            return right.close();
          },
        };
      });
    },
    'rise after everybody has gone',
  ],
  [
    'tokens are no integers',
    () => faulty(withGrants((grant) => ({ ...grant, token: grant.token + 0.5 }))),
    'are positive safe integers',
  ],
  [
    'nobody is seen waiting',
    () =>
      faulty((right) => ({
        inspect: async (key) => ({ ...(await right.inspect(key)), waiters: 0 }),
      })),
    'those who wait are counted',
  ],
  [
    'a look takes the lock',
    () =>
      faulty((right) => ({
        inspect: async (key) => {
          const state = await right.inspect(key);
          await right.acquire({
            id: 'looker:1',
            key,
            ttl: 60_000,
            queue: false,
            reserve: 0,
            mode: 'exclusive',
            limit: 1,
          });
          return state;
        },
      })),
    'a key that nobody holds has no holder and no waiters, and a look does not change that',
  ],
  [
    'there is always some trouble',
    () => faulty(() => ({ troubleWith: () => new Error('trouble') })),
    'there is no trouble while the store answers',
  ],
  [
    'who leaves takes all locks along',
    () => {
      const held: [BackendConnection, LockRequest][] = [];
      return faulty((right) => ({
        acquire: (request) => {
          held.push([right, request]);
          return right.acquire(request);
        },
        close: async () => {
          for (const [connection, request] of held) await connection.cancel(request);
          await right.close();
        },
      }));
    },
    'who leaves takes nobody with it',
  ],
  [
    'the end never comes',
    () =>
      faulty((right) => ({
        close: () => right.close().then(() => new Promise(() => undefined)),
      })),
    'a free lock is granted at once, with all of its ttl',
  ],
  [
    'letters are all small',
    () => faulty(renamed((key) => key.toLowerCase())),
    'whatever their letters, each is a lock of its own',
  ],
  [
    'spaces at the ends are cut off',
    () => faulty(renamed((key) => key.trim())),
    'whatever their letters, each is a lock of its own',
  ],
  [
    'keys end at a NUL',
    () => faulty(renamed((key) => key.split('\0')[0]!)),
    'whatever their letters, each is a lock of its own',
  ],
  [
    'only ASCII is kept',
    () => faulty(renamed((key) => key.replace(/[^ -~]/g, '?'))),
    'whatever their letters, each is a lock of its own',
  ],
  [
    'long keys are cut',
    () => faulty(renamed((key) => key.slice(0, 1000))),
    'whatever their letters, each is a lock of its own',
  ],
  [
    'letters are normalised',
    () => faulty(renamed((key) => key.normalize())),
    'whatever their letters, each is a lock of its own',
  ],
  [
    'there are no readers, only writers',
    () => faulty(withRequests((request) => ({ ...request, mode: 'exclusive' }))),
    'readers hold together, each with a token of its own',
  ],
  [
    'everybody is a reader',
    () => faulty(withRequests((request) => ({ ...request, mode: 'shared' }))),
    'a writer keeps out readers and writers, and a reader keeps out writers',
  ],
  [
    'a downgrade is only said',
    () => faulty(() => ({ downgrade: () => Promise.resolve(true) })),
    'a downgrade lets in the readers who wait, and keeps the token',
  ],
  [
    'a downgrade gives the lock back',
    () =>
      faulty((right) => ({
        downgrade: async (lease) => right.release({ ...lease, mode: 'exclusive', limit: 1 }, 0),
      })),
    'a lock says in which mode it is held, and downgrades once',
  ],
  [
    'one more than the limit is let in',
    () =>
      faulty(
        withRequests(({ limit, ...request }) => ({
          ...request,
          limit: limit > 1 ? limit + 1 : limit,
        })),
      ),
    'as many as the limit are inside, in whatever process, and never more',
  ],
  [
    'all limits are one',
    () => faulty(withRequests((request) => ({ ...request, limit: 1 }))),
    'lets in so many and no more, each with a token of its own',
  ],
  [
    'who asks first has the say about the limit, and the others are not told',
    () =>
      faulty(
        withRequests((request) => ({ ...request, limit: request.limit > 1 ? 2 : request.limit })),
      ),
    'who has another one and does not queue is told that of those who hold it, and gets nothing',
  ],
  [
    'nobody is told the limit of the others',
    () => faulty(withAnswers((answer) => (answer.state === 'busy' ? { state: 'busy' } : answer))),
    'who has another one and does not queue is told that of those who hold it, and gets nothing',
  ],
  [
    'nobody is told the limit of the others, seen by a service',
    () => faulty(withAnswers((answer) => (answer.state === 'busy' ? { state: 'busy' } : answer))),
    'another limit for a key in use is waited for, and both numbers are told to who does not wait',
  ],
  [
    'who has another limit is turned away, also who would wait',
    () =>
      faulty((right) => ({
        acquire: async (request) => {
          const answer = await right.acquire({ ...request, queue: false });
          const refused = answer.state === 'busy' && answer.limit !== undefined;
          return refused ? answer : right.acquire(request);
        },
      })),
    'who has another one waits until all who came before are gone',
  ],
  ...[
    'who has another one waits until all who came before are gone',
    'a lock that is held alone and one that is not follow each other',
    'readers are none of those who are counted',
    'a limit that is changed while the key is in use never lets in more than either',
  ].map((caughtBy): (typeof faults)[number] => [
    `those with different limits do not see each other, by: ${caughtBy}`,
    mixing,
    caughtBy,
  ]),
  [
    'those with the limit in use pass who waits with another',
    () => {
      const waiting: LockRequest[] = [];
      return faulty((right) => ({
        acquire: async (request) => {
          const answer = await right.acquire(request);
          if (answer.state === 'waiting') waiting.push(request);
          const [first, second] = waiting;
          if (second === request && first!.limit !== second.limit) {
            await right.cancel(first!);
            void right.acquire(first!);
          }
          return answer;
        },
      }));
    },
    'nobody passes who waits with another one, also where there is room',
  ],
  [
    'several keys are taken one after the other, and what was free stays taken',
    () =>
      faulty((right) => ({
        acquireAll: async (requests) => {
          const grants: Grant[] = [];
          for (const request of requests) {
            const answer = await right.acquire(request);
            if (answer.state !== 'granted') return { state: 'busy', key: request.key };
            grants.push(answer);
          }
          return grants;
        },
      })),
    'one that is busy is named, and the others stay free',
  ],
  [
    'several keys that are asked for again are other requests',
    () => {
      let again = 0;
      return faulty((right) => ({
        acquireAll: (requests) =>
          right.acquireAll!(requests.map((one) => ({ ...one, id: `${one.id}${again++}` }))),
      }));
    },
    'asked again they have the same grants',
  ],
  [
    'a release keeps nothing',
    () => faulty((right) => ({ release: (lease) => right.release(lease, 0) })),
    'minHold keeps the key taken, however early the lock is given back',
  ],
  [
    'a release that keeps the key does not end the lease',
    () =>
      faulty((right) => ({
        release: (lease, keepFor) => (keepFor > 0 ? true : right.release(lease, 0)),
      })),
    'the lease is over: it can neither be renewed nor released',
  ],
  [
    'what was kept is kept for a part of it',
    () =>
      faulty((right) => ({
        release: (lease, keepFor) => right.release(lease, Math.ceil(keepFor / 4)),
      })),
    'nobody is let in before that is over',
  ],
  [
    'nobody knows whose a lease is',
    () =>
      faulty((right) => ({
        inspect: async (key) => {
          const state = await right.inspect(key);
          return { ...state, holders: state.holders.map((holder) => ({ ...holder, id: 'x:1' })) };
        },
      })),
    'a key shows whose it is: host, pid and label, of holders and waiters',
  ],
  [
    'the queue is shown from its end',
    () =>
      faulty((right) => ({
        inspect: async (key) => {
          const state = await right.inspect(key);
          return { ...state, queue: [...state.queue].reverse() };
        },
      })),
    'waiters are shown in the order in which they are served, a hundred at most',
  ],
  [
    'a pattern is a regular expression',
    () =>
      faulty((right) => ({
        list: async function* (pattern) {
          const matches = new RegExp(pattern.replaceAll('*', '.*'));
          for await (const key of right.list('*')) if (matches.test(key)) yield key;
        },
      })),
    'the keys that are held are listed, by a pattern if one is given',
  ],
  [
    'a page of keys is all',
    () =>
      faulty((right) => ({
        list: async function* (pattern) {
          let left = 100;
          for await (const key of right.list(pattern)) if (left-- > 0) yield key;
        },
      })),
    'many keys are listed, each of them',
  ],
  [
    'no holder hears that it is asked for its lock',
    () =>
      faulty((right) => ({
        revoke: async (key) => (await right.inspect(key)).holders.length,
      })),
    'a holder is told that somebody asks for its lock, which stays its own',
  ],
  [
    'to ask for a lock breaks it',
    () => faulty((right) => ({ revoke: (key) => right.forceRelease(key) })),
    'a lock that is asked for stays held: its holder hears of it, and then has its grace',
  ],
  [
    'a lock is not broken',
    () => faulty(() => ({ forceRelease: () => Promise.resolve(1) })),
    'a lock that is broken goes to the next in the queue, and its holder is told',
  ],
  [
    'whose lock is broken does not hear of it',
    () => {
      const backend = new MemoryBackend();
      const { name, minTtl, supports } = backend;
      const deaf = (process: LockProcess) => ({ ...process, lost: () => undefined });
      const connect = (process: LockProcess) => backend.connect(deaf(process));
      return { name, minTtl, supports, connect };
    },
    'a lock that is broken is lost at once, and the next one has it',
  ],
  [
    'nothing is refused',
    () => {
      const backend = new MemoryBackend();
      return {
        name: backend.name,
        minTtl: backend.minTtl,
        supports: { shared: true, limit: true },
        connect: (process) => ({
          ...backend.connect(process),
          acquire: ({ ttl }) => Promise.resolve(grantOf(ttl)),
        }),
      };
    },
    'a plain lock is held with the limit 1',
  ],
];

/** Asks for something else than it should. */
function withRequests(change: (request: LockRequest) => LockRequest): Fault {
  return (right) => ({ acquire: (request) => right.acquire(change(request)) });
}

function withAnswers(change: (answer: Answer) => Answer): Fault {
  return (right) => ({ acquire: async (request) => change(await right.acquire(request)) });
}

function grantOf(ttl: number): Grant {
  return { state: 'granted', token: Date.now(), since: Instant.now(), ttl };
}

// Before the others, as what they leave behind goes away meanwhile.
it('a backend that leaves a timer behind does not pass', async () => {
  const test = testsFor(() =>
    faulty((right) => ({
      close() {
        setTimeout(() => undefined, SOON + 500);
        return right.close();
      },
    })),
  );
  const sentence = 'when all have left, nothing of theirs keeps this process running';
  await expect(test.get(sentence)!()).rejects.toMatchObject({ code: 'ERR_ASSERTION' });
});

describe('a backend that is wrong does not pass', () => {
  const outcomes = new Map<string, unknown>();

  // All at once, as most of the time they wait for what never comes.
  beforeAll(async () => {
    await Promise.all(
      faults.map(async ([name, create, caughtBy]) => {
        const test = testsFor(create).get(caughtBy);
        // Where this process stands still, a fault in time may not show at once.
        for (let trial = 1; trial <= 3; trial++) {
          const outcome = test?.().then(
            () => 'passed',
            (error: unknown) => error,
          );
          outcomes.set(name, (await outcome) ?? 'there is no such test');
          if (outcomes.get(name) !== 'passed') return;
        }
      }),
    );
  });

  it.each(faults.map(([name]) => name))('%s', (name) => {
    expect(outcomes.get(name)).toMatchObject({ code: 'ERR_ASSERTION' });
  });
});

it('the suite takes describe and it from the runner, and calls them as any runner expects', () => {
  const [titles, sentences]: [string[], string[]] = [[], []];
  describeLockBackend(
    {
      describe: (title, body) => {
        titles.push(title);
        body();
      },
      it: (sentence, body) => {
        // jest, mocha and vitest take a body with a parameter for one that calls back.
        if (body.length > 0) throw new Error(`${sentence} has parameters`);
        sentences.push(sentence);
      },
    },
    { name: 'my', create: () => Promise.reject(new Error('nothing runs while it is declared')) },
  );
  expect(titles[0]).toBe('the my backend');
  expect(sentences.length).toBeGreaterThan(100);
  expect(new Set(sentences).size).toBe(sentences.length);
});

it('a test closes what it opened, also when it fails, and its own error wins', async () => {
  const closed: string[] = [];
  const own = new Error('create is fine, connect is not');
  const run = (backend: LockBackend) => {
    const tests: (() => Promise<void>)[] = [];
    describeLockBackend(
      { describe: (_, body) => body(), it: (_, body) => tests.push(body) },
      {
        name: 'my',
        create: () => ({
          backend,
          close: () => {
            closed.push('world');
          },
        }),
      },
    );
    return tests[1]!();
  };
  const { name, minTtl, supports } = new MemoryBackend();
  const failing = () => {
    throw own;
  };
  await expect(run({ name, minTtl, supports, connect: failing })).rejects.toBe(own);
  expect(closed).toEqual(['world']);

  const closing = faulty((right) => ({
    acquire: () => Promise.reject(own),
    close() {
      closed.push('connection');
      return right.close();
    },
  }));
  await expect(run(closing)).rejects.toBe(own);
  expect(closed).toEqual(['world', 'connection', 'world']);
});

describe('a test that has to renew in time, and fails,', () => {
  const SENTENCE = 'a lock that was handed over is kept like any other';

  /** Fails the first time, when the process has stood still for so long. */
  function failingOnce(stoodStill: number): () => Promise<void> {
    let times = 0;
    const tests = testsFor(() => {
      block(stoodStill);
      if (++times === 1) throw new Error('too late');
      return new MemoryBackend();
    });
    return tests.get(SENTENCE)!;
  }

  it('is tried again where this process stood still', async () => {
    await expect(failingOnce(100)()).resolves.toBeUndefined();
  });

  it('is not tried again where it did not', async () => {
    await expect(failingOnce(0)()).rejects.toThrow('too late');
  });
});
