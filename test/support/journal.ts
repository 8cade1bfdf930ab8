import { setImmediate as turn } from 'node:timers/promises';
import {
  MemoryBackend,
  type Answer,
  type BackendConnection,
  type LeaseIdentity,
  type LockBackend,
  type LockProcess,
  type LockRequest,
} from 'nestjs-lock';

/** So that a body that runs unlocked meets the others inside. */
const TURNS_INSIDE = 5;

/**
 * A memory backend that writes down, for each key, what it did and what the bodies did, in the
 * order in which it happened. So a body that ran unlocked, under a lock that was released already,
 * or under two locks, shows.
 */
export class Journal implements LockBackend {
  readonly name = 'memory';
  readonly minTtl = 10;
  readonly supports = { shared: true, limit: true };
  readonly #memory = new MemoryBackend();
  readonly #events = new Map<string, string[]>();
  /** Request ids of holders, by key. */
  readonly #holders = new Map<string, string>();
  /** Connections that were closed. */
  closed = 0;

  /**
   * What happened under the key: `granted`, `enter`, `leave`, `released`, `stray release` (by one
   * who did not hold it), and the test's own notes.
   */
  of(key: string): readonly string[] {
    return this.#events.get(key) ?? [];
  }

  clear(): void {
    this.#events.clear();
    this.closed = 0;
  }

  note(key: string, event: string): void {
    this.#events.set(key, [...this.of(key), event]);
  }

  /** What a decorated body does: it enters, lets everything else run, leaves, and answers. */
  async body<T>(key: string, result: T): Promise<T> {
    this.note(key, 'enter');
    for (let turns = 0; turns < TURNS_INSIDE; turns++) await turn();
    this.note(key, 'leave');
    return result;
  }

  connect(process: LockProcess): BackendConnection {
    const memory = this.#memory.connect(process);
    return {
      ...memory,
      acquireAll: undefined,
      acquire: async (request) => this.#hear(request, await memory.acquire(request)),
      release: (lease, keepFor) => {
        this.#releasing(lease, 'stray release');
        return memory.release(lease, keepFor);
      },
      cancel: (request) => {
        this.#releasing(request);
        return memory.cancel(request);
      },
      close: () => {
        this.closed++;
        return memory.close();
      },
    };
  }

  #hear(request: LockRequest, answer: Answer): Answer {
    const granted = () => {
      this.#holders.set(request.key, request.id);
      this.note(request.key, 'granted');
    };
    if (answer.state === 'granted') granted();
    if (answer.state !== 'waiting') return answer;
    return {
      ...answer,
      granted: answer.granted.then((grant) => {
        granted();
        return grant;
      }),
    };
  }

  /** Written down before the backend does it: the release grants the next waiter in the same step. */
  #releasing({ key, id }: LeaseIdentity, otherwise?: string): void {
    if (this.#holders.get(key) === id) {
      this.#holders.delete(key);
      this.note(key, 'released');
    } else if (otherwise !== undefined) {
      this.note(key, otherwise);
    }
  }
}

/** The journal of so many calls that were each locked exactly once, one after the other. */
export function lockedOnce(calls = 1): string[] {
  return Array.from({ length: calls }, () => ['granted', 'enter', 'leave', 'released']).flat();
}
