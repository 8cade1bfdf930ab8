import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Etcd3 } from 'etcd3';
import { LockBackendError } from 'nestjs-lock';
import { EtcdBackend } from 'nestjs-lock/etcd';
import { Certificate } from '../support/certificate.js';
import { EtcdServer } from '../support/etcd-server.js';
import { EtcdView } from '../support/etcd-view.js';
import { freePort } from '../support/free-port.js';
import { eventually } from '../support/eventually.js';
import { expectNoOtherWarnings } from '../support/etcd-warnings.js';
import { failure, openService, useEverything } from '../support/two-processes.js';

let server: EtcdServer;
let admin: Etcd3;
const clients: Etcd3[] = [];

/** Ours to close, at the end of the test. */
function own(client: Etcd3): Etcd3 {
  clients.push(client);
  return client;
}

beforeAll(async () => {
  server = await EtcdServer.start();
  admin = server.client();
});

afterEach(() => {
  for (const client of clients.splice(0)) client.close();
});

afterAll(async () => {
  admin.close();
  await server.stop();
});

describe('the ways to say where etcd is', () => {
  it.each<[string, () => Promise<EtcdBackend> | EtcdBackend]>([
    ['a host', () => new EtcdBackend({ hosts: server.url })],
    ['a host without http://', () => new EtcdBackend({ hosts: `127.0.0.1:${server.port}` })],
    [
      'hosts, of which two are not there',
      async () => {
        const absent = [await freePort(), await freePort()].map((port) => `127.0.0.1:${port}`);
        return new EtcdBackend({ hosts: [...absent, server.url] });
      },
    ],
    ['a client', () => new EtcdBackend({ client: own(server.client()) })],
    [
      'a client with a time limit for all calls',
      () => {
        const defaultCallOptions = () => ({ deadline: Date.now() + 1_000 });
        return new EtcdBackend({ client: own(server.client({ defaultCallOptions })) });
      },
    ],
  ])('%s', async (_, make) => {
    await useEverything(await make(), await make());
    await expectNoOtherWarnings(2);
  });

  it('a host that cannot be reached costs no call: the next one is asked', async () => {
    const ports = await Promise.all(Array.from({ length: 9 }, () => freePort()));
    const hosts = [...ports.map((port) => `127.0.0.1:${port}`), server.url];
    for (let turn = 0; turn < 5; turn++) {
      // Knows none of them yet, and has not met them all when it has the lock.
      const lock = await openService(new EtcdBackend({ hosts })).acquire('unreached');
      await lock.renew();
      await lock.downgrade();
      await lock.renew('1m');
      expect(await lock.release()).toBe('released');
    }
  });

  it('a host that hangs is not asked each time', async () => {
    const links: Socket[] = [];
    const silent = createServer((link) => links.push(link)).listen(0, '127.0.0.1');
    await once(silent, 'listening');
    const { port } = silent.address() as { port: number };
    const hosts = [`http://127.0.0.1:${port}`, server.url];
    const service = openService(new EtcdBackend({ hosts, commandTimeout: 300 }));
    // Asked at random, it would take its time limit a hundred times, and the test all of its own.
    for (let turn = 0; turn < 200; turn++) await service.withLock('hanging', () => undefined);
    await service.close();
    silent.close();
    for (const link of links) link.destroy();
    expect(links.length).toBeGreaterThan(0);
  });

  it('an etcd that is not there is what the error says', async () => {
    const { message } = await failure(new EtcdBackend({ hosts: `127.0.0.1:${await freePort()}` }));
    expect(message).toMatch(/ECONNREFUSED|No connection established/);
  });
});

describe("a client of the application's", () => {
  it('stays open', async () => {
    const client = own(server.client());
    const service = openService(new EtcdBackend({ client }));
    await service.withLock('k', () => undefined);
    await service.close();
    await client.put('color').value('red');
    expect(await client.get('color').string()).toBe('red');
    await client.delete().key('color');
  });

  it('that was closed is what the error says', async () => {
    const client = server.client();
    client.close();
    const { message } = await failure(new EtcdBackend({ client }));
    expect(message).toMatch(/client was already closed.*closed by whoever made it/);
  });

  describe('with an open circuit breaker', () => {
    let fragile: EtcdServer;

    beforeAll(async () => {
      fragile = await EtcdServer.start();
    });

    afterAll(() => fragile.stop());

    it('counts as an etcd that cannot be reached now', async () => {
      const client = own(fragile.client());
      const service = openService(new EtcdBackend({ client }));
      await fragile.kill();
      for (let failures = 0; failures < 4; failures++) {
        await Promise.allSettled([client.get('k').exec()]);
      }
      const error: unknown = await service.acquire('k', { wait: 300 }).catch((e: unknown) => e);
      expect(error).toBeInstanceOf(LockBackendError);
      // It lets nothing pass for 5 s.
      const late = service.acquire('k', { wait: 12_000 });
      await fragile.launch();
      expect((await late).held).toBe(true);
      await service.close();
    });
  });
});

describe('namespaces', () => {
  it('keep the locks of two applications apart', async () => {
    const [shop, bank] = ['shop', '/bank/locks'].map((namespace) =>
      openService(new EtcdBackend({ hosts: server.url, namespace })),
    );
    const lock = await shop!.acquire('k');
    const other = await bank!.acquire('k', { wait: 0 });
    expect(await new EtcdView(admin, 'shop').members('k')).toHaveLength(1);
    expect(await new EtcdView(admin, '/bank/locks').members('k')).toHaveLength(1);
    await other.release();
    expect(lock.held).toBe(true);
    expect((await bank!.inspect('k')).holders).toEqual([]);
    expect((await shop!.inspect('k')).holders).toHaveLength(1);
  });
});

describe('TLS', () => {
  let certificate: Certificate;
  let secure: EtcdServer;

  beforeAll(async () => {
    certificate = Certificate.make();
    const settings = ['--cert-file', certificate.file, '--key-file', certificate.keyFile];
    secure = await EtcdServer.start({ settings, secure: true });
  });

  afterAll(async () => {
    await secure.stop();
    certificate.remove();
  });

  it('with the certificate of who signs', async () => {
    const credentials = { rootCertificate: Buffer.from(certificate.text) };
    const make = () => new EtcdBackend({ hosts: secure.url, credentials });
    await useEverything(make(), make());
    await expectNoOtherWarnings(2);
  });

  it('does not trust a certificate that nobody vouches for', async () => {
    const { message } = await failure(new EtcdBackend({ hosts: secure.url }));
    expect(message).toMatch(/self[- ]signed/i);
  });
});

/** What an application needs. */
const PERM = {
  permType: 'Readwrite',
  key: Buffer.from('nestjs-lock/'),
  range_end: Buffer.from('nestjs-lock0'),
} as const;

describe('users', () => {
  const [root, app] = ['root', 'app'].map((username) => ({ username, password: 's3cret' }));
  let guarded: EtcdServer;

  beforeAll(async () => {
    // Its tokens end after so many seconds without use.
    guarded = await EtcdServer.start({ settings: ['--auth-token-ttl', '1'] });
    const client = guarded.client();
    for (const { username, password } of [root!, app!]) {
      await client.role(username).create();
      await client.auth.userAdd({ name: username, password });
      await client.user(username).addRole(username);
    }
    await client.auth.roleGrantPermission({
      name: 'app',
      perm: PERM,
    });
    await client.auth.authEnable();
    client.close();
  });

  afterAll(() => guarded.stop());

  const make = (auth: typeof app, namespace?: string) =>
    new EtcdBackend({ hosts: guarded.url, auth, namespace });

  it('with rights for the namespace and nothing else', async () => {
    await useEverything(make(app), make(app));
    await expectNoOtherWarnings(2);
  });

  it('whose token has ended log in again', async () => {
    const [first, second] = [openService(make(app)), openService(make(app))];
    const lock = await first.acquire('token', { ttl: '2s' });
    const next = second.acquire('token');
    await sleep(3_000);
    expect(lock.held).toBe(true);
    await lock.release();
    await (await next).release();
    await sleep(2_000);
    await first.withLock('token', () => undefined);
  });

  it('whose rights were missing when a lock was given back leave nothing behind when they are back', async () => {
    const admin = guarded.client({ auth: root });
    const [locks, other] = [
      openService(make(app), { ttl: '2s', wait: 500 }),
      openService(make(app)),
    ];
    const lock = await locks.acquire('refused');
    // The application goes on working, which keeps the lease of all its locks of that ttl alive.
    const over = new AbortController();
    const working = (async () => {
      while (!over.signal.aborted) {
        await locks.withLock('job', () => undefined).catch(() => undefined);
        await sleep(100);
      }
    })();
    await admin.auth.roleRevokePermission({
      role: 'app',
      key: PERM.key,
      range_end: PERM.range_end,
    });
    expect(await lock.release()).toBe('unconfirmed');
    await eventually('the lease is over', () => lock.remaining === 0);
    await sleep(2_000);
    await admin.auth.roleGrantPermission({ name: 'app', perm: PERM });

    const next = await other.acquire('refused', { wait: '20s' });
    await next.release();
    over.abort();
    await working;
    admin.close();
  });

  it('without rights are told so', async () => {
    const { message } = await failure(make(app, 'elsewhere'));
    expect(message).toMatch(/permission denied.*prefix of the namespace/);
  });

  it('with a wrong password are told so, without it', async () => {
    const { message } = await failure(make({ username: 'app', password: 'wr0ng' }));
    expect(message).toMatch(/authentication failed.*username and password/);
    expect(message).not.toContain('wr0ng');
  });

  it('that are not named are told so', async () => {
    const { message } = await failure(make(undefined));
    expect(message).toMatch(/user name is empty.*username and password/);
  });

  it('are too much for an etcd without users', async () => {
    const { message } = await failure(new EtcdBackend({ hosts: server.url, auth: app }));
    expect(message).toMatch(/authentication is not enabled.*leave auth out/);
  });
});
