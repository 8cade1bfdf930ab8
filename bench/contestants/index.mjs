import advisoryLock from './advisory-lock.mjs';
import asyncLock from './async-lock.mjs';
import asyncMutex from './async-mutex.mjs';
import bareScripts from './bare-scripts.mjs';
import etcd3Lock from './etcd3-lock.mjs';
import nestRedlock from './nest-redlock.mjs';
import nestjsLock from './nestjs-lock.mjs';
import pgAdvisoryLock from './pg-advisory-lock.mjs';
import rawEtcd from './raw-etcd.mjs';
import rawPostgres from './raw-postgres.mjs';
import rawRedis from './raw-redis.mjs';
import redisSemaphore from './redis-semaphore.mjs';
import redlockUniversal from './redlock-universal.mjs';
import redlock from './redlock.mjs';
import sesamecareRedlock from './sesamecare-redlock.mjs';
import verrou from './verrou.mjs';

const files = [
  rawRedis,
  bareScripts,
  redlock,
  sesamecareRedlock,
  redlockUniversal,
  redisSemaphore,
  verrou,
  nestRedlock,
  rawEtcd,
  etcd3Lock,
  rawPostgres,
  pgAdvisoryLock,
  advisoryLock,
  asyncMutex,
  asyncLock,
  ...nestjsLock,
];

/** All contestants, each as often as it has numbers of nodes: `redlock`, `redlock@3`, `redlock@5`. */
export const contestants = files.flatMap((contestant) =>
  (contestant.nodes ?? [1]).map((nodes) => ({
    ...contestant,
    id: nodes === 1 ? contestant.name : `${contestant.name}@${nodes}`,
    nodes,
  })),
);

/** What the others are measured against, where their store has one. */
export const raw = {
  redis: 'raw/redis',
  etcd: 'raw/etcd',
  postgres: 'raw/postgres',
  memory: undefined,
};
