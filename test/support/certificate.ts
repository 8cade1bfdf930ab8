import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import tls from 'node:tls';

/** A certificate for this machine, made and signed by nobody but ourselves. */
export class Certificate {
  readonly #folder = mkdtempSync(join(tmpdir(), 'nestjs-lock-tls-'));
  readonly file = join(this.#folder, 'certificate.pem');
  readonly keyFile = join(this.#folder, 'key.pem');

  private constructor(names: string) {
    const what = 'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2';
    const whom = ['-subj', '/CN=localhost', '-addext', `subjectAltName=${names}`];
    const where = ['-out', this.file, '-keyout', this.keyFile];
    execFileSync('openssl', [...what.split(' '), ...whom, ...where], { stdio: 'pipe' });
  }

  /** @param names as openssl takes them */
  static make(names = 'DNS:localhost,IP:127.0.0.1'): Certificate {
    return new Certificate(names);
  }

  /** What a server of Redis needs to serve it at a port. */
  settings(port: number): string[] {
    return [
      ...['--tls-port', String(port), '--tls-auth-clients', 'no', '--tls-ca-cert-file', this.file],
      ...['--tls-cert-file', this.file, '--tls-key-file', this.keyFile],
    ];
  }

  /**
   * Has this process trust it until what is returned is called: as NODE_EXTRA_CA_CERTS would, which is
   * only read when a process starts.
   */
  trust(): () => void {
    const create = tls.createSecureContext;
    tls.createSecureContext = (options) => {
      const made = create(options);
      (made.context as { addCACert(text: string): void }).addCACert(this.text);
      return made;
    };
    return () => {
      tls.createSecureContext = create;
    };
  }

  get text(): string {
    return readFileSync(this.file, 'utf8');
  }

  remove(): void {
    rmSync(this.#folder, { recursive: true });
  }
}
