// The servers of a run: five Redis nodes, one etcd and one PostgreSQL, on free ports, in a folder that goes
// with them.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { startPostgres } from './postgres.mjs';

const redisNodes = 5;
const patience = 20_000;

export async function startServers() {
  const folder = mkdtempSync(join(tmpdir(), 'nestjs-lock-bench-'));
  const processes = [];
  const stop = () => {
    for (const [process, signal] of processes) process.kill(signal);
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  };
  process.on('exit', stop);

  /** Starts a program that ends this one if it ends by itself. */
  const start = (program, args, options = { cwd: folder, stdio: 'ignore' }, signal = 'SIGKILL') => {
    const process_ = spawn(program, args, options);
    process_.on('error', (error) => {
      throw error;
    });
    processes.push([process_, signal]);
    return process_;
  };

  const ports = await freePorts(redisNodes + 3);
  const redisPorts = ports.slice(0, redisNodes);
  const [client, peer] = ports.slice(redisNodes).map((port) => `http://127.0.0.1:${port}`);
  const postgresPort = ports.at(-1);
  // Nothing is written to the disk: an fsync of Redis would measure the disk, for all alike.
  for (const port of redisPorts) {
    start(
      'redis-server',
      `--port ${port} --bind 127.0.0.1 --appendonly no --save`.split(' ').concat(''),
    );
  }
  // etcd is nothing without its disk: it has the one that the folder for temporary files is on.
  start('etcd', [
    ...['--data-dir', join(folder, 'etcd'), '--log-level', 'error'],
    ...['--listen-client-urls', client, '--advertise-client-urls', client],
    ...['--listen-peer-urls', peer, '--initial-advertise-peer-urls', peer],
    ...['--initial-cluster', `default=${peer}`],
  ]);

  const admins = redisPorts.map((port) => new Redis(port));
  const [postgres] = await Promise.all([
    startPostgres(folder, postgresPort, start),
    ...admins.map((admin) => admin.ping()),
    etcdIsUp(client),
  ]);
  return {
    redis: redisPorts.map((port) => `redis://127.0.0.1:${port}`),
    etcd: client,
    postgres,
    /** A connection to each Redis node, for what the bench itself has to ask. */
    admins,
    async versions() {
      const info = await admins[0].info('server');
      const { etcdserver } = await (await fetch(`${client}/version`)).json();
      const { rows } = await postgres.admin.query('SHOW server_version');
      return {
        redis: /redis_version:(\S+)/.exec(info)[1],
        etcd: etcdserver,
        postgres: /^\S+/.exec(rows[0].server_version)[0],
      };
    },
    /**
     * Empties the Redis nodes, while no contestant is connected: to one it would be a fault of the
     * server. On etcd
     * and PostgreSQL every measurement has keys of its own.
     */
    clear: () => Promise.all(admins.map((admin) => admin.flushall())),
  };
}

async function etcdIsUp(url) {
  for (const start = Date.now(); Date.now() - start < patience; await sleep(50)) {
    const answer = await fetch(`${url}/health`).catch(() => undefined);
    if (answer?.ok) return;
  }
  throw new Error('etcd does not start');
}

/** Ports that nobody listens on; all are asked for at once, so that they differ. */
async function freePorts(count) {
  const listeners = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer();
      await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
      return server;
    }),
  );
  const ports = listeners.map((server) => server.address().port);
  await Promise.all(listeners.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}
