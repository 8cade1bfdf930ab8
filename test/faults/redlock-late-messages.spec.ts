import { World } from '../../lib/testing/world.js';
import { eventually } from '../support/eventually.js';
import { inAnHour, keyspace, startQuorum } from '../support/quorum.js';
import { Scene } from '../support/scene.js';

/** In milliseconds. */
const TTL = 60_000;

describe('a quorum of Redis nodes, one of which', () => {
  const scene = new Scene();

  afterAll(() => scene.end());

  async function open() {
    const { backend, nodes } = await startQuorum(scene, { commandTimeout: '6s' });
    const world = new World(backend());
    scene.also(() => world.close());
    const join = async () => {
      const process = world.process();
      await process.release(await process.take('warm up'));
      return process;
    };
    return { join, nodes };
  }

  it.concurrent(
    'votes late, and with a greater token: who asks again for what it has, has the token it had',
    async () => {
      const { join, nodes } = await open();
      const holder = await join();
      const [prompt, , late] = nodes;
      await late.admin.set(keyspace.sequence, inAnHour());
      late.network.hold('replies');
      const { grant, request } = await holder.take('k', TTL);
      await eventually('its vote', async () => (await late.holder('k')) === request.id);
      prompt.network.hold('replies');
      const again = holder.ask(request);
      late.network.restore();
      expect(await again).toMatchObject({ state: 'granted', token: grant.token });
      prompt.network.restore();
    },
  );

  it.concurrent(
    'has still to be given a lease that others have: when that is ended by force, it stays so',
    async () => {
      const { join, nodes } = await open();
      const [, lacking, away] = nodes;
      const holder = await join();
      const itsLinks = lacking.network.present();
      const other = await join();
      const taken = await holder.take('k', TTL);
      const { id } = taken.request;
      for (const node of nodes) {
        await eventually('its vote', async () => (await node.holder('k')) === id);
      }
      await lacking.take('k');
      lacking.network.hold('replies', itsLinks);
      expect(await holder.renew([taken])).toEqual([true]);
      await eventually('its answer', () => lacking.network.held('replies') === 1);
      // The repair follows that answer.
      lacking.network.restore();
      lacking.network.hold('requests', itsLinks);
      await eventually('the repair', () => lacking.network.held('requests') === 1);
      await away.network.refuse();

      expect(await other.connection.forceRelease('k')).toBe(1);
      lacking.network.restore();
      await away.network.admit();
      expect(await holder.renew([taken])).toEqual([false]);
      expect(await other.ask(other.request('k', TTL))).toMatchObject({ state: 'granted' });
      expect(await away.holder('k')).toBe(id);
    },
  );
});
