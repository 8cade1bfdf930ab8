import {
  type Answer,
  type BackendConnection,
  type Grant,
  Instant,
  type KeyState,
  type LeaseIdentity,
  type LeaseRenewal,
  type LockBackend,
  type LockProcess,
  type LockRequest,
} from 'nestjs-lock';

/** What was asked of the store, by the method that was called. */
interface Asked {
  readonly acquire: LockRequest[];
  readonly cancel: LockRequest[];
  readonly renew: (readonly LeaseRenewal[])[];
  readonly release: LeaseIdentity[];
  readonly downgrade: LeaseIdentity[];
  readonly inspect: string[];
  readonly close: null[];
}

/**
 * A backend that answers as the test says, and remembers what it was asked. A test replaces the
 * answer of a method; without that, whoever asks is granted at once and everything succeeds.
 */
export class ScriptedBackend implements LockBackend {
  readonly name = 'scripted';
  readonly minTtl = 10;
  readonly supports = { shared: true, limit: true };

  connections = 0;
  readonly asked: Asked = {
    acquire: [],
    cancel: [],
    renew: [],
    release: [],
    downgrade: [],
    inspect: [],
    close: [],
  };

  trouble: Error | undefined;
  /** Tells the service that connected last that the store ended a lease. */
  lose: (id: string) => void = () => undefined;
  acquire = (request: LockRequest): Promise<Answer> => Promise.resolve(this.grant(request));
  cancel = (_request: LockRequest): Promise<void> => Promise.resolve();
  renew = (leases: readonly LeaseRenewal[]): Promise<(boolean | Error)[]> =>
    Promise.resolve(leases.map(() => true));
  release = (_lease: LeaseIdentity, _keepFor: number): Promise<boolean> => Promise.resolve(true);
  downgrade = (_lease: LeaseIdentity): Promise<boolean> => Promise.resolve(true);
  inspect = (_key: string): Promise<KeyState> =>
    Promise.resolve({ holders: [], waiters: 0, queue: [] });

  #token = 0;

  connect(process: LockProcess): BackendConnection {
    this.connections++;
    this.lose = (id) => {
      process.lost(id);
    };
    return {
      troubleWith: () => this.trouble,
      acquire: (request) => (this.asked.acquire.push(request), this.acquire(request)),
      cancel: (request) => (this.asked.cancel.push(request), this.cancel(request)),
      renew: (leases) => (this.asked.renew.push(leases), this.renew(leases)),
      release: (lease, keepFor) => (this.asked.release.push(lease), this.release(lease, keepFor)),
      downgrade: (lease) => (this.asked.downgrade.push(lease), this.downgrade(lease)),
      inspect: (key) => (this.asked.inspect.push(key), this.inspect(key)),
      list: async function* () {
        // It has no keys.
      },
      revoke: () => Promise.resolve(0),
      forceRelease: () => Promise.resolve(0),
      close: () => (this.asked.close.push(null), Promise.resolve()),
    };
  }

  /** How many calls reached the store. */
  get calls(): number {
    return Object.values<readonly unknown[]>({ ...this.asked }).reduce(
      (sum, { length }) => sum + length,
      0,
    );
  }

  /** A lease that begins now, or where the test says. */
  grant({ ttl }: { readonly ttl: number }, since = Instant.now()): Grant {
    return { state: 'granted', token: ++this.#token, since, ttl };
  }
}

/** A promise that the test settles when it likes. */
export function pending<T>(): {
  readonly promise: Promise<T>;
  readonly resolve: (value: T) => void;
  readonly reject: (error: unknown) => void;
} {
  let settle!: { resolve: (value: T) => void; reject: (error: unknown) => void };
  const promise = new Promise<T>((resolve, reject) => {
    settle = { resolve, reject };
  });
  return { promise, ...settle };
}

/** For a store that hangs. */
export const never = new Promise<never>(() => undefined);
