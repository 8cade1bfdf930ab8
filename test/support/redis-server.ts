import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { freePort } from './free-port.js';

/**
 * A real redis-server of a test's own, on a port of the system's choosing, without persistence.
 *
 * Where there is no redis-server, the one at TEST_REDIS_URL serves the tests that are content with a
 * server as it is; those that stop, start or configure theirs fail with the reason.
 */
export class RedisServer {
  #child: ChildProcess | undefined;

  private constructor(
    readonly port: number,
    private readonly folder: string,
    private readonly settings: readonly string[],
    private readonly environment: NodeJS.ProcessEnv,
    private readonly foreign?: string,
  ) {}

  /** @param settings as on the command line: `'--requirepass', 'secret'` */
  static async start(
    settings: readonly string[] = [],
    environment: NodeJS.ProcessEnv = {},
  ): Promise<RedisServer> {
    const folder = await mkdtemp(join(tmpdir(), 'nestjs-lock-redis-'));
    const foreign = process.env.TEST_REDIS_URL;
    if (foreign !== undefined && spawnSync('redis-server', ['--version']).error !== undefined) {
      const server = new RedisServer(
        Number(new URL(foreign).port || 6379),
        folder,
        settings,
        environment,
        foreign,
      );
      if (settings.length > 0) server.#mustBeOurs();
      return server;
    }
    const server = new RedisServer(await freePort(), folder, settings, environment);
    await server.launch();
    return server;
  }

  get url(): string {
    return this.foreign ?? `redis://127.0.0.1:${this.port}`;
  }

  /** Starts the process (again, on the same port and with empty memory) and waits until it accepts connections. */
  async launch(): Promise<void> {
    this.#mustBeOurs();
    const fixed = ['--port', String(this.port), '--bind', '127.0.0.1', '--dir', this.folder];
    const lean = ['--save', '', '--appendonly', 'no', '--daemonize', 'no'];
    const child = spawn('redis-server', [...fixed, ...lean, ...this.settings], {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, ...this.environment },
    });
    this.#child = child;
    await new Promise<void>((resolve, reject) => {
      let log = '';
      child.stdout.on('data', (chunk: Buffer) => {
        log += chunk.toString();
        if (log.includes('Ready to accept connections')) resolve();
      });
      child.once('error', reject);
      child.once('exit', (code) => {
        reject(new Error(`redis-server ended with ${String(code)}: ${log}`));
      });
    });
  }

  /** A plain client for the test's own questions to the server; the test closes it. */
  client(): Redis {
    return new Redis(this.url);
  }

  /** SIGSTOP: it keeps its connections and answers nothing. */
  freeze(): void {
    this.#mustBeOurs();
    this.#child?.kill('SIGSTOP');
  }

  thaw(): void {
    this.#child?.kill('SIGCONT');
  }

  /** SIGKILL, and waits until it is gone. Its memory is lost; {@link launch} starts it anew. */
  async kill(): Promise<void> {
    this.#mustBeOurs();
    await this.#end();
  }

  async stop(): Promise<void> {
    await this.#end();
    await rm(this.folder, { recursive: true, force: true });
  }

  #mustBeOurs(): void {
    if (this.foreign === undefined) return;
    throw new Error(
      'this test controls its own redis-server, which is not on the PATH: install it',
    );
  }

  async #end(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child?.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  }
}
