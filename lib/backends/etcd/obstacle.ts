import type { IEvent, IKeyValue, IRangeRequest } from 'etcd3';
import type { Watchable } from './etcd-watch.js';
import type { Queue } from './keyspace.js';
import { isWaiting } from './member.js';
import { justBefore, rangeOf } from './operations.js';
import { isWriter, type Sight } from './sight.js';
import type { Place } from './transactions.js';

/** What keeps a waiter out: as long as it does, there is no need to look further. */
export interface Obstacle {
  readonly watched: Watchable;
  /** Reads whether it is there still. */
  readonly question: IRangeRequest;
  /** Whether nothing else keeps the waiter out. */
  readonly isLast: boolean;
  isOver(answer: readonly IKeyValue[]): boolean;
  isEndedBy(event: IEvent): boolean;
  equals(other: Obstacle | undefined): boolean;
}

/**
 * @param joined the revision at which the waiter joined the queue
 * @param ahead what keeps it out, as far as that has to be known: the nearest first
 */
export function obstacleOf({ queue, claim }: Place, joined: string, ahead: Sight): Obstacle {
  const { members, complete } = ahead;
  if (claim.limit > 1) {
    if (complete) return new HoldersAhead(queue, joined, claim.limit, members);
    return new MemberAhead(members[claim.limit - 1] as IKeyValue, false, isWaiting);
  }
  if (claim.mode === 'exclusive') return new MemberAhead(members[0] as IKeyValue, false);
  const [nearest, ...others] = members.filter(isWriter);
  const isLast = complete && others.length === 0;
  return new MemberAhead(nearest as IKeyValue, isLast, isWriter);
}

/** One that came before: until it is gone, or has changed so that it keeps nobody out. */
class MemberAhead implements Obstacle {
  readonly watched: Watchable;
  readonly question: IRangeRequest;
  readonly #key: Buffer;
  readonly #created: string;

  constructor(
    { key, create_revision }: IKeyValue,
    readonly isLast: boolean,
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

  isEndedBy({ type, kv }: IEvent): boolean {
    return type === 'Delete' || this.isOver([kv]);
  }

  equals(other: Obstacle | undefined): boolean {
    return (
      other instanceof MemberAhead &&
      other.#created === this.#created &&
      other.#key.equals(this.#key)
    );
  }
}

/**
 * As many as may hold the key, or more: until fewer are left. Who waits counts itself how many go, and
 * asks for nothing until then.
 */
class HoldersAhead implements Obstacle {
  readonly watched: Watchable;
  readonly question: IRangeRequest;
  readonly isLast = true;
  /** By name. */
  readonly #left: Set<string>;

  constructor(
    queue: Queue,
    joined: string,
    private readonly limit: number,
    members: readonly IKeyValue[],
  ) {
    this.watched = { key: queue.prefix, end: queue.end, puts: false };
    this.question = rangeOf(queue, { max_create_revision: justBefore(joined), keys_only: true });
    this.#left = namesOf(members);
  }

  isOver(answer: readonly IKeyValue[]): boolean {
    // What is answered may be older than what was told: who has gone does not come again.
    const seen = namesOf(answer);
    for (const name of this.#left) if (!seen.has(name)) this.#left.delete(name);
    return this.#left.size < this.limit;
  }

  isEndedBy({ type, kv }: IEvent): boolean {
    if (type === 'Delete') this.#left.delete(kv.key.toString());
    return this.#left.size < this.limit;
  }

  equals(other: Obstacle | undefined): boolean {
    return other instanceof HoldersAhead;
  }
}

function namesOf(members: readonly IKeyValue[]): Set<string> {
  return new Set(members.map(({ key }) => key.toString()));
}
