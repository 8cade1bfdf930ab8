import type { LockRequest } from '../lock-backend.js';

/** Those who may come to a queue at the same time. */
interface Group {
  readonly readers: boolean;
  /** Settled when those before them are there. */
  readonly before: Promise<void>;
  /** Settled when all of them are there. */
  readonly there: Promise<void>;
}

/**
 * The order in which the requests of this process come to a queue. What is sent first is not always
 * carried out first, as there are several hosts: so each waits until those before it are there, but
 * for readers, whose order among each other is nobody's concern.
 */
export class EtcdArrivals {
  /** The last of each queue, by key. */
  readonly #last = new Map<string, Group>();

  /**
   * Does what brings the request to its queue, in its turn.
   * @param left settled when it does not want to come there any more
   */
  inTurn<T>(
    { key, mode, queue }: LockRequest,
    left: Promise<void>,
    arrive: () => Promise<T>,
  ): Promise<T> {
    // Who only tries has no place in the order.
    if (!queue) return arrive();
    const readers = mode === 'shared';
    const last = this.#last.get(key);
    const besides = readers && last?.readers === true ? last : undefined;
    const before = besides?.before ?? last?.there;
    const arrival = before === undefined ? arrive() : before.then(arrive);
    const over = () => undefined;
    const arrived = Promise.race([arrival.then(over, over), left]);
    const there = besides ? Promise.all([besides.there, arrived]).then(over) : arrived;
    const group = { readers, before: before ?? Promise.resolve(), there };
    this.#last.set(key, group);
    void there.then(() => {
      if (this.#last.get(key) === group) this.#last.delete(key);
    });
    return arrival;
  }
}
