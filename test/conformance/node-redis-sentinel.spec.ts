import { randomUUID } from 'node:crypto';
import { NodeRedisBackend, type DuplicableNodeRedisClient } from 'nestjs-lock/node-redis';
import { describeLockBackend } from 'nestjs-lock/testing';
import { createSentinel } from 'redis';
import { RedisSentinels } from '../support/redis-sentinel.js';

let sentinels: RedisSentinels;
let client: DuplicableNodeRedisClient;

beforeAll(async () => {
  sentinels = await RedisSentinels.start();
  const { name, sentinels: sentinelRootNodes } = sentinels;
  client = createSentinel({ name, sentinelRootNodes });
});

afterAll(() => sentinels.stop());

describeLockBackend(
  { describe, it },
  {
    name: 'Redis through Sentinel by node-redis, guarded against failovers',
    create: () => ({
      backend: new NodeRedisBackend({
        client,
        namespace: `conformance:${randomUUID()}`,
        failoverGrace: 'on',
        replicas: 1,
      }),
      close: () => undefined,
    }),
  },
);
