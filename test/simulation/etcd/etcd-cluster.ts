import type { Timeline } from '../clock/timeline.js';
import { SimServer } from '../sim-server.js';
import { type Applied, EtcdStore } from './etcd-store.js';

/** How often the leader looks for leases that have ended, in milliseconds: oftener than a real one, which is worse for holders. */
const LOOK = 50;

/** A member: it knows what the others agreed on a little later. */
export class EtcdMember extends SimServer {
  /** What it has applied of the history. */
  #applied = 0;
  #behindUntil = 0;
  /** Who watches here. */
  readonly watchers = new Set<(applied: Applied) => void>();

  constructor(
    name: string,
    timeline: Timeline,
    private readonly store: EtcdStore,
  ) {
    super(name, timeline);
  }

  /** It applies nothing for so long, as a follower does that was cut off, or is slow. */
  lag(ms: number): void {
    this.#behindUntil = this.timeline.now + ms;
    this.timeline.in(ms, () => {
      this.catchUp();
    });
  }

  /** The revision that it has applied. */
  get revision(): number {
    return this.store.history[this.#applied - 1]?.revision ?? 1;
  }

  /** What it does not know yet it learns, unless it is behind. */
  catchUp(): void {
    if (this.timeline.now < this.#behindUntil) return;
    while (this.#applied < this.store.history.length) {
      const applied = this.store.history[this.#applied++]!;
      for (const tell of this.watchers) tell(applied);
    }
  }
}

/** Some members that agree on one store. */
export class EtcdCluster {
  readonly store: EtcdStore;
  readonly members: readonly EtcdMember[];
  term = 2;
  /** Nobody is answered before. */
  #leaderless = 0;

  constructor(
    private readonly timeline: Timeline,
    size: number,
  ) {
    this.store = new EtcdStore(() => timeline.now);
    this.members = Array.from({ length: size }, (_, index) => {
      return new EtcdMember(`etcd${index + 1}`, timeline, this.store);
    });
    this.#look();
  }

  /** When there is a leader. */
  get ready(): number {
    return this.#leaderless;
  }

  /** The leader is lost; the next one is elected after so long. */
  loseLeader(ms: number): void {
    this.#leaderless = this.timeline.now + ms;
    this.timeline.at(this.#leaderless, () => {
      this.term++;
      this.store.elect();
    });
  }

  /** Something was done: the members learn of it. */
  tell(): void {
    for (const member of this.members) {
      this.timeline.in(this.timeline.random.between(0, 2), () => {
        member.catchUp();
      });
    }
  }

  #look(): void {
    this.timeline.in(LOOK, () => {
      if (this.timeline.now >= this.#leaderless) {
        this.store.expire();
        this.tell();
      }
      this.#look();
    });
  }
}
