import { randomUUID } from 'node:crypto';
import { PostgresBackend } from 'nestjs-lock/postgres';
import { describeLockBackend } from 'nestjs-lock/testing';
import { PostgresServer } from '../support/postgres-server.js';

let server: PostgresServer;

beforeAll(async () => {
  server = await PostgresServer.start();
});

afterAll(() => server.stop());

describeLockBackend(
  { describe, it },
  {
    name: 'PostgreSQL',
    create: () => ({
      backend: new PostgresBackend({
        connectionString: server.url,
        namespace: `conformance:${randomUUID()}`,
      }),
      close: () => undefined,
    }),
  },
);
