/** Somebody newer has written since the holder of this fencing token got its lock. */
export class StaleTokenError extends Error {
  override readonly name = 'StaleTokenError';

  constructor(show: string, fencingToken: number) {
    super(
      `A newer holder has already written the stock of ${show}; ${fencingToken} comes too late`,
    );
  }
}

/** How many tickets are left of each show. It reads and it writes; it knows no "take one". */
export abstract class TicketStock {
  /** Puts tickets on sale, unless that was done before. */
  abstract open(show: string, tickets: number): Promise<void>;

  abstract left(show: string): Promise<number>;

  /** Writes what it is told. */
  abstract write(show: string, left: number): Promise<void>;

  /**
   * The write to copy: it looks at the fencing token of the writer's lock, in the same step in which
   * it writes.
   *
   * A lock cannot stop a holder that was paused (a long garbage collection, a suspended machine)
   * until after its lease was over: it wakes up and writes, while somebody else holds the lock. But
   * that somebody has a larger token, so the store can tell.
   *
   * Where every write is like this, none is lost. In SQL: `UPDATE stock SET left = $1, fence = $2
   * WHERE show = $3 AND fence <= $2`, and no row updated means stale.
   *
   * @throws StaleTokenError
   */
  abstract writeFenced(show: string, left: number, fencingToken: number): Promise<void>;

  /** Forgets the show. */
  abstract close(show: string): Promise<void>;
}
