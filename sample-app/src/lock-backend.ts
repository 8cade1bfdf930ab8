import { MemoryBackend, type LockBackend } from 'nestjs-lock';
import { EtcdBackend } from 'nestjs-lock/etcd';
import { RedisBackend, RedlockBackend } from 'nestjs-lock/redis';
import type { Store } from './settings.js';

const namespace = 'ticket-shop';

/** An application knows its one backend; this one shows them all. */
export function lockBackendOf(store: Store): LockBackend {
  switch (store.kind) {
    case 'memory':
      return new MemoryBackend();
    case 'redis':
      return new RedisBackend({ url: store.urls[0] ?? '', namespace });
    case 'cluster':
      return new RedisBackend({ cluster: store.urls, namespace });
    case 'redlock':
      return new RedlockBackend({ nodes: [...store.urls], namespace });
    case 'etcd':
      return new EtcdBackend({ hosts: [...store.hosts], namespace });
  }
}
