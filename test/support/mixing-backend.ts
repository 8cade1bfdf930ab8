import {
  type BackendConnection,
  type KeyState,
  type LockBackend,
  type LockProcess,
  MemoryBackend,
} from 'nestjs-lock';

/** A backend that has a store for each limit: so those with different limits are inside together. */
export function mixing(): LockBackend {
  const stores = new Map<number, MemoryBackend>();
  const { name, minTtl, supports } = new MemoryBackend();
  return { name, minTtl, supports, connect: (process) => connect(stores, process) };
}

function connect(stores: Map<number, MemoryBackend>, process: LockProcess): BackendConnection {
  const connections = new Map<number, BackendConnection>();
  const of = ({ limit }: { readonly limit: number }): BackendConnection => {
    const store = stores.get(limit) ?? new MemoryBackend();
    stores.set(limit, store);
    const connection = connections.get(limit) ?? store.connect(process);
    connections.set(limit, connection);
    return connection;
  };
  const all = () => [...stores.keys()].map((limit) => of({ limit }));
  return {
    ...of({ limit: 1 }),
    acquire: (request) => of(request).acquire(request),
    cancel: (request) => of(request).cancel(request),
    renew: (leases) =>
      Promise.all(leases.map(async (lease) => (await of(lease).renew([lease]))[0]!)),
    release: (lease, keepFor) => of(lease).release(lease, keepFor),
    inspect: async (key) => together(await Promise.all(all().map((one) => one.inspect(key)))),
    forceRelease: async (key) => {
      const counts = await Promise.all(all().map((one) => one.forceRelease(key)));
      return counts.reduce((sum, count) => sum + count, 0);
    },
    close: async () => {
      for (const connection of connections.values()) await connection.close();
    },
  };
}

function together(states: readonly KeyState[]): KeyState {
  const queue = states.flatMap((state) => state.queue);
  const holders = states.flatMap((state) => state.holders);
  return {
    holders: holders.sort((one, other) => one.token - other.token),
    waiters: queue.length,
    queue: queue.sort((one, other) => other.age - one.age),
  };
}
