import { setTimeout as sleep } from 'node:timers/promises';
import { Crew } from '../support/crew.js';
import { eventually } from '../support/eventually.js';
import { crowd, machineTime, violations, type Visit } from '../support/history.js';
import { Scene } from '../support/scene.js';
import { backendOf, storeKinds } from '../support/stores.js';
import type { WorkerProcess } from '../support/worker-process.js';
import type { Locks } from '../support/worker.js';

const [PROCESSES, CALLERS, KILLS] = [3, 8, 1];

/** As in a deploy that changes it: that of the first and third process, and of the others. */
const [LIMIT, OTHER_LIMIT] = [5, 3];

/** In milliseconds. They stay for longer than any store takes to let in the next one. */
const [TTL, STAY] = [1_000, 100];

const KEY = 'some at once';

const options = { limit: LIMIT, ttl: TTL, wait: 30_000 };
const otherOptions = { ...options, limit: OTHER_LIMIT };

// A majority of Redlock's nodes cannot keep a count.
const kinds = storeKinds.filter(({ name }) => name !== 'Redlock');

const crew = new Crew();

afterAll(() => crew.end());

describe.each(kinds)('permits on $name', ({ start }) => {
  const scene = new Scene();
  let locks: Locks;
  let workers: WorkerProcess[];

  beforeAll(async () => {
    locks = await start(scene);
    workers = await crew.at(locks, PROCESSES, scene);
  });

  afterAll(() => scene.end());

  const visiting = new Map<WorkerProcess, Promise<unknown>>();

  /** Its callers come again and again until it is killed, or told to go home. */
  const begin = (one: WorkerProcess, index: number) => {
    const given = index % 2 === 0 ? options : otherOptions;
    visiting.set(
      one,
      one.call('visit', KEY, CALLERS, STAY, given).catch(() => undefined),
    );
  };

  /** Kills it while it is inside. */
  async function kill(one: WorkerProcess): Promise<Visit[]> {
    await eventually('a visit', () => one.visits.some(isInside));
    const killed = machineTime();
    await one.kill();
    return one.visits.map((visit) => (isInside(visit) ? { ...visit, leave: killed } : visit));
  }

  it('are never too many nor of two limits, and all come back, however many processes are killed', async () => {
    const history: Visit[] = [];
    workers.forEach(begin);
    for (let n = 0; n < KILLS; n++) {
      await sleep(500 + 1_000 * Math.random());
      const index = Math.floor(Math.random() * PROCESSES);
      history.push(...(await kill(workers[index]!)));
      workers[index] = await crew.oneMore(locks);
      begin(workers[index], index);
      // Whatever the dead hold, the others go on.
      const before = countOf(workers);
      await eventually('a visit', () => countOf(workers) > before);
    }
    const [last, ...others] = workers as [WorkerProcess, ...WorkerProcess[]];
    await Promise.all(others.map((other) => other.call('goHome')));
    await Promise.all(others.map((other) => visiting.get(other)!));
    await eventually(
      'all permits in one hand',
      () => last.visits.filter(isInside).length === LIMIT,
    );
    history.push(...(await kill(last)), ...others.flatMap(({ visits }) => visits));
    const service = scene.service(backendOf(locks));
    const permits = await Promise.all(
      Array.from({ length: LIMIT }, () => service.acquire(KEY, options)),
    );
    expect(await service.tryAcquire(KEY, options)).toBeNull();
    await Promise.all(permits.map((permit) => permit.release()));

    expect(violations(history)).toEqual([]);
    expect(crowd(history)).toBe(LIMIT);
  });
});

function isInside({ leave }: Visit): boolean {
  return leave === Infinity;
}

function countOf(workers: readonly WorkerProcess[]): number {
  return workers.flatMap(({ visits }) => visits).length;
}
