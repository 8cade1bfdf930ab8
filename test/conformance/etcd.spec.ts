import { randomUUID } from 'node:crypto';
import { Logger } from '@nestjs/common';
import { EtcdBackend } from 'nestjs-lock/etcd';
import { describeLockBackend } from 'nestjs-lock/testing';
import { EtcdCluster } from '../support/etcd-cluster.js';

let cluster: EtcdCluster;

beforeAll(async () => {
  // Each service may warn of the version.
  Logger.overrideLogger(false);
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
        // A slow machine may not answer the last of a thousand requests at once within two seconds.
        commandTimeout: '10s',
      }),
      close: () => undefined,
    }),
  },
);
