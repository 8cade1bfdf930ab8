import type { IKeyValue } from 'etcd3';
import { Alarm, Deadline } from '../../clock.js';
import { limitConflict } from '../limit-conflict.js';
import type { EtcdCalls, Stamp } from './etcd-calls.js';
import type { EtcdRequest } from './etcd-request.js';
import type { EtcdSession } from './etcd-session.js';
import type { EtcdSessions } from './etcd-sessions.js';
import type { Change, EtcdWatch } from './etcd-watch.js';
import type { Ownership } from './holding.js';
import { limitOf } from './member.js';
import { type Obstacle, obstacleOf } from './obstacle.js';
import { everyMember, kvsRead, read } from './operations.js';
import { allAgree, isEnough, type Sight, verdictOn } from './sight.js';
import { advanceTxn, type AdvanceOutcome, type Place, readAdvance } from './transactions.js';

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

/** How a request stands in the queue: it watches what keeps it out, and nothing else. */
interface Standing {
  readonly joined: string;
  /** It was seen that nothing keeps it out, which remains so. */
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
  #review: Alarm | undefined;

  constructor(private readonly context: EtcdWaitersContext) {}

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
    if (request.joined === joined) return;
    request.stopWaiting();
    const standing: Standing = {
      joined,
      letIn: false,
      obstacle: undefined,
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
    const { asked, place } = request;
    const known = ahead !== undefined && allAgree(ahead, asked) && isEnough(ahead, asked);
    standing.letIn = known && verdictOn(ahead, asked) === 'in';
    if (known && seen !== undefined && asked.queue && verdictOn(ahead, asked) === 'out') {
      this.#watch(request, standing, obstacleOf(place as Place, joined, ahead), seen);
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
    const place = request.place as Place;
    const { joined } = standing;
    const session = await sessions.of(request.asked.ttl);
    if (!stands(request, standing)) return;
    request.use(session);
    const signOfLife = session.fresh();
    const outcome = await this.#tryOn(session, request, standing);
    if (!stands(request, standing)) return;

    const { stamp } = outcome;
    const obstacle =
      outcome.state === 'behind' ? obstacleOf(place, joined, outcome.ahead) : undefined;
    if (!told && !obstacle?.equals(standing.obstacle)) this.context.watch.distrust();
    if (outcome.state === 'granted') {
      const { revision } = stamp;
      const alive = await signOfLife;
      const member = { created: joined, modified: revision, token: Number(revision) };
      this.context.grant(request, { ...member, session, alive, shown: stamp });
    } else if (obstacle !== undefined && !request.asked.queue) {
      this.context.turnAway(request);
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
    { asked, place: where, queue }: EtcdRequest,
    standing: Standing,
  ): Promise<AdvanceOutcome> {
    const { calls } = this.context;
    const { joined } = standing;
    const place = where as Place;
    const advance = async () =>
      readAdvance(place, await calls.txn(advanceTxn(place, joined, session.id, standing.letIn)));
    let outcome = await advance();
    if (outcome.state !== 'behind') return outcome;
    if (!allAgree(outcome.ahead, asked)) {
      // Those who disagree with all that came before them are about to leave.
      const [oldest] = await calls.members(queue);
      const used = oldest && limitOf(oldest);
      if (used !== undefined && used !== asked.limit)
        throw limitConflict(asked.key, asked.limit, used);
    }
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
    this.#review ??= this.#planReview();
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
    } else if (change !== 'over' && !obstacle.isEndedBy(change)) {
      return;
    }
    if (standing.obstacle !== obstacle) return;
    // Without a watch there is nothing to compare the next look with.
    if (change === 'over') standing.obstacle = undefined;
    else standing.letIn ||= obstacle.isLast;
    this.look(request, standing, true);
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

  /** Sees whether those who are kept out are so still, many in one call. Never rejects. */
  async #reviewAll(): Promise<void> {
    const { calls } = this.context;
    const keptOut = [...this.#standing].flatMap(([standing, request]) => {
      const { obstacle } = standing;
      return obstacle === undefined ? [] : [{ standing, request, obstacle }];
    });
    for (let first = 0; first < keptOut.length; first += REVIEWED_AT_ONCE) {
      const some = keptOut.slice(first, first + REVIEWED_AT_ONCE);
      const success = some.map(({ obstacle }) => read(obstacle.question));
      const areOver = await calls
        .insist(
          async () => {
            const answers = kvsRead(await calls.txn({ compare: [], success, failure: [] }));
            return some.map(({ obstacle }, index) => obstacle.isOver(answers[index] ?? []));
          },
          () => this.#standing.size === 0,
        )
        // Whatever the trouble is: to ask for each tells it to who is concerned.
        .catch(() => undefined);
      some.forEach(({ standing, request, obstacle }, index) => {
        if (areOver?.[index] === false || standing.obstacle !== obstacle) return;
        standing.letIn ||= areOver !== undefined && obstacle.isLast;
        this.look(request, standing, false);
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
