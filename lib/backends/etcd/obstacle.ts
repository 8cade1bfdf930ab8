import type { IKeyValue, IRangeRequest } from 'etcd3';
import type { Watchable } from './etcd-watch.js';
import type { Queue } from './keyspace.js';
import { isWaiting } from './member.js';
import { justBefore, rangeOf } from './operations.js';
import { firstExcluding, isWriter, type Sight } from './sight.js';
import type { Bid } from './transactions.js';

/** What keeps a waiter out: as long as it does, there is no need to look further. */
export interface Obstacle {
  /** What changes when it goes: no more than a reason to look. */
  readonly watched: Watchable;
  /** Reads whether it is there still. */
  readonly question: IRangeRequest;
  isOver(answer: readonly IKeyValue[]): boolean;
  equals(other: Obstacle | undefined): boolean;
}

/**
 * @param joined the revision at which the waiter joined the queue
 * @param ahead what keeps it out, as far as that has to be known: the nearest first
 */
export function obstacleOf({ queue, claim }: Bid, joined: string, ahead: Sight): Obstacle {
  const { members, complete } = ahead;
  const excluding = firstExcluding(members, claim);
  if (excluding !== undefined) {
    return new MemberAhead(excluding, claim.mode === 'shared' ? isWriter : undefined);
  }
  if (complete) return new HoldersAhead(queue, joined, claim.limit);
  return new MemberAhead(members[claim.limit - 1] as IKeyValue, isWaiting);
}

/** One that came before: until it is gone, or has changed so that it keeps nobody out. */
class MemberAhead implements Obstacle {
  readonly watched: Watchable;
  readonly question: IRangeRequest;
  readonly #key: Buffer;
  readonly #created: string;

  constructor(
    { key, create_revision }: IKeyValue,
    private readonly keepsOut?: (member: IKeyValue) => boolean,
  ) {
    this.watched = { key, end: undefined, puts: keepsOut !== undefined };
    this.question = rangeOf(key);
    this.#key = key;
    this.#created = create_revision;
  }

  isOver(answer: readonly IKeyValue[]): boolean {
    // One that was created since then is another of the same name.
    const it = answer.find(({ create_revision: created }) => created === this.#created);
    return it === undefined || this.keepsOut?.(it) === false;
  }

  equals(other: Obstacle | undefined): boolean {
    return (
      other instanceof MemberAhead &&
      other.#created === this.#created &&
      other.#key.equals(this.#key)
    );
  }
}

/** As many as may hold the key, or more: until fewer are left. */
class HoldersAhead implements Obstacle {
  readonly watched: Watchable;
  readonly question: IRangeRequest;

  constructor(
    private readonly queue: Queue,
    joined: string,
    private readonly limit: number,
  ) {
    this.watched = { key: queue.prefix, end: queue.end, puts: false };
    this.question = rangeOf(queue, { max_create_revision: justBefore(joined), keys_only: true });
  }

  isOver(answer: readonly IKeyValue[]): boolean {
    return answer.filter(({ key }) => this.queue.hasMember(key)).length < this.limit;
  }

  equals(other: Obstacle | undefined): boolean {
    return other instanceof HoldersAhead;
  }
}
