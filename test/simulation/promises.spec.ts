// What README promises about time, by simulated clocks: to the millisecond, on a machine that is as busy as may be.
import { type Actor, Backstage, Stage } from './stage.js';
import type { TopologyName } from './topologies.js';

/** What is on its way takes less, both ways, in milliseconds. */
const WAY = 2;

describe('in simulated time', () => {
  const backstage = new Backstage();
  let stage: Stage;

  afterAll(() => {
    backstage.close();
  });

  const open = async (topology: TopologyName): Promise<void> => {
    stage = await Stage.open(topology, backstage);
  };

  /** A process that has locked before, so that it is connected. */
  const warm = async (): Promise<Actor> => {
    const actor = stage.actor();
    await stage.until(actor.service.withLock('warm', () => undefined));
    await stage.pass(1_000);
    return actor;
  };

  describe.each<[TopologyName, number]>([
    ['redis', 0],
    ['redlock of 3', 4],
    ['etcd', 1_500],
  ])('on %s', (topology, late) => {
    it('a crashed holder costs its ttl', async () => {
      await open(topology);
      const [holder, waiter] = [await warm(), await warm()];
      await stage.acquire(holder, 'k', { ttl: 3_000 });
      const waiting = waiter.service.acquire('k', { wait: '1m' });
      await stage.pass(500);
      stage.kill(holder);
      // It was renewed at the latest right before.
      const took = await stage.timed(waiting);
      expect(took).toBeLessThanOrEqual(3_000 + late + WAY);
      expect(took).toBeGreaterThan(1_000);
      await stage.close();
    });
  });
});
