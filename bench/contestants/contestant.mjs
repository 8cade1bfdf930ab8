/**
 * What every contestant offers. Each has a file of its own here, which says how it is set up.
 *
 * @typedef {object} Contestant
 * @property {string} name
 * @property {string[]} packages whose versions are printed
 * @property {'redis' | 'etcd' | 'postgres' | 'memory'} store
 * @property {number[]} [nodes] on how many independent nodes it can run; one if not given
 * @property {boolean} [ours] it is the module under test, or an earlier commit of it
 * @property {string} [library] then, the package it is loaded as
 * @property {boolean} [fair] it serves waiters in the order of their arrival, so that one that is
 * stopped is in the way of those behind it
 * @property {boolean} [sessions] each who waits has a connection to the store
 * @property {boolean} [onlyIfNamed] takes part only when `--contestants` names it
 * @property {(env: Environment) => Promise<Connection>} connect loads the packages only now, so that
 * a process has those of its own contestant and no others
 *
 * @typedef {object} Environment
 * @property {string[]} redis URLs, as many as the contestant is to use
 * @property {string} etcd
 * @property {string} postgres
 *
 * @typedef {object} Connection
 * @property {(key: string, options?: { ttl?: number }) => Promise<Holding>} acquire waits as long as
 * it takes; ttl in ms
 *
 * @typedef {object} Holding
 * @property {() => Promise<unknown>} release
 * @property {number} [fencingToken]
 */

/** The life of a lease in every workload that does not ask for another: the default of nestjs-lock. */
export const ttl = 30_000;

/** Clients of the one copy of ioredis that all contestants share, connected. */
export async function redisClients(urls) {
  const { Redis } = await import('ioredis');
  return Promise.all(
    urls.map(async (url) => {
      const client = new Redis(url);
      await client.ping();
      return client;
    }),
  );
}

/** How those that have no queue of their own wait: another try about every 10 ms. */
export function shortPause() {
  return new Promise((resolve) => setTimeout(resolve, 5 + Math.random() * 10));
}
