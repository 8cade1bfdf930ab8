export { RedisBackend, type RedisBackendOptions } from './redis.backend.js';
export type { DuplicableRedisClient } from '../redis-common/ioredis-client.js';
export { RedlockBackend, type RedlockBackendOptions } from '../redlock/redlock.backend.js';
export type { RedisCredentials, RedisCredentialsProvider } from '../redis-common/login.js';
