import { randomUUID } from 'node:crypto';
import { RedisBackend } from 'nestjs-lock/redis';
import { describeLockBackend } from 'nestjs-lock/testing';
import { RedisSentinels } from '../support/redis-sentinel.js';

let sentinels: RedisSentinels;

beforeAll(async () => {
  sentinels = await RedisSentinels.start();
});

afterAll(() => sentinels.stop());

describeLockBackend(
  { describe, it },
  {
    name: 'Redis through Sentinel, guarded against failovers',
    create: () => ({
      backend: new RedisBackend({
        options: sentinels.options(),
        namespace: `conformance:${randomUUID()}`,
        failoverGrace: 'on',
        replicas: 1,
      }),
      close: () => undefined,
    }),
  },
);
