import { MemoryBackend, type BackendConnection, type LockBackend } from 'nestjs-lock';

/** What may happen to a call: `end` is that of what the other package does around the method. */
export type Event = 'granted' | 'enter' | 'leave' | 'released' | 'end';

/** A memory backend that writes down what it did, between what the bodies and the other package did. */
export class Journal implements LockBackend {
  readonly name = 'memory';
  readonly minTtl = 10;
  readonly supports = { shared: true, limit: true };
  readonly #memory = new MemoryBackend();
  readonly events: Event[] = [];

  count(event: Event): number {
    return this.events.filter((it) => it === event).length;
  }

  connect(...process: Parameters<LockBackend['connect']>): BackendConnection {
    const memory = this.#memory.connect(...process);
    return {
      ...memory,
      acquireAll: undefined,
      acquire: async (request) => {
        const answer = await memory.acquire(request);
        if (answer.state === 'granted') this.events.push('granted');
        if (answer.state !== 'waiting') return answer;
        const granted = answer.granted.then((grant) => {
          this.events.push('granted');
          return grant;
        });
        return { ...answer, granted };
      },
      release: (lease, keepFor) => {
        this.events.push('released');
        return memory.release(lease, keepFor);
      },
    };
  }
}
