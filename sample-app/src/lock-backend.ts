import { MemoryBackend, type LockBackend } from 'nestjs-lock';
import type { Store } from './settings.js';

const namespace = 'ticket-shop';

/** An application knows its one backend; this one shows them all, and loads the one it is told. */
export async function lockBackendOf(store: Store): Promise<LockBackend> {
  switch (store.kind) {
    case 'memory':
      return new MemoryBackend();
    case 'redis': {
      const { RedisBackend } = await import('nestjs-lock/redis');
      return new RedisBackend({ url: store.urls[0] ?? '', namespace });
    }
    case 'cluster': {
      const { RedisBackend } = await import('nestjs-lock/redis');
      return new RedisBackend({ cluster: store.urls, namespace });
    }
    case 'redlock': {
      const { RedlockBackend } = await import('nestjs-lock/redis');
      return new RedlockBackend({ nodes: [...store.urls], namespace });
    }
    case 'etcd': {
      const { EtcdBackend } = await import('nestjs-lock/etcd');
      return new EtcdBackend({ hosts: [...store.hosts], namespace });
    }
    case 'postgres': {
      const { PostgresBackend } = await import('nestjs-lock/postgres');
      return new PostgresBackend({ connectionString: store.urls[0] ?? '', namespace });
    }
  }
}
