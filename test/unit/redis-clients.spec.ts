import { EventEmitter } from 'node:events';
import { Cluster, Redis, type RedisOptions } from 'ioredis';
import { LockConfigurationError, LockService } from 'nestjs-lock';
import { RedisBackend, type RedisBackendOptions, RedlockBackend } from 'nestjs-lock/redis';
import {
  Cluster as Cluster5,
  Redis as Redis5,
} from '../nest-11/node_modules/ioredis/built/index.js';

const lazy = { lazyConnect: true } satisfies RedisOptions;
const nodes = [{ host: 'localhost', port: 1 }];

/** What tells these clients apart, read off the real ones: redis 6.3 and 3.1, ioredis-mock 8.13. */
class NodeRedis extends EventEmitter {
  isOpen = false;
  get options() {
    return {};
  }
  duplicate(): unknown {
    return this;
  }
}
class NodeRedisCluster extends EventEmitter {
  isOpen = true;
  duplicate(): unknown {
    return this;
  }
}
class NodeRedis3 extends EventEmitter {
  options = {};
  connected = false;
  duplicate(): unknown {
    return this;
  }
  internal_send_command() {
    return true;
  }
}
class RedisMock extends EventEmitter {
  options = {};
  connected = true;
  data = {};
  expires = {};
  duplicate(): unknown {
    return this;
  }
}

const byRedis = (client: unknown) => new RedisBackend({ client } as RedisBackendOptions);
const byRedlock = (client: unknown) =>
  new RedlockBackend({ nodes: [client as Redis, 'redis://two', 'redis://three'] });

describe.each([
  ['RedisBackend', byRedis],
  ['RedlockBackend', byRedlock],
])('%s', (_, make) => {
  it.each([
    ['a client of node-redis', new NodeRedis(), 'nestjs-lock/node-redis'],
    ['a cluster of node-redis', new NodeRedisCluster(), 'nestjs-lock/node-redis'],
    ['a client of node-redis 3', new NodeRedis3(), 'nestjs-lock/node-redis'],
    ['an ioredis-mock', new RedisMock(), 'MemoryBackend'],
    ['something else with a duplicate', { duplicate: String }, 'an ioredis client'],
  ])('refuses %s, and says what to do', (__, client, mend) => {
    expect(() => make(client)).toThrow(LockConfigurationError);
    expect(() => make(client)).toThrow(mend);
  });

  class Traced extends Redis {}
  const proxied = new Proxy(new Redis(lazy), {});

  it.each([
    ['of ioredis', new Redis(lazy)],
    ['of ioredis 5', new Redis5(lazy)],
    ['of a class of its own', new Traced(lazy)],
    ['behind a proxy', proxied],
  ])('takes a client %s', (__, client) => {
    expect(make(client)).toHaveProperty('name');
  });
});

it.each([
  ['of ioredis', new Cluster(nodes, lazy)],
  ['of ioredis 5', new Cluster5(nodes, lazy)],
  ['behind a proxy', new Proxy(new Cluster(nodes, lazy), {})],
])('RedisBackend takes a Cluster %s', (_, client) => {
  expect(byRedis(client)).toHaveProperty('name', 'redis');
});

it('refuses a client whose duplicate is not one', async () => {
  const another: unknown = { on: () => undefined };
  const client = { options: {}, duplicate: () => another };
  const service = new LockService({ backend: byRedis(client) });
  await expect(service.acquire('k')).rejects.toThrow(LockConfigurationError);
  await expect(service.acquire('k')).rejects.toThrow('client must be an ioredis client');
  await service.close();
});
