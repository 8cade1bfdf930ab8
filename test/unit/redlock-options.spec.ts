import { Cluster, Redis } from 'ioredis';
import { LockConfigurationError } from 'nestjs-lock';
import { RedlockBackend, type RedlockBackendOptions } from 'nestjs-lock/redis';

const urls = ['redis://one:6379', 'redis://two:6379', 'rediss://user:secret@three'];
const clients = urls.map((url) => new Redis(url, { lazyConnect: true }));
const cluster = new Cluster([urls[0]!], { lazyConnect: true });
const [one, two] = urls;

function make(options: unknown): RedlockBackend {
  return new RedlockBackend(options as RedlockBackendOptions);
}

it.each<[string, object]>([
  ['three URLs', { nodes: urls }],
  ['five', { nodes: [...urls, 'redis://four', 'redis://five'] }],
  ['clients', { nodes: clients }],
  ['both', { nodes: [one, ...clients.slice(1)] }],
  ['ports of one machine', { nodes: [1, 2, 3].map((port) => `redis://one:${port}`) }],
  ['a namespace and a commandTimeout', { nodes: urls, namespace: 'app', commandTimeout: '500ms' }],
  ['options that are undefined', { nodes: urls, namespace: undefined, url: undefined }],
])('%s will do', (_, options) => {
  expect(make(options)).toMatchObject({ name: 'redlock', minTtl: 10 });
});

const number = 'nodes must be an odd number of nodes from 3';
const different = 'nodes must be different from each other';

it.each<[string, unknown, string]>([
  ['nothing', undefined, 'options must be an object, got undefined'],
  ['no nodes', {}, `${number}, got undefined`],
  ['no list', { nodes: one }, `${number}, got 'redis://one:6379'`],
  ['an empty list', { nodes: [] }, `${number}, got 0`],
  ['too few', { nodes: [one] }, `${number}, got 1`],
  ['an even number', { nodes: [...urls, 'redis://four'] }, `${number}, got 4`],
  ['the same twice', { nodes: [one, two, one] }, `${different}, got 'redis://one:6379' twice`],
  ['two databases', { nodes: [one, two, `${one}/1`] }, `${different}, got 'redis://one:6379/1'`],
  ['the default port', { nodes: [one, two, 'redis://one'] }, `${different}, got 'redis://one'`],
  ['one client twice', { nodes: [one, clients[0], clients[0]] }, different],
  ['no URL', { nodes: [one, two, 'three'] }, "must be a redis:// or rediss:// URL, got 'three'"],
  ['a number', { nodes: [one, two, 6379] }, 'must be an ioredis client, got 6379'],
  ['a hole', { nodes: [one, two, undefined] }, 'must be an ioredis client, got undefined'],
  ['a Cluster', { nodes: [one, two, cluster] }, 'nodes must be of one Redis each, got a Cluster'],
  [
    'a parameter that is ours',
    { nodes: [one, two, 'redis://three?keyPrefix=a'] },
    "url must not set keyPrefix, got 'redis://three?keyPrefix=***'",
  ],
  [
    'an unknown option',
    { nodes: urls, quorum: 1 },
    "unknown option 'quorum' of RedlockBackend, got 1",
  ],
  ['a secret', { nodes: urls, password: 's' }, "'password' of RedlockBackend, got ***"],
  ['a namespace with braces', { nodes: urls, namespace: '{a}' }, "got '{a}'"],
  [
    'a NaN',
    { nodes: urls, commandTimeout: NaN },
    'commandTimeout must be a positive duration, got NaN',
  ],
  [
    'no time',
    { nodes: urls, commandTimeout: 0 },
    'commandTimeout must be a positive duration of at least 1 ms, got 0',
  ],
])('%s is refused', (_, options, message) => {
  expect(() => make(options)).toThrow(LockConfigurationError);
  expect(() => make(options)).toThrow(message);
});

it('no secret is told', () => {
  const secret = 'redis://user:secret@one';
  expect(() => make({ nodes: [secret, two, secret] })).toThrow("got 'redis://***@one' twice");
});
