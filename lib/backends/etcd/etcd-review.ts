import { Alarm, Deadline } from '../../time/clock.js';
import type { EtcdCalls } from './etcd-calls.js';
import type { Obstacle } from './obstacle.js';
import { kvsRead, read } from './operations.js';

/** Between the reviews of those who are told nothing, in milliseconds: an event may be lost. */
const REVIEW_EVERY = 3_000;

/** etcd takes 128 operations in a transaction, if it is not told otherwise. */
const REVIEWED_AT_ONCE = 100;

export interface KeptOut {
  readonly obstacle: Obstacle | undefined;
}

/** Sees now and then whether those who are kept out are so still, many in one call. */
export class EtcdReview<Waiter extends KeptOut> {
  #next: Alarm | undefined;

  /**
   * @param waiters those that there are
   * @param tell told of each whose obstacle is gone, or may be
   */
  constructor(
    private readonly calls: EtcdCalls,
    private readonly waiters: { readonly size: number; keys(): Iterable<Waiter> },
    private readonly tell: (waiter: Waiter) => void,
  ) {}

  /** There is somebody to look for. */
  plan(): void {
    if (this.#next !== undefined) return;
    const due = Deadline.in(REVIEW_EVERY * (0.9 + Math.random() / 5));
    const own: Alarm = new Alarm(due, () => {
      void this.#reviewAll().then(() => {
        // Those whom it was for may have gone meanwhile, and others come.
        if (this.#next !== own) return;
        this.#next = undefined;
        if (this.waiters.size > 0) this.plan();
      });
    });
    this.#next = own;
  }

  callOff(): void {
    this.#next?.off();
    this.#next = undefined;
  }

  /** Never rejects. */
  async #reviewAll(): Promise<void> {
    const keptOut = [...this.waiters.keys()].flatMap((waiter) => {
      const { obstacle } = waiter;
      return obstacle === undefined ? [] : [{ waiter, obstacle }];
    });
    for (let first = 0; first < keptOut.length; first += REVIEWED_AT_ONCE) {
      const some = keptOut.slice(first, first + REVIEWED_AT_ONCE);
      // Whatever the trouble is: to ask for each tells it to who is concerned.
      const areOver = await this.#areOver(some).catch(() => undefined);
      some.forEach(({ waiter, obstacle }, index) => {
        if (areOver?.[index] === false || waiter.obstacle !== obstacle) return;
        this.tell(waiter);
      });
    }
  }

  #areOver(some: readonly { readonly obstacle: Obstacle }[]): Promise<boolean[]> {
    const success = some.map(({ obstacle }) => read(obstacle.question));
    return this.calls.insist(
      async () => {
        const answers = kvsRead(await this.calls.txn({ compare: [], success, failure: [] }));
        return some.map(({ obstacle }, index) => obstacle.isOver(answers[index] ?? []));
      },
      () => this.waiters.size === 0,
    );
  }
}
