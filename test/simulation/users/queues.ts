import type { SimProcess } from '../sim-process.js';

/** One who asked, and has no answer yet. */
interface Waiting {
  readonly process: SimProcess;
  /** Since when it is the first of its process that asks for this key. */
  first: number;
  /** How many of other processes were let in who asked after that. */
  overtaken: number;
}

/** Those who asked within so many milliseconds of each other came at the same time: messages are late. */
const ABOUT = 200;

/**
 * So many may overtake who is the first of its process: a process may pass a lock on for a moment that it
 * was granted before.
 */
const MOST = 10;

/** Who waits for which key: where all works, they are served in their order. */
export class Queues {
  readonly #of = new Map<string, Set<Waiting>>();

  constructor(private readonly violation: (words: string) => void) {}

  /** Returns what is to be called when it has its answer. */
  join(process: SimProcess, key: string, now: () => number): () => void {
    const queue = this.#queueOf(key);
    const waiting: Waiting = { process, first: Infinity, overtaken: 0 };
    const moveUp = (): void => {
      const first = [...queue].find((one) => one.process === process);
      if (first?.first === Infinity) first.first = now();
    };
    queue.add(waiting);
    moveUp();
    return () => {
      queue.delete(waiting);
      moveUp();
    };
  }

  /** Who asked then is let in, while all works since that other time. */
  serve(process: SimProcess, key: string, asked: number, worksSince: number): void {
    for (const waiting of this.#queueOf(key)) {
      if (waiting.process === process) continue;
      if (waiting.first < worksSince || asked < waiting.first + ABOUT) continue;
      if (++waiting.overtaken !== MOST) continue;
      this.violation(`${waiting.process.name} waits for ${key}, and ${MOST} overtook it`);
    }
  }

  forget(process: SimProcess): void {
    for (const queue of this.#of.values()) {
      for (const waiting of queue) if (waiting.process === process) queue.delete(waiting);
    }
  }

  #queueOf(key: string): Set<Waiting> {
    let queue = this.#of.get(key);
    if (queue === undefined) this.#of.set(key, (queue = new Set()));
    return queue;
  }
}
