import { Deadline, Instant, pause } from '../../clock.js';
import type {
  Answer,
  BackendConnection,
  KeyState,
  LeaseIdentity,
  LeaseRenewal,
  LockProcess,
  LockRequest,
} from '../lock-backend.js';
import type { Keyspace } from './keyspace.js';
import type { RedisClient } from './redis-client.js';
import { isReply } from './redis-errors.js';
import { LIVENESS, RedisWaiters, type RedisWaiter } from './redis-waiters.js';
import { ScriptRunner } from './script-runner.js';
import { ServerClock } from './server-clock.js';
import { checkServer } from './server-check.js';

type AcquireReply =
  | readonly [state: 'granted', now: number, token: number]
  | readonly [state: 'waiting', now: number, remaining: number, place: number]
  | readonly [state: 'busy' | 'late', now: number];

/** One process's locks on one Redis node. The protocol itself is in the scripts. */
export class RedisConnection implements BackendConnection {
  readonly #clock = new ServerClock();
  readonly #runner: ScriptRunner;
  readonly #waiters: RedisWaiters;
  /** Granted requests of which an earlier try may still run at the server, and until when. */
  readonly #strays = new Map<string, { request: LockRequest; until: Deadline }>();
  #closed = false;

  constructor(
    process: LockProcess,
    private readonly commands: RedisClient,
    private readonly subscriber: RedisClient,
    private readonly keyspace: Keyspace,
    patience: number,
  ) {
    this.#runner = new ScriptRunner(commands, patience);
    this.#waiters = new RedisWaiters(
      process.id,
      subscriber,
      this.#runner,
      this.#clock,
      keyspace,
      (waiter) => this.#askAgain(waiter),
      (message) => {
        process.warn(message);
      },
    );
    commands.once('ready', () => {
      void this.#checkServer(process);
    });
    // What goes wrong shows in the clients' events, and they try again by themselves.
    for (const client of [commands, subscriber]) client.connect().catch(() => undefined);
  }

  get trouble(): Error | undefined {
    return this.#runner.trouble;
  }

  async acquire(request: LockRequest): Promise<Answer> {
    const waiter = this.#waiters.add(request);
    try {
      const answer = await this.#ask(waiter);
      if (answer.state !== 'waiting') this.#waiters.remove(waiter);
      return answer;
    } catch (error) {
      this.#waiters.remove(waiter);
      throw error;
    }
  }

  async cancel(request: LockRequest): Promise<void> {
    const waiter = this.#waiters.get(request.id);
    if (waiter !== undefined) {
      waiter.withdrawn = true;
      this.#waiters.remove(waiter);
      if (!waiter.sent) return;
    }
    await this.#withdraw(request);
    if (waiter?.unanswered) await this.#withdrawAgain(request, waiter.unanswered);
  }

  async renew(leases: readonly LeaseRenewal[]): Promise<readonly boolean[]> {
    const renewed = (await this.#runner.run(
      'renew',
      leases.map(({ key }) => this.keyspace.of(key)[0]),
      leases.flatMap(({ id, ttl }) => [id, ttl]),
    )) as number[];
    return renewed.map((one) => one === 1);
  }

  async release({ id, key }: LeaseIdentity): Promise<boolean> {
    const { channel } = this.keyspace;
    const released = await this.#runner.run('release', this.keyspace.of(key), [id, channel]);
    const stray = this.#strays.get(id);
    if (stray !== undefined) {
      this.#strays.delete(id);
      this.#withdrawAgain(stray.request, stray.until).catch(() => undefined);
    }
    return released === 1;
  }

  async inspect(key: string): Promise<KeyState> {
    const [lock, , deadlines] = this.keyspace.of(key);
    const patience = Deadline.in(this.#runner.patience);
    const [waiters = 0, token, remaining = 0] = (await this.#runner.insist(
      () => this.#runner.run('inspect', [lock, deadlines], []),
      () => patience.passed || this.#closed,
    )) as number[];
    return { waiters, holders: token === undefined ? [] : [{ token, remaining }] };
  }

  close(): Promise<void> {
    this.#closed = true;
    this.#waiters.close();
    this.commands.disconnect();
    this.subscriber.disconnect();
    return Promise.resolve();
  }

  #ask(waiter: RedisWaiter): Promise<Answer> {
    return this.#runner.insist(
      () => this.#attempt(waiter),
      () => waiter.withdrawn || this.#closed,
    );
  }

  async #askAgain(waiter: RedisWaiter): Promise<void> {
    const answer = await this.#ask(waiter);
    if (answer.state !== 'granted') return;
    this.#waiters.remove(waiter);
    waiter.grant(answer);
  }

  async #attempt(waiter: RedisWaiter): Promise<Answer> {
    const { id, key, ttl, queue } = waiter.request;
    const { patience } = this.#runner;
    await this.#connectedFor(waiter);
    const before = Instant.now();
    const earlier = waiter.unanswered;
    waiter.sent = true;
    waiter.unanswered = Deadline.in(patience);
    let reply: AcquireReply;
    try {
      reply = (await this.#runner.run('acquire', this.keyspace.of(key), [
        id,
        ttl,
        this.#clock.timeIn(patience) ?? 0,
        queue ? 1 : 0,
        this.keyspace.channel,
        LIVENESS,
      ])) as AcquireReply;
      waiter.unanswered = earlier;
    } catch (error) {
      if (isReply(error)) waiter.unanswered = earlier;
      throw error;
    }
    this.#clock.learn(before, reply[1]);
    if (waiter.withdrawn) {
      // The withdrawal may have run first, and found nothing.
      await this.#withdraw(waiter.request);
      throw new Error('withdrawn');
    }
    switch (reply[0]) {
      case 'granted':
        if (earlier) this.#strays.set(id, { request: waiter.request, until: earlier });
        return { state: 'granted', token: reply[2], since: before, ttl };
      case 'waiting':
        this.#waiters.stand(waiter, reply[2], reply[3]);
        return { state: 'waiting', granted: waiter.granted };
      case 'busy':
        return { state: 'busy' };
      case 'late':
        throw new Error('the request reached Redis too late');
    }
  }

  async #connectedFor(waiter: RedisWaiter): Promise<void> {
    await this.#runner.connected();
    if (waiter.withdrawn) throw new Error('withdrawn');
  }

  /** What was sent and not answered may run after a withdrawal, until it is void. */
  async #withdrawAgain(request: LockRequest, until: Deadline): Promise<void> {
    await pause(until.remaining);
    await this.#withdraw(request);
  }

  async #withdraw({ id, key, ttl }: LockRequest): Promise<void> {
    const { channel } = this.keyspace;
    // By then nothing of it can be left.
    const over = Deadline.in(ttl + LIVENESS);
    await this.#runner.insist(
      () => this.#runner.run('cancel', this.keyspace.of(key), [id, ttl, channel]),
      () => over.passed || this.#closed,
    );
  }

  async #checkServer(process: LockProcess): Promise<void> {
    for (const warning of await checkServer(this.commands, this.#runner, this.keyspace)) {
      if (!this.#closed) process.warn(warning);
    }
  }
}
