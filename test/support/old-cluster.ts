import { Cluster, type ClusterNode, type ClusterOptions, type RedisOptions } from 'ioredis';

/** A client for RedisBackend whose Cluster says that it is older than sharded channels. */
export function oldCluster(nodes: () => ClusterNode[], login: RedisOptions = {}) {
  return {
    isCluster: true as const,
    options: {},
    duplicate: (_: ClusterNode[], own: ClusterOptions) => {
      const redisOptions = { ...own.redisOptions, ...login };
      const copy = new Cluster(nodes(), { ...own, redisOptions });
      const info = copy.info.bind(copy) as (section: string) => Promise<string>;
      return Object.assign(copy, {
        info: async (section: string) => {
          return (await info(section)).replace(/redis_version:\S+/, 'redis_version:6.2.14');
        },
      });
    },
  };
}
