import { randomUUID } from 'node:crypto';
import { NodeRedisBackend, type DuplicableNodeRedisClient } from 'nestjs-lock/node-redis';
import { describeLockBackend } from 'nestjs-lock/testing';
import { createClient } from 'redis';
import { RedisServer } from '../support/redis-server.js';

let server: RedisServer;
let client: DuplicableNodeRedisClient;

beforeAll(async () => {
  server = await RedisServer.start();
  client = createClient({ url: server.url });
});

afterAll(() => server.stop());

describeLockBackend(
  { describe, it },
  {
    name: 'Redis by node-redis',
    create: () => ({
      backend: new NodeRedisBackend({
        client,
        namespace: `conformance:${randomUUID()}`,
      }),
      close: () => undefined,
    }),
  },
);
