import { type INestApplication, Module, type ModuleMetadata, type Type } from '@nestjs/common';
import { type AbstractHttpAdapter, NestFactory } from '@nestjs/core';
import { ExpressAdapter } from '@nestjs/platform-express';
import { LockModule } from 'nestjs-lock';
import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises';
import { type Event, Journal } from './journal.js';

/** Where `@Locked` stands. */
export type Order = 'above' | 'below';

/** Any method decorator, as a stack of them is applied. */
type Decorator = (target: never, property: never, descriptor: never) => unknown;

/** So many calls come at once, and one more alone, whose order of events can be told. */
const TOGETHER = 3;
const PATIENCE_MS = 10_000;
/** So that a body that runs unlocked meets the others inside. */
const TURNS_INSIDE = 5;

/** One application of a row, in one order of the decorators, and what is seen of it. */
export class Scene {
  readonly #journal = new Journal();
  readonly #open: (() => unknown)[] = [];
  #alone = 0;
  /** What the table says beside the verdict. */
  remark: string | undefined;
  /** What was seen where the application ran in another process, as it says itself. */
  elsewhere: { locked: boolean; released: 'after' | 'never' } | undefined;

  /** @param wraps whether the other package does something around the method, and tells by {@link end} */
  constructor(
    readonly order: Order,
    private readonly wraps: boolean,
  ) {}

  /** Applies both as if they stood above the method in this scene's order. */
  inOrder(locked: Decorator, theirs: Decorator): MethodDecorator {
    const upwards = this.order === 'above' ? [theirs, locked] : [locked, theirs];
    return (target, property, descriptor) =>
      // The parameters are those of a method decorator; its result is the new descriptor, if any.
      upwards.reduce<typeof descriptor>((current, decorator) => {
        const apply = decorator as unknown as MethodDecorator;
        return (apply(target, property, current) as typeof descriptor | undefined) ?? current;
      }, descriptor);
  }

  /** A module of the application, with the locks of this scene. */
  module(metadata: ModuleMetadata): Type {
    const locks = LockModule.forRoot({ backend: this.#journal });
    @Module({ ...metadata, imports: [locks, ...(metadata.imports ?? [])] })
    class Application {}
    return Application;
  }

  /** An application that listens. */
  async http(
    metadata: ModuleMetadata,
    prepare: (app: INestApplication) => unknown = () => undefined,
    adapter: AbstractHttpAdapter = new ExpressAdapter(),
  ): Promise<INestApplication> {
    const app = await NestFactory.create(this.module(metadata), adapter, {
      logger: ['error', 'warn'],
      abortOnError: false,
    });
    this.closeAtTheEnd(() => app.close());
    await prepare(app);
    return app.listen(0, '127.0.0.1').then(() => app);
  }

  closeAtTheEnd(close: () => unknown): void {
    this.#open.unshift(close);
  }

  async close(): Promise<void> {
    for (const close of this.#open.splice(0)) await close();
  }

  /** What a locked method does: it lets everything else run, and answers. */
  async body<T>(answer: T): Promise<T> {
    this.#journal.events.push('enter');
    for (let turns = 0; turns < TURNS_INSIDE; turns++) await turn();
    this.#journal.events.push('leave');
    return answer;
  }

  /** The other package's work around a method is over: its transaction, its span. */
  end(): void {
    this.#journal.events.push('end');
  }

  /** Calls the locked method through the other package: some at once, then one alone; each runs a body. */
  async calls<T>(call: () => T | Promise<T>, together = TOGETHER): Promise<T[]> {
    const { events } = this.#journal;
    const answers = await Promise.all(Array.from({ length: together }, async () => call()));
    await this.#settled(together);
    this.#alone = events.length;
    answers.push(await call());
    await this.#settled(together + 1);
    return answers;
  }

  /** Each body that ran was under a lock of its own, one after the other. */
  get locked(): boolean {
    if (this.elsewhere !== undefined) return this.elsewhere.locked;
    const seen = this.#journal.events.filter((event) => event !== 'end');
    const once: Event[] = ['granted', 'enter', 'leave', 'released'];
    const bodies = Math.max(1, this.#journal.count('enter'));
    return (
      seen.join() ===
      Array.from({ length: bodies }, () => once)
        .flat()
        .join()
    );
  }

  /** When the call that was alone gave its lock back: `after` the other's work was done, or before. */
  get released(): 'after' | 'before' | 'never' {
    if (this.elsewhere !== undefined) return this.elsewhere.released;
    const alone = this.#journal.events.slice(this.#alone);
    const released = alone.indexOf('released');
    if (released < 0) return 'never';
    return alone.lastIndexOf(this.wraps ? 'end' : 'leave') < released ? 'after' : 'before';
  }

  /** What happened, for whom it surprises. */
  get story(): string {
    return this.#journal.events.join(' ');
  }

  /** Until so many calls are through, for those packages that tell their caller nothing. */
  async #settled(calls: number): Promise<void> {
    const last: Event[] = this.wraps ? ['released', 'end'] : ['released'];
    const end = performance.now() + PATIENCE_MS;
    while (!last.every((event) => this.#journal.count(event) >= calls)) {
      if (performance.now() > end) throw new Error(`not ${calls} calls are through: ${this.story}`);
      await sleep(5);
    }
  }
}
