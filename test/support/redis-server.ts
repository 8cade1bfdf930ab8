import { spawnSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { freePort, onFreePorts } from './free-port.js';
import { RedisProcess } from './redis-process.js';

/**
 * A real redis-server of a test's own, on a port of the system's choosing, without persistence.
 *
 * Where there is no redis-server, the one at TEST_REDIS_URL serves the tests that are content with a
 * server as it is; those that stop, start or configure theirs fail with the reason.
 */
export class RedisServer {
  readonly #process = new RedisProcess();

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
    try {
      return await onFreePorts(async () => {
        const server = new RedisServer(await freePort(), folder, settings, environment);
        await server.launch();
        return server;
      });
    } catch (error) {
      await rm(folder, { recursive: true, force: true });
      throw error;
    }
  }

  get url(): string {
    return this.foreign ?? `redis://127.0.0.1:${this.port}`;
  }

  /**
   * Starts the process (again, on the same port and with empty memory) and waits until it accepts connections.
   * @param more settings for this time only
   */
  async launch(more: readonly string[] = []): Promise<void> {
    this.#mustBeOurs();
    const fixed = ['--port', String(this.port), '--bind', '127.0.0.1', '--dir', this.folder];
    const lean = ['--save', '', '--appendonly', 'no', '--daemonize', 'no'];
    await this.#process.launch(
      [...fixed, ...lean, ...this.settings, ...more],
      'Ready to accept connections',
      this.environment,
    );
  }

  /** A plain client for the test's own questions to the server; the test closes it. */
  client(): Redis {
    return new Redis(this.url);
  }

  /** SIGSTOP: it keeps its connections and answers nothing. */
  freeze(): void {
    this.#mustBeOurs();
    this.#process.freeze();
  }

  thaw(): void {
    this.#process.thaw();
  }

  /** SIGKILL, and waits until it is gone. Its memory is lost; {@link launch} starts it anew. */
  async kill(): Promise<void> {
    this.#mustBeOurs();
    await this.#process.kill();
  }

  async stop(): Promise<void> {
    await this.#process.kill();
    await rm(this.folder, { recursive: true, force: true });
  }

  #mustBeOurs(): void {
    if (this.foreign === undefined) return;
    throw new Error(
      'this test controls its own redis-server, which is not on the PATH: install it',
    );
  }
}
