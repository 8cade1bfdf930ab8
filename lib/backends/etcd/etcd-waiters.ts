import { Alarm, Deadline } from '../../clock.js';
import type { IKeyValue } from 'etcd3';
import type { EtcdCalls, Stamp } from './etcd-calls.js';
import type { EtcdRequest } from './etcd-request.js';
import type { EtcdSession } from './etcd-session.js';
import type { EtcdSessions } from './etcd-sessions.js';
import type { EtcdWatch } from './etcd-watch.js';
import type { Ownership } from './etcd-holdings.js';
import {
  advanceTxn,
  everyMember,
  type Place,
  readAdvance,
  readWhoIsThere,
  whoIsThereTxn,
} from './transactions.js';

/** Between the reviews of those who are told nothing, in milliseconds: an event may be lost. */
const REVIEW_EVERY = 3_000;

/** etcd takes 128 operations in a transaction, if it is not told otherwise. */
const REVIEWED_AT_ONCE = 100;

export interface EtcdWaitersContext {
  readonly calls: EtcdCalls;
  readonly sessions: EtcdSessions;
  readonly watch: EtcdWatch;
  /** Makes the request the holder. Throws when it cannot be believed yet. */
  readonly grant: (request: EtcdRequest, owned: Omit<Ownership, 'name' | 'unanswered'>) => void;
  /** Takes over what was found in place of a waiting member. Throws what asking again mends. */
  readonly adopt: (request: EtcdRequest, own: IKeyValue, shown: Stamp) => Promise<unknown>;
  /** Asks for the lock again, for a request that lost its place; settles it in the end. */
  readonly askAgain: (request: EtcdRequest) => void;
  /** For a request that did not want to queue, and is not the first. */
  readonly turnAway: (request: EtcdRequest) => void;
  readonly refuse: (request: EtcdRequest, error: unknown) => void;
}

/** How a request stands in the queue: it watches the one ahead of it, and nothing else. */
interface Standing {
  readonly joined: string;
  /** The one ahead, as it was at `seen`. */
  watched: Buffer | undefined;
  seen: string;
  unwatch: () => void;
  looking: boolean;
  /** Something happened while it was looking. */
  again: boolean;
}

/** The requests of this process that stand in queues. */
export class EtcdWaiters {
  readonly #standing = new Map<Standing, EtcdRequest>();
  #review: Alarm | undefined;

  constructor(private readonly context: EtcdWaitersContext) {}

  /**
   * The request joined a queue at this revision, on the session of those who wait; `ahead` was seen
   * directly before it at `seen`, or has to be looked for.
   */
  stand(
    request: EtcdRequest,
    session: EtcdSession,
    joined: string,
    ahead?: IKeyValue,
    seen?: Stamp,
  ): void {
    if (request.joined === joined) return;
    request.stopWaiting();
    const standing: Standing = {
      joined,
      watched: undefined,
      seen: joined,
      unwatch: () => undefined,
      looking: false,
      again: false,
    };
    request.joined = joined;
    request.hasStood = true;
    const user = {};
    request.stopWaiting = () => {
      request.joined = undefined;
      standing.unwatch();
      session.leave(user);
      this.#standing.delete(standing);
      if (this.#standing.size === 0) this.#callOffReview();
    };
    this.#standing.set(standing, request);
    session.join(user, () => {
      this.#again(request);
    });
    if (ahead !== undefined && seen !== undefined && request.asked.queue)
      this.#watch(request, standing, ahead, seen);
    else this.look(request, standing, true);
  }

  /** Sees whether it is its turn; once more, if it is looking already. Never rejects. */
  look(request: EtcdRequest, standing: Standing, told: boolean): void {
    if (!stands(request, standing)) return;
    if (standing.looking) {
      standing.again = true;
      return;
    }
    standing.looking = true;
    standing.again = false;
    this.context.calls
      .insist(
        () => this.#advance(request, standing, told),
        () => !stands(request, standing),
      )
      .catch((error: unknown) => {
        if (stands(request, standing)) this.context.refuse(request, error);
      })
      .finally(() => {
        standing.looking = false;
        if (standing.again) this.look(request, standing, told);
      });
  }

  /**
   * One try to become the holder. Resolves when it did, or when the request is watching or asking
   * again; the request may be settled already.
   */
  async #advance(request: EtcdRequest, standing: Standing, told: boolean): Promise<void> {
    const { calls, sessions } = this.context;
    const place = request.place as Place;
    const { joined } = standing;
    const session = await sessions.of(request.asked.ttl);
    if (!stands(request, standing)) return;
    request.use(session);
    const signOfLife = session.fresh();
    let outcome = readAdvance(await calls.txn(advanceTxn(place, joined, session.id, false)));
    if (outcome.state === 'behind' && !isMember(place, outcome.ahead)) {
      // It belongs to a longer key.
      const { kvs, stamp } = await calls.range(everyMember(place.queue, joined));
      const ahead = kvs.filter((kv) => isMember(place, kv)).at(-1);
      if (ahead !== undefined) outcome = { state: 'behind', stamp, ahead };
      else outcome = readAdvance(await calls.txn(advanceTxn(place, joined, session.id, true)));
    }
    if (!stands(request, standing)) return;

    const { stamp } = outcome;
    if (!told && !(outcome.state === 'behind' && same(outcome.ahead, standing.watched))) {
      this.context.watch.distrust();
    }
    if (outcome.state === 'granted') {
      const { revision } = stamp;
      const alive = await signOfLife;
      const member = { created: joined, modified: revision, token: Number(revision) };
      this.context.grant(request, { ...member, session, alive, shown: stamp });
    } else if (outcome.state === 'behind' && !request.asked.queue) {
      this.context.turnAway(request);
    } else if (outcome.state === 'behind') {
      this.#watch(request, standing, outcome.ahead as IKeyValue, stamp);
    } else if (outcome.own === undefined) {
      this.#again(request);
    } else {
      await this.context.adopt(request, outcome.own, stamp);
    }
  }

  /** Looks again when that one goes. */
  #watch(request: EtcdRequest, standing: Standing, { key }: IKeyValue, seen: Stamp): void {
    standing.seen = seen.revision;
    this.#review ??= this.#planReview();
    if (standing.watched?.equals(key)) return;
    standing.unwatch();
    standing.watched = key;
    const watch = this.context.watch.watch(key, seen.revision, (deleted) => {
      // Without a watch there is nothing to compare the next look with.
      if (!deleted) standing.watched = undefined;
      this.look(request, standing, true);
    });
    standing.unwatch = () => {
      watch.end();
    };
  }

  #planReview(): Alarm {
    return new Alarm(Deadline.in(REVIEW_EVERY * (0.9 + Math.random() / 5)), () => {
      void this.#reviewAll();
    });
  }

  #callOffReview(): void {
    this.#review?.off();
    this.#review = undefined;
  }

  /** Sees whether those who are watched are there still, many in one call. Never rejects. */
  async #reviewAll(): Promise<void> {
    const watching = [...this.#standing].filter(([{ watched }]) => watched !== undefined);
    for (let first = 0; first < watching.length; first += REVIEWED_AT_ONCE) {
      const some = watching.slice(first, first + REVIEWED_AT_ONCE);
      const reviewed = some.map(([{ watched, seen }]) => ({ key: watched as Buffer, seen }));
      const { calls } = this.context;
      const isThere = await calls
        .insist(
          async () => readWhoIsThere(await calls.txn(whoIsThereTxn(reviewed)), reviewed),
          () => this.#standing.size === 0,
        )
        // Whatever the trouble is: to ask for each tells it to who is concerned.
        .catch(() => some.map(() => false));
      some.forEach(([standing, request], index) => {
        const same = standing.watched === reviewed[index]?.key;
        if (same && !isThere[index]) this.look(request, standing, false);
      });
    }
    this.#review = this.#standing.size === 0 ? undefined : this.#planReview();
  }

  #again(request: EtcdRequest): void {
    request.stopWaiting();
    if (!request.isSettled()) this.context.askAgain(request);
  }
}

/** Whether it is still this stand of the request that somebody is concerned with. */
function stands(request: EtcdRequest, standing: Standing): boolean {
  return !request.isSettled() && request.joined === standing.joined;
}

function isMember({ queue }: Place, kv: IKeyValue | undefined): boolean {
  return kv !== undefined && queue.hasMember(kv.key);
}

function same(kv: IKeyValue | undefined, watched: Buffer | undefined): boolean {
  return kv !== undefined && watched?.equals(kv.key) === true;
}
