// etcd3's own Lock, with the ttl that it has by default too. It has no waiting: a waiter tries again
// about every 10 ms, each time with a new Lock.
import { shortPause, ttl as defaultTtl } from './contestant.mjs';

export default {
  name: 'etcd3-lock',
  packages: ['etcd3'],
  store: 'etcd',
  async connect({ etcd }) {
    const { Etcd3, EtcdLockFailedError } = await import('etcd3');
    const client = new Etcd3({ hosts: etcd });
    return {
      async acquire(key, { ttl = defaultTtl } = {}) {
        for (;;) {
          try {
            return await client
              .lock(key)
              .ttl(ttl / 1_000)
              .acquire();
          } catch (error) {
            if (!(error instanceof EtcdLockFailedError)) throw error;
            await shortPause();
          }
        }
      },
    };
  },
};
