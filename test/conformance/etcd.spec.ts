import { randomUUID } from 'node:crypto';
import { jest } from '@jest/globals';
import { EtcdBackend } from 'nestjs-lock/etcd';
import { describeLockBackend } from 'nestjs-lock/testing';
import { EtcdCluster } from '../support/etcd-cluster.js';

// etcd counts whole seconds: what others wait for takes longer here.
jest.setTimeout(20_000);

let cluster: EtcdCluster;

beforeAll(async () => {
  cluster = await EtcdCluster.start();
});

afterAll(() => cluster.stop());

describeLockBackend(
  { describe, it },
  {
    name: 'etcd',
    create: () => ({
      backend: new EtcdBackend({
        hosts: cluster.urls,
        namespace: `conformance:${randomUUID()}`,
      }),
      close: () => undefined,
    }),
  },
);
