import { setTimeout as sleep } from 'node:timers/promises';
import { Crew } from '../support/crew.js';
import { eventually } from '../support/eventually.js';
import { crowd, violations } from '../support/history.js';
import { Scene } from '../support/scene.js';
import { storeKinds } from '../support/stores.js';
import type { WorkerProcess } from '../support/worker-process.js';

const PROCESSES = 3;

/** In each process. */
const [READERS, WRITERS] = [3, 1];

/** How long each stays inside, and for how long they come again at least, in milliseconds. */
const [STAY, SPAN] = [20, 700];

const KEY = 'read and written';

const crew = new Crew();

afterAll(() => crew.end());

describe.each(storeKinds)('readers and writers who share $name', ({ start }) => {
  const scene = new Scene();
  let workers: WorkerProcess[];

  beforeAll(async () => {
    workers = await crew.at(await start(scene), PROCESSES, scene);
  });

  afterAll(() => scene.end());

  it('exclude each other, read together, and are all served in their turn', async () => {
    const options = { ttl: 10_000, wait: 30_000 };
    const reading = workers.map((worker) =>
      worker.call('visit', KEY, READERS, STAY, { ...options, mode: 'shared' }),
    );
    // More than one process has. (Beside writers they may come to take turns with those of other processes.)
    const over = () =>
      workers.flatMap(({ visits }) => visits).filter(({ leave }) => leave < Infinity);
    const together = () => crowd(over()) > READERS;
    await eventually('readers of several processes', together);
    const writing = workers.map((worker) => worker.call('visit', KEY, WRITERS, STAY, options));
    await sleep(SPAN);
    await eventually('all are served again', () => workers.every(isServedAgain));
    await Promise.all(workers.map((worker) => worker.call('goHome')));
    const [reads, writes] = [await Promise.all(reading), await Promise.all(writing)];

    const history = [...reads, ...writes].flat();
    expect(violations(history)).toEqual([]);
    for (const visits of [...reads, ...writes]) {
      expect(visits.length).toBeGreaterThan(1);
    }
  });
});

/** Both its readers and its writers. */
function isServedAgain({ visits }: WorkerProcess): boolean {
  return ['shared', undefined].every(
    (mode) => visits.filter((one) => one.mode === mode && one.leave < Infinity).length > 1,
  );
}
