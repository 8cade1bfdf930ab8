import assert from 'node:assert/strict';
import type { Grant, LockRequest } from '../../backends/lock-backend.js';
import type { Chapter } from '../chapter.js';
import { LONG, SOON, soon } from '../patience.js';
import type { Peer } from '../world.js';

const KEYS = ['a', 'b', 'c'];

export const takingTogether: Chapter = {
  title: 'several keys in one step',
  needs: 'acquireAll',
  tests: {
    'all are granted, in their order, each with a token of its own': async (world) => {
      const [a, b] = [world.process(), world.process()];
      const grants = await takeAll(a, requestsOf(a));
      assert.equal(new Set(grants.map(({ token }) => token)).size, KEYS.length);
      for (const [index, key] of KEYS.entries()) {
        const { holders } = await b.connection.inspect(key);
        assert.deepEqual(
          holders.map(({ token }) => token),
          [grants[index]?.token],
        );
      }
    },

    'one that is busy is named, and the others stay free': async (world) => {
      const [a, b] = [world.process(), world.process()];
      await b.take('b');
      assert.deepEqual(await ask(a, requestsOf(a)), { state: 'busy', key: 'b' });
      for (const key of ['a', 'c']) {
        assert.deepEqual(await b.connection.inspect(key), { holders: [], waiters: 0, queue: [] });
      }
    },

    'asked again they have the same grants': async (world) => {
      const a = world.process();
      const requests = requestsOf(a);
      const [first, again] = [await takeAll(a, requests), await takeAll(a, requests)];
      assert.deepEqual(
        again.map(({ token }) => token),
        first.map(({ token }) => token),
      );
    },

    'each is released by itself, and those who wait for it get it': async (world) => {
      const [a, b] = [world.process(), world.process()];
      const requests = requestsOf(a);
      await takeAll(a, requests);
      const place = await b.queue('b');
      for (const request of requests) assert.equal(await a.release({ request }), true);
      await place.grant();
      assert.deepEqual(await ask(a, requestsOf(a)), { state: 'busy', key: 'b' });
    },

    'two who ask for the same at once are not both refused for ever': async (world) => {
      const peers = [world.process(), world.process()] as const;
      for (let round = 0; round < 20; round++) {
        const asked = [requestsOf(peers[0]), requestsOf(peers[1]).reverse()] as const;
        const answers = await Promise.all(peers.map((peer, n) => ask(peer, asked[n as 0 | 1])));
        const winners = answers.flatMap((answer, n) => ('key' in answer ? [] : [n as 0 | 1]));
        assert.equal(winners.length, 1, 'one of them has all');
        const [winner = 0] = winners;
        for (const request of asked[winner]) await peers[winner].release({ request });
      }
    },

    'who has another limit than those who hold one is told theirs, and nothing is taken': async (
      world,
    ) => {
      if (!world.backend.supports.limit) return;
      const [a, b] = [world.process(), world.process()];
      const held = await b.take('b', LONG, SOON, { limit: 2 });
      const busy = { state: 'busy', key: 'b', limit: 2 };
      assert.deepEqual(await ask(a, requestsOf(a)), busy);
      const place = await a.queue('b');
      assert.deepEqual(await ask(a, requestsOf(a)), busy);
      assert.deepEqual((await b.connection.inspect('a')).holders, []);
      await b.release(held);
      await place.grant();
      assert.deepEqual(await ask(b, requestsOf(b)), { state: 'busy', key: 'b' });
    },
  },
};

function requestsOf(peer: Peer): LockRequest[] {
  return KEYS.map((key) => peer.request(key));
}

async function ask(peer: Peer, requests: readonly LockRequest[]) {
  const { connection } = peer;
  assert.ok(connection.acquireAll !== undefined);
  return soon('an answer for all', connection.acquireAll(requests));
}

async function takeAll(peer: Peer, requests: readonly LockRequest[]): Promise<readonly Grant[]> {
  const answer = await ask(peer, requests);
  assert.ok(!('key' in answer), 'all should be free');
  return answer;
}
