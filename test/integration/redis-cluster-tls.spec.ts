import { RedisBackend } from 'nestjs-lock/redis';
import { Certificate } from '../support/certificate.js';
import { freePort } from '../support/free-port.js';
import { startOneMaster } from '../support/one-master.js';
import type { RedisServer } from '../support/redis-server.js';
import { failure, openService, useEverything, warnings } from '../support/two-processes.js';

let certificate: Certificate;
let server: RedisServer;
let port: number;

beforeAll(async () => {
  // As that of a Cluster in the cloud: for a name, which the map of the Cluster gives as well.
  certificate = Certificate.make('DNS:localhost');
  port = await freePort();
  server = await startOneMaster([
    ...certificate.settings(port),
    ...['--tls-cluster', 'yes', '--cluster-announce-hostname', 'localhost'],
    ...['--cluster-preferred-endpoint-type', 'hostname'],
  ]);
});

afterAll(async () => {
  await server.stop();
  certificate.remove();
});

describe('a certificate that is trusted', () => {
  let distrust: () => void;

  beforeAll(() => {
    distrust = certificate.trust();
  });

  afterAll(() => {
    distrust();
  });

  it('for a host name, which the URL of a Cluster says', async () => {
    await useEverything(new RedisBackend({ cluster: [`rediss://localhost:${port}`] }));
    expect(warnings).toEqual([]);
  });

  it('for another name is refused, and the error says so', async () => {
    const service = openService(new RedisBackend({ cluster: [`rediss://127.0.0.1:${port}`] }));
    await expect(service.acquire('k', { wait: 500 })).rejects.toThrow(
      /certificate.s altnames.*127\.0\.0\.1/,
    );
  });
});

it('a certificate that nobody vouches for is refused, and the error says so', async () => {
  const error = await failure(new RedisBackend({ cluster: [`rediss://localhost:${port}`] }));
  expect(error.message).toMatch(/self-signed certificate/);
});
