import { randomUUID } from 'node:crypto';
import { NodeRedisBackend, type DuplicableNodeRedisClient } from 'nestjs-lock/node-redis';
import { describeLockBackend } from 'nestjs-lock/testing';
import { createCluster } from 'redis';
import { RedisCluster } from '../support/redis-cluster.js';

let cluster: RedisCluster;
let client: DuplicableNodeRedisClient;

beforeAll(async () => {
  cluster = await RedisCluster.start();
  client = createCluster({ rootNodes: cluster.urls.map((url) => ({ url })) });
});

afterAll(() => cluster.stop());

describeLockBackend(
  { describe, it },
  {
    name: 'Redis Cluster by node-redis',
    create: () => ({
      backend: new NodeRedisBackend({
        client,
        namespace: `conformance:${randomUUID()}`,
      }),
      close: () => undefined,
    }),
  },
);
