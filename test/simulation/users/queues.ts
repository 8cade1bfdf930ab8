import type { Timeline } from '../clock/timeline.js';
import type { SimProcess } from '../sim-process.js';

/** One who asked, and has no answer yet. */
interface Waiting {
  readonly process: SimProcess;
  /** Whether it asks for this key alone: else it stands in one queue after the other. */
  readonly alone: boolean;
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

  constructor(
    private readonly timeline: Timeline,
    private readonly violation: (words: string) => void,
  ) {}

  /** Returns what is to be called when it has its answer. */
  join(process: SimProcess, key: string, alone: boolean): () => void {
    const queue = this.#queueOf(key);
    const waiting: Waiting = { process, alone, first: Infinity, overtaken: 0 };
    const moveUp = (): void => {
      const first = [...queue].find((one) => one.alone && one.process === process);
      if (first?.first === Infinity) first.first = this.timeline.now;
    };
    queue.add(waiting);
    moveUp();
    return () => {
      queue.delete(waiting);
      moveUp();
    };
  }

  /** How many wait for it. */
  lengthOf(key: string): number {
    return this.#queueOf(key).size;
  }

  /** Who asked then is let in, while all works since that other time. */
  serve(process: SimProcess, key: string, asked: number, worksSince: number): void {
    for (const waiting of this.#queueOf(key)) {
      if (waiting.process === process || !waiting.alone) continue;
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
