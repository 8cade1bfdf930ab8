import { randomUUID } from 'node:crypto';
import { RedlockBackend } from 'nestjs-lock/redis';
import { describeLockBackend } from 'nestjs-lock/testing';
import { RedisServer } from '../support/redis-server.js';

let nodes: RedisServer[];
let dead: RedisServer;

beforeAll(async () => {
  nodes = await Promise.all([1, 2, 3].map(() => RedisServer.start()));
  dead = await RedisServer.start();
  await dead.kill();
});

afterAll(() => Promise.all([...nodes, dead].map((node) => node.stop())));

const kinds: readonly [string, () => RedisServer[]][] = [
  ['Redlock of three nodes', () => nodes],
  ['Redlock of three nodes, one of them dead', () => [nodes[0]!, dead, nodes[1]!]],
];

for (const [name, quorum] of kinds) {
  describeLockBackend(
    { describe, it },
    {
      name,
      create: () => ({
        backend: new RedlockBackend({
          nodes: quorum().map(({ url }) => url),
          namespace: `conformance:${randomUUID()}`,
        }),
        close: () => undefined,
      }),
    },
  );
}
