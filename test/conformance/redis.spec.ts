import { randomUUID } from 'node:crypto';
import { RedisBackend } from 'nestjs-lock/redis';
import { describeLockBackend } from 'nestjs-lock/testing';
import { RedisServer } from '../support/redis-server.js';

/** A server that somebody else runs is as good: the suite only connects to it. */
let url = process.env.TEST_REDIS_URL ?? '';
let own: RedisServer | undefined;

beforeAll(async () => {
  if (url !== '') return;
  own = await RedisServer.start();
  url = own.url;
});

afterAll(async () => {
  await own?.stop();
});

describeLockBackend(
  { describe, it },
  {
    name: 'Redis',
    create: () => ({
      backend: new RedisBackend({ url, namespace: `conformance:${randomUUID()}` }),
      close: () => undefined,
    }),
  },
);
