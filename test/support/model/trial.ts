import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { AsyncCommand } from 'fast-check';
import {
  type Answer,
  type BackendConnection,
  type Grant,
  type Lock,
  LockConfigurationError,
  type LockRequest,
} from 'nestjs-lock';
import { eventually, LONG, soon } from '../../../lib/testing/patience.js';
import type { Peer } from '../../../lib/testing/world.js';
import type { Crew } from './crew.js';
import { difference } from './difference.js';
import type { Verdict } from './lock-model.js';
import type { Asked, ModelWorld, Terms } from './model-world.js';
import { Tokens } from './tokens.js';

/** A request, as the store knows it. */
interface Made {
  readonly request: LockRequest;
  /** Undefined when it is a LockService's. */
  readonly peer?: Peer;
  /** Of its grant, once the program knows of it. */
  token?: number;
  /** What came for a waiter. */
  arrived?: Grant | Error;
  /** Settles with {@link arrived}. */
  arrival?: Promise<unknown>;
}

/** One program on a store: does there what the program says, and compares what comes of it. */
export class Trial {
  /** What the program has done. */
  readonly steps: AsyncCommand<ModelWorld, Trial>[] = [];
  /** The same in words. */
  readonly words: string[] = [];
  readonly #prefix = randomUUID();
  readonly #peers: Map<string, Peer>;
  readonly #made = new Map<number, Made>();
  readonly #bundles = new Map<readonly Asked[], Lock>();
  readonly tokens = new Tokens();
  /** Keys in whose queue somebody dead may stand, and since when. */
  readonly #haunted = new Map<number, number>();

  constructor(
    readonly model: ModelWorld,
    readonly crew: Crew,
  ) {
    this.#peers = new Map(model.processes.map((name, index) => [name, crew.peers[index]!]));
  }

  says(words: string): void {
    this.words.push(words);
  }

  async ask(asked: Asked, queue: boolean, expected: Verdict, ttl = LONG): Promise<Verdict> {
    const { process, key, mode, limit } = asked;
    const peer = this.#peerOf(process);
    const request = peer.request(this.#nameOf(key), ttl, queue, { mode, limit });
    const made: Made = { peer, request };
    this.#made.set(asked.n, made);
    const answer = await this.#hear(asked, made);
    if (!queue || answer !== 'waiting') return answer;
    // A store may see only when the request stands in the queue that it can be granted.
    return expected === 'granted' ? expected : answer;
  }

  askAgain(asked: Asked): Promise<Verdict> {
    return this.#hear(asked, this.#madeOf(asked));
  }

  /** Takes several keys at once by a LockService; whoever gets them has asked for them. */
  async askTogether(all: readonly Asked[], terms: Terms): Promise<Verdict> {
    const names = all.map(({ key }) => this.#nameOf(key));
    const asking = this.crew.service.tryAcquire(names, terms).catch((error: unknown) => {
      if (error instanceof LockConfigurationError) return 'conflict' as const;
      throw error;
    });
    const lock = (await this.#soon('all or none', asking)) ?? 'busy';
    if (typeof lock === 'string') {
      // A busy store has a moment more to give back what was taken in vain.
      for (const { key } of all) await this.comesToAgree(key, this.crew.pace.prompt);
      return lock;
    }
    this.#bundles.set(all, lock);
    for (const [index, asked] of all.entries()) {
      const key = names[index]!;
      const request = this.crew.world.requests.findLast((sent) => sent.key === key);
      const token = lock.fencingTokenOf(key);
      this.#made.set(asked.n, { request: request!, token });
      this.tokens.note(asked.key, token);
    }
    return 'granted';
  }

  async letGo(all: readonly Asked[]): Promise<boolean> {
    const outcome = await this.#soon('the release of all', this.#bundles.get(all)!.release());
    return outcome === 'released';
  }

  /** Several leases of one process in one call. */
  async renew(leases: readonly Asked[]): Promise<(boolean | Error)[]> {
    const { peer } = this.#madeOf(leases[0]!);
    const renewals = leases.map((asked) => {
      const { request, token = 0 } = this.#madeOf(asked);
      return { ...request, ...this.model.termsOf(asked), token, ttl: LONG };
    });
    return [...(await this.#soon('a renewal', peer!.connection.renew(renewals)))];
  }

  release(asked: Asked, keepFor = 0): Promise<boolean> {
    const { peer, request } = this.#madeOf(asked);
    const lease = { ...request, ...this.model.termsOf(asked) };
    return this.#soon('a release', peer!.connection.release(lease, keepFor));
  }

  cancel(asked: Asked): Promise<void> {
    const { peer, request } = this.#madeOf(asked);
    return this.#soon('a withdrawal', peer!.connection.cancel(request));
  }

  downgrade(asked: Asked): Promise<boolean> {
    const { peer, request } = this.#madeOf(asked);
    return this.#soon('a downgrade', peer!.connection.downgrade(request));
  }

  /** As many as the model says must end, and hear of it. */
  async forceRelease(key: number): Promise<void> {
    const { holders } = this.model.keys[key]!;
    const name = this.#nameOf(key);
    const count = await this.#soon('an end', this.#operator.forceRelease(name));
    const held = holders.filter(({ kept }) => !kept);
    // What is only kept taken may count or not.
    const fits = count >= held.length && count <= holders.length;
    assert.ok(fits, `${held.length} leases should have ended, not ${count}`);
    for (const { n } of held) {
      const { peer, request } = this.#made.get(n)!;
      if (peer === undefined || !this.crew.peers.includes(peer)) continue;
      const told = () => peer.told.lost.includes(request.id);
      await eventually(`#${n} is told of its end`, told, this.crew.pace.prompt);
    }
  }

  async crash(process: string, replacement: string): Promise<void> {
    this.#peers.set(replacement, await this.crew.replace(this.#peerOf(process)));
    this.#peers.delete(process);
  }

  /** Somebody dead stands in the queue of the key. */
  haunt(key: number): void {
    this.#haunted.set(key, performance.now());
  }

  /** Waits until those who died in the queue of the key are gone: nobody can say when until then. */
  async exorcise(key: number): Promise<void> {
    const since = this.#haunted.get(key);
    if (since === undefined) return;
    await sleep(Math.max(0, since + this.crew.pace.hidden - performance.now()));
    await this.comesToAgree(key, this.crew.pace.haunted);
    this.#haunted.delete(key);
  }

  /** The store shows of the key what the model knows. */
  async agrees(key: number): Promise<void> {
    const found = await this.#difference(key);
    if (found !== undefined) assert.fail(`key ${key} ${found}`);
  }

  async comesToAgree(key: number, ms: number): Promise<void> {
    const end = performance.now() + ms;
    while ((await this.#difference(key)) !== undefined && performance.now() < end) {
      // Many programs may look at the same time.
      await sleep(20);
    }
    // It says what is different still.
    await this.agrees(key);
  }

  /** Awaits the grants that the model has made, and sees that there is no other. */
  async settle(ms = this.#haunted.size > 0 ? this.crew.pace.haunted : this.crew.pace.prompt) {
    const due = this.model.living(
      (asked) => this.model.holds(asked) && this.#madeOf(asked).token === undefined,
    );
    await Promise.all(
      due.map(async (asked) => {
        const made = this.#madeOf(asked);
        await soon(`#${asked.n} is granted`, made.arrival, ms);
        this.#grant(asked, made);
        // A hand-off grants but a short while, until its holder renews it: not so long as somebody dead
        // in the queue may keep the next one waiting.
        const [isOwn] = await this.renew([asked]);
        assert.equal(isOwn, true, `#${asked.n} was just granted, and is not its own`);
      }),
    );
    for (const asked of this.model.living((one) => this.model.waits(one))) {
      const { arrived } = this.#madeOf(asked);
      assert.equal(arrived, undefined, `#${asked.n} is granted, and should wait`);
    }
    this.tokens.check();
  }

  /** Looks once more at each key, and leaves nothing behind. */
  async windUp(): Promise<void> {
    const { model } = this;
    const keys = [...model.keys.keys()];
    for (const key of keys) await this.exorcise(key);
    for (const key of keys) await this.agrees(key);
    // From the end of the queues, so that nobody is let in by that.
    for (const asked of model.living((one) => model.waits(one)).reverse()) {
      await this.cancel(asked);
      model.leave(asked);
    }
    for (const all of model.bundles) await this.letGo(all);
    for (const key of keys) {
      await this.#soon('an end', this.#operator.forceRelease(this.#nameOf(key)));
      model.forceRelease(key);
      await this.agrees(key);
    }
  }

  async #hear(asked: Asked, made: Made): Promise<Verdict> {
    // A backend may throw at once.
    const asking = async () => made.peer!.connection.acquire(made.request);
    const answer: Answer = await this.#soon('an answer', asking());
    if (answer.state === 'granted') {
      made.arrived = answer;
      this.#grant(asked, made);
    } else if (answer.state === 'waiting') {
      made.arrival = answer.granted.then(
        (grant) => (made.arrived = grant),
        (error: unknown) => (made.arrived = error as Error),
      );
    }
    if (answer.state !== 'busy' || answer.limit === undefined) return answer.state;
    const { holders, queue } = this.model.keys[asked.key]!;
    assert.equal(
      answer.limit,
      [...holders, ...queue][0]?.limit,
      'it is said to have another limit',
    );
    return 'conflict';
  }

  #grant(asked: Asked, made: Made): void {
    const { arrived, token } = made;
    if (arrived instanceof Error) throw arrived;
    if (token !== undefined) {
      assert.equal(arrived!.token, token, `#${asked.n} has another token now`);
      return;
    }
    made.token = arrived!.token;
    this.tokens.note(asked.key, made.token);
  }

  get #operator(): BackendConnection {
    return this.crew.peers[0]!.connection;
  }

  async #difference(key: number): Promise<string | undefined> {
    const state = await this.#soon('a look', this.#operator.inspect(this.#nameOf(key)));
    return difference(this.model.keys[key]!, state, (n) => {
      const { request, token = 0 } = this.#made.get(n)!;
      return { id: request.id, token };
    });
  }

  #soon<T>(what: string, promise: T | Promise<T>): Promise<T> {
    return soon(what, promise, this.crew.pace.prompt);
  }

  #nameOf(key: number): string {
    return `${this.#prefix}:${key}`;
  }

  #peerOf(process: string): Peer {
    return this.#peers.get(process)!;
  }

  #madeOf({ n }: Asked): Made {
    return this.#made.get(n)!;
  }
}
