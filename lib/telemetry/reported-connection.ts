import type {
  Answer,
  BackendConnection,
  BusyKey,
  Grant,
  HeldLease,
  KeyState,
  LeaseIdentity,
  LeaseRenewal,
  LockRequest,
  Revocation,
} from '../backends/lock-backend.js';
import type { Reporter } from './reporter.js';

/** A connection of which each call is told, as long as somebody listens. */
export class ReportedConnection implements BackendConnection {
  // Private by name: what is behind it, down to the client's password, is for no printer.
  readonly #connection: BackendConnection;
  readonly #reporter: Reporter;
  readonly acquireAll:
    ((requests: readonly LockRequest[]) => Promise<readonly Grant[] | BusyKey>) | undefined;

  constructor(connection: BackendConnection, reporter: Reporter) {
    this.#connection = connection;
    this.#reporter = reporter;
    const acquireAll = connection.acquireAll?.bind(connection);
    if (acquireAll === undefined) return;
    this.acquireAll = (requests) =>
      reporter.hearsOfCalls
        ? reporter.call('acquire', requests.length, () => acquireAll(requests))
        : acquireAll(requests);
  }

  troubleWith(key: string): Error | undefined {
    return this.#connection.troubleWith(key);
  }

  acquire(request: LockRequest): Answer | Promise<Answer> {
    return this.#reporter.hearsOfCalls
      ? this.#reporter.call('acquire', 1, () => this.#connection.acquire(request))
      : this.#connection.acquire(request);
  }

  cancel(request: LockRequest): Promise<void> {
    return this.#reporter.hearsOfCalls
      ? this.#reporter.call('cancel', 1, () => this.#connection.cancel(request))
      : this.#connection.cancel(request);
  }

  renew(leases: readonly LeaseRenewal[]): Promise<readonly (boolean | Error)[]> {
    return this.#reporter.hearsOfCalls
      ? this.#reporter.call('renew', leases.length, () => this.#connection.renew(leases))
      : this.#connection.renew(leases);
  }

  release(lease: HeldLease, keepFor: number): boolean | Promise<boolean> {
    return this.#reporter.hearsOfCalls
      ? this.#reporter.call('release', 1, () => this.#connection.release(lease, keepFor))
      : this.#connection.release(lease, keepFor);
  }

  downgrade(lease: LeaseIdentity): Promise<boolean> {
    return this.#reporter.hearsOfCalls
      ? this.#reporter.call('downgrade', 1, () => this.#connection.downgrade(lease))
      : this.#connection.downgrade(lease);
  }

  inspect(key: string): Promise<KeyState> {
    return this.#reporter.hearsOfCalls
      ? this.#reporter.call('inspect', 1, () => this.#connection.inspect(key))
      : this.#connection.inspect(key);
  }

  list(pattern: string): AsyncIterable<string> {
    return this.#connection.list(pattern);
  }

  revoke(key: string, revocation: Revocation): Promise<number> {
    return this.#reporter.hearsOfCalls
      ? this.#reporter.call('revoke', 1, () => this.#connection.revoke(key, revocation))
      : this.#connection.revoke(key, revocation);
  }

  forceRelease(key: string): Promise<number> {
    return this.#reporter.hearsOfCalls
      ? this.#reporter.call('force_release', 1, () => this.#connection.forceRelease(key))
      : this.#connection.forceRelease(key);
  }

  close(): Promise<void> {
    return this.#connection.close();
  }
}
