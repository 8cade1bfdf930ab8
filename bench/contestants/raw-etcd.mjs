// The limit on etcd, with etcd3: one lease for all locks of the process; a transaction creates the
// key if it is absent, a second one deletes it if it is still the same. No queue: a waiter tries
// again about every 10 ms.
import { shortPause, ttl as defaultTtl } from './contestant.mjs';

export default {
  name: 'raw/etcd',
  packages: ['etcd3'],
  store: 'etcd',
  async connect({ etcd }) {
    const { Etcd3 } = await import('etcd3');
    const client = new Etcd3({ hosts: etcd });
    const leases = new Map();
    const leaseFor = (ttl) => {
      let lease = leases.get(ttl);
      if (lease === undefined) leases.set(ttl, (lease = client.lease(ttl / 1_000).grant()));
      return lease;
    };
    return {
      async acquire(key, { ttl = defaultTtl } = {}) {
        const lease = await leaseFor(ttl);
        for (;;) {
          const { succeeded, header } = await client
            .if(key, 'Create', '==', 0)
            .then(client.put(key).value('').lease(lease))
            .commit();
          if (succeeded) {
            return {
              release: () =>
                client
                  .if(key, 'Create', '==', header.revision)
                  .then(client.delete().key(key))
                  .commit(),
            };
          }
          await shortPause();
        }
      },
    };
  },
};
