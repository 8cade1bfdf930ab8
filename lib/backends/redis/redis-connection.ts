import { Deadline, Instant, pause, within } from '../../clock.js';
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
import type { RedisRequest } from './redis-request.js';
import { LIVENESS, RedisWaiters } from './redis-waiters.js';
import { ScriptRunner } from './script-runner.js';
import { checkServer } from './server-check.js';
import { ServerClock } from './server-clock.js';

type AcquireReply =
  | readonly [state: 'granted', now: number, token: number]
  | readonly [state: 'waiting', now: number, remaining: number, place: number]
  | readonly [state: 'busy' | 'late', now: number];

/** One process's locks on one Redis node. The protocol itself is in the scripts. */
export class RedisConnection implements BackendConnection {
  readonly #clock = new ServerClock();
  readonly #runner: ScriptRunner;
  readonly #waiters: RedisWaiters;
  /** Withdrawals that nobody waits for but {@link close}. */
  readonly #withdrawals = new Set<Promise<void>>();
  #closed = false;

  constructor(
    process: LockProcess,
    private readonly commands: RedisClient,
    private readonly subscriber: RedisClient,
    private readonly keyspace: Keyspace,
    patience: number,
  ) {
    const warn = (message: string) => {
      process.warn(message);
    };
    this.#runner = new ScriptRunner(commands, patience);
    this.#waiters = new RedisWaiters({
      processId: process.id,
      subscriber,
      runner: this.#runner,
      clock: this.#clock,
      keyspace,
      askAgain: (request) => {
        // What comes of it, the request tells.
        this.#ask(request).catch(() => undefined);
      },
      withdrawStray: (request) => {
        this.#withdrawStray(request);
      },
      warn,
    });
    commands.on('ready', () => {
      this.#clock.forget();
      // Early, so that the first request need not wait for it.
      this.#readClock().catch(() => undefined);
    });
    commands.once('ready', () => {
      void this.#checkServer(warn);
    });
    // What goes wrong shows in the clients' events, and they try again by themselves.
    for (const client of [commands, subscriber]) client.connect().catch(() => undefined);
  }

  get trouble(): Error | undefined {
    return this.#runner.trouble;
  }

  acquire(asked: LockRequest): Promise<Answer> {
    const request = this.#waiters.add(asked);
    // The grant may come by a message while the reply is still awaited, or was lost.
    return Promise.race([this.#ask(request), request.granted]);
  }

  async cancel(asked: LockRequest): Promise<void> {
    const request = this.#waiters.find(asked.id);
    if (request === undefined) {
      await this.#withdraw(asked);
      return;
    }
    request.over = true;
    this.#waiters.forget(request);
    if (!request.sent) return;
    await this.#withdraw(asked);
    this.#withdrawStray(request);
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
    const stray = this.#waiters.find(id);
    if (stray !== undefined) stray.over = true;
    const { channel } = this.keyspace;
    const released = await this.#runner.run('release', this.keyspace.of(key), [id, channel]);
    if (stray !== undefined) {
      this.#waiters.forget(stray);
      this.#withdrawStray(stray);
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

  async close(): Promise<void> {
    this.#waiters.close();
    await within(this.#runner.patience, Promise.all(this.#withdrawals));
    this.#closed = true;
    this.#runner.close();
    this.commands.disconnect();
    this.subscriber.disconnect();
  }

  /** Asks until there is an answer, or nobody wants one. Rejects, and refuses the request, when it cannot be had. */
  async #ask(request: RedisRequest): Promise<Answer> {
    try {
      return await this.#runner.insist(
        () => this.#attempt(request),
        () => request.isSettled() || this.#closed,
      );
    } catch (error) {
      if (!request.isSettled()) {
        this.#waiters.forget(request);
        this.#withdrawStray(request);
        request.refuse(error);
      }
      return await request.granted;
    }
  }

  async #attempt(request: RedisRequest): Promise<Answer> {
    const { key, ttl, queue } = request.asked;
    const { patience } = this.#runner;
    await this.#runner.connected();
    if (!this.#clock.known) await this.#readClock();
    if (request.isSettled()) throw new Error('settled meanwhile');

    const before = Instant.now();
    const earlier = request.unanswered;
    request.sent = true;
    const mine = Deadline.in(patience);
    request.unanswered = mine;
    const answered = () => {
      if (request.unanswered === mine) request.unanswered = earlier;
    };
    let reply: AcquireReply;
    try {
      reply = (await this.#runner.run('acquire', this.keyspace.of(key), [
        request.id,
        ttl,
        this.#clock.timeIn(patience) ?? 0,
        queue ? 1 : 0,
        this.keyspace.channel,
        LIVENESS,
      ])) as AcquireReply;
      answered();
    } catch (error) {
      if (isReply(error)) answered();
      throw error;
    }
    const [state, now] = reply;
    this.#clock.learn(before, now);
    if (request.over) {
      // The withdrawal may have run first, and found nothing.
      await this.#withdraw(request.asked);
      throw new Error('withdrawn meanwhile');
    }
    if (request.isSettled()) return request.granted;
    switch (state) {
      case 'granted':
        this.#waiters.settle(request, { state, token: reply[2], since: before, ttl });
        return request.granted;
      case 'waiting':
        this.#waiters.stand(request, reply[2], reply[3]);
        return { state, granted: request.granted };
      case 'busy':
        this.#waiters.forget(request);
        this.#withdrawStray(request);
        return { state };
      case 'late':
        throw new Error('the request reached Redis too late');
    }
  }

  /** What was sent and not answered may run after its request is over, until it is void. */
  #withdrawStray({ asked, mayStillRun, unanswered }: RedisRequest): void {
    if (!mayStillRun || this.#closed) return;
    const withdrawal = pause(unanswered?.remaining ?? 0)
      .then(() => this.#withdraw(asked))
      .catch(() => undefined)
      .finally(() => this.#withdrawals.delete(withdrawal));
    this.#withdrawals.add(withdrawal);
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

  async #readClock(): Promise<void> {
    const before = Instant.now();
    const time = await within(this.#runner.patience, this.commands.time());
    if (time === undefined) throw new Error('Redis did not tell the time');
    const [seconds, micros] = time;
    this.#clock.learn(before, Math.floor(Number(seconds) * 1000 + Number(micros) / 1000));
  }

  async #checkServer(warn: (message: string) => void): Promise<void> {
    for (const warning of await checkServer(this.commands, this.#runner, this.keyspace)) {
      if (!this.#closed) warn(warning);
    }
  }
}
