import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A certificate for this machine, made and signed by nobody but ourselves. */
export class Certificate {
  readonly #folder = mkdtempSync(join(tmpdir(), 'nestjs-lock-tls-'));
  readonly file = join(this.#folder, 'certificate.pem');
  readonly keyFile = join(this.#folder, 'key.pem');

  private constructor() {
    const what = 'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2';
    const whom = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1'];
    const where = ['-out', this.file, '-keyout', this.keyFile];
    execFileSync('openssl', [...what.split(' '), ...whom, ...where], { stdio: 'pipe' });
  }

  static make(): Certificate {
    return new Certificate();
  }

  get text(): string {
    return readFileSync(this.file, 'utf8');
  }

  remove(): void {
    rmSync(this.#folder, { recursive: true });
  }
}
