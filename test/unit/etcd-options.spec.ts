import { Etcd3 } from 'etcd3';
import { LockConfigurationError } from 'nestjs-lock';
import { EtcdBackend, type EtcdBackendOptions } from 'nestjs-lock/etcd';

const hosts = 'http://127.0.0.1:2379';
const client = new Etcd3({ hosts });
const rootCertificate = Buffer.from('certificate');

afterAll(() => {
  client.close();
});

function make(options: unknown): EtcdBackend {
  return new EtcdBackend(options as EtcdBackendOptions);
}

it.each<[string, object]>([
  ['a host', { hosts }],
  ['a host without http://', { hosts: '127.0.0.1:2379' }],
  ['hosts', { hosts: ['https://one:2379', 'https://two:2379'] }],
  ['an IPv6 host', { hosts: 'http://[::1]:2379' }],
  ['a client', { client }],
  ['options that are undefined', { client, hosts: undefined, auth: undefined }],
  ['credentials', { hosts, credentials: { rootCertificate } }],
  ['auth', { hosts, auth: { username: 'user', password: '' } }],
  ['grpcOptions', { hosts, grpcOptions: { 'grpc.keepalive_time_ms': 10_000 } }],
  ['a namespace with slashes', { hosts, namespace: '/app/locks' }],
  ['a commandTimeout', { hosts, commandTimeout: '500ms' }],
])('%s will do', (_, options) => {
  expect(make(options)).toMatchObject({ name: 'etcd', minTtl: 1_000 });
});

it.each<[string, unknown, string]>([
  ['nothing', undefined, 'options must be an object, got undefined'],
  ['neither', {}, 'EtcdBackend needs exactly one of hosts and client, got []'],
  ['both', { hosts, client }, "exactly one of hosts and client, got [ 'hosts', 'client' ]"],
  ['an unknown option', { hosts, urls: 1 }, "unknown option 'urls' of EtcdBackend, got 1"],
  ['a secret', { hosts, password: 'secret' }, "unknown option 'password' of EtcdBackend, got ***"],
  ['no hosts', { hosts: [] }, 'hosts must be one or more of http://host:port'],
  ['an empty host', { hosts: [hosts, ''] }, 'hosts must be one or more'],
  ['a number', { hosts: 2379 }, 'https://host:port, got 2379'],
  ['another protocol', { hosts: 'redis://one' }, "got 'redis://one'"],
  ['a path', { hosts: `${hosts}/v3` }, `got '${hosts}/v3'`],
  ['credentials in a host', { hosts: 'http://a:secret@one' }, "got 'http://***@one'"],
  ['mixed hosts', { hosts: ['http://one', 'https://two'] }, 'hosts must be all with https://'],
  ['no client', { client: {} }, 'client must be an Etcd3 client, got {}'],
  ['auth for a client', { client, auth: {} }, 'auth is for hosts: a client brings its own'],
  ['no certificate', { hosts, credentials: {} }, 'credentials must have a rootCertificate'],
  [
    'a key without its certificate',
    { hosts, credentials: { rootCertificate, privateKey: rootCertificate } },
    'privateKey and certChain both or neither, as Buffers',
  ],
  ['a path for a file', { hosts, credentials: { rootCertificate: 'ca.pem' } }, 'as Buffers'],
  ['no user', { hosts, auth: { password: 'secret' } }, 'got the username undefined'],
  ['no password', { hosts, auth: { username: 'user' } }, "got the username 'user'"],
  [
    'too many pings',
    { hosts, grpcOptions: { 'grpc.keepalive_time_ms': 1_000 } },
    'grpc.keepalive_time_ms must be at least 10000, as etcd ends connections that ask more often, got 1000',
  ],
  ['no grpcOptions', { hosts, grpcOptions: 'none' }, "grpcOptions must be an object, got 'none'"],
  ['an empty namespace', { hosts, namespace: '' }, 'namespace must be a string of 1 to 200'],
  [
    'a space',
    { hosts, namespace: 'a b' },
    "without spaces and without a slash at its end, got 'a b'",
  ],
  ['a slash at the end', { hosts, namespace: 'app/' }, "got 'app/'"],
  ['a long namespace', { hosts, namespace: 'x'.repeat(201) }, 'of 1 to 200 characters'],
  ['half a character', { hosts, namespace: '\ud800' }, 'namespace must be a string'],
  ['no time', { hosts, commandTimeout: 0 }, 'commandTimeout must be a positive duration'],
  [
    'nonsense',
    { hosts, commandTimeout: 'soon' },
    "commandTimeout must be a positive duration, got 'soon'",
  ],
])('%s is refused by name', (_, options, message) => {
  expect(() => make(options)).toThrow(LockConfigurationError);
  expect(() => make(options)).toThrow(message);
});

it('a ttl under a second is refused', async () => {
  const { LockService } = await import('nestjs-lock');
  const backend = make({ hosts });
  expect(() => new LockService({ backend, ttl: 999 })).toThrow(/ttl.*1000 ms.*999/s);
});
