import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, chownSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { migrate } from 'nestjs-lock/postgres';
import pg from 'pg';
import { freePort, onFreePorts } from './free-port.js';
import { postgresProgram } from './postgres-programs.js';

/** PostgreSQL does not run as root: nobody, and nogroup. */
const NOBODY = 65_534;

/** In memory, where the system has that: each commit waits for its disk. */
const storage = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();

/** A real PostgreSQL of a test's own, on a port of the system's choosing, with the schema of the locks. */
export class PostgresServer {
  #child: ChildProcess | undefined;

  private constructor(
    readonly port: number,
    private readonly folder: string,
    private readonly user: { readonly uid?: number; readonly gid?: number },
  ) {}

  static async start(): Promise<PostgresServer> {
    const folder = mkdtempSync(join(storage, 'nestjs-lock-postgres-'));
    const user = process.getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : {};
    if (user.uid !== undefined) chownSync(folder, user.uid, user.gid);
    chmodSync(folder, 0o700);
    try {
      const cluster = ['--auth=trust', '--username=postgres', '--locale=C', '--encoding=UTF8'];
      execFileSync(postgresProgram('initdb'), [`--pgdata=${folder}`, '--no-sync', ...cluster], {
        cwd: folder,
        stdio: 'ignore',
        ...user,
      });
      const server = await onFreePorts(async () => {
        const one = new PostgresServer(await freePort(), folder, user);
        await one.launch();
        return one;
      });
      await server.ask(migrate);
      return server;
    } catch (error) {
      rmSync(folder, { recursive: true, force: true });
      throw error;
    }
  }

  get url(): string {
    return this.as('postgres');
  }

  /** The URL for a role. */
  as(role: string): string {
    return `postgres://${role}@127.0.0.1:${this.port}/postgres`;
  }

  /** Starts it, again with what it had written, and waits until it accepts connections. */
  async launch(): Promise<void> {
    const settings = ['-h', '127.0.0.1', '-p', String(this.port), '-k', '', '-F'];
    const child = spawn(postgresProgram('postgres'), ['-D', this.folder, ...settings], {
      cwd: this.folder,
      stdio: ['ignore', 'ignore', 'pipe'],
      ...this.user,
    });
    this.#child = child;
    await new Promise<void>((resolve, reject) => {
      let log = '';
      child.stderr.on('data', (chunk: Buffer) => {
        log = (log + chunk.toString()).slice(-10_000);
        if (log.includes('ready to accept connections')) resolve();
      });
      child.once('error', reject);
      child.once('exit', (code) => {
        reject(new Error(`postgres ended with ${String(code)}: ${log}`));
      });
    });
  }

  /** Something for a client of its own. */
  async ask<T>(question: (client: pg.Client) => Promise<T>): Promise<T> {
    const client = new pg.Client(this.url);
    // The server may end under it.
    client.on('error', () => undefined);
    await client.connect();
    try {
      return await question(client);
    } finally {
      await client.end().catch(() => undefined);
    }
  }

  /** The rows that a statement answers. */
  query(text: string, values: unknown[] = []): Promise<Record<string, unknown>[]> {
    return this.ask(async (client) => {
      const { rows } = await client.query<Record<string, unknown>>(text, values);
      return rows;
    });
  }

  /** SIGSTOP to all of its processes: it keeps its connections and answers nothing. */
  freeze(): void {
    this.#signal('SIGSTOP');
  }

  thaw(): void {
    this.#signal('SIGCONT');
  }

  /** As in a crash: nothing is written any more, connections end; {@link launch} recovers what was committed. */
  kill(): Promise<void> {
    return this.#end('SIGQUIT');
  }

  /** As an operator stops it: connections are told. */
  shutDown(): Promise<void> {
    return this.#end('SIGINT');
  }

  async stop(): Promise<void> {
    this.thaw();
    await this.kill();
    rmSync(this.folder, { recursive: true, force: true });
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child?.exitCode !== null || child.signalCode !== null) return;
    child.kill(signal);
    await once(child, 'exit');
  }

  /** Each of its sessions is a process. */
  #signal(signal: NodeJS.Signals): void {
    const pid = this.#child?.pid;
    if (pid === undefined) return;
    const sessions = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ');
    for (const one of [pid, ...sessions.map(Number)]) {
      try {
        process.kill(one, signal);
      } catch {
        // A session has ended meanwhile.
      }
    }
  }
}
