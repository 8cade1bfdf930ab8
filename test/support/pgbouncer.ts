import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { chmod } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort, onFreePorts } from './free-port.js';

/** Where Debian puts it, which is not on everybody's PATH. */
const DEBIAN = '/usr/sbin/pgbouncer';

/** It does not run as root: nobody, and nogroup. */
const NOBODY = 65_534;

/** A real pgbouncer in transaction mode before a server: with two connections for all who come. */
export class PgBouncer {
  private constructor(
    readonly url: string,
    private readonly folder: string,
    private readonly child: ChildProcess,
  ) {}

  static async start(server: number): Promise<PgBouncer> {
    const folder = mkdtempSync(join(tmpdir(), 'nestjs-lock-pgbouncer-'));
    await chmod(folder, 0o755);
    try {
      return await onFreePorts(async () => {
        const port = await freePort();
        const file = join(folder, 'pgbouncer.ini');
        writeFileSync(join(folder, 'users.txt'), '"postgres" ""\n');
        writeFileSync(
          file,
          `[databases]
postgres = host=127.0.0.1 port=${server} dbname=postgres user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = trust
auth_file = ${join(folder, 'users.txt')}
pool_mode = transaction
default_pool_size = 2
`,
        );
        const child = spawn(existsSync(DEBIAN) ? DEBIAN : 'pgbouncer', [file], {
          stdio: ['ignore', 'ignore', 'pipe'],
          ...(process.getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : {}),
        });
        await new Promise<void>((resolve, reject) => {
          let log = '';
          child.stderr.on('data', (chunk: Buffer) => {
            log += chunk.toString();
            if (log.includes('process up')) resolve();
          });
          child.once('error', reject);
          child.once('exit', (code) => {
            reject(new Error(`pgbouncer ended with ${String(code)}: ${log}`));
          });
        });
        return new PgBouncer(`postgres://postgres@127.0.0.1:${port}/postgres`, folder, child);
      });
    } catch (error) {
      rmSync(folder, { recursive: true, force: true });
      throw error;
    }
  }

  async stop(): Promise<void> {
    if (this.child.exitCode === null) {
      this.child.kill('SIGQUIT');
      await once(this.child, 'exit');
    }
    rmSync(this.folder, { recursive: true, force: true });
  }
}
