export { NodeRedisBackend, type NodeRedisBackendOptions } from './node-redis.backend.js';
export type { DuplicableNodeRedisClient } from './node-redis-target.js';
