import { randomUUID } from 'node:crypto';
import { RedisBackend } from 'nestjs-lock/redis';
import { describeLockBackend } from 'nestjs-lock/testing';
import { RedisServer } from '../support/redis-server.js';

let server: RedisServer;
beforeAll(async () => {
  server = await RedisServer.start();
});
afterAll(async () => {
  await server.stop();
});

describeLockBackend(
  { describe, it },
  {
    name: 'Redis',
    create: () => ({
      backend: new RedisBackend({ url: server.url, namespace: randomUUID() }),
      close: () => undefined,
    }),
  },
);
