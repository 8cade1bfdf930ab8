import { Redis } from 'ioredis';
import { eventually } from './eventually.js';
import { RedisServer } from './redis-server.js';

export const host = '127.0.0.1';

/** One of several redis-servers that depend on each other, which a test disturbs and asks. */
export class RedisNode {
  /** For questions to this node alone. */
  readonly admin: Redis;
  #live = true;

  protected constructor(private readonly server: RedisServer) {
    this.admin = adminOf(server.port);
  }

  /** @param settings as on the command line */
  static async start(settings: readonly string[]): Promise<RedisNode> {
    return new RedisNode(await RedisServer.start(settings));
  }

  get port(): number {
    return this.server.port;
  }

  get url(): string {
    return this.server.url;
  }

  /** Whether it can answer: neither killed nor frozen. */
  get live(): boolean {
    return this.#live;
  }

  /** SIGKILL, and waits until it is gone. Its memory is lost. */
  async kill(): Promise<void> {
    this.#live = false;
    await this.server.kill();
  }

  /** SIGSTOP: it keeps its connections and answers nothing. */
  freeze(): void {
    this.#live = false;
    this.server.freeze();
  }

  thaw(): void {
    this.server.thaw();
    this.#live = true;
  }

  /** Starts it again, on the same port. */
  async relaunch(more: readonly string[] = []): Promise<void> {
    await this.server.launch(more);
    await answers(this.admin);
    this.#live = true;
  }

  async info(section: string): Promise<(field: string) => string | undefined> {
    return reader(await this.admin.info(section));
  }

  async stop(): Promise<void> {
    this.admin.disconnect();
    await this.server.stop();
  }
}

/** For questions to a server that may be dead, or may cut its clients off as it changes its role. */
export function adminOf(port: number): Redis {
  const admin = new Redis(port, { enableReadyCheck: false, retryStrategy: () => 50 });
  // What is wrong shows in the answers.
  admin.on('error', () => undefined);
  return admin;
}

/** Waits until the server answers. */
export async function answers(admin: Redis): Promise<void> {
  await eventually('an answer of a server', () =>
    admin.ping().then(
      () => true,
      () => false,
    ),
  );
}

/** Reads the fields of what INFO, or CLUSTER INFO, says. */
export function reader(info: string): (field: string) => string | undefined {
  return (field) => new RegExp(`^${field}:(.*?)\\r?$`, 'm').exec(info)?.[1];
}

/** Does it so many times at once, and waits for all before it fails: what was started can then be stopped. */
export async function allOf(count: number, start: (index: number) => Promise<void>): Promise<void> {
  const started = await Promise.allSettled(
    Array.from({ length: count }, (_, index) => start(index)),
  );
  for (const one of started) if (one.status === 'rejected') throw one.reason;
}
