import type { IKeyValue } from 'etcd3';
import type { EtcdCalls, Stamp } from './etcd-calls.js';
import type { EtcdRequest } from './etcd-request.js';
import { EtcdReview } from './etcd-review.js';
import type { EtcdSession } from './etcd-session.js';
import type { EtcdSessions } from './etcd-sessions.js';
import type { Change, EtcdWatch } from './etcd-watch.js';
import type { Ownership } from './held-member.js';
import { type Obstacle, obstacleOf } from './obstacle.js';
import { everyMember } from './operations.js';
import { isEnough, type Sight, verdictOn } from './sight.js';
import {
  advanceTxn,
  type AdvanceOutcome,
  lookTxn,
  type Bid,
  readAdvance,
  readLook,
} from './transactions.js';

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
  /** For a request that did not want to queue, and is not the first: this one came before. */
  readonly turnAway: (request: EtcdRequest, oldest: IKeyValue | undefined) => void;
  readonly refuse: (request: EtcdRequest, error: unknown) => void;
}

/** How a request stands in the queue: it watches what keeps it out, and nothing else. */
interface Standing {
  readonly joined: string;
  /** It was read that nothing keeps it out, which remains so. Nothing that is heard says so. */
  letIn: boolean;
  obstacle: Obstacle | undefined;
  unwatch: () => void;
  looking: boolean;
  /** Something happened while it was looking. */
  again: boolean;
}

/** The requests of this process that stand in queues. */
export class EtcdWaiters {
  readonly #standing = new Map<Standing, EtcdRequest>();
  readonly #review: EtcdReview<Standing>;

  constructor(private readonly context: EtcdWaitersContext) {
    this.#review = new EtcdReview(context.calls, this.#standing, (standing) => {
      const request = this.#standing.get(standing);
      if (request !== undefined) this.look(request, standing, false);
    });
  }

  /**
   * The request joined a queue at this revision, on the session of those who wait. These were ahead
   * when it was `seen`; without that, it has to be looked for.
   */
  stand(
    request: EtcdRequest,
    session: EtcdSession,
    joined: string,
    ahead?: Sight,
    seen?: Stamp,
  ): void {
    if (request.isSettled() || request.joined === joined) return;
    const standing: Standing = {
      joined,
      letIn: false,
      obstacle: undefined,
      unwatch: () => undefined,
      looking: false,
      again: false,
    };
    const user = {};
    request.stand(joined, () => {
      standing.unwatch();
      session.leave(user);
      this.#standing.delete(standing);
      if (this.#standing.size === 0) this.#review.callOff();
    });
    this.#standing.set(standing, request);
    session.join(user, () => {
      this.#again(request);
    });
    const { asked, bid } = request;
    const known = ahead !== undefined && isEnough(ahead, asked);
    standing.letIn = known && verdictOn(ahead, asked) === 'in';
    if (known && seen !== undefined && asked.queue && verdictOn(ahead, asked) === 'out') {
      this.#watch(request, standing, obstacleOf(bid as Bid, joined, ahead), seen);
    } else {
      this.look(request, standing, true);
    }
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
    const { sessions } = this.context;
    const bid = request.bid as Bid;
    const { joined } = standing;
    const session = await sessions.of(request.asked.ttl);
    if (!stands(request, standing)) return;
    request.use(session);
    const signOfLife = session.fresh();
    const outcome = await this.#tryOn(session, request, standing);
    if (!stands(request, standing)) return;

    const { stamp } = outcome;
    const ahead = outcome.state === 'behind' ? outcome.ahead : undefined;
    const obstacle = ahead && obstacleOf(bid, joined, ahead);
    if (!told && !obstacle?.equals(standing.obstacle)) this.context.watch.distrust();
    if (outcome.state === 'granted') {
      const { revision } = stamp;
      const alive = await signOfLife;
      const member = { created: joined, modified: revision, token: Number(revision) };
      this.context.grant(request, { ...member, session, alive, shown: stamp });
    } else if (obstacle !== undefined && !request.asked.queue) {
      this.context.turnAway(request, ahead?.members.at(-1));
    } else if (obstacle !== undefined) {
      this.#watch(request, standing, obstacle, stamp);
    } else if (outcome.state === 'changed' && outcome.own !== undefined) {
      await this.context.adopt(request, outcome.own, stamp);
    } else {
      this.#again(request);
    }
  }

  /** Those that it is behind in the end do keep it out. */
  async #tryOn(
    session: EtcdSession,
    { asked, bid: where, queue }: EtcdRequest,
    standing: Standing,
  ): Promise<AdvanceOutcome> {
    const { calls } = this.context;
    const { joined } = standing;
    const bid = where as Bid;
    const advance = async () =>
      readAdvance(bid, await calls.txn(advanceTxn(bid, joined, session.id, standing.letIn)));
    const look = async () => {
      const reply = await calls.txn(lookTxn(bid, joined));
      return readLook(bid, reply.stamp, reply);
    };
    // Where several may hold the key, it is hardly ever the first: a look alone is cheap.
    const mayBeNext = asked.limit === 1 || standing.letIn;
    let outcome = await (mayBeNext ? advance() : look());
    if (outcome.state !== 'behind') return outcome;
    let verdict = verdictOn(outcome.ahead, asked);
    if (verdict === undefined || !isEnough(outcome.ahead, asked)) {
      // Some belong to longer keys, or there are many readers.
      const { kvs, stamp } = await calls.range(everyMember(queue, joined));
      const members = kvs.filter(({ key }) => queue.hasMember(key)).reverse();
      outcome = { state: 'behind', stamp, ahead: { members, complete: true } };
      verdict = verdictOn(outcome.ahead, asked);
    }
    standing.letIn = verdict === 'in';
    return standing.letIn ? advance() : outcome;
  }

  /** Looks again when the obstacle is gone. */
  #watch(request: EtcdRequest, standing: Standing, obstacle: Obstacle, seen: Stamp): void {
    this.#review.plan();
    if (obstacle.equals(standing.obstacle)) return;
    standing.unwatch();
    standing.obstacle = obstacle;
    const watch = this.context.watch.watch(obstacle.watched, seen.revision, (change) => {
      void this.#see(request, standing, obstacle, change);
    });
    standing.unwatch = () => {
      watch.end();
    };
  }

  /** Never rejects. */
  async #see(
    request: EtcdRequest,
    standing: Standing,
    obstacle: Obstacle,
    change: Change,
  ): Promise<void> {
    if (change === 'missed') {
      const answer = await this.context.calls.range(obstacle.question).catch(() => undefined);
      if (answer === undefined) change = 'over';
      else if (!obstacle.isOver(answer.kvs)) return;
    }
    if (standing.obstacle !== obstacle) return;
    // Without a watch there is nothing to compare the next look with.
    if (change === 'over') standing.obstacle = undefined;
    this.look(request, standing, true);
  }

  #again(request: EtcdRequest): void {
    request.losePlace();
    if (!request.isSettled()) this.context.askAgain(request);
  }
}

/** Whether it is still this stand of the request that somebody is concerned with. */
function stands(request: EtcdRequest, standing: Standing): boolean {
  return request.joined === standing.joined;
}
