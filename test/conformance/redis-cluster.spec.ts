import { randomUUID } from 'node:crypto';
import { RedisBackend } from 'nestjs-lock/redis';
import { describeLockBackend } from 'nestjs-lock/testing';
import { RedisCluster } from '../support/redis-cluster.js';

let cluster: RedisCluster;

beforeAll(async () => {
  cluster = await RedisCluster.start();
});

afterAll(() => cluster.stop());

describeLockBackend(
  { describe, it },
  {
    name: 'Redis Cluster',
    create: () => ({
      backend: new RedisBackend({
        cluster: cluster.urls,
        namespace: `conformance:${randomUUID()}`,
      }),
      close: () => undefined,
    }),
  },
);
