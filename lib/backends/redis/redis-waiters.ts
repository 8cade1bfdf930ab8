import { alarm, Deadline, Instant } from '../../clock.js';
import type { Grant, LockRequest } from '../lock-backend.js';
import type { Keyspace } from './keyspace.js';
import type { RedisClient } from './redis-client.js';
import type { ScriptRunner } from './script-runner.js';
import type { ServerClock } from './server-clock.js';

/** How long a waiter lives at the server without a sign of life, in milliseconds. */
export const LIVENESS = 3_500;

/** Between two signs of life, in milliseconds. */
const HEARTBEAT = 1_000;

/** Between the looks of two neighbours in the queue at a lock whose holder seems to have died, in milliseconds. */
const STAGGER = 50;

/** So many heartbeats after each other prove that the channel is alive too. */
const PING_EVERY = 5;

/** Few enough waiters for a call that does not hold up the others at the server. */
const BATCH = 1_000;

/** A request at the server: on its way there, or standing in the queue. */
export interface RedisWaiter {
  readonly request: LockRequest;
  readonly granted: Promise<Grant>;
  grant(grant: Grant): void;
  refuse(error: unknown): void;
  /** Nobody wants it any more. */
  withdrawn: boolean;
  /** Whether anything of it ever left this process. */
  sent: boolean;
  /** Until when the server may still run what was sent and not answered. */
  unanswered: Deadline | undefined;
  /** Whether the server said that it stands in the queue: only then it has a heartbeat. */
  queued: boolean;
  /** When the lock is free if its holder died, and this waiter looks. */
  free: Deadline | undefined;
}

/** Asks for the lock again, for a waiter that lost its place. */
export type AskAgain = (waiter: RedisWaiter) => Promise<void>;

/**
 * The waiters of this process: told of their grants by messages on the process's one channel, and
 * kept alive by one heartbeat for all, which also finds what a lost message would have told.
 */
export class RedisWaiters {
  readonly #waiters = new Map<string, RedisWaiter>();
  #disarm: (() => void) | undefined;
  #nextBeat = Deadline.in(0);
  #beats = 0;
  #beating = false;
  #closed = false;

  constructor(
    private readonly processId: string,
    private readonly subscriber: RedisClient,
    private readonly runner: ScriptRunner,
    private readonly clock: ServerClock,
    private readonly keyspace: Keyspace,
    private readonly askAgain: AskAgain,
    warn: (message: string) => void,
  ) {
    const channel = keyspace.channel + processId;
    subscriber.on('message', (_channel: string, message: string) => {
      this.#hear(message);
    });
    subscriber.on('error', () => undefined);
    subscriber.on('ready', () => {
      subscriber.subscribe(channel).then(
        // Whatever was published while nobody listened is found by looking.
        () => this.#beat([...this.#waiters.values()]),
        (error: unknown) => {
          if (this.#closed || subscriber.status !== 'ready') return;
          warn(
            `Cannot subscribe to ${channel}, so waiters learn of their grants late: ${String(error)}`,
          );
        },
      );
    });
  }

  /** Registers a request before it is sent: its grant may overtake the reply that it waits. */
  add(request: LockRequest): RedisWaiter {
    let grant!: (grant: Grant) => void;
    let refuse!: (error: unknown) => void;
    const granted = new Promise<Grant>((resolve, reject) => {
      grant = resolve;
      refuse = reject;
    });
    // Whoever waits for it hears of it; when nobody does it is nobody's concern.
    granted.catch(() => undefined);
    const waiter: RedisWaiter = {
      request,
      granted,
      grant,
      refuse,
      withdrawn: false,
      sent: false,
      unanswered: undefined,
      queued: false,
      free: undefined,
    };
    this.#waiters.set(request.id, waiter);
    return waiter;
  }

  get(id: string): RedisWaiter | undefined {
    return this.#waiters.get(id);
  }

  remove(waiter: RedisWaiter): void {
    this.#waiters.delete(waiter.request.id);
  }

  /** The server queued it at a place from 0, behind a lease of so many milliseconds. */
  stand(waiter: RedisWaiter, remaining: number, place: number): void {
    if (this.#waiters.size === 1) this.#nextBeat = Deadline.in(HEARTBEAT);
    this.#place(waiter, remaining, place);
    this.#plan();
  }

  close(): void {
    this.#closed = true;
    this.#disarm?.();
    this.#waiters.clear();
  }

  /** `granted <id> <token> <server time in ms> <ms of life>` */
  #hear(message: string): void {
    const [word, id = '', token, server, life] = message.split(' ');
    const waiter = this.#waiters.get(id);
    if (word !== 'granted' || waiter === undefined) return;
    const since = this.clock.momentOf(Number(server));
    const ttl = Number(life);
    if (since.elapsed < ttl / 2) {
      this.#grant(waiter, { state: 'granted', token: Number(token), since, ttl });
    } else {
      // This process was held up, and the claim is over or nearly: only the server knows whose it is.
      this.#again(waiter);
    }
  }

  #grant(waiter: RedisWaiter, grant: Grant): void {
    this.remove(waiter);
    waiter.grant(grant);
  }

  #again(waiter: RedisWaiter): void {
    waiter.queued = false;
    waiter.free = undefined;
    this.askAgain(waiter).catch((error: unknown) => {
      this.remove(waiter);
      waiter.refuse(error);
    });
  }

  #place(waiter: RedisWaiter, remaining: number, place: number): void {
    waiter.queued = true;
    // The first looks first; those behind a moment later, in case it died as well.
    waiter.free = remaining < 0 ? undefined : Deadline.in(remaining + 1 + STAGGER * place);
  }

  /** One alarm: for the next heartbeat, or for the first lock that may be free before it. */
  #plan(): void {
    this.#disarm?.();
    if (this.#closed || this.#beating) return;
    let next: number | undefined;
    for (const { queued, free } of this.#waiters.values()) {
      if (!queued) continue;
      next = Math.min(next ?? this.#nextBeat.remaining, free?.remaining ?? Infinity);
    }
    if (next === undefined) return;
    this.#disarm = alarm(Deadline.in(next), () => {
      const waiters = [...this.#waiters.values()];
      const due = this.#nextBeat.passed ? waiters : waiters.filter(({ free }) => free?.passed);
      void this.#beat(due);
    });
  }

  async #beat(due: RedisWaiter[]): Promise<void> {
    if (this.#beating) return;
    this.#beating = true;
    if (this.#nextBeat.passed) {
      this.#nextBeat = Deadline.in(HEARTBEAT);
      // A connection that died silently would otherwise never be noticed: it only listens.
      if (++this.#beats % PING_EVERY === 0) this.subscriber.ping().catch(() => undefined);
    }
    const queued = due.filter((waiter) => waiter.queued);
    // Known anew with each answer: without one, the next heartbeat is early enough to look again.
    for (const waiter of queued) waiter.free = undefined;
    try {
      for (let first = 0; first < queued.length; first += BATCH) {
        await this.#look(queued.slice(first, first + BATCH));
      }
    } catch {
      // The runner knows the trouble; the next beat tries again.
    }
    this.#beating = false;
    this.#plan();
  }

  async #look(waiters: RedisWaiter[]): Promise<void> {
    const before = Instant.now();
    const keys = waiters.flatMap(({ request }) => this.keyspace.of(request.key).slice(0, 3));
    const members = waiters.map(({ request }) => `${request.id} ${request.ttl}`);
    const [now, ...seen] = (await this.runner.run(
      'heartbeat',
      [this.keyspace.sequence, ...keys],
      [this.keyspace.channel, LIVENESS, ...members],
    )) as [number, ...Seen[]];
    this.clock.learn(before, now);
    waiters.forEach((waiter, index) => {
      // A message may have come first.
      if (this.#waiters.get(waiter.request.id) !== waiter) return;
      const [state, first = 0, second = 0] = seen[index] ?? ['dropped'];
      if (state === 'granted') {
        this.#grant(waiter, { state, token: first, since: before, ttl: second });
      } else if (state === 'waiting') {
        this.#place(waiter, first, second);
      } else {
        this.#again(waiter);
      }
    });
  }
}

type Seen =
  | readonly [state: 'granted', token: number, remaining: number]
  | readonly [state: 'waiting', remaining: number, place: number]
  | readonly [state: 'dropped'];
